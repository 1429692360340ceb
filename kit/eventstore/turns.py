"""Writers of one workspace wait here for each other, before they take a connection.

The row in `workspace_heads` would order them as well, but each would wait with a connection in its hand: one busy
workspace would take the whole pool from all others, and Postgres orders sixteen waiters of a row at half the speed.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from kit.errors import Overloaded

# As long as Postgres is asked to wait for the row, so that a caller meets one bound wherever the others are.
WAIT_S = 5.0


class Turns:
    """One turn at a time for each name, first come, first served; in this process alone."""

    def __init__(self) -> None:
        # A lock lives as long as somebody holds it or waits for it.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, name: str, wait_s: float = WAIT_S) -> AsyncIterator[None]:
        """Wait for a turn and hold it. Raises `Overloaded` where it does not come in time."""
        lock = self._locks.setdefault(name, asyncio.Lock())
        try:
            async with asyncio.timeout(wait_s):
                await lock.acquire()
        except TimeoutError:
            raise Overloaded(f"Too many changes to {name} at once; try again.", retry_after_s=1.0) from None
        try:
            yield
        finally:
            lock.release()
