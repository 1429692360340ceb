"""Time, as something that is handed in, so that tests own it."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """The wall clock's time, in UTC: for records, never for durations."""

    def monotonic(self) -> float:
        """Seconds that never go back: for durations and deadlines."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


def unix_us(clock: Clock) -> int:
    """The wall clock's time, in microseconds since 1970."""
    return int(clock.now().timestamp() * 1_000_000)


# Smaller differences are how clocks are set every day; both are the same time.
STEP_MIN_S = 1.0
# Of the time that passes, so much is added or left out until a step is made good. Less than the jitter of retries.
SLEW = 0.1


class SlewedClock:
    """A clock that goes on where the machine's one is stepped: it follows slowly, as NTP does with small differences.

    For deadlines that are stored, and compared with the time for hours: a step of an hour makes none of them an hour
    early, or late. One that is made anew begins with the machine's time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._now = clock.now()
        self._at_s = clock.monotonic()

    def now(self) -> datetime:
        at_s, wall = self._clock.monotonic(), self._clock.now()
        passed_s, self._at_s = at_s - self._at_s, at_s
        expected = self._now + timedelta(seconds=passed_s)
        apart_s = (wall - expected).total_seconds()
        most_s = SLEW * passed_s
        self._now = wall if abs(apart_s) <= STEP_MIN_S else expected + timedelta(seconds=_within(apart_s, most_s))
        return self._now

    def monotonic(self) -> float:
        return self._clock.monotonic()


def _within(value: float, most: float) -> float:
    return max(-most, min(most, value))


class FakeClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start.astimezone(UTC)
        self._monotonic_s = 1000.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Move both clocks forward."""
        assert seconds >= 0, "the monotonic clock never goes back; use set_now to move the wall clock"
        self._now += timedelta(seconds=seconds)
        self._monotonic_s += seconds

    def set_now(self, now: datetime) -> None:
        """Step the wall clock alone, as an administrator or NTP does."""
        self._now = now.astimezone(UTC)
