"""The calls about circuit breakers: of people in DeliveryService, of executors in InternalService."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from onward.delivery.v1 import breakers_pb2 as pb
from services.delivery.handlers.breakers import BreakerBoard, BreakerResets


class BreakerCalls:
    """See the proto."""

    _resets: BreakerResets

    async def ResetBreaker(self, request: pb.ResetBreakerRequest, context: Any) -> pb.ResetBreakerResponse:
        return await self._resets.reset(request)


class BreakerWatch:
    """See the proto."""

    _board: BreakerBoard

    async def WatchBreakers(
        self, request: pb.WatchBreakersRequest, context: Any
    ) -> AsyncIterator[pb.WatchBreakersResponse]:
        async for answer in self._board.watch():
            yield answer
