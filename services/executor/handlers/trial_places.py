"""How many runs by hand there may be at once, and that no workspace has all of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kit.errors import Overloaded

# Each may take a core for a second of CPU time and 200 MB, beside what deliveries take.
TRIALS_MAX = 8
# So that somebody else's code which waits for a minute keeps nobody from trying his.
TRIALS_PER_WORKSPACE_MAX = 2
# A usual run takes a tenth of a second, so dozens end meanwhile; whoever waits looks at a screen.
TRIAL_WAIT_S = 5.0


class TrialPlaces:
    """A place for each run under way: first come, first served, with a few for each workspace."""

    def __init__(
        self,
        most: int = TRIALS_MAX,
        most_per_workspace: int = TRIALS_PER_WORKSPACE_MAX,
        wait_s: float = TRIAL_WAIT_S,
    ) -> None:
        self._free = asyncio.Semaphore(most)
        self._most_per_workspace = most_per_workspace
        self._wait_s = wait_s
        # Of workspaces with somebody in them or waiting; calls in progress bound their number.
        self._of_workspace: dict[str, asyncio.Semaphore] = {}
        self._claims: Counter[str] = Counter()

    @asynccontextmanager
    async def taken(self, workspace: str) -> AsyncIterator[None]:
        """Wait for a place and hold it. Raises `Overloaded` where none gets free in time."""
        own = self._of_workspace.setdefault(workspace, asyncio.Semaphore(self._most_per_workspace))
        self._claims[workspace] += 1
        try:
            # First among its own: a workspace has no more in the common queue than it may have places.
            async with asyncio.timeout(self._wait_s) as patience, own, self._free:
                patience.reschedule(None)
                yield
        except TimeoutError:
            if not patience.expired():
                raise
            raise Overloaded(
                f"Too many functions are being tried at once (a workspace may try {self._most_per_workspace}); nothing"
                " was run. Try again.",
                retry_after_s=1.0,
            ) from None
        finally:
            self._claims[workspace] -= 1
            if not self._claims[workspace]:
                del self._claims[workspace], self._of_workspace[workspace]
