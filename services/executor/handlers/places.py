"""How many workers there may be at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class WorkerPlaces:
    """One place a warm worker. Who finds none waits, and an idle worker somewhere is asked to go."""

    def __init__(self, most: int) -> None:
        self._free = asyncio.Semaphore(most)
        self.make_room: Callable[[], None] = lambda: None

    async def take(self) -> None:
        if self._free.locked():
            self.make_room()
        await self._free.acquire()

    def give_back(self) -> None:
        self._free.release()
