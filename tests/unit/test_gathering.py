"""What is gathered for a batch: when it starts, when it waits, and when it is put off."""

from __future__ import annotations

from math import inf

import pytest

from services.executor.domain.gathering import BYTES_MAX, HELD_S, TOGETHER_S, Batching, Gathering

NOW = 1000.0


def gathering(events_max: int = 3, wait_s: float = 0.0) -> Gathering[str]:
    return Gathering(Batching(events_max, wait_s))


def test_nothing_starts_or_leaves_where_nothing_is() -> None:
    one = gathering()
    assert not one.starts(NOW)
    assert not one.leaves(NOW)
    assert one.wakes_at == inf


def test_a_full_batch_starts_however_long_its_events_may_wait() -> None:
    one = gathering(events_max=2)
    one.add("a", 1, now=NOW, until=NOW + 60)
    assert not one.starts(NOW)
    one.add("b", 1, now=NOW, until=NOW + 60)
    assert one.starts(NOW)
    assert one.take() == ["a", "b"]
    assert not one


def test_what_may_not_wait_starts_with_all_that_is_there() -> None:
    one = gathering()
    one.add("a", 1, now=NOW, until=NOW + 60)
    one.add("b", 1, now=NOW, until=NOW)
    assert one.starts(NOW)
    assert one.take() == ["a", "b"]


def test_a_short_wait_is_waited_here() -> None:
    one = gathering()
    one.add("a", 1, now=NOW, until=NOW + HELD_S)
    assert one.wakes_at == NOW + HELD_S
    assert not one.leaves(NOW + HELD_S)
    assert one.starts(NOW + HELD_S)


def test_a_long_wait_is_put_off_and_begins_anew() -> None:
    one = gathering()
    one.add("a", 1, now=NOW, until=NOW + 10)
    one.add("b", 1, now=NOW + HELD_S / 2, until=NOW + 10)
    assert one.wakes_at == NOW + HELD_S
    assert not one.leaves(NOW + HELD_S - 0.001)
    assert one.leaves(NOW + HELD_S)
    assert not one.starts(NOW + HELD_S)
    assert one.take() == ["a", "b"]
    assert one.wakes_at == inf


def test_a_full_batch_takes_no_more() -> None:
    one = gathering(events_max=2)
    assert one.takes(1)
    one.add("a", 1, now=NOW, until=NOW)
    assert one.takes(1)
    one.add("b", 1, now=NOW, until=NOW)
    assert not one.takes(1)
    one.take()
    assert one.takes(1)


def test_large_events_fill_a_batch_and_the_largest_one_still_goes() -> None:
    one = gathering(events_max=500)
    assert one.takes(2 * BYTES_MAX)
    one.add("a", BYTES_MAX - 10, now=NOW, until=NOW + 60)
    assert not one.takes(11)
    assert one.takes(10)
    one.add("b", 10, now=NOW, until=NOW + 60)
    assert one.full


def test_an_event_limits_the_batch_that_it_is_in() -> None:
    one = gathering(events_max=100)
    one.add("a", 1, now=NOW, until=NOW + 60, events_max=2)
    assert one.takes(1)
    one.add("b", 1, now=NOW, until=NOW + 60)
    assert one.full
    one.take()
    for name in "abc":
        one.add(name, 1, now=NOW, until=NOW + 60)
    assert not one.takes(1, events_max=3)
    assert one.takes(1, events_max=4)


@pytest.mark.parametrize(
    ("wait_s", "age_s", "waits_s"),
    [(10, 0, 10), (10, 4, 6), (10, 30, TOGETHER_S), (10, -5, 10), (0.01, 0, 0.01), (0.01, 5, 0.01), (0, 0, 0)],
)
def test_an_event_waits_from_its_arrival_on_and_a_moment_for_its_neighbours(
    wait_s: float, age_s: float, waits_s: float
) -> None:
    assert Batching(100, wait_s).waits_until(NOW, age_s) == pytest.approx(NOW + waits_s)
