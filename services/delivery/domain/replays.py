"""What a replay takes up, and how fast."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kit.fql import ALL, Condition, compile_condition
from kit.rpc.names import malformed
from onward.delivery.v1 import delivery_service_pb2 as delivery_pb
from onward.delivery.v1 import replays_pb2 as pb
from services.delivery.domain.schedule import SECOND_US
from services.delivery.domain.shapes import parse_group_name

# An event's index among those of its message is below this (BATCH_EVENTS_MAX of kit/events.py is 2,500); what is above
# says which replay made a delivery. So it has a name, a key and an Idempotency-Key of its own.
INDEXES = 4096
# The last whose indexes have nine digits, as names of deliveries have at most.
NUMBER_MAX = 999_999_999 // INDEXES - 1

RATE_DEFAULT = 500.0
# As for destinations' policies: slower, and it would go on for longer than events are kept.
RATE_MIN = 0.01
# What was taken up and not released, of all replays of a destination: enough for a second at the highest rate that one
# destination has been seen to take; a few MB.
AHEAD_MAX = 2_000
# How far ahead of the clock deliveries are made due: the runner looks more often.
AHEAD_US = 2 * SECOND_US
# Outcomes of events that were skipped are stored by then; what is given to a destination that was just enabled is not.
SKIPPED_MARGIN_US = 5 * SECOND_US

ACTIVE = (pb.REPLAY_STATE_RUNNING, pb.REPLAY_STATE_DELIVERING, pb.REPLAY_STATE_CANCELLING)
ENDED = (pb.REPLAY_STATE_FINISHED, pb.REPLAY_STATE_CANCELLED)

# Above every event that can be.
TIME_MAX_US = 253_402_300_799 * SECOND_US


def replay_id(number: int) -> str:
    return f"r{number}"


def parse_replay_id(replay: str) -> int:
    """The number; raises InvalidArgument."""
    if not replay.startswith("r") or not replay[1:].isascii() or not replay[1:].isdigit() or len(replay) > 10:
        raise malformed("name", "must end in an id that ListReplays has answered")
    return int(replay[1:])


def replayed_index(number: int, index: int) -> int:
    """The index of the delivery that a replay makes of an event."""
    return number * INDEXES + index


def made_by(event_index: int) -> int:
    """The number of the replay that made a delivery; 0 for none."""
    return event_index // INDEXES


def event_index_of(event_index: int) -> int:
    """The event's index in its message, of a delivery that a replay may have made."""
    return event_index % INDEXES


@dataclass(frozen=True, slots=True)
class Selection:
    """A selection, ready to be asked about events."""

    start_us: int
    end_us: int
    types: frozenset[int]
    names: frozenset[str]
    condition: Condition | None
    states: frozenset[int]

    @classmethod
    def of(cls, selection: pb.ReplaySelection) -> Selection:
        """Raises FqlError for a condition that is none."""
        text = selection.condition.strip()
        return cls(
            start_us=selection.start_time.ToMicroseconds() if selection.HasField("start_time") else 0,
            end_us=selection.end_time.ToMicroseconds() if selection.HasField("end_time") else TIME_MAX_US,
            types=frozenset(selection.types),
            names=frozenset(selection.event_names),
            condition=compile_condition(text) if text and text != ALL else None,
            states=frozenset(selection.states),
        )

    @property
    def everything(self) -> bool:
        """Whether every event of the time range is wanted."""
        return not (self.types or self.names or self.states or self.condition)

    def wants(self, type_: int, name: str, document: dict[str, Any]) -> bool:
        """Whether an event is of the types and names, and the condition is true of it."""
        if self.types and type_ not in self.types:
            return False
        if self.names and name not in self.names:
            return False
        return self.condition is None or self.condition.matches(document)


def require_selection(selection: pb.ReplaySelection, kind: int) -> None:
    """Raises InvalidArgument where a field says nothing about replays of a kind."""
    redrive = kind == pb.REPLAY_KIND_REDRIVE
    unfit = ("states",) if redrive else ("error_types", "http_statuses", "error_groups")
    for field in unfit:
        if getattr(selection, field):
            what = "a redrive takes up what failed" if redrive else "a replay takes up events; redrive what failed"
            raise malformed(f"selection.{field}", f"can't be given here: {what}")
    if delivery_pb.DELIVERY_STATE_PENDING in selection.states or 0 in selection.states:
        raise malformed("selection.states", "must be states in which deliveries end")


def require_rate(rate: float) -> None:
    """Raises InvalidArgument; 0 is for the default."""
    if 0 < rate < RATE_MIN:
        raise malformed("rate_per_second", f"must be 0 for {RATE_DEFAULT:.0f}, or at least {RATE_MIN}")


def group_numbers(error_groups: Iterable[str]) -> list[int]:
    """Raises InvalidArgument for what is no group's id."""
    numbers = [parse_group_name(one) for one in error_groups]
    if None in numbers:
        raise malformed("selection.error_groups", "must be ids of error groups, such as e00c0ffee00c0ffee")
    return [number for number in numbers if number is not None]


def room(rate: float, next_at_us: int, now_us: int, waiting: int, most: int) -> int:
    """How many may be taken up now: not too far ahead of the clock, and not too many at once."""
    first_us = _first_us(rate, next_at_us, now_us)
    by_rate = int((now_us + AHEAD_US - first_us) * rate / SECOND_US + 1e-9)
    if first_us == now_us:
        # At a slow rate, not even one is due within that.
        by_rate = max(1, by_rate)
    return max(0, min(by_rate, AHEAD_MAX - waiting, most))


def due_times(rate: float, next_at_us: int, now_us: int, count: int) -> tuple[list[int], int]:
    """When so many are due, evenly spread, and when the next one may be."""
    first_us = _first_us(rate, next_at_us, now_us)
    step_us = SECOND_US / rate
    return [first_us + round(number * step_us) for number in range(count)], first_us + round(count * step_us)


def _first_us(rate: float, next_at_us: int, now_us: int) -> int:
    """When the next one is due."""
    if next_at_us - now_us > max(AHEAD_US, SECOND_US / rate):
        # Further ahead than it was ever set: the clock was turned back, and nobody is to wait for that.
        return now_us
    return max(next_at_us, now_us)
