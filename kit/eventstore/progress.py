"""Positions that move forward, and those who wait for them; in this process alone."""

import asyncio
from contextlib import suppress


class PublishedPositions:
    """How far each workspace has come, with waiting for it."""

    def __init__(self) -> None:
        self._reached: dict[str, int] = {}
        self._waiting: dict[str, list[tuple[int, asyncio.Future[None]]]] = {}

    @property
    def awaited(self) -> list[str]:
        """Workspaces that somebody waits for."""
        return [name for name, waiting in self._waiting.items() if not all(future.done() for _, future in waiting)]

    def reached(self, workspace: str, position: int) -> bool:
        """Whether a position is known to be reached."""
        return self._reached.get(workspace, 0) >= position

    def reach(self, workspace: str, position: int) -> None:
        """Note a position and wake those who wait for it or for an earlier one."""
        if self.reached(workspace, position):
            return
        self._reached[workspace] = position
        for awaited, future in self._waiting.get(workspace, ()):
            if awaited <= position and not future.done():
                future.set_result(None)

    def forget(self) -> None:
        """Know nothing, but keep those who wait: another process moves on now."""
        self._reached.clear()

    async def wait(self, workspace: str, position: int, timeout_s: float) -> bool:
        """Wait for a position; False where it is not reached in time."""
        if self.reached(workspace, position):
            return True
        waiter = (position, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(workspace, []).append(waiter)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await waiter[1]
                return True
            return False
        finally:
            self._waiting[workspace].remove(waiter)
            if not self._waiting[workspace]:
                del self._waiting[workspace]
