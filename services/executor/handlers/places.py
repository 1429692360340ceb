"""How many workers there may be at once: for deliveries, and beside them to check code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from kit.errors import Overloaded

# Each takes a core for 0.05 s, or for some seconds if its code is made for that, and 50 MB meanwhile.
CHECKS_MAX = 4
# Long enough for dozens of usual checks to end; what takes longer is asked for again. The registry waits for 12 s,
# and a check takes 9 at most.
CHECK_WAIT_S = 2.0


class WorkerPlaces:
    """One place a warm worker. Who finds none waits, and an idle worker somewhere is asked to go."""

    def __init__(self, most: int) -> None:
        self._free = asyncio.Semaphore(most)
        self.most = most
        self.taken = 0
        self.make_room: Callable[[], None] = lambda: None

    async def take(self) -> None:
        if self._free.locked():
            self.make_room()
        await self._free.acquire()
        self.taken += 1

    def give_back(self) -> None:
        self.taken -= 1
        self._free.release()


class CheckPlaces:
    """A place for each check of code under way, first come, first served."""

    def __init__(self, most: int = CHECKS_MAX, wait_s: float = CHECK_WAIT_S) -> None:
        self._free = asyncio.Semaphore(most)
        self._wait_s = wait_s

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Wait for a place and hold it. Raises `Overloaded` where none gets free in time."""
        try:
            async with asyncio.timeout(self._wait_s):
                await self._free.acquire()
        except TimeoutError:
            raise Overloaded(
                "Too much code is being checked at once; nothing was saved. Try again.", retry_after_s=1.0
            ) from None
        try:
            yield
        finally:
            self._free.release()
