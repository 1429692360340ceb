"""What an outcome means for its delivery."""

from __future__ import annotations

from dataclasses import dataclass, replace

from onward.delivery.v1 import delivery_service_pb2 as delivery_pb
from onward.executor.v1 import outcomes_pb2 as pb
from services.delivery.domain.schedule import (
    RETRY_OFFSETS_S,
    Random,
    Schedule,
    deferred_until,
    gathered_until,
    is_past,
    together,
)

# Workers that one event alone may cost.
LOSSES_MAX = 3

RETRY = 1
DEFERRED = 2

# Why a delivery failed whose retries are used up, or whose horizon passed; a term of the API.
EXHAUSTED = "exhausted"
# What is lost by our own fault is tried again by this, where the policy has no retries: LOSSES_MAX bounds it.
_AFTER_LOSS = Schedule(RETRY_OFFSETS_S[:3])
# Why a delivery that somebody ended was cancelled, as lists show it.
CANCELLED_REASON = "cancelled"

# The results that end a delivery, and the state in which they leave it.
ENDED_STATES: dict[int, int] = {
    pb.RESULT_DELIVERED: delivery_pb.DELIVERY_STATE_DELIVERED,
    pb.RESULT_FILTERED: delivery_pb.DELIVERY_STATE_FILTERED,
    pb.RESULT_FAILED: delivery_pb.DELIVERY_STATE_FAILED,
    pb.RESULT_SKIPPED: delivery_pb.DELIVERY_STATE_SKIPPED,
    pb.RESULT_CANCELLED: delivery_pb.DELIVERY_STATE_CANCELLED,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a decision needs to know of an attempt."""

    attempt: int
    retries_used: int
    result: int
    error_type: int
    received_at_us: int
    ended_at_us: int
    retry_after_ms: int = 0
    # Whether it brought the event along.
    has_event: bool = True
    # How many events were attempted together; 0 for one alone.
    batch_events: int = 0
    # Of one that was deferred to wait for its batch: the most events of one, and when it goes in any case.
    batch_events_max: int = 0
    batch_until_us: int = 0
    # The most events that it may be in a batch with from now on; 0 for no limit but the policy's.
    batch_limit: int = 0
    # Of one that was held back by its destination's policy or breaker: when the tracker looks at it again, which
    # itself knows how long to hold it; 0 for others.
    held_until_us: int = 0


@dataclass(frozen=True, slots=True)
class Pending:
    """A delivery that is to be tried again."""

    # The number that the next invocation bears.
    attempt: int
    retries_used: int
    reason: int
    due_at_us: int
    # When the first attempt ended; 0 while none was made.
    first_ended_at_us: int = 0
    # Times that it was held back since the last attempt.
    deferrals: int = 0
    # Workers that were lost while it ran alone.
    losses: int = 0
    alone: bool = False
    # Why the last attempt failed.
    error_type: int = pb.ERROR_TYPE_UNSPECIFIED
    # Of one that waits for others, or has: the most events of a batch.
    batch_events_max: int = 0
    # It goes with those that are due with it.
    gathered: bool = False
    batch_limit: int = 0
    # When a redrive took it up; 0 for others.
    reopened_at_us: int = 0
    # Somebody ended it while it was out.
    cancelled: bool = False

    @property
    def gathering(self) -> bool:
        """Whether it waits for others of its batch."""
        return self.batch_events_max > 0 and not self.gathered


@dataclass(frozen=True, slots=True)
class Ended:
    """The delivery ends with this attempt: its row is the terminal one."""

    state: int
    error_type: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Again:
    """The delivery goes on; `recorded` tells whether this outcome was an attempt."""

    pending: Pending
    recorded: bool


@dataclass(frozen=True, slots=True)
class Noted:
    """An attempt that changes nothing, since the delivery has ended or is further on."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """No attempt, and nothing to do."""


Step = Ended | Again | Noted | Ignored

NOTED = Noted()
IGNORED = Ignored()
_CANCELLED = Ended(delivery_pb.DELIVERY_STATE_CANCELLED, pb.ERROR_TYPE_UNSPECIFIED, CANCELLED_REASON)


def decide(
    outcome: Outcome, pending: Pending | None, schedule: Schedule, now_us: int, random: Random, *, ended: bool = False
) -> Step:
    """What follows from an outcome. `pending` is how the delivery stood before, `ended` that it was over."""
    stale = ended or (pending is not None and outcome.attempt < pending.attempt)
    if outcome.result == pb.RESULT_DEFERRED:
        if pending is not None and pending.cancelled and not stale:
            return _CANCELLED
        return IGNORED if stale else _deferred(outcome, pending, schedule, now_us, random)
    if outcome.result == pb.RESULT_LOST:
        return NOTED if stale or pending is None else _lost(outcome, pending)
    if stale and (ended or outcome.result != pb.RESULT_DELIVERED):
        return NOTED
    if pending is not None and pending.cancelled and outcome.result == pb.RESULT_RETRYABLE:
        return _CANCELLED
    state = ENDED_STATES.get(outcome.result)
    if state is not None:
        return Ended(state, outcome.error_type)
    return _retried(outcome, pending, schedule, now_us, random)


def _lost(outcome: Outcome, pending: Pending) -> Step:
    """The attempt's number is taken; another release of the same delivery must bear the next one."""
    return Again(replace(pending, attempt=outcome.attempt + 1), recorded=True)


def _retried(outcome: Outcome, pending: Pending | None, schedule: Schedule, now_us: int, random: Random) -> Step:
    before = pending or Pending(outcome.attempt, outcome.retries_used, RETRY, 0)
    # A clock that is ahead of ours must not move the horizon.
    first_ended_at_us = before.first_ended_at_us or min(outcome.ended_at_us, now_us)
    internal = outcome.error_type == pb.ERROR_TYPE_INTERNAL
    schedule = _schedule_after(outcome.error_type, schedule)
    losses = before.losses + (internal and before.alone)
    if losses >= LOSSES_MAX:
        return Ended(delivery_pb.DELIVERY_STATE_FAILED, pb.ERROR_TYPE_CRASHED)
    # A worker that was lost is our fault: it uses up no retry. LOSSES_MAX bounds how often that may happen.
    retry = min(outcome.retries_used, max(0, schedule.retries_max - 1)) if internal else outcome.retries_used
    due_at_us = schedule.retry_at(retry, first_ended_at_us, now_us, outcome.retry_after_ms, random)
    if not _has_event(outcome, pending):
        return Ended(delivery_pb.DELIVERY_STATE_FAILED, outcome.error_type)
    if due_at_us is None:
        return _exhausted(outcome.error_type)
    alone = before.alone or internal
    batch_events = 0 if alone else outcome.batch_events
    following = Pending(
        attempt=outcome.attempt + 1,
        retries_used=outcome.retries_used + (not internal),
        reason=RETRY,
        due_at_us=together(due_at_us, first_ended_at_us + schedule.horizon_us) if batch_events else due_at_us,
        first_ended_at_us=first_ended_at_us,
        losses=losses,
        alone=alone,
        error_type=outcome.error_type,
        batch_events_max=batch_events,
        gathered=batch_events > 0,
        batch_limit=outcome.batch_limit,
    )
    return Again(following, recorded=True)


def _deferred(outcome: Outcome, pending: Pending | None, schedule: Schedule, now_us: int, random: Random) -> Step:
    before = pending or Pending(outcome.attempt, outcome.retries_used, DEFERRED, 0)
    if outcome.batch_events_max and _has_event(outcome, pending):
        return Again(_gathering(outcome, before, now_us), recorded=False)
    error_type = before.error_type or outcome.error_type
    if not _has_event(outcome, pending):
        return Ended(delivery_pb.DELIVERY_STATE_FAILED, error_type)
    if _expired(outcome, before, schedule, now_us):
        return _exhausted(error_type)
    following = replace(
        before,
        attempt=outcome.attempt,
        retries_used=outcome.retries_used,
        reason=DEFERRED,
        deferrals=before.deferrals + 1,
        due_at_us=outcome.held_until_us or deferred_until(before.deferrals + 1, now_us, random),
        batch_events_max=0,
        gathered=False,
        batch_limit=outcome.batch_limit,
    )
    return Again(following, recorded=False)


def first_deferral(held_until_us: int, batch_until_us: int | None, now_us: int, random: Random) -> int:
    """When a delivery is due that was held back before anything else became of it.

    It is what `decide` says of one that has its event, and is not past the horizon. `batch_until_us` is of one that
    waits for others.
    """
    if batch_until_us is not None:
        return gathered_until(batch_until_us, now_us)
    return held_until_us or deferred_until(1, now_us, random)


def _gathering(outcome: Outcome, before: Pending, now_us: int) -> Pending:
    """Wait for others of its batch: no longer than the policy says, so no horizon matters."""
    return replace(
        before,
        attempt=outcome.attempt,
        retries_used=outcome.retries_used,
        reason=DEFERRED,
        # Each release needs another number.
        deferrals=before.deferrals + 1,
        due_at_us=gathered_until(outcome.batch_until_us, now_us),
        batch_events_max=outcome.batch_events_max,
        gathered=False,
        batch_limit=outcome.batch_limit,
    )


def _schedule_after(error_type: int, schedule: Schedule) -> Schedule:
    return _AFTER_LOSS if error_type == pb.ERROR_TYPE_INTERNAL and not schedule.offsets_s else schedule


def _exhausted(error_type: int) -> Ended:
    return Ended(delivery_pb.DELIVERY_STATE_FAILED, error_type, EXHAUSTED)


def _expired(outcome: Outcome, before: Pending, schedule: Schedule, now_us: int) -> bool:
    schedule = _schedule_after(before.error_type, schedule)
    if before.first_ended_at_us:
        return now_us >= before.first_ended_at_us + schedule.horizon_us
    return is_past(max(outcome.received_at_us, before.reopened_at_us), now_us)


def _has_event(outcome: Outcome, pending: Pending | None) -> bool:
    """What is not known can't run again; a row that is pending already has its event."""
    return outcome.has_event or pending is not None
