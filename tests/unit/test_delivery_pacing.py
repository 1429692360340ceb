"""Token buckets, and what the releaser allows by them."""

from __future__ import annotations

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from services.delivery.domain.pacing import BUCKETS_MAX, BURST_S, Pacing

CRM = ("acme", "crm")


def test_a_new_leader_begins_with_nothing_to_give() -> None:
    """What was given a moment before by somebody else is not known."""
    pacing = Pacing(100.0)
    assert pacing.events(CRM, 10, 100.0) == 0
    assert pacing.wait_s(CRM, 10, 100.0) == pytest.approx(0.1)
    assert pacing.events(CRM, 10, 100.1) == 1
    pacing.begin(200.0)
    assert pacing.events(CRM, 10, 200.0) == 0


def test_who_has_waited_gets_a_tenth_of_a_second_at_once_and_never_less_than_one() -> None:
    pacing = Pacing(0.0)
    assert pacing.events(CRM, 1000, 60.0) == round(1000 * BURST_S)
    assert pacing.events(("acme", "slow"), 0.5, 60.0) == 1


def test_a_batch_that_went_whole_is_paid_for_before_the_next_event_goes() -> None:
    pacing = Pacing(0.0)
    pacing.spend(CRM, 10, 100, 60.0)
    assert pacing.events(CRM, 10, 69.0) == 0
    assert pacing.wait_s(CRM, 10, 69.0) == pytest.approx(1.0)
    assert pacing.events(CRM, 10, 70.0) == 1


def test_the_number_of_buckets_is_bounded_and_those_in_use_stay() -> None:
    pacing = Pacing(0.0)
    for number in range(BUCKETS_MAX + 1):
        pacing.spend(("acme", f"d{number}"), 1, 10, 100.0 + number)
    assert len(pacing._buckets) <= BUCKETS_MAX
    assert pacing.events(("acme", f"d{BUCKETS_MAX}"), 1, 100.0 + BUCKETS_MAX) == 0


@for_all(
    rate=st.floats(0.01, 5000),
    steps=st.lists(st.tuples(st.floats(0, 3), st.integers(0, 2000)), min_size=1, max_size=60),
)
def test_no_span_of_time_sees_more_than_the_rate_and_the_burst(rate: float, steps: list[tuple[float, int]]) -> None:
    pacing, now_s = Pacing(50.0), 50.0
    given: list[tuple[float, int]] = []
    for passed_s, wanted in steps:
        now_s += passed_s
        events = min(wanted, pacing.events(CRM, rate, now_s))
        pacing.spend(CRM, rate, events, now_s)
        given.append((now_s, events))
    burst = max(1.0, rate * BURST_S)
    for first in range(len(given)):
        total = 0
        for at_s, events in given[first:]:
            total += events
            assert total <= burst + rate * (at_s - given[first][0]) + 1e-3
