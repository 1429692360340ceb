"""What this process has just committed, so that its relay need not read it again."""

from collections import deque
from collections.abc import Sequence

from kit.eventstore.facts import Fact

# A relay that leads takes them at once; one that is behind by more reads from the log.
FACTS_MAX = 1_000
BYTES_MAX = 4 * 1024 * 1024


class RecentFacts:
    """In the order of their commits; some may be missing, so whoever takes them looks at their positions."""

    def __init__(self) -> None:
        self._facts: deque[Fact] = deque()
        self._bytes = 0

    def add(self, facts: Sequence[Fact]) -> None:
        """Called after their commit."""
        self._facts.extend(facts)
        self._bytes += sum(len(fact.data) for fact in facts)
        if len(self._facts) > FACTS_MAX or self._bytes > BYTES_MAX:
            self.drop()

    def drop(self) -> None:
        """Nobody takes them."""
        self._facts.clear()
        self._bytes = 0

    def take(self, facts_max: int, bytes_max: int) -> list[Fact]:
        """The oldest ones, one at least where there is any."""
        taken: list[Fact] = []
        size = 0
        while self._facts and len(taken) < facts_max:
            size += len(self._facts[0].data)
            if taken and size > bytes_max:
                break
            taken.append(self._facts.popleft())
        self._bytes -= sum(len(fact.data) for fact in taken)
        return taken
