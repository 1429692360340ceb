"""The tracker's breakers on their way to the lanes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import structlog

from kit.errors import OnwardError
from onward.delivery.v1 import breakers_pb2 as pb
from services.executor.handlers.holds import OpenBreakers

# A tracker that restarts is back in a second or two.
RETRY_S = 0.5

log = structlog.get_logger()

Watch = Callable[[], AsyncIterator[pb.WatchBreakersResponse]]


class BreakersFeed:
    """Watches the tracker; without it, what it told last holds."""

    def __init__(self, watch: Watch, breakers: OpenBreakers) -> None:
        self._watch = watch
        self._breakers = breakers

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            try:
                async for told in self._watch():
                    self._breakers.apply(told)
            except OnwardError as error:
                log.info("breakers_not_watched", reason=error.reason)
            await asyncio.sleep(RETRY_S)
