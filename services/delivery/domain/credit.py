"""How much of a destination's backlog may be out at once."""

from __future__ import annotations

CREDIT_START = 64
CREDIT_MIN = 8
# Some seconds of work for a fast destination; more would only wait in the executor instead of here.
CREDIT_MAX = 1024
# One credit is two short strings and a number: destinations beyond these many begin anew.
DESTINATIONS_MAX = 100_000

Destination = tuple[str, str]


class Credits:
    """A window for each (workspace, destination), as TCP has one: one more for each success, half for a failure.

    One more for each is twice as many after a whole window of successes.
    """

    def __init__(self) -> None:
        self._credits: dict[Destination, int] = {}

    def of(self, destination: Destination) -> int:
        """Released and unfinished deliveries that it may have."""
        return self._credits.get(destination, CREDIT_START)

    def settle(self, destination: Destination, successes: int, failures: int) -> None:
        """Learn from what was released to it and was reported together."""
        now = self.of(destination)
        changed = max(CREDIT_MIN, now // 2) if failures else min(CREDIT_MAX, now + successes)
        if changed == CREDIT_START:
            self._credits.pop(destination, None)
        elif destination in self._credits or len(self._credits) < DESTINATIONS_MAX:
            self._credits[destination] = changed
