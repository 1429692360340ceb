"""Records that somebody ran an event through a destination by hand."""

from __future__ import annotations

from kit.clock import Clock
from kit.errors import LimitReached
from kit.eventstore.facts import Meta, NewFact, day_stream
from kit.eventstore.store import STREAM_FACTS_MAX, EventStore
from kit.rpc import names
from kit.telemetry.trace import traceparent
from onward.registry.v1 import facts_pb2
from onward.registry.v1 import internal_service_pb2 as pb
from services.registry import projections, queries
from services.registry.handlers.clients import client, keep_client


class Invocations:
    """Appends invocations to the log: what an executor does for its caller is on the trail under the caller's name."""

    def __init__(self, store: EventStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def record(self, request: pb.RecordInvocationRequest) -> int:
        """The workspace's log position after the fact. Raises Missing, and LimitReached where a day has too many."""
        workspace, destination = names.DESTINATION.parse(request.name)
        fact = facts_pb2.DestinationInvoked(destination=destination, message_id=request.message_id)
        caller = client(request.client_address, request.user_agent)
        meta = Meta(
            request.principal,
            credential=request.credential,
            request_id=request.request_id,
            traceparent=traceparent(),
            commitments=caller.commitments,
        )
        async with self._store.writing(workspace) as unit:
            await queries.get_destination(unit.connection, workspace, destination)
            try:
                facts = await unit.append([NewFact(day_stream("invocations", self._clock), fact)], meta)
            except LimitReached as error:
                raise _too_many(workspace) from error
            await keep_client(unit.connection, caller, meta, facts)
            await projections.project(unit.connection, facts)
            return unit.position


def _too_many(workspace: str) -> LimitReached:
    return LimitReached(
        f"{STREAM_FACTS_MAX} events were run by hand in workspaces/{workspace} today (UTC); publish them instead, or go"
        " on tomorrow.",
        metadata={"limit": "invocations_per_day", "max": str(STREAM_FACTS_MAX), "resource": f"workspaces/{workspace}"},
    )
