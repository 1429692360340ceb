"""A destination's circuit breaker: holds its deliveries back while nearly all fail, so that its API can recover.

Closed, it counts what was attempted lately. When most of that failed it opens: nothing goes out for a time. Then it is
half open: a few deliveries go out as probes, the ones that are due first. The first answer closes it; where they fail
it stays open, for twice as long as before. Half open is not stored: it is what an open breaker is from `until_us` on,
so a tracker that starts again finds the breaker as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from onward.executor.v1 import outcomes_pb2 as pb
from services.delivery.domain.schedule import SECOND_US

# Fewer say nothing: three timeouts in a row happen to every API.
ATTEMPTS_MIN = 10
# What still delivers three in ten is slowed down by credit and retries, and needs no breaker.
FAILED_SHARE = 0.7
# The counted time: this bucket and the one before, so between half a minute and a minute.
BUCKET_US = 30 * SECOND_US
# A restart of an API takes some seconds. Longer than five minutes would be noticed after it has recovered.
OPEN_MIN_US = 10 * SECOND_US
OPEN_MAX_US = 300 * SECOND_US
# Enough that one bad event can't keep a breaker open by itself for long; an API that is down does not notice them.
PROBES_MAX = 3
# A breaker that opens again so soon after it closed was closed too early: it goes on where it was.
RELAPSE_US = 300 * SECOND_US

# Statuses that tell of the destination and not of the event, beside 5xx: request timeout, locked, too many requests.
_FAILING_STATUSES = frozenset({408, 423, 429})


class Phase(Enum):
    """How a breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Breaker:
    """What is stored of a breaker. Times are microseconds since 1970; 0 is none."""

    # When it opened; 0 while it is closed.
    opened_at_us: int = 0
    # While open: when probes may go out.
    until_us: int = 0
    # How many times in a row it opened, or stayed open after its probes.
    openings: int = 0
    closed_at_us: int = 0
    # Attempts in the current bucket of time, and in the one before.
    bucket: int = 0
    attempts: int = 0
    failures: int = 0
    attempts_before: int = 0
    failures_before: int = 0

    def phase(self, now_us: int) -> Phase:
        """How it stands now."""
        if not self.opened_at_us:
            return Phase.CLOSED
        # Further ahead than it was ever set: the clock was turned back, and nobody is to wait for that.
        if 0 < self.until_us - now_us <= OPEN_MAX_US:
            return Phase.OPEN
        return Phase.HALF_OPEN


@dataclass(frozen=True, slots=True)
class Tally:
    """What one transaction's outcomes say of a destination."""

    # Attempts of any delivery that succeeded or failed, and successes of the bucket before.
    successes: int = 0
    failures: int = 0
    successes_before: int = 0
    # Of these, those that went out as probes: released since the breaker was half open. An API that refuses an event
    # with a status of 4xx has answered.
    probes_answered: int = 0
    probes_failed: int = 0


def speaks_of(result: int, error_type: int, http_status: int) -> bool | None:
    """Whether an outcome shows the destination at work (True) or in trouble (False); None where it says nothing of it.

    Code that rejects an event, does not support it, or breaks, says nothing of the API behind it; neither does a fault
    of ours, nor what was not attempted.
    """
    if result == pb.RESULT_DELIVERED:
        return True
    if result not in (pb.RESULT_RETRYABLE, pb.RESULT_FAILED):
        return None
    if error_type in (pb.ERROR_TYPE_RETRY, pb.ERROR_TYPE_TIMEOUT):
        return False
    if error_type != pb.ERROR_TYPE_BAD_REQUEST or not http_status:
        return None
    return http_status < 500 and http_status not in _FAILING_STATUSES


def evolve(breaker: Breaker, tally: Tally, now_us: int) -> Breaker:
    """The breaker after a transaction's outcomes."""
    phase = breaker.phase(now_us)
    if phase is Phase.CLOSED:
        return _counted(breaker, tally, now_us)
    if phase is Phase.OPEN:
        # What ended now had begun before.
        return breaker
    probes = tally.probes_answered + tally.probes_failed
    if not probes:
        return breaker
    if tally.probes_failed >= FAILED_SHARE * probes:
        return replace(breaker, until_us=now_us + _open_us(breaker.openings + 1), openings=breaker.openings + 1)
    return closed(breaker, now_us)


def closed(breaker: Breaker, now_us: int) -> Breaker:
    """The breaker after a probe that was answered: it counts anew, and remembers how often it had to open."""
    return Breaker(openings=breaker.openings, closed_at_us=now_us)


def _counted(breaker: Breaker, tally: Tally, now_us: int) -> Breaker:
    counting = _moved(breaker, now_us // BUCKET_US)
    counting = replace(
        counting,
        attempts=counting.attempts + tally.successes + tally.failures,
        failures=counting.failures + tally.failures,
        attempts_before=counting.attempts_before + tally.successes_before,
    )
    attempts = counting.attempts + counting.attempts_before
    failures = counting.failures + counting.failures_before
    if not tally.failures or attempts < ATTEMPTS_MIN or failures < FAILED_SHARE * attempts:
        return counting
    relapsed = 0 <= now_us - breaker.closed_at_us < RELAPSE_US
    openings = breaker.openings + 1 if relapsed else 1
    return Breaker(opened_at_us=now_us, until_us=now_us + _open_us(openings), openings=openings)


def _moved(breaker: Breaker, bucket: int) -> Breaker:
    """The counts of the current bucket and the one before it; a clock that was turned back begins anew."""
    if bucket == breaker.bucket:
        return breaker
    next_to_it = bucket == breaker.bucket + 1
    return replace(
        breaker,
        bucket=bucket,
        attempts=0,
        failures=0,
        attempts_before=breaker.attempts if next_to_it else 0,
        failures_before=breaker.failures if next_to_it else 0,
    )


def _open_us(openings: int) -> int:
    doublings = min(openings - 1, (OPEN_MAX_US // OPEN_MIN_US).bit_length())
    return min(OPEN_MIN_US << doublings, OPEN_MAX_US)
