"""onward.delivery.v1.InternalService."""

from __future__ import annotations

from typing import Any

from kit.clock import Clock, unix_us
from kit.eventstore.owner_log import answer_facts
from kit.eventstore.store import EventStore
from kit.postgres.pool import Pool
from kit.rpc.names import is_id, malformed
from onward.delivery.v1 import duplicates_pb2 as duplicates_pb
from onward.delivery.v1 import internal_service_pb2 as pb
from onward.delivery.v1 import internal_service_pb2_grpc
from services.delivery import queries
from services.delivery.domain.identity import EventReference
from services.delivery.handlers.applied import AppliedOutcomes
from services.delivery.handlers.breakers import BreakerBoard
from services.delivery.rpc.breakers import BreakerWatch
from services.delivery.rpc.duplicates import find_duplicates

SERVICE = "delivery"
# As the proto says.
EVENTS_MAX = 1000


class InternalServicer(BreakerWatch, internal_service_pb2_grpc.InternalServiceServicer):
    """See the proto."""

    def __init__(
        self, pool: Pool, applied: AppliedOutcomes, clock: Clock, store: EventStore, board: BreakerBoard
    ) -> None:
        self._board = board
        self._store = store
        self._pool = pool
        self._applied = applied
        self._clock = clock

    async def ReadFacts(self, request: pb.ReadFactsRequest, context: Any) -> pb.ReadFactsResponse:
        return pb.ReadFactsResponse(read=await answer_facts(SERVICE, self._store, request.read))

    async def FindDuplicates(
        self, request: duplicates_pb.FindDuplicatesRequest, context: Any
    ) -> duplicates_pb.FindDuplicatesResponse:
        return await find_duplicates(self._pool, request)

    async def LookupOutcomes(self, request: pb.LookupOutcomesRequest, context: Any) -> pb.LookupOutcomesResponse:
        if not is_id(request.workspace):
            raise malformed("workspace", "must be the id of a workspace")
        if len(request.events) > EVENTS_MAX:
            raise malformed("events", f"must be at most {EVENTS_MAX}")
        await self._applied.wait_for(request.outcomes_sequence)
        # Whoever asks has a whole message, and a packed one holds events of many indexes. All of them are answered, and
        # the caller takes those that it wants; what replays made of them only where it is asked for.
        events = [EventReference(one.stream_sequence, one.index) for one in request.events]
        now_us = unix_us(self._clock)
        return await queries.lookup_outcomes(self._pool, request.workspace, events, now_us)
