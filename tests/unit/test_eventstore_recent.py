"""What is handed to the relay in memory."""

from dataclasses import replace
from datetime import UTC, datetime

from kit.eventstore.facts import Fact, Meta
from kit.eventstore.recent import BYTES_MAX, FACTS_MAX, RecentFacts


def test_what_is_handed_over_is_bounded() -> None:
    recent = RecentFacts()
    fact = Fact("acme", 1, "a", 1, "Struct", b"x" * 1000, "id", Meta("operator"), datetime.now(UTC))
    recent.add([fact] * 10)
    assert len(recent.take(4, 10_000)) == 4
    assert len(recent.take(10, 2_500)) == 2
    assert len(recent.take(10, 1)) == 1
    recent.add([fact] * FACTS_MAX)
    assert recent.take(FACTS_MAX, BYTES_MAX) == []
    large = replace(fact, data=b"x" * (BYTES_MAX // 4))
    recent.add([large] * 4)
    assert len(recent.take(10, BYTES_MAX)) == 4
    recent.add([large] * 5)
    assert recent.take(10, BYTES_MAX) == []
