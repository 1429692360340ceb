"""onward.delivery.v1.ReplayService."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from kit.rpc import names
from kit.rpc.pages import PageTokens, page_size
from onward.delivery.v1 import replay_service_pb2 as pb
from onward.delivery.v1 import replay_service_pb2_grpc, replays_pb2
from services.delivery.domain.replays import ENDED, NUMBER_MAX, parse_replay_id
from services.delivery.handlers.replays import Replays
from services.delivery.rpc.arguments import parse_parent

# How often somebody who watches hears of a change: as often as a progress bar is worth drawing.
WATCH_S = 0.3


class ReplayServicer(replay_service_pb2_grpc.ReplayServiceServicer):
    """See the proto."""

    def __init__(self, replays: Replays, pages: PageTokens) -> None:
        self._replays = replays
        self._pages = pages

    async def CreateReplay(self, request: pb.CreateReplayRequest, context: Any) -> pb.CreateReplayResponse:
        return await self._replays.create(request)

    async def RedriveDeliveries(
        self, request: pb.RedriveDeliveriesRequest, context: Any
    ) -> pb.RedriveDeliveriesResponse:
        return await self._replays.redrive(request)

    async def GetReplay(self, request: pb.GetReplayRequest, context: Any) -> pb.GetReplayResponse:
        return pb.GetReplayResponse(replay=await self._replays.get(request.name))

    async def ListReplays(self, request: pb.ListReplaysRequest, context: Any) -> pb.ListReplaysResponse:
        workspace, destination = parse_parent(request.parent)
        limit = page_size(request.page_size)
        binding = ("replays", workspace, destination)
        cursor = self._pages.read(request.page_token, *binding)
        below = int(cursor[0]) if cursor else NUMBER_MAX + 1
        found = await self._replays.list(workspace, destination, below, limit + 1)
        answer = pb.ListReplaysResponse(replays=found[:limit])
        if len(found) > limit:
            last = parse_replay_id(names.REPLAY.parse(found[limit - 1].name)[1])
            answer.next_page_token = self._pages.make((last,), *binding)
        return answer

    async def WatchReplay(self, request: pb.WatchReplayRequest, context: Any) -> AsyncIterator[pb.WatchReplayResponse]:
        # Whoever loses the source is refused by the next look.
        before: replays_pb2.Replay | None = None
        while True:
            replay = await self._replays.get(request.name)
            if replay != before:
                yield pb.WatchReplayResponse(replay=replay)
            if replay.state in ENDED:
                return
            before = replay
            await asyncio.sleep(WATCH_S)

    async def CancelReplay(self, request: pb.CancelReplayRequest, context: Any) -> pb.CancelReplayResponse:
        return await self._replays.cancel(request)
