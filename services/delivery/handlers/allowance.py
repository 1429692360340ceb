"""How many of a destination's waiting deliveries may go now: by its credit, its policy and its breaker."""

from __future__ import annotations

from typing import NamedTuple

import asyncpg

from kit.clock import Clock
from services.delivery.domain.breaker import PROBES_MAX, Phase
from services.delivery.domain.credit import Credits
from services.delivery.domain.pacing import Pacing
from services.delivery.domain.schedule import SECOND_US
from services.delivery.projections.breakers import phase_of

# A destination that has all that it may have is looked at again after this: another replica may have heard from it.
SATURATED_POLL_S = 0.25

Row = asyncpg.Record


class Allowed(NamedTuple):
    """What may go."""

    events: int
    # Where it is nothing: when to look again, at the latest.
    wait_s: float = SATURATED_POLL_S


class Allowance:
    """What the leading releaser keeps to. Rows are those of the query `demand`."""

    def __init__(self, credits_: Credits, clock: Clock) -> None:
        self._credits = credits_
        self._clock = clock
        self._pacing = Pacing(clock.monotonic())

    def begin(self) -> None:
        """Begin to lead: what went out just before is not known."""
        self._pacing.begin(self._clock.monotonic())

    def of(self, row: Row, now_us: int) -> Allowed:
        """How many of a destination's deliveries may go."""
        # A batch is one attempt: however little there may be out, one may be out whole.
        batch: int = row["batch_events"]
        if row["opened_at_us"]:
            return _probes(row, batch, now_us)
        most = self._credits.of((row["workspace"], row["destination"]))
        if row["max_in_flight"]:
            most = min(most, row["max_in_flight"])
        free = max(most, batch) - row["released"]
        if free <= 0 or not row["max_per_second"]:
            return Allowed(free)
        return self._paced(row, free, batch)

    def claimed(self, demand: Row, events: int) -> None:
        """Note that so many go."""
        if demand["max_per_second"]:
            key = (demand["workspace"], demand["destination"])
            self._pacing.spend(key, demand["max_per_second"], events, self._clock.monotonic())

    def _paced(self, row: Row, free: int, batch: int) -> Allowed:
        key, rate, now_s = (row["workspace"], row["destination"]), row["max_per_second"], self._clock.monotonic()
        events = self._pacing.events(key, rate, now_s)
        if not events:
            return Allowed(0, self._pacing.wait_s(key, rate, now_s))
        return Allowed(min(free, max(events, batch)))


def _probes(row: Row, batch: int, now_us: int) -> Allowed:
    """What may go to a destination whose breaker is not closed: nothing, or a few deliveries, or one batch."""
    if phase_of(row, now_us) is Phase.OPEN:
        return Allowed(0, (row["until_us"] - now_us) / SECOND_US)
    return Allowed(max(PROBES_MAX, batch) - row["probes"])
