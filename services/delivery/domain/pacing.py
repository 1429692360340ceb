"""Token buckets: how many events destinations with a rate limit may be given now."""

from __future__ import annotations

from dataclasses import dataclass

# So much of a second's events may go at once: five looks of the releaser, so that no part of the rate is lost.
BURST_S = 0.1
# A bucket is two short strings and two numbers; beyond these many, those that are full are forgotten.
BUCKETS_MAX = 10_000

Destination = tuple[str, str]


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_s: float


class Pacing:
    """The buckets of one leader. Times are monotonic seconds.

    Who begins to lead does not know what was given just before: its buckets begin empty.
    """

    def __init__(self, now_s: float) -> None:
        self._led_since_s = now_s
        self._buckets: dict[Destination, _Bucket] = {}

    def begin(self, now_s: float) -> None:
        """Begin to lead."""
        self._led_since_s = now_s
        self._buckets.clear()

    def events(self, destination: Destination, per_second: float, now_s: float) -> int:
        """How many events may go now."""
        return max(0, int(self._tokens(destination, per_second, now_s) + 1e-9))

    def wait_s(self, destination: Destination, per_second: float, now_s: float) -> float:
        """How long it is until the next one may go."""
        return max(0.0, (1 - self._tokens(destination, per_second, now_s)) / per_second)

    def spend(self, destination: Destination, per_second: float, events: int, now_s: float) -> None:
        """Note that events went. A batch goes whole: what it has too many is owed."""
        tokens = self._tokens(destination, per_second, now_s) - events
        if len(self._buckets) >= BUCKETS_MAX and destination not in self._buckets:
            self._forget()
        self._buckets[destination] = _Bucket(tokens, now_s)

    def _tokens(self, destination: Destination, per_second: float, now_s: float) -> float:
        bucket = self._buckets.get(destination) or _Bucket(0.0, self._led_since_s)
        grown = bucket.tokens + (now_s - bucket.at_s) * per_second
        return min(grown, max(1.0, per_second * BURST_S))

    def _forget(self) -> None:
        """Forget those that were not used for the longest time: by now they are full again, or nearly."""
        oldest = sorted(self._buckets, key=lambda one: self._buckets[one].at_s)[: BUCKETS_MAX // 2]
        for one in oldest:
            del self._buckets[one]
