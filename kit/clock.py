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
