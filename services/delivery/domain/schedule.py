"""When something that could not be done is tried again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
# Seconds after the end of the first attempt: nine retries in four hours.
RETRY_OFFSETS_S = (10.0, 40.0, 120.0, 300.0, 900.0, 2400.0, 5400.0, 9000.0, 14400.0)
# Spreads the retries of what failed together.
JITTER = 0.2
# What was held back comes again soon at first: most overloads are short.
DEFERRAL_MIN_S = 0.5
DEFERRAL_MAX_S = 30.0
# Doubling any longer makes no difference.
DEFERRAL_DOUBLINGS_MAX = 10
# What was never begun waits for as long as an event waits in its stream.
DEFERRED_HORIZON_S = 7 * 24 * 3600

# No policy lets an event wait for its batch for longer.
GATHERING_MAX_S = 60
# Events that failed as one batch are due again at one moment, so that they can make one again.
TOGETHER_US = 250_000

# A random number from 0 to 1, 1 excluded.
Random = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Offsets of the retries, in seconds after the first attempt's end; the last one is also the horizon."""

    offsets_s: tuple[float, ...] = RETRY_OFFSETS_S

    @property
    def retries_max(self) -> int:
        return len(self.offsets_s)

    @property
    def horizon_us(self) -> int:
        """How long after the first attempt's end the last retry may be."""
        return round(self.offsets_s[-1] * SECOND_US) if self.offsets_s else 0

    def retry_at(
        self, retries_used: int, first_ended_at_us: int, now_us: int, retry_after_ms: int, random: Random
    ) -> int | None:
        """When the next retry is due; None where none is left or the horizon is passed.

        Where that time has passed, since the last attempt was late, the first offset counts from now: no storm. Not
        before an API's Retry-After; but never past the horizon either.
        """
        horizon_us = first_ended_at_us + self.horizon_us
        if retries_used >= self.retries_max or now_us >= horizon_us:
            return None
        spread = 1 + JITTER * (2 * random() - 1)
        planned_us = first_ended_at_us + round(self.offsets_s[retries_used] * spread * SECOND_US)
        if planned_us <= now_us:
            planned_us = now_us + round(self.offsets_s[0] * spread * SECOND_US)
        return min(max(planned_us, now_us + retry_after_ms * 1000), horizon_us)


def deferred_until(deferrals: int, now_us: int, random: Random) -> int:
    """When something that was held back for the `deferrals`th time is due."""
    doublings = min(deferrals - 1, DEFERRAL_DOUBLINGS_MAX)
    delay_s = min(DEFERRAL_MIN_S * float(1 << doublings), DEFERRAL_MAX_S)
    return now_us + round(delay_s * (1 + JITTER * (2 * random() - 1)) * SECOND_US)


def is_past(received_at_us: int, now_us: int) -> bool:
    """Whether what was never begun has waited for as long as it may."""
    return now_us >= received_at_us + DEFERRED_HORIZON_S * SECOND_US


def together(due_at_us: int, latest_us: int) -> int:
    """The moment, the same for all that are due shortly before it, at which events of one batch go again.

    Not later than `latest_us`, the horizon: then it is the last such moment before it.
    """
    moment = -(-due_at_us // TOGETHER_US) * TOGETHER_US
    return moment if moment <= latest_us else latest_us // TOGETHER_US * TOGETHER_US


def gathered_until(batch_until_us: int, now_us: int) -> int:
    """When an event goes that waits for its batch; an executor's clock that is ahead must not make it wait longer."""
    return min(max(batch_until_us, now_us), now_us + GATHERING_MAX_S * SECOND_US)
