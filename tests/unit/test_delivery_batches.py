"""What the tracker decides about events that wait for their batch, or failed in one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from onward.delivery.v1 import delivery_service_pb2 as dpb
from onward.executor.v1 import outcomes_pb2 as pb
from services.delivery.domain.decisions import DEFERRED, IGNORED, RETRY, Again, Ended, Outcome, Pending, Step, decide
from services.delivery.domain.schedule import TOGETHER_US, Schedule
from services.delivery.projections.rows import DUE_COLUMNS, Memory, Rows
from services.delivery.projections.standing import Group, Standing

SECOND = 1_000_000
NOW = 1_800_000_000 * SECOND
SCHEDULE = Schedule()


def outcome(result: int, number: int = 1, used: int = 0, **fields: Any) -> Outcome:
    error_type = pb.ERROR_TYPE_RETRY if result == pb.RESULT_RETRYABLE else pb.ERROR_TYPE_UNSPECIFIED
    return replace(Outcome(number, used, result, error_type, NOW - 2 * SECOND, NOW - SECOND), **fields)


def waiting(number: int = 1, used: int = 0, **fields: Any) -> Outcome:
    """Deferred until its batch is full, for ten seconds at most."""
    values = {"batch_events_max": 100, "batch_until_us": NOW + 10 * SECOND}
    return outcome(pb.RESULT_DEFERRED, number, used, **{**values, **fields})


def decided(one: Outcome, before: Pending | None = None, random: float = 0.5, **options: Any) -> Step:
    return decide(one, before, SCHEDULE, NOW, lambda: random, **options)


def again(step: Step) -> Again:
    assert isinstance(step, Again)
    return step


def test_an_event_waits_for_its_batch_until_its_time_and_that_is_no_attempt() -> None:
    step = again(decided(waiting()))
    after = step.pending
    assert not step.recorded
    assert (after.attempt, after.retries_used, after.reason) == (1, 0, DEFERRED)
    assert (after.due_at_us, after.batch_events_max, after.gathering) == (NOW + 10 * SECOND, 100, True)


@pytest.mark.parametrize(("until_s", "due_s"), [(-5, 0), (3, 3), (600, 60)])
def test_an_executors_clock_makes_nothing_wait_longer_than_any_policy_lets_it(until_s: int, due_s: int) -> None:
    after = again(decided(waiting(batch_until_us=NOW + until_s * SECOND))).pending
    assert after.due_at_us == NOW + due_s * SECOND


def test_a_retry_that_waits_for_its_batch_keeps_its_error_and_its_horizon() -> None:
    first_ended_at_us = NOW - SCHEDULE.horizon_us - 1
    before = Pending(
        10, 9, RETRY, NOW - SECOND, first_ended_at_us=first_ended_at_us, error_type=pb.ERROR_TYPE_RETRY, losses=1
    )
    after = again(decided(waiting(10, 9), before)).pending
    assert (after.first_ended_at_us, after.error_type, after.losses) == (first_ended_at_us, pb.ERROR_TYPE_RETRY, 1)
    # It waits, although its last retry was due at the horizon: it has not run yet.
    assert (after.attempt, after.retries_used) == (10, 9)


@pytest.mark.parametrize("late_us", [1, TOGETHER_US - 1])
def test_events_that_failed_as_one_batch_go_again_within_the_horizon(late_us: int) -> None:
    horizon_us = NOW + SECOND + late_us
    before = Pending(9, 8, RETRY, NOW, first_ended_at_us=horizon_us - SCHEDULE.horizon_us)
    failed = outcome(pb.RESULT_RETRYABLE, 9, 8, batch_events=2, retry_after_ms=3_600_000)
    due_at_us = again(decided(failed, before)).pending.due_at_us
    assert (horizon_us - late_us, due_at_us % TOGETHER_US) == (due_at_us, 0)


def test_each_wait_makes_another_release() -> None:
    first = again(decided(waiting())).pending
    assert again(decided(waiting(), first)).pending.deferrals == first.deferrals + 1


def test_a_late_wait_of_an_ended_delivery_is_nothing() -> None:
    assert decided(waiting(), ended=True) == IGNORED
    assert decided(waiting(1), Pending(3, 1, RETRY, NOW)) == IGNORED


def test_what_waits_without_its_event_cannot_go_on() -> None:
    assert decided(waiting(has_event=False, received_at_us=0)) == Ended(dpb.DELIVERY_STATE_FAILED, 0)


def test_what_was_held_back_for_another_reason_waits_for_no_batch() -> None:
    first = again(decided(waiting())).pending
    after = again(decided(outcome(pb.RESULT_DEFERRED), first)).pending
    assert (after.gathering, after.gathered, after.batch_events_max) == (False, False, 0)


def test_what_failed_as_one_batch_is_due_at_one_moment() -> None:
    """Though each has another end, by a little: but for one batch in fifty, whose ends are around such a moment."""
    base_us = NOW - SECOND + TOGETHER_US // 2
    ends = [base_us + number for number in range(0, 5000, 50)]
    due = {
        again(decided(outcome(pb.RESULT_RETRYABLE, ended_at_us=ended, batch_events=100))).pending.due_at_us
        for ended in ends
    }
    assert len(due) == 1
    (moment,) = due
    assert 10 * SECOND <= moment - base_us <= 10 * SECOND + TOGETHER_US


def test_what_failed_in_a_batch_goes_with_those_that_are_due_with_it() -> None:
    after = again(decided(outcome(pb.RESULT_RETRYABLE, batch_events=40, batch_limit=20))).pending
    assert (after.gathered, after.gathering, after.batch_events_max, after.batch_limit) == (True, False, 40, 20)
    single = again(decided(outcome(pb.RESULT_RETRYABLE))).pending
    assert (single.gathered, single.batch_events_max) == (False, 0)


def test_an_event_that_cost_its_batch_the_worker_runs_alone() -> None:
    lost = outcome(pb.RESULT_RETRYABLE, error_type=pb.ERROR_TYPE_INTERNAL, batch_events=40)
    after = again(decided(lost)).pending
    assert (after.alone, after.gathered, after.retries_used) == (True, False, 0)


def test_jitter_spreads_batches_and_not_their_events() -> None:
    draws = iter(number / 1000 for number in range(1000))
    keys = [("acme", destination, number, 0) for destination in ("crm", "mail") for number in range(20)]
    rows = Rows(Standing(special=set(keys)), SCHEDULE, lambda: next(draws), Memory(), NOW)
    for destination, batch_events in (("crm", 20), ("mail", 0)):
        failed = [
            pb.Attempt(
                stream_sequence=number, attempt=1, result=pb.RESULT_RETRYABLE, error_type=pb.ERROR_TYPE_RETRY,
                ended_at_us=NOW - TOGETHER_US // 2, batch_events=batch_events, detail=pb.AttemptDetail(event=b"{}"),
            )
            for number in range(20)
        ]  # fmt: skip
        rows.add(Group("acme", pb.DestinationOutcomes(destination=destination), failed))
    column = DUE_COLUMNS.index("due_at_us")
    due = {one: {row[column] for key, row in rows.due.items() if key[1] == one} for one in ("crm", "mail")}
    assert (len(due["crm"]), len(due["mail"])) == (1, 20)
