"""Clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from kit.clock import SLEW, FakeClock, SlewedClock, unix_us


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_step_of_an_hour_changes_what_passes_by_a_tenth_and_is_made_good(hours: int) -> None:
    """A23."""
    machine = FakeClock()
    clock = SlewedClock(machine)
    start = clock.now()
    machine.set_now(start + timedelta(hours=hours))
    assert clock.now() == start
    machine.advance(100)
    assert (clock.now() - start).total_seconds() == pytest.approx(100 + hours * 10)
    machine.advance(10 * 3600)
    assert clock.now() == machine.now()


def test_what_clocks_differ_by_every_day_is_followed_at_once() -> None:
    machine = FakeClock()
    clock = SlewedClock(machine)
    machine.set_now(machine.now() + timedelta(seconds=0.9))
    assert clock.now() == machine.now()


@for_all(st.lists(st.tuples(st.floats(0, 1000), st.floats(-1e5, 1e5)), max_size=30))
def test_however_it_is_stepped_time_passes_and_not_much_faster(steps: list[tuple[float, float]]) -> None:
    """A23: no retry storm, no negative delay."""
    machine = FakeClock()
    clock = SlewedClock(machine)
    before = clock.now()
    for passed_s, step_s in steps:
        machine.advance(passed_s)
        machine.set_now(machine.now() + timedelta(seconds=step_s))
        now = clock.now()
        # What is followed at once, and rounding, on top.
        assert -1.001 <= (now - before).total_seconds() <= passed_s * (1 + SLEW) + 1.001
        before = now


def test_a_clock_tells_microseconds_since_1970() -> None:
    assert unix_us(FakeClock(datetime(1970, 1, 2, 0, 0, 1, 250_000, tzinfo=UTC))) == 86_401_250_000
