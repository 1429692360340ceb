"""The circuit breaker's decisions, without any I/O."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from onward.executor.v1 import outcomes_pb2 as pb
from services.delivery.domain.breaker import (
    ATTEMPTS_MIN,
    BUCKET_US,
    FAILED_SHARE,
    OPEN_MAX_US,
    OPEN_MIN_US,
    RELAPSE_US,
    Breaker,
    Phase,
    Tally,
    evolve,
    speaks_of,
)

NOW = BUCKET_US * 60_000_000
SECOND = 1_000_000


class Given:
    """given(a breaker).when(outcomes, at a time).then(a phase)."""

    def __init__(self, breaker: Breaker | None = None) -> None:
        self.breaker = breaker or Breaker()
        self.at_us = NOW

    def when(self, tally: Tally, at_us: int = NOW) -> Given:
        self.breaker, self.at_us = evolve(self.breaker, tally, at_us), at_us
        return self

    def then(self, phase: Phase) -> Given:
        assert self.breaker.phase(self.at_us) is phase
        return self

    def then_for(self, open_us: int) -> Given:
        assert self.breaker.until_us == self.at_us + open_us
        return self.then(Phase.OPEN)


given = Given


def failing(count: int = ATTEMPTS_MIN) -> Tally:
    return Tally(failures=count)


def opened(openings: int = 1) -> Breaker:
    return Breaker(opened_at_us=NOW, until_us=NOW + OPEN_MIN_US, openings=openings)


HALF_OPEN_AT = NOW + OPEN_MIN_US


def test_it_opens_when_seven_in_ten_of_ten_attempts_fail() -> None:
    """A17."""
    given().when(Tally(successes=3, failures=7)).then_for(OPEN_MIN_US)
    given().when(Tally(successes=4, failures=6)).then(Phase.CLOSED)
    given().when(failing(9)).then(Phase.CLOSED)


def test_what_fails_over_several_transactions_adds_up() -> None:
    """A17."""
    before = given().when(failing(5)).when(Tally(successes=1), NOW + SECOND).then(Phase.CLOSED)
    before.when(failing(4), NOW + 2 * SECOND).then(Phase.OPEN)


def test_a_success_never_opens_it() -> None:
    """It has counted nothing but failures, too few of them."""
    before = given(Breaker(bucket=NOW // BUCKET_US, attempts=9, failures=9))
    before.when(Tally(successes=1)).then(Phase.CLOSED).when(failing(1)).then(Phase.OPEN)


def test_attempts_of_the_bucket_before_count_and_those_before_that_do_not() -> None:
    before = given().when(failing(9)).then(Phase.CLOSED)
    given(before.breaker).when(failing(1), NOW + BUCKET_US).then(Phase.OPEN)
    given(before.breaker).when(failing(9), NOW + 2 * BUCKET_US).then(Phase.CLOSED)
    given().when(replace(failing(9), successes_before=10)).then(Phase.CLOSED)


def test_what_had_begun_before_it_opened_changes_nothing() -> None:
    given(opened()).when(Tally(successes=100, failures=100), NOW + SECOND).then(Phase.OPEN)
    given(opened()).when(Tally(successes=100, failures=100), HALF_OPEN_AT).then(Phase.HALF_OPEN)


def test_it_is_half_open_from_its_time_on_and_closes_with_the_first_answer() -> None:
    """A17."""
    assert opened().phase(HALF_OPEN_AT - 1) is Phase.OPEN
    assert opened().phase(HALF_OPEN_AT) is Phase.HALF_OPEN
    after = given(opened()).when(Tally(1, probes_answered=1), HALF_OPEN_AT).then(Phase.CLOSED).breaker
    assert (after.attempts, after.closed_at_us) == (0, HALF_OPEN_AT)


def test_probes_that_fail_leave_it_open_for_twice_as_long_up_to_a_bound() -> None:
    """A17."""
    breaker, at_us, waits = opened(), NOW, []
    for _ in range(8):
        at_us = breaker.until_us
        breaker = given(breaker).when(Tally(failures=3, probes_failed=3), at_us).then(Phase.OPEN).breaker
        waits.append((breaker.until_us - at_us) // SECOND)
    assert waits == [20, 40, 80, 160, 300, 300, 300, 300]
    assert breaker.opened_at_us == NOW


def test_of_several_probes_the_share_decides_that_opens_it() -> None:
    given(opened()).when(Tally(probes_answered=1, probes_failed=2), HALF_OPEN_AT).then(Phase.CLOSED)
    given(opened()).when(Tally(probes_answered=0, probes_failed=1), HALF_OPEN_AT).then(Phase.OPEN)


def test_one_that_opens_again_soon_goes_on_where_it_was() -> None:
    """An API that is up for a moment at a time would be flattened again and again."""
    closed = given(opened(4)).when(Tally(probes_answered=1), HALF_OPEN_AT).breaker
    given(closed).when(failing(), HALF_OPEN_AT + SECOND).then_for(160 * SECOND)
    given(closed).when(failing(), HALF_OPEN_AT + RELAPSE_US).then_for(OPEN_MIN_US)


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_jumps_neither_holds_deliveries_back_nor_opens_anything(hours: int) -> None:
    """A23: an hour back, it would be open for an hour more."""
    jumped = NOW + hours * 3600 * SECOND
    given(opened()).when(Tally(failures=1, probes_failed=1), jumped).then_for(20 * SECOND)
    assert opened().phase(jumped) is Phase.HALF_OPEN
    given().when(failing(9)).when(failing(1), jumped).then(Phase.CLOSED)


@pytest.mark.parametrize(
    ("result", "error_type", "http_status", "expected"),
    [
        (pb.RESULT_DELIVERED, 0, 0, True),
        (pb.RESULT_RETRYABLE, pb.ERROR_TYPE_RETRY, 503, False),
        (pb.RESULT_RETRYABLE, pb.ERROR_TYPE_RETRY, 0, False),
        (pb.RESULT_RETRYABLE, pb.ERROR_TYPE_TIMEOUT, 0, False),
        (pb.RESULT_RETRYABLE, pb.ERROR_TYPE_INTERNAL, 0, None),
        (pb.RESULT_LOST, pb.ERROR_TYPE_INTERNAL, 0, None),
        (pb.RESULT_FAILED, pb.ERROR_TYPE_BAD_REQUEST, 0, None),
        (pb.RESULT_FAILED, pb.ERROR_TYPE_BAD_REQUEST, 400, True),
        (pb.RESULT_FAILED, pb.ERROR_TYPE_BAD_REQUEST, 500, False),
        (pb.RESULT_FAILED, pb.ERROR_TYPE_BAD_REQUEST, 429, False),
        (pb.RESULT_FAILED, pb.ERROR_TYPE_MESSAGE_REJECTED, 0, None),
        (pb.RESULT_FAILED, pb.ERROR_TYPE_UNSUPPORTED_EVENT_TYPE, 0, None),
        (pb.RESULT_FAILED, pb.ERROR_TYPE_INVALID_SETTINGS, 0, None),
        (pb.RESULT_DEFERRED, pb.ERROR_TYPE_TOO_MANY_REQUESTS, 0, None),
        (pb.RESULT_FILTERED, 0, 0, None),
        (pb.RESULT_SKIPPED, 0, 0, None),
        (pb.RESULT_CANCELLED, 0, 0, None),
    ],
)
def test_only_what_speaks_of_the_destination_counts(
    result: int, error_type: int, http_status: int, expected: bool | None
) -> None:
    assert speaks_of(result, error_type, http_status) is expected


TALLIES = st.builds(Tally, *[st.integers(0, 40)] * 5)
STEPS = st.lists(st.tuples(TALLIES, st.integers(-OPEN_MAX_US, 2 * OPEN_MAX_US)), max_size=40)


@for_all(STEPS)
def test_whatever_comes_nothing_is_held_back_for_longer_than_the_bound(steps: list[tuple[Tally, int]]) -> None:
    """A17, A23."""
    breaker, now_us = Breaker(), NOW
    for tally, passed_us in steps:
        now_us += passed_us
        was_open = breaker.opened_at_us > 0
        breaker = evolve(breaker, tally, now_us)
        if breaker.phase(now_us) is Phase.OPEN:
            assert 0 < breaker.until_us - now_us <= OPEN_MAX_US
            assert breaker.phase(now_us + OPEN_MAX_US) is Phase.HALF_OPEN
        if breaker.opened_at_us and not was_open:
            assert tally.failures > 0
            assert breaker.until_us - now_us >= OPEN_MIN_US
        assert 0 <= breaker.failures <= breaker.attempts or breaker.opened_at_us


@for_all(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5)), max_size=60))
def test_a_destination_of_which_a_third_and_more_succeeds_is_never_held_back(mixed: list[tuple[int, int]]) -> None:
    breaker, now_us = Breaker(), NOW
    for successes, failures in mixed:
        now_us += SECOND
        # Two failures for each success at most: below seven in ten.
        tally = Tally(successes=successes, failures=min(failures, 2 * successes))
        breaker = evolve(breaker, tally, now_us)
        assert breaker.phase(now_us) is Phase.CLOSED
    assert FAILED_SHARE > 2 / 3
