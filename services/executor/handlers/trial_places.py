"""How many runs by hand there may be at once, and that no workspace has all of them."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kit.errors import Overloaded

# Each may take a core for a second of CPU time, and 200 MB at its worst, beside what deliveries take.
TRIALS_MAX = 8
TRIAL_BYTES = 200 << 20
# So that somebody else's code which waits for a minute keeps nobody from trying his.
TRIALS_PER_WORKSPACE_MAX = 2
# A usual run takes a tenth of a second, so dozens end meanwhile; whoever waits looks at a screen.
TRIAL_WAIT_S = 5.0


def trials_within(memory_bytes: int) -> int:
    """How many fit into so much memory; on a small machine it may take more, since two are the least that is of use."""
    return max(2, min(TRIALS_MAX, memory_bytes // TRIAL_BYTES))


class TrialPlaces:
    """A place for each run under way: first come, first served, with a few for each workspace.

    Half of them are for workspaces that have none: only they may take one when no more than those are free.
    """

    def __init__(
        self,
        most: int = TRIALS_MAX,
        most_per_workspace: int = TRIALS_PER_WORKSPACE_MAX,
        wait_s: float = TRIAL_WAIT_S,
        too_many: str = "Too many functions are being tried at once (a workspace may try {most}); nothing was run.",
    ) -> None:
        self._too_many = too_many.format(most=most_per_workspace)
        self._free = most
        self._for_others = most // 2
        self._most_per_workspace = most_per_workspace
        self._wait_s = wait_s
        self._held: Counter[str] = Counter()
        # Calls in progress bound their number.
        self._waiting: deque[tuple[str, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def taken(self, workspace: str) -> AsyncIterator[None]:
        """Wait for a place and hold it. Raises `Overloaded` where none gets free in time."""
        await self._take(workspace)
        try:
            yield
        finally:
            self._give_back(workspace)

    async def _take(self, workspace: str) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((workspace, place))
        self._hand_out()
        try:
            async with asyncio.timeout(self._wait_s):
                await place
        except BaseException as error:
            self._leave(workspace, place)
            if not isinstance(error, TimeoutError):
                raise
            raise Overloaded(f"{self._too_many} Try again.", retry_after_s=1.0) from None

    def _leave(self, workspace: str, place: asyncio.Future[None]) -> None:
        """Wait no longer; a place that was had at the same moment is somebody else's."""
        if place.done() and not place.cancelled():
            self._give_back(workspace)
        else:
            self._waiting.remove((workspace, place))

    def _give_back(self, workspace: str) -> None:
        self._free += 1
        self._held[workspace] -= 1
        if not self._held[workspace]:
            del self._held[workspace]
        self._hand_out()

    def _hand_out(self) -> None:
        """Give free places to those who may have them, the first ones first."""
        for one in list(self._waiting):
            workspace, place = one
            if self._may_take(self._held[workspace]) and not place.done():
                self._waiting.remove(one)
                self._free -= 1
                self._held[workspace] += 1
                place.set_result(None)

    def _may_take(self, held: int) -> bool:
        return self._free > (self._for_others if held else 0) and held < self._most_per_workspace
