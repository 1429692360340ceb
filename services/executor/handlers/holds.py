"""What a lane leaves to the tracker: events of destinations that have a limit, or whose circuit breaker is not closed.

The tracker alone knows how much of a destination's events is out at all executors, so it says when these go: they come
back by DUE, one by one, and then they run.
"""

from __future__ import annotations

from collections.abc import Callable

from onward.delivery.v1 import breakers_pb2 as pb

# Why; terms of onward.executor.v1.Attempt.
BREAKER_OPEN = "breaker_open"

# (workspace, destination)
Place = tuple[str, str]


class OpenBreakers:
    """Destinations whose breaker is not closed, as the tracker told last. `on_change` hears of each that changes."""

    def __init__(self, on_change: Callable[[str, str], None] = lambda workspace, destination: None) -> None:
        self._open: set[Place] = set()
        self.on_change = on_change

    def __contains__(self, place: Place) -> bool:
        return place in self._open

    def __len__(self) -> int:
        return len(self._open)

    def apply(self, told: pb.WatchBreakersResponse) -> None:
        """Take note of what the tracker tells."""
        opened = {(one.workspace, one.destination) for one in told.opened}
        gone = self._open - opened if told.complete else {(one.workspace, one.destination) for one in told.closed}
        changed = (opened - self._open) | (gone & self._open)
        self._open = (self._open | opened) - gone
        for workspace, destination in sorted(changed):
            self.on_change(workspace, destination)
