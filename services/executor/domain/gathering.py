"""Gathers events for `onBatch`: what is there together, what waits in memory, and what waits too long for that."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Generic, TypeVar

# Without a policy: as many as most APIs take at once.
EVENTS_MAX = 100
# What waits any longer is put off, so that it holds no message and no memory here: as long as for a place in a lane.
HELD_S = 0.25
# Events that the tracker releases together come in a few messages, one shortly after the other. Nothing that may wait
# waits for less.
TOGETHER_S = 0.05
# Large events make smaller batches: with what user code makes of them, they must fit its heap and one request (5 MiB).
BYTES_MAX = 2 << 20

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Batching:
    """A destination's policy."""

    events_max: int = EVENTS_MAX
    wait_s: float = 0.0

    def waits_until(self, now: float, age_s: float) -> float:
        """When an event that came `age_s` ago starts, whatever has come; all in seconds."""
        return now + max(min(self.wait_s, TOGETHER_S), self.wait_s - max(0.0, age_s))


class Gathering(Generic[T]):
    """The one batch that is being filled. Times are seconds of the same clock."""

    def __init__(self, batching: Batching) -> None:
        self.batching = batching
        self._items: list[T] = []
        self._bytes = 0
        self._events_max = batching.events_max
        self._starts_at = self._leaves_at = inf

    def __len__(self) -> int:
        return len(self._items)

    @property
    def full(self) -> bool:
        return len(self._items) >= self._events_max or self._bytes >= BYTES_MAX

    @property
    def wakes_at(self) -> float:
        """When something is to be done though nothing comes; infinite while it is empty."""
        return min(self._starts_at, self._leaves_at)

    def takes(self, size_bytes: int, events_max: int = 0) -> bool:
        """Whether an event may come to those that are there; `events_max` is its own limit, 0 for none."""
        if not self._items:
            return True
        most = min(self._events_max, events_max or self._events_max)
        return len(self._items) < most and self._bytes + size_bytes <= BYTES_MAX

    def add(self, item: T, size_bytes: int, *, now: float, until: float, events_max: int = 0) -> None:
        """Add an event that starts at `until`, whatever has come; one that waits long leaves before, put off."""
        self._items.append(item)
        self._bytes += size_bytes
        self._events_max = min(self._events_max, events_max or self._events_max)
        if until <= now + HELD_S:
            self._starts_at = min(self._starts_at, until)
        else:
            self._leaves_at = min(self._leaves_at, now + HELD_S)

    def starts(self, now: float) -> bool:
        """Whether what is there starts now: it is full, or the first of it has waited."""
        return bool(self._items) and (self.full or now >= self._starts_at)

    def leaves(self, now: float) -> bool:
        """Whether what is there is put off: it waits for longer than it may be held here."""
        return bool(self._items) and not self.starts(now) and now >= self._leaves_at

    def take(self) -> list[T]:
        """Give what is there, and begin anew."""
        items, self._items = self._items, []
        self._bytes = 0
        self._events_max = self.batching.events_max
        self._starts_at = self._leaves_at = inf
        return items
