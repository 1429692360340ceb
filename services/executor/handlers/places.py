"""How many workers there may be at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


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
