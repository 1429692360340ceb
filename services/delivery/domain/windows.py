"""Spans of time as roll-ups have them: whole minutes, hours and days of UTC, counted since 1970."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from onward.delivery.v1 import numbers_pb2 as pb
from services.delivery.errors import TooManyPoints

HOUR_MINUTES = 60
DAY_MINUTES = 1440
# Hosts are counted in such slots: partners are looked at over hours, and minutes would be five times as many rows.
SLOT_MINUTES = 5
# What a chart has room for, and an answer of gRPC's 4 MB for all series of one.
POINTS_MAX = 1_000
ALL_POINTS_MAX = 20_000

STEPS = {
    pb.SERIES_INTERVAL_MINUTE: 1,
    pb.SERIES_INTERVAL_FIVE_MINUTES: 5,
    pb.SERIES_INTERVAL_HOUR: HOUR_MINUTES,
    pb.SERIES_INTERVAL_DAY: DAY_MINUTES,
}
# The longest spans, in minutes, that are shown in these intervals: some 12 to 340 points, from
# sums that are read in a tenth of a second.
_CHOICES = (
    (3 * HOUR_MINUTES, pb.SERIES_INTERVAL_MINUTE),
    (12 * HOUR_MINUTES, pb.SERIES_INTERVAL_FIVE_MINUTES),
    (14 * DAY_MINUTES, pb.SERIES_INTERVAL_HOUR),
)


class Part(NamedTuple):
    """Minutes or hours from `first` on and before `last`: added up, or taken away where `sign` is -1."""

    first: int
    last: int
    sign: int = 1


class Window(NamedTuple):
    """Minutes from `first` on and before `last`."""

    first: int
    last: int

    @property
    def before(self) -> Window:
        """The window of equal length before; shorter where it would begin before all time."""
        return Window(max(0, 2 * self.first - self.last), self.first)

    @property
    def hours(self) -> list[Part]:
        """The hours whose sums make most of it: those within it, and those of which it has more than half."""
        first, last = _nearest_hour(self.first), _nearest_hour(self.last)
        return [Part(first, last)] if first < last else []

    @property
    def minutes(self) -> list[Part]:
        """The minutes that its hours lack or have too many: at most 30 at each end."""
        if not self.hours:
            return [Part(*self)] if self.first < self.last else []
        ((first, last, _),) = self.hours
        start, end = first * HOUR_MINUTES, last * HOUR_MINUTES
        parts = (Part(self.first, start), Part(start, self.first, -1), Part(end, self.last), Part(self.last, end, -1))
        return [part for part in parts if part.first < part.last]


def _nearest_hour(minute: int) -> int:
    return (minute + HOUR_MINUTES // 2) // HOUR_MINUTES


class Grid(NamedTuple):
    """The points of a series: minute `first` and every `step` minutes after it, before `last`."""

    first: int
    last: int
    interval: pb.SeriesInterval.ValueType

    @property
    def step(self) -> int:
        return STEPS[self.interval]

    @property
    def by_hour(self) -> bool:
        """Whether hours' sums are enough."""
        return self.step >= HOUR_MINUTES

    def __len__(self) -> int:
        return (self.last - self.first) // self.step

    def points(self) -> Iterator[int]:
        """The minutes at which points begin."""
        return iter(range(self.first, self.last, self.step))


def grid_of(window: Window, asked: pb.SeriesInterval.ValueType) -> Grid:
    """The points that show a window, rounded outwards to whole intervals; raises TooManyPoints."""
    length = window.last - window.first
    chosen = next((one for most, one in _CHOICES if length <= most), pb.SERIES_INTERVAL_DAY)
    interval = asked or chosen
    step = STEPS[interval]
    first, last = window.first // step * step, -(-window.last // step) * step
    if (last - first) // step > POINTS_MAX:
        raise TooManyPoints((last - first) // step, POINTS_MAX)
    return Grid(first, last, interval)
