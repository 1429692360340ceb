"""What the loss of a worker, or a batch's outcome, means for each event. given(begun).when(...).then(...)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest

from kit.bus.connection import Bus
from kit.bus.message import Message
from kit.clock import FakeClock
from onward.executor.v1 import outcomes_pb2 as pb
from services.executor.consumers.floods import Floods
from services.executor.consumers.tickets import YOUNG_MIN, Tickets
from services.executor.domain.errors import Verdict
from services.executor.domain.gathering import Batching, Gathering
from services.executor.handlers.batch_attempts import BatchAttempts
from services.executor.handlers.batching import Batcher, taken_back
from services.executor.handlers.generations import Blame, Generation, blamed
from services.executor.handlers.resolve import Program
from services.executor.handlers.settle import OutcomeLog
from services.executor.handlers.work import Batch, Begun, Item, Run, Ticket
from services.executor.projections import Route
from services.executor.runtime.jobs import LogLine
from services.executor.runtime.pool import Limits, Outcome, UserError, WorkerExit
from services.executor.runtime.redaction import Redactor

PROGRAM = Program(
    destination="crm", version=3, settings_revision=7, code="", settings=b"{}", limits=Limits(), redactor=Redactor([]),
    retry_only_explicit=False, fail_on_http_error=False, filter_revision=5,
)  # fmt: skip
OK = Outcome(1, True, 1000, 500, [], None, None)


def item(index: int, **fields: Any) -> Item:
    made = Item(
        ticket=Ticket(("s", index), cast(Any, None), 0.0),
        route=Route("acme", "crm", "CRM", "web", "f", 3, enabled=True),
        sequence=index, index=0, attempt=1, retries_used=0, message_id=f"m{index}", type="track", name="Order",
        payload=orjson.dumps({"n": index}), received_at_us=0, queued_at=0.0,
    )  # fmt: skip
    return replace(made, **fields)


def batch(count: int, first: int = 0, *, sent: bool = False) -> Batch:
    made = Batch([item(index) for index in range(first, first + count)])
    if sent:
        made.exchanges.append(cast(Any, object()))
    return made


class Given:
    """given(what was in the worker).when(how it ended).then(which events run again in what company, which end how)."""

    def __init__(self, *begun: Begun) -> None:
        self._in_flight = dict(enumerate(begun, 1))
        self.blame = Blame()

    def when(self, reason: str, guilty: int | None) -> Given:
        self.blame = blamed(self._in_flight, WorkerExit(reason, guilty, list(self._in_flight), set()))
        return self

    def then(self, *again: tuple[str, int, bool], lost: list[tuple[Begun, str]] | None = None) -> None:
        assert [(one.message_id, one.batch_max, one.alone) for one in self.blame.again] == list(again)
        assert [(begun, loss.reason) for begun, loss in self.blame.lost] == (lost or [])


given = Given


@pytest.mark.parametrize("reason", ["timeout", "out_of_memory", "crashed"])
def test_a_guilty_batch_that_sent_nothing_runs_again_in_halves(reason: str) -> None:
    given(batch(4)).when(reason, 1).then(("m0", 2, False), ("m1", 2, False), ("m2", 2, False), ("m3", 2, False))
    given(batch(3)).when(reason, 1).then(("m0", 1, False), ("m1", 1, False), ("m2", 1, False))


def test_a_guilty_batch_that_sent_requests_ends() -> None:
    guilty = batch(4, sent=True)
    given(guilty).when("timeout", 1).then(lost=[(guilty, "timeout")])


def test_the_only_one_in_a_worker_is_guilty_though_nobody_saw_it() -> None:
    given(batch(2)).when("lost", None).then(("m0", 1, False), ("m1", 1, False))


def test_bystanders_of_a_guilty_batch_run_again_as_they_were() -> None:
    steps = given(batch(2), batch(2, 2), item(9)).when("timeout", 1)
    steps.then(("m0", 1, False), ("m1", 1, False), ("m2", 0, False), ("m3", 0, False), ("m9", 0, False))
    assert all(one.gathered for one in steps.blame.again[:4])


def test_bystanders_that_sent_requests_end_as_lost() -> None:
    sent = batch(2, 2, sent=True)
    given(batch(2), sent).when("timeout", 1).then(("m0", 1, False), ("m1", 1, False), lost=[(sent, "lost")])


def test_where_nobody_is_known_to_be_guilty_batches_are_halved_and_single_events_run_alone() -> None:
    given(batch(4), item(9)).when("crashed", None).then(
        ("m0", 2, False), ("m1", 2, False), ("m2", 2, False), ("m3", 2, False), ("m9", 0, True)
    )


class Recorded:
    """Keeps what is recorded."""

    def __init__(self) -> None:
        self.all: list[tuple[Item, Verdict, Run, pb.AttemptDetail | None, dict[str, Any]]] = []

    def record(self, one: Item, verdict: Verdict, run: Run, detail: Any = None, **fields: Any) -> None:
        self.all.append((one, verdict, run, detail, fields))


def settled(outcome: Outcome, program: Program = PROGRAM, count: int = 3) -> tuple[Recorded, list[Item]]:
    log = Recorded()
    attempts = BatchAttempts("crm", cast(OutcomeLog, log), FakeClock())
    return log, attempts.settle(program, batch(count), outcome)


def test_a_batch_that_returned_nothing_is_delivered_without_details() -> None:
    log, again = settled(OK)
    assert [(verdict.result, detail) for _, verdict, _, detail, _ in log.all] == [(pb.RESULT_DELIVERED, None)] * 3
    assert {run for _, _, run, _, _ in log.all} == {Run(3, 7, 333, 166, 5, 3)}
    assert again == []


@pytest.mark.parametrize("outcome", [replace(OK, unshaped=True), replace(OK, results=[(200, "")])])
def test_a_return_of_another_shape_or_length_records_nothing_and_gives_the_events_back(outcome: Outcome) -> None:
    log, again = settled(outcome)
    assert log.all == []
    assert [(one.message_id, one.batch_max, one.unshaped, one.single) for one in again] == [
        ("m0", 1, 3, True), ("m1", 1, 3, True), ("m2", 1, 3, True),
    ]  # fmt: skip


def test_events_that_are_run_singly_are_as_they_came() -> None:
    """Filters may be gone by the time of the next program, which would leave them cut."""
    begun = batch(2)
    for one in begun.items:
        one.filtered = b'{"cut": "by a filter"}'
    attempts = BatchAttempts("crm", cast(OutcomeLog, Recorded()), FakeClock())
    assert [one.event for one in attempts.settle(PROGRAM, begun, replace(OK, unshaped=True))] == [
        b'{"n":0}',
        b'{"n":1}',
    ]


@pytest.mark.parametrize(
    ("explicit", "results"),
    [
        (False, [pb.RESULT_DELIVERED, pb.RESULT_RETRYABLE, pb.RESULT_FAILED]),
        (True, [pb.RESULT_DELIVERED, pb.RESULT_FAILED, pb.RESULT_FAILED]),
    ],
)
def test_a_result_is_judged_as_an_error_with_its_status(explicit: bool, results: list[int]) -> None:
    outcome = replace(OK, results=[(201, "x"), (500, ""), (422, "no address")])
    log, _ = settled(outcome, replace(PROGRAM, retry_only_explicit=explicit))
    assert [verdict.result for _, verdict, _, _, _ in log.all] == results
    delivered, busy, refused = (detail for _, _, _, detail, _ in log.all)
    assert delivered is None
    assert busy is not None
    assert refused is not None
    assert (busy.http_status, busy.error_message) == (500, "onBatch gave this event the status 500")
    assert (refused.error_name, refused.error_message) == ("HttpError", "no address")
    assert orjson.loads(refused.event) == {"n": 2}


def test_results_win_over_a_policy_about_answers() -> None:
    outcome = replace(OK, results=[(200, "")] * 3)
    log, _ = settled(outcome, replace(PROGRAM, fail_on_http_error=True))
    assert {verdict.result for _, verdict, _, _, _ in log.all} == {pb.RESULT_DELIVERED}


def test_a_secret_in_a_result_is_masked() -> None:
    """G1."""
    program = replace(PROGRAM, redactor=Redactor(["canary-secret-1"]))
    log, _ = settled(replace(OK, results=[(400, "refused canary-secret-1")] * 3), program)
    details = [detail for _, _, _, detail, _ in log.all if detail is not None]
    assert [detail.error_message for detail in details] == ["refused [redacted]"] * 3


def test_events_of_a_batch_that_timed_out_come_into_half_as_large_ones() -> None:
    error = UserError("Timeout", "Timeout", "too long", "")
    log, _ = settled(replace(OK, ok=False, error=error), count=5)
    told = [(one.batch_max, verdict.error_type) for one, verdict, _, _, _ in log.all]
    assert told == [(2, pb.ERROR_TYPE_TIMEOUT)] * 5


def test_a_fault_of_ours_leaves_no_event_without_an_outcome() -> None:
    outcome = replace(OK, results=[(400, "x")] * 3, logs=[LogLine("log", 0, "x")], value=b"{")
    log, _ = settled(outcome, replace(PROGRAM, redactor=cast(Any, None)))
    told = [(verdict.result, detail is not None) for _, verdict, _, detail, _ in log.all]
    assert told == [(pb.RESULT_RETRYABLE, True)] * 3


def test_a_batch_with_numbers_that_can_not_be_recorded_leaves_no_event_without_an_outcome() -> None:
    log = OutcomeLog(cast(Any, None), cast(Any, None), FakeClock())
    BatchAttempts("crm", log, FakeClock()).settle(PROGRAM, batch(3), replace(OK, wall_us=2**40))
    (stored,) = log._open.values()
    attempts = [one for group in stored.message.destinations for one in group.attempts]
    assert [(one.result, one.batch_events) for one in attempts] == [(pb.RESULT_RETRYABLE, 3)] * 3
    assert len(stored.tickets) == 3


def test_the_same_events_in_the_same_order_have_the_same_key() -> None:
    assert batch(3).delivery == batch(3).delivery
    assert len({batch(3).delivery, batch(2).delivery, batch(3, 1).delivery, Batch(batch(3).items[::-1]).delivery}) == 4


def _message(number: int) -> Message:
    return Message.build("events.acme.web", b"", stream_seq=number + 1)


async def test_events_that_wait_for_their_batch_keep_no_others_from_being_taken() -> None:
    tickets = Tickets(cast(Bus, None), FakeClock(), Floods(FakeClock()))
    taken = [tickets.take(_message(number), "s") for number in range(YOUNG_MIN)]
    tickets.handed_out([])
    assert not tickets.has_room("s")
    for ticket in taken[:2]:
        assert ticket is not None
        ticket.wait()
        ticket.wait()
    assert tickets.has_room("s")
    tickets.take(_message(YOUNG_MIN), "s")
    tickets.take(_message(YOUNG_MIN + 1), "s")
    tickets.handed_out([])
    assert not tickets.has_room("s")


LEAVES: dict[str, Callable[[Batcher, Generation], object]] = {
    "begun": lambda batcher, generation: batcher.begin(generation, 4),
    "put off": lambda batcher, generation: batcher.put_off(generation),
    "taken back": lambda batcher, generation: taken_back(generation),
}


@pytest.mark.parametrize("leaves", LEAVES)
async def test_what_is_gathered_no_more_counts_like_all_else(leaves: str) -> None:
    """Or a stream whose outcomes are not stored would be taken without an end."""
    clock = FakeClock()
    tickets = Tickets(cast(Bus, None), clock, Floods(clock))
    log = OutcomeLog(cast(Any, None), cast(Any, None), clock)
    batcher = Batcher(cast(Any, SimpleNamespace(clock=clock, outcomes=log)))
    generation = Generation(PROGRAM, gathering=Gathering(Batching(YOUNG_MIN * 4, wait_s=60)))
    assert generation.gathering is not None
    for number in range(YOUNG_MIN):
        ticket = tickets.take(_message(number), "s")
        assert ticket is not None
        # Two deliveries of each event.
        ticket.remaining = 2
        for _ in range(2):
            received_at_us = int(clock.now().timestamp() * 1e6)
            batcher.add(generation.gathering, item(number, ticket=ticket, received_at_us=received_at_us))
    tickets.handed_out([])
    assert tickets.has_room("s")
    clock.advance(1)
    LEAVES[leaves](batcher, generation)
    assert not generation.gathering
    assert not tickets.has_room("s")
