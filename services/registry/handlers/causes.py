"""What the facts of a mutation tell of the call that it was."""

from __future__ import annotations

from kit.auth.caller import Caller
from kit.eventstore.facts import Meta
from kit.telemetry.trace import traceparent
from services.registry.handlers.clients import Client


def meta_of(caller: Caller, client: Client, request_id: str) -> Meta:
    return Meta(
        caller.principal,
        credential=caller.credential,
        request_id=request_id,
        traceparent=traceparent(),
        commitments=client.commitments,
    )
