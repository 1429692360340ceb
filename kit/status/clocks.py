"""Clocks that do not agree: a lease, a token or a retry then ends at another time than was meant."""

from __future__ import annotations

from datetime import datetime, timedelta

from kit.status.check import Check, failure, ok, warning

# Leases last for a second.
APART = timedelta(seconds=1)
# Retries begin 10 s after the attempt.
FAR_APART = timedelta(seconds=10)
ADVICE = "let NTP set the clocks of all machines: `timedatectl` tells whether it does"


def outside(moment: datetime, before: datetime, after: datetime) -> timedelta:
    """How far another clock's moment is ahead of the time in which it was read; 0 within it, below 0 behind it."""
    if before <= moment <= after:
        return timedelta()
    # Where our own clock was set back meanwhile, `after` is the earlier one, and either will do.
    return moment - before if moment < before else moment - after


def judge_clock(name: str, whose: str, others: str, ahead: timedelta) -> Check:
    """Judge how far somebody's clock is ahead of the others'."""
    if abs(ahead) <= APART:
        return ok(name, f"{whose} agrees with {others}")
    direction = "ahead of" if ahead > timedelta() else "behind"
    message = f"{whose} is {abs(ahead).total_seconds():,.1f} s {direction} {others}"
    return failure(name, message, ADVICE) if abs(ahead) > FAR_APART else warning(name, message, ADVICE)
