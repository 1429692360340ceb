"""Which workspaces the relay leaves alone for a moment, because the bus refused their facts."""

import time
from collections.abc import Callable
from typing import NamedTuple

# The first retry comes soon, for most failures are a server's restart; the last ones don't hurry.
DELAY_MIN_S = 0.1
DELAY_MAX_S = 2.0


class _Hold(NamedTuple):
    delay_s: float
    until: float


class HeldWorkspaces:
    """Bounded exponential back-off, of each workspace on its own, so that one bad fact holds up no other workspace.

    `monotonic` tells seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._holds: dict[str, _Hold] = {}

    def __len__(self) -> int:
        return len(self._holds)

    def hold(self, workspace: str) -> float:
        """Leave a workspace alone; answers for how many seconds."""
        before = self._holds.get(workspace)
        delay_s = min(DELAY_MAX_S, before.delay_s * 2) if before else DELAY_MIN_S
        self._holds[workspace] = _Hold(delay_s, self._monotonic() + delay_s)
        return delay_s

    def release(self, workspace: str) -> None:
        """It went well: the next failure starts again at the shortest delay."""
        self._holds.pop(workspace, None)

    def clear(self) -> None:
        """Another process publishes now."""
        self._holds.clear()

    def names(self) -> list[str]:
        """The workspaces that are to be left alone now."""
        now = self._monotonic()
        return [workspace for workspace, hold in self._holds.items() if hold.until > now]

    def next_retry_s(self) -> float:
        """Seconds until the first of `names` may be tried again; infinite without any."""
        now = self._monotonic()
        return min((hold.until - now for hold in self._holds.values() if hold.until > now), default=float("inf"))
