"""Webhooks that the tracker sends: they leave as requests of functions do, and reach no more than these."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kit.rpc.names import is_id, malformed
from onward.executor.v1 import execution_service_pb2 as pb
from services.executor.runtime.addresses import Network
from services.executor.runtime.egress import EgressError, EgressRequest, EgressResponse, Scope

# A receiver has only to put it aside. One that hangs holds a place of the tracker's for no longer.
TIMEOUT_MS = 10_000

Fetch = Callable[[EgressRequest, Scope], Awaitable[EgressResponse]]
# The ranges that are open to a workspace now.
Ranges = Callable[[str], Awaitable[tuple[Network, ...]]]


class Webhooks:
    """Sends webhooks by way of the broker."""

    def __init__(self, fetch: Fetch, ranges: Ranges) -> None:
        self._fetch = fetch
        self._ranges = ranges

    async def send(self, request: pb.SendWebhookRequest) -> pb.SendWebhookResponse:
        """Send one. Raises Unavailable where it can't be known what the workspace may reach."""
        if not is_id(request.workspace):
            raise malformed("workspace", "must be the id of a workspace")
        # No destination's id has a slash in it, so nothing is shared with any: neither connections nor places.
        scope = Scope(request.workspace, f"webhooks/{request.purpose}", await self._ranges(request.workspace))
        wanted = EgressRequest(
            "POST",
            request.url,
            headers=sorted(request.headers.items()),
            body=request.body,
            # As the Standard Webhooks have it: what moved is to be subscribed anew.
            redirect="manual",
            timeout_ms=TIMEOUT_MS,
            compress=False,
        )
        try:
            answer = await self._fetch(wanted, scope)
        except EgressError as error:
            # The code alone: messages hold the URL, which may be a secret.
            status = error.response.status if error.response is not None else 0
            return pb.SendWebhookResponse(status=status, error=error.code or error.type)
        return pb.SendWebhookResponse(status=answer.status)
