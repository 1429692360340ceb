"""onward.delivery.v1.DeliveryService."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

from kit.auth.caller import current_caller
from kit.clock import Clock
from kit.errors import Unavailable
from kit.postgres.pool import Pool
from kit.rpc import names
from kit.rpc.pages import PageTokens, page_size
from onward.delivery.v1 import delivery_service_pb2 as pb
from onward.delivery.v1 import delivery_service_pb2_grpc
from services.delivery import queries
from services.delivery.domain.identity import parse_delivery_id
from services.delivery.handlers.breakers import BreakerResets
from services.delivery.handlers.interventions import Interventions
from services.delivery.handlers.subscriptions import Subscriptions
from services.delivery.handlers.watch import Watchers
from services.delivery.queries import Cursor, Span, Wanted
from services.delivery.rpc.arguments import TIME_MAX_US, parse_parent, span_of
from services.delivery.rpc.breakers import BreakerCalls
from services.delivery.rpc.health import HealthCalls
from services.delivery.rpc.interventions import InterventionCalls
from services.delivery.rpc.numbers import NumberCalls
from services.delivery.rpc.unmatched import UnmatchedCalls

# What one message of a watch holds, so that it stays well below gRPC's 4 MB.
WATCHED_AT_ONCE_MAX = 500


class DeliveryServicer(
    InterventionCalls,
    BreakerCalls,
    NumberCalls,
    HealthCalls,
    UnmatchedCalls,
    delivery_service_pb2_grpc.DeliveryServiceServicer,
):
    """See the proto."""

    def __init__(
        self,
        pool: Pool,
        pages: PageTokens,
        watchers: Watchers,
        clock: Clock,
        interventions: Interventions,
        resets: BreakerResets,
        subscriptions: Subscriptions,
    ) -> None:
        self._resets = resets
        self._interventions = interventions
        self._subscriptions = subscriptions
        self._pool = pool
        self._pages = pages
        self._watchers = watchers
        self._clock = clock

    async def ListDeliveries(self, request: pb.ListDeliveriesRequest, context: Any) -> pb.ListDeliveriesResponse:
        workspace, destination = parse_parent(request.parent)
        span = span_of(request, default=Span(0, TIME_MAX_US))
        sources = current_caller().sources
        wanted = Wanted(workspace, destination, span, request.state, request.error_type, sources, request.reason)
        limit = page_size(request.page_size)
        binding = ("deliveries", *(str(one) for one in (*wanted[:5], request.message_id, request.reason)))
        after = _cursor(self._pages.read(request.page_token, *binding), Cursor(span.end_us))
        if request.message_id:
            everything = await queries.deliveries_of_message(self._pool, wanted, request.message_id)
            found = _after(everything, after)[: limit + 1]
        else:
            found = await queries.list_deliveries(self._pool, wanted, after, limit + 1)
        answer = pb.ListDeliveriesResponse(deliveries=found[:limit])
        if len(found) > limit:
            answer.next_page_token = self._pages.make(tuple(queries.cursor_of(found[limit - 1])), *binding)
        return answer

    async def GetDelivery(self, request: pb.GetDeliveryRequest, context: Any) -> pb.GetDeliveryResponse:
        workspace, delivery = names.DELIVERY.parse(request.name)
        event, hashed = parse_delivery_id(delivery)
        return await queries.get_delivery(self._pool, workspace, event, hashed, current_caller().sources)

    async def WatchDeliveries(
        self, request: pb.WatchDeliveriesRequest, context: Any
    ) -> AsyncIterator[pb.WatchDeliveriesResponse]:
        workspace, destination = parse_parent(request.parent)
        wanted = names.DESTINATION.format(workspace, destination) if destination else ""
        # Whoever loses a source loses the stream as well.
        sources = current_caller().sources
        with self._watchers.watching(workspace) as watcher:
            # Tells the caller that what happens from here on is seen.
            yield pb.WatchDeliveriesResponse()
            while True:
                taken = await watcher.take(WATCHED_AT_ONCE_MAX)
                shown = [
                    one
                    for one in taken
                    if wanted in ("", one.destination)
                    and request.state in (pb.DELIVERY_STATE_UNSPECIFIED, one.state)
                    and queries.last_id(one.source) in sources
                ]
                if shown:
                    yield pb.WatchDeliveriesResponse(deliveries=shown)
                if not taken and watcher.overrun:
                    raise Unavailable("More was recorded than this watch could take; list, then watch again.")

    async def ListIngestFailures(
        self, request: pb.ListIngestFailuresRequest, context: Any
    ) -> pb.ListIngestFailuresResponse:
        (workspace,) = names.WORKSPACE.parse(request.parent, "parent")
        limit = page_size(request.page_size)
        cursor = self._pages.read(request.page_token, "ingest-failures", workspace)
        received_at_us, sequence, index = (int(one) for one in cursor or (TIME_MAX_US, 0, 0))
        after = (received_at_us, sequence, index)
        sources = current_caller().sources
        found = await queries.list_ingest_failures(self._pool, workspace, after, limit + 1, sources)
        answer = pb.ListIngestFailuresResponse(failures=found[:limit])
        if len(found) > limit:
            last = found[limit - 1]
            place = (last.received_at_us, last.stream_sequence, last.index)
            answer.next_page_token = self._pages.make(place, "ingest-failures", workspace)
        return answer


def _cursor(stored: tuple[str | int, ...] | None, first: Cursor) -> Cursor:
    if stored is None:
        return first
    received_at_us, sequence, index, destination = stored
    return Cursor(int(received_at_us), int(sequence), int(index), str(destination))


def _after(deliveries: Iterable[pb.Delivery], cursor: Cursor) -> list[pb.Delivery]:
    """Those that come after a cursor in a list that goes down, and then up by destination."""

    def place(one: Cursor) -> tuple[int, int, int, str]:
        return -one.received_at_us, -one.stream_sequence, -one.event_index, one.destination

    return [one for one in deliveries if place(queries.cursor_of(one)) > place(cursor)]
