"""onward.audit.v1.AuditService."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from kit.postgres.pool import Pool
from kit.rpc import names
from kit.rpc.pages import PageTokens, page_size
from onward.audit.v1 import audit_service_pb2 as pb
from onward.audit.v1 import audit_service_pb2_grpc
from services.audit import queries
from services.audit.handlers.clients import Clients
from services.audit.handlers.heads_proofs import HeadsProofs
from services.audit.handlers.listing import read_page
from services.audit.handlers.proofs import Proofs
from services.audit.queries import Filter, Growth

# Events of one message of a watch that has some catching up to do.
WATCH_EVENTS_MAX = 100
# A look without having been woken, in case a wake-up was lost; looks of Growth are a second apart.
WATCH_WAIT_S = 30.0


class AuditServicer(audit_service_pb2_grpc.AuditServiceServicer):
    """See the proto."""

    def __init__(self, pool: Pool, pages: PageTokens, growth: Growth, proofs: Proofs, clients: Clients) -> None:
        self._pool = pool
        self._pages = pages
        self._growth = growth
        self._proofs = proofs
        self._clients = clients
        self._heads = HeadsProofs(pool, proofs)

    async def ListAuditEvents(self, request: pb.ListAuditEventsRequest, context: Any) -> pb.ListAuditEventsResponse:
        (workspace,) = names.WORKSPACE.parse(request.parent, "parent")
        if request.after_index and request.order != pb.ORDER_OLDEST_FIRST:
            raise names.malformed("after_index", "goes with ORDER_OLDEST_FIRST alone")
        binding = _binding(request)
        cursor = self._pages.read(request.page_token, *binding)
        page = await read_page(
            self._pool,
            workspace,
            _filter(request),
            page_size(request.page_size),
            text=request.text,
            oldest_first=request.order == pb.ORDER_OLDEST_FIRST,
            beyond=int(cursor[0]) if cursor else request.after_index or None,
        )
        if request.show_clients:
            await self._clients.show(workspace, page.events)
        following = "" if page.end is None else self._pages.make((page.end,), *binding)
        return pb.ListAuditEventsResponse(audit_events=page.events, next_page_token=following)

    async def GetAuditEvent(self, request: pb.GetAuditEventRequest, context: Any) -> pb.GetAuditEventResponse:
        workspace, index = names.AUDIT_EVENT.parse(request.name)
        event = await queries.get_event(self._pool, workspace, int(index))
        await self._clients.show(workspace, [event])
        return pb.GetAuditEventResponse(audit_event=event)

    async def WatchAuditEvents(
        self, request: pb.WatchAuditEventsRequest, context: Any
    ) -> AsyncIterator[pb.WatchAuditEventsResponse]:
        (workspace,) = names.WORKSPACE.parse(request.parent, "parent")
        if request.after_index < 0:
            raise names.malformed("after_index", "must not be negative")
        index = request.after_index or await queries.head(self._pool, workspace)
        while True:
            events = await queries.events_after(self._pool, workspace, index, WATCH_EVENTS_MAX)
            if events:
                yield pb.WatchAuditEventsResponse(audit_events=events)
                index = events[-1].index
            else:
                await self._growth.wait(workspace, index + 1, WATCH_WAIT_S)

    async def ExportAuditEvents(
        self, request: pb.ExportAuditEventsRequest, context: Any
    ) -> AsyncIterator[pb.ExportAuditEventsResponse]:
        (workspace,) = names.WORKSPACE.parse(request.parent, "parent")
        async for part in self._proofs.export(workspace, request.after_index, request.until_index):
            yield part

    async def GetCheckpoint(self, request: pb.GetCheckpointRequest, context: Any) -> pb.GetCheckpointResponse:
        (workspace,) = names.WORKSPACE.parse(request.parent, "parent")
        return await self._proofs.checkpoint(workspace, request.size)

    async def GetInclusionProof(
        self, request: pb.GetInclusionProofRequest, context: Any
    ) -> pb.GetInclusionProofResponse:
        workspace, index = names.AUDIT_EVENT.parse(request.name)
        return await self._proofs.inclusion(workspace, int(index), request.tree_size)

    async def GetConsistencyProof(
        self, request: pb.GetConsistencyProofRequest, context: Any
    ) -> pb.GetConsistencyProofResponse:
        (workspace,) = names.WORKSPACE.parse(request.parent, "parent")
        return await self._proofs.consistency(workspace, request.old_size, request.tree_size)

    async def GetHeadsCheckpoint(
        self, request: pb.GetHeadsCheckpointRequest, context: Any
    ) -> pb.GetHeadsCheckpointResponse:
        return await self._heads.checkpoint(request.size)

    async def GetHeadsProof(self, request: pb.GetHeadsProofRequest, context: Any) -> pb.GetHeadsProofResponse:
        return await self._heads.proof(request)

    async def ExportHeads(self, request: pb.ExportHeadsRequest, context: Any) -> AsyncIterator[pb.ExportHeadsResponse]:
        async for part in self._heads.export(request.after_index, request.until_index):
            yield part


def _filter(request: pb.ListAuditEventsRequest) -> Filter:
    if "\0" in request.text:
        raise names.malformed("text", "must not contain the character U+0000")
    target_type, slash, target_id = request.target.partition("/")
    if request.target and (not target_type or (slash and not target_id)):
        raise names.malformed("target", "must be a type such as functions, or a target such as functions/{function}")
    return Filter(
        start_time=_datetime(request.start_time, "start_time") if request.HasField("start_time") else None,
        end_time=_datetime(request.end_time, "end_time") if request.HasField("end_time") else None,
        principal=request.principal or None,
        action=request.action or None,
        target_type=target_type or None,
        target_id=target_id or None,
        outcome=request.outcome or None,
    )


def _binding(request: pb.ListAuditEventsRequest) -> tuple[str, ...]:
    """All that makes the list what it is, but for the page."""
    kept = pb.ListAuditEventsRequest()
    kept.CopyFrom(request)
    kept.ClearField("page_size")
    kept.ClearField("page_token")
    return ("auditEvents", kept.SerializeToString(deterministic=True).hex())


def _datetime(stamp: Timestamp, field: str) -> datetime:
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise names.malformed(field, "must be a time between the years 1 and 9999") from None
