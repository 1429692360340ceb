"""What the tracker decides, without any I/O."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from kit.clock import FakeClock
from kit.errors import InvalidArgument
from kit.rpc import names
from onward.delivery.v1 import delivery_service_pb2 as dpb
from onward.executor.v1 import outcomes_pb2 as pb
from services.delivery.domain.credit import CREDIT_MAX, CREDIT_MIN, CREDIT_START, Credits
from services.delivery.domain.decisions import (
    DEFERRED,
    EXHAUSTED,
    IGNORED,
    NOTED,
    RETRY,
    Again,
    Ended,
    Outcome,
    Pending,
    Step,
    decide,
    first_deferral,
)
from services.delivery.domain.identity import EventReference, delivery_id, event_key, parse_delivery_id
from services.delivery.domain.latency import bucket, percentiles_us
from services.delivery.domain.schedule import RETRY_OFFSETS_S, Schedule, deferred_until, is_past
from services.delivery.settings import Settings, parse_offsets

SECOND = 1_000_000
NOW = 1_800_000_000 * SECOND
SCHEDULE = Schedule()


def outcome(result: int = pb.RESULT_RETRYABLE, number: int = 1, used: int = 0, **fields: Any) -> Outcome:
    base = Outcome(
        attempt=number,
        retries_used=used,
        result=result,
        error_type=pb.ERROR_TYPE_RETRY if result == pb.RESULT_RETRYABLE else pb.ERROR_TYPE_UNSPECIFIED,
        received_at_us=NOW - 2 * SECOND,
        ended_at_us=NOW - SECOND,
    )
    return replace(base, **fields)


def pending(number: int = 2, used: int = 1, **fields: Any) -> Pending:
    base = Pending(number, used, RETRY, NOW, first_ended_at_us=NOW - SECOND, error_type=pb.ERROR_TYPE_RETRY)
    return replace(base, **fields)


class Given:
    """given(a pending delivery, or that it ended).when(an outcome).then(a step)."""

    def __init__(self, pending: Pending | None = None, *, ended: bool = False) -> None:
        self._pending = pending
        self._ended = ended
        self.step: Step = IGNORED

    def when(self, one: Outcome, now_us: int = NOW) -> Given:
        self.step = decide(one, self._pending, SCHEDULE, now_us, lambda: 0.5, ended=self._ended)
        return self

    def then(self, step: Step) -> None:
        assert self.step == step

    def then_again(self) -> Pending:
        assert isinstance(self.step, Again)
        return self.step.pending


given = Given


# --- outcomes that end a delivery


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (pb.RESULT_DELIVERED, dpb.DELIVERY_STATE_DELIVERED),
        (pb.RESULT_FILTERED, dpb.DELIVERY_STATE_FILTERED),
        (pb.RESULT_SKIPPED, dpb.DELIVERY_STATE_SKIPPED),
        (pb.RESULT_FAILED, dpb.DELIVERY_STATE_FAILED),
    ],
)
@pytest.mark.parametrize("before", [None, pending()])
def test_a_result_that_is_final_ends_a_delivery(result: int, state: int, before: Pending | None) -> None:
    given(before).when(outcome(result, number=2, used=1, error_type=3)).then(Ended(state, 3))


def test_a_late_failure_of_an_earlier_attempt_does_not_end_a_pending_delivery() -> None:
    """A13 has one exception: somebody has gone on already."""
    given(pending(3)).when(outcome(pb.RESULT_FAILED, number=1)).then(NOTED)


def test_a_late_success_of_an_earlier_attempt_ends_a_pending_delivery() -> None:
    given(pending(3)).when(outcome(pb.RESULT_DELIVERED, number=1)).then(Ended(dpb.DELIVERY_STATE_DELIVERED, 0))


@pytest.mark.parametrize("result", [pb.RESULT_DELIVERED, pb.RESULT_FAILED, pb.RESULT_RETRYABLE, pb.RESULT_LOST])
def test_an_outcome_of_an_ended_delivery_is_only_noted(result: int) -> None:
    given(ended=True).when(outcome(result)).then(NOTED)


def test_a_deferral_of_an_ended_delivery_is_nothing() -> None:
    given(ended=True).when(outcome(pb.RESULT_DEFERRED)).then(IGNORED)
    given(pending(3)).when(outcome(pb.RESULT_DEFERRED, number=2)).then(IGNORED)


# --- retries


def test_a_retryable_failure_is_retried_ten_seconds_after_it_ended() -> None:
    after = given().when(outcome(), NOW - SECOND).then_again()
    assert (after.attempt, after.retries_used, after.reason) == (2, 1, RETRY)
    assert after.due_at_us == NOW - SECOND + 10 * SECOND
    assert after.first_ended_at_us == NOW - SECOND


def test_retries_count_from_the_first_attempts_end() -> None:
    before = pending(4, 3, first_ended_at_us=NOW - 200 * SECOND)
    after = given(before).when(outcome(number=4, used=3)).then_again()
    assert after.due_at_us == NOW - 200 * SECOND + 300 * SECOND
    assert after.first_ended_at_us == NOW - 200 * SECOND


def test_a_late_attempt_is_not_followed_by_a_storm() -> None:
    before = pending(2, 1, first_ended_at_us=NOW - 3600 * SECOND)
    assert given(before).when(outcome(number=2, used=1)).then_again().due_at_us == NOW + 10 * SECOND


def test_retry_after_is_honoured_within_the_horizon() -> None:
    assert given().when(outcome(retry_after_ms=90_000)).then_again().due_at_us == NOW + 90 * SECOND
    after = given().when(outcome(retry_after_ms=10 * 3600 * 1000)).then_again()
    assert after.due_at_us == after.first_ended_at_us + 4 * 3600 * SECOND


def test_the_last_retry_is_the_last() -> None:
    given(pending(10, 9)).when(outcome(number=10, used=9)).then(
        Ended(dpb.DELIVERY_STATE_FAILED, pb.ERROR_TYPE_RETRY, EXHAUSTED)
    )


def test_no_retry_is_after_the_horizon() -> None:
    before = pending(3, 2, first_ended_at_us=NOW - 4 * 3600 * SECOND)
    given(before).when(outcome(number=3, used=2)).then(Ended(dpb.DELIVERY_STATE_FAILED, pb.ERROR_TYPE_RETRY, EXHAUSTED))


def test_a_failure_without_its_event_cannot_be_retried() -> None:
    given().when(outcome(has_event=False)).then(Ended(dpb.DELIVERY_STATE_FAILED, pb.ERROR_TYPE_RETRY))
    assert given(pending()).when(outcome(number=2, used=1, has_event=False)).then_again().attempt == 3


def test_an_executors_clock_that_is_ahead_does_not_move_the_horizon() -> None:
    """A23."""
    after = given().when(outcome(ended_at_us=NOW + 3600 * SECOND)).then_again()
    assert after.first_ended_at_us == NOW


def test_a_clock_that_jumps_back_makes_no_negative_delay() -> None:
    """A23."""
    before = pending(2, 1, first_ended_at_us=NOW)
    now = NOW - 3600 * SECOND
    assert given(before).when(outcome(number=2, used=1), now).then_again().due_at_us > now


def test_a_function_that_never_succeeds_runs_ten_times_and_ends_once() -> None:
    """A15, by a virtual clock and random jitter."""
    spread = random.Random(7)
    for _ in range(200):
        clock = FakeClock()
        began = now = int(clock.now().timestamp() * SECOND)
        standing: Pending | None = None
        step: Step = IGNORED
        invocations = 0
        for number in range(1, 100):
            invocations += 1
            one = replace(outcome(number=number, used=standing.retries_used if standing else 0), ended_at_us=now)
            step = decide(one, standing, SCHEDULE, now, spread.random)
            if not isinstance(step, Again):
                break
            assert now < step.pending.due_at_us <= began + 4 * 3600 * SECOND
            planned = RETRY_OFFSETS_S[number - 1]
            assert 0.8 * planned <= (step.pending.due_at_us - began) / SECOND <= 1.2 * planned + 1e-6
            clock.advance((step.pending.due_at_us - now) / SECOND)
            now, standing = step.pending.due_at_us, step.pending
        assert step == Ended(dpb.DELIVERY_STATE_FAILED, pb.ERROR_TYPE_RETRY, EXHAUSTED)
        assert invocations == 10


# --- lost workers and executors


def test_an_event_that_costs_three_workers_alone_is_crashed() -> None:
    internal = {"error_type": pb.ERROR_TYPE_INTERNAL}
    standing = given().when(outcome(**internal)).then_again()
    assert (standing.alone, standing.losses) == (True, 0)
    for losses in (1, 2):
        number, used = standing.attempt, standing.retries_used
        standing = given(standing).when(outcome(number=number, used=used, **internal)).then_again()
        assert (standing.alone, standing.losses) == (True, losses)
    crashed = Ended(dpb.DELIVERY_STATE_FAILED, pb.ERROR_TYPE_CRASHED)
    given(standing).when(outcome(number=standing.attempt, used=standing.retries_used, **internal)).then(crashed)


@pytest.mark.parametrize("used", [0, 3, len(RETRY_OFFSETS_S)])
def test_a_lost_worker_uses_up_no_retry_not_even_the_last_one(used: int) -> None:
    standing = given().when(outcome(error_type=pb.ERROR_TYPE_INTERNAL, number=used + 1, used=used)).then_again()
    assert (standing.attempt, standing.retries_used) == (used + 2, used)


def test_other_failures_of_an_event_that_ran_alone_cost_no_worker() -> None:
    before = replace(pending(), alone=True, losses=2)
    after = given(before).when(outcome(number=2, used=1)).then_again()
    assert (after.alone, after.losses) == (True, 2)


def test_a_lost_invocation_uses_up_its_number_and_no_retry() -> None:
    """A6."""
    given().when(outcome(pb.RESULT_LOST)).then(NOTED)
    after = given(pending(2, 1)).when(outcome(pb.RESULT_LOST, number=2, used=1)).then_again()
    assert after == pending(3, 1)
    given(pending(3, 1)).when(outcome(pb.RESULT_LOST, number=1)).then(NOTED)


# --- deferrals


def test_a_deferral_keeps_the_attempts_number_and_comes_back_soon() -> None:
    step = given().when(outcome(pb.RESULT_DEFERRED)).step
    assert isinstance(step, Again)
    assert not step.recorded
    assert (step.pending.attempt, step.pending.retries_used, step.pending.reason) == (1, 0, DEFERRED)
    assert step.pending.due_at_us == NOW + SECOND // 2


def test_deferrals_of_a_retry_keep_its_horizon_and_its_error() -> None:
    """A16."""
    after = given(pending(2, 1)).when(outcome(pb.RESULT_DEFERRED, number=2, used=1)).then_again()
    assert (after.first_ended_at_us, after.error_type) == (NOW - SECOND, pb.ERROR_TYPE_RETRY)
    again = given(after).when(outcome(pb.RESULT_DEFERRED, number=2, used=1)).then_again()
    assert (again.deferrals, again.due_at_us) == (2, NOW + SECOND)


def test_a_retry_after_deferrals_begins_to_count_them_anew() -> None:
    before = replace(pending(2, 1), reason=DEFERRED, deferrals=7)
    assert given(before).when(outcome(number=2, used=1)).then_again().deferrals == 0


def test_a_deferral_beyond_the_horizon_ends_the_delivery_and_says_why() -> None:
    """A16."""
    before = pending(2, 1, first_ended_at_us=NOW - 4 * 3600 * SECOND)
    dead = Ended(dpb.DELIVERY_STATE_FAILED, pb.ERROR_TYPE_RETRY, EXHAUSTED)
    given(before).when(outcome(pb.RESULT_DEFERRED, number=2, used=1)).then(dead)


def test_what_was_never_begun_waits_for_a_week() -> None:
    one = outcome(pb.RESULT_DEFERRED, error_type=pb.ERROR_TYPE_TOO_MANY_REQUESTS, received_at_us=NOW)
    day = 24 * 3600 * SECOND
    assert given().when(one, NOW + 6 * day).then_again().attempt == 1
    dead = Ended(dpb.DELIVERY_STATE_FAILED, pb.ERROR_TYPE_TOO_MANY_REQUESTS, EXHAUSTED)
    given().when(one, NOW + 7 * day).then(dead)


@pytest.mark.parametrize(("deferrals", "seconds"), [(1, 0.5), (2, 1), (3, 2), (7, 30), (1000, 30)])
def test_deferrals_back_off_to_half_a_minute(deferrals: int, seconds: float) -> None:
    assert deferred_until(deferrals, NOW, lambda: 0.5) == NOW + seconds * SECOND
    assert deferred_until(deferrals, NOW, lambda: 0.0) == NOW + 0.8 * seconds * SECOND


# --- numbers and names


def test_the_schedule_of_the_settings_is_the_domains() -> None:
    assert parse_offsets(Settings.model_fields["retry_offsets_s"].default) == RETRY_OFFSETS_S


@pytest.mark.parametrize("text", ["", "x", "10,,20", "0,1", "10,10", "20,10", ",".join(map(str, range(1, 102)))])
def test_offsets_that_do_not_grow_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="retry_offsets_s"):
        Settings(service_token="0123456789abcdef", retry_offsets_s=text)  # type: ignore[arg-type]  # pydantic makes it


def test_credit_doubles_over_a_window_and_halves_on_a_failure() -> None:
    credits_ = Credits()
    there = ("acme", "crm")
    assert credits_.of(there) == CREDIT_START
    credits_.settle(there, successes=CREDIT_START, failures=0)
    assert credits_.of(there) == 2 * CREDIT_START
    credits_.settle(there, successes=50, failures=3)
    assert credits_.of(there) == CREDIT_START
    for _ in range(20):
        credits_.settle(there, successes=0, failures=1)
    assert credits_.of(there) == CREDIT_MIN
    credits_.settle(there, successes=100_000, failures=0)
    assert credits_.of(there) == CREDIT_MAX
    assert credits_.of(("acme", "other")) == CREDIT_START


def test_a_percentile_is_within_five_percent() -> None:
    spread = random.Random(3)
    values = sorted(int(spread.lognormvariate(11, 2)) + 1 for _ in range(20_000))
    counts: dict[int, int] = {}
    for value in values:
        counts[bucket(value)] = counts.get(bucket(value), 0) + 1
    for share, found in zip((0.5, 0.95, 0.99), percentiles_us(counts, (0.5, 0.95, 0.99)), strict=True):
        exact = values[int(share * len(values))]
        assert abs(found - exact) / exact < 0.05


def test_percentiles_of_nothing_are_zero() -> None:
    assert percentiles_us({}, (0.5, 0.99)) == [0.0, 0.0]
    assert (bucket(-5), bucket(0), bucket(1)) == (0, 0, 0)


def test_a_delivery_id_is_a_resource_id_and_reads_back() -> None:
    one = delivery_id(12345, 7, "crm-eu")
    assert names.is_id(one)
    assert names.is_id(delivery_id(2**63 - 1, 2499, "x" * 63))
    event, hashed = parse_delivery_id(one)
    assert event == EventReference(12345, 7)
    assert one.endswith(hashed)
    assert delivery_id(12345, 7, "crm-us") != one


@pytest.mark.parametrize("text", ["", "d1-2", "d1-2-xyz", "e1-2-01234567", "d99999999999999999999-0-01234567"])
def test_another_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_delivery_id(text)


def test_message_ids_of_other_sources_and_workspaces_are_others() -> None:
    keys = {event_key("a", "b", "c"), event_key("a", "bc", ""), event_key("ab", "", "c"), event_key("a", "x", "c")}
    assert len(keys) == 4


# --- a destination's own schedule


def test_without_retries_a_failure_is_the_end() -> None:
    ended = Ended(dpb.DELIVERY_STATE_FAILED, pb.ERROR_TYPE_RETRY, EXHAUSTED)
    assert decide(outcome(), None, Schedule(()), NOW, lambda: 0.5) == ended


def test_without_retries_what_was_lost_by_our_own_fault_is_tried_again() -> None:
    """Only three workers lost end it."""
    step = decide(outcome(error_type=pb.ERROR_TYPE_INTERNAL), None, Schedule(()), NOW, lambda: 0.5)
    assert isinstance(step, Again)
    assert (step.pending.retries_used, step.pending.alone) == (0, True)
    held = outcome(pb.RESULT_DEFERRED, number=2)
    assert isinstance(decide(held, step.pending, Schedule(()), NOW, lambda: 0.5), Again)


def test_what_is_held_back_is_looked_at_when_the_tracker_says_and_uses_up_nothing() -> None:
    """A16."""
    after = given(pending(3, 2, deferrals=4)).when(outcome(pb.RESULT_DEFERRED, 3, 2, held_until_us=NOW)).then_again()
    assert (after.due_at_us, after.attempt, after.retries_used, after.deferrals) == (NOW, 3, 2, 5)


OFFSETS = st.lists(st.integers(1, 604_800), max_size=100, unique=True).map(sorted)


@for_all(OFFSETS, st.integers(0, 100), st.integers(0, 700_000), st.integers(0, 700_000_000), st.floats(0, 0.999))
def test_no_schedule_is_early_by_more_than_its_jitter_or_late_beyond_its_horizon(
    offsets_s: list[int], used: int, passed_s: int, retry_after_ms: int, chance: float
) -> None:
    """A12, A15: whatever the offsets, the clock and the API say."""
    schedule = Schedule(tuple(map(float, offsets_s)))
    now_us = NOW + passed_s * SECOND
    due_at_us = schedule.retry_at(used, NOW, now_us, retry_after_ms, lambda: chance)
    if used >= len(offsets_s) or passed_s >= offsets_s[-1]:
        assert due_at_us is None
        return
    assert due_at_us is not None
    assert now_us < due_at_us <= NOW + offsets_s[-1] * SECOND
    planned_us = NOW + round(0.8 * offsets_s[used] * SECOND)
    assert due_at_us >= min(planned_us, NOW + offsets_s[-1] * SECOND, now_us + round(0.8 * offsets_s[0] * SECOND))
    assert due_at_us >= min(now_us + retry_after_ms * 1000, NOW + offsets_s[-1] * SECOND)


@for_all(
    st.integers(0, 8 * 24 * 3600), st.integers(0, 60), st.none() | st.integers(-5, 120), st.floats(0, 0.999)
)  # fmt: skip
def test_the_first_deferral_is_what_a_decision_without_a_past_says(
    age_s: int, held_s: int, until_s: int | None, spread: float
) -> None:
    received_at_us = NOW - age_s * SECOND
    held_until_us = NOW + held_s * SECOND if held_s else 0
    batch_until_us = None if until_s is None else NOW + until_s * SECOND
    held = outcome(
        pb.RESULT_DEFERRED, received_at_us=received_at_us, held_until_us=held_until_us,
        batch_events_max=0 if until_s is None else 10, batch_until_us=batch_until_us or 0,
    )  # fmt: skip
    step = decide(held, None, SCHEDULE, NOW, lambda: spread)
    if is_past(received_at_us, NOW) and until_s is None:
        assert step == Ended(dpb.DELIVERY_STATE_FAILED, pb.ERROR_TYPE_UNSPECIFIED, EXHAUSTED)
    else:
        due_at_us = first_deferral(held_until_us, batch_until_us, NOW, lambda: spread)
        kept = Pending(1, 0, DEFERRED, due_at_us, deferrals=1, batch_events_max=held.batch_events_max)
        assert step == Again(kept, recorded=False)
