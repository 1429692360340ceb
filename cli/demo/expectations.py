"""What must come out of the demo, worked out from the events and the receiver's rules alone.

Nothing here looks at what Onward says: the rules of the three functions are written down a second time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

from cli.demo.events import Event

WAREHOUSE, CHAT, SURVEY = "warehouse", "chat", "survey"
# The track events that the chat is told about; the survey's template asks about one.
CHAT_EVENTS = ("Order Completed", "Signed Up")
SURVEY_EVENT = "App Uninstalled"
# Of 256: one event in 25 finds the receiver busy at the first try.
BUSY_BYTES = 10


@dataclass(frozen=True, slots=True)
class Counts:
    """Deliveries of one destination by how they ended."""

    delivered: int = 0
    after_retry: int = 0
    rejected: int = 0
    unsupported: int = 0
    bad_request: int = 0
    other: int = 0

    @property
    def total(self) -> int:
        """All deliveries; those after a retry are among the delivered."""
        return self.delivered + self.rejected + self.unsupported + self.bad_request + self.other


@dataclass(frozen=True, slots=True)
class Rules:
    """How the receiver answers: by messageId, so that everybody can work it out."""

    refused_id: str

    def is_busy_at_first(self, message_id: str) -> bool:
        """The first try is answered 503, the next ones 200."""
        return message_id != self.refused_id and hashlib.sha256(message_id.encode()).digest()[0] < BUSY_BYTES

    def status(self, message_id: str, tries_before: int) -> int:
        if message_id == self.refused_id:
            return 400
        return 503 if tries_before == 0 and self.is_busy_at_first(message_id) else 200


def choose_rules(events: Sequence[Event]) -> Rules:
    """Choose the one event that the warehouse refuses: an order from the middle."""
    orders = [event for event in events if event.get("event") == "Order Completed"]
    return Rules(orders[len(orders) // 2]["messageId"])


def expected_counts(events: Sequence[Event], rules: Rules) -> dict[str, Counts]:
    """Give what must become of the events, by destination."""
    return {
        WAREHOUSE: _count(events, lambda event: _warehouse(event, rules)),
        CHAT: _count(events, _chat),
        SURVEY: _count(events, lambda event: _survey(event, rules)),
    }


def _warehouse(event: Event, rules: Rules) -> str:
    if event["messageId"] == rules.refused_id:
        return "bad_request"
    return "after_retry" if rules.is_busy_at_first(event["messageId"]) else "delivered"


def _chat(event: Event) -> str:
    wanted = event["type"] == "identify" or event.get("event") in CHAT_EVENTS
    return "delivered" if wanted else "unsupported"


def _survey(event: Event, rules: Rules) -> str:
    if event.get("event") != SURVEY_EVENT:
        return "unsupported"
    if "traits" not in event["context"]:
        return "rejected"
    return "after_retry" if rules.is_busy_at_first(event["messageId"]) else "delivered"


def _count(events: Iterable[Event], rule: Callable[[Event], str]) -> Counts:
    found = dict.fromkeys((field.name for field in fields(Counts)), 0)
    for event in events:
        found[rule(event)] += 1
    found["delivered"] += found["after_retry"]
    return Counts(**found)


def differences(expected: Mapping[str, Counts], found: Mapping[str, Counts]) -> list[str]:
    """Say which numbers are not as expected."""
    told = []
    for destination, counts in expected.items():
        have = found.get(destination, Counts())
        for field in fields(Counts):
            want, got = getattr(counts, field.name), getattr(have, field.name)
            if want != got:
                told.append(f"{destination}: {got} {field.name.replace('_', ' ')}, expected {want}")
    return told
