"""A worker that was taken over may send any bytes. At most it ends itself, and it never speaks for other jobs."""

from __future__ import annotations

import asyncio
import json
import mmap
import struct
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from services.executor.runtime import wire
from services.executor.runtime.jobs import HostRequest, Job, LogLine, Outcome, UserError, WorkerExit
from services.executor.runtime.wire import Kind
from services.executor.runtime.worker_link import Worker

SENT = {11, 12, 13}
PID = 4711
KILLED = 9

NUMBERS = st.integers(-3, 6) | st.integers() | st.floats() | st.booleans()
TEXTS = st.text(max_size=8) | st.sampled_from(["error", "value", "logs", "kind", "name", "handlers", "lost"])
JSON = st.recursive(
    st.none() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
# What is nearly right finds more than what is not right at all.
ERRORS = st.fixed_dictionaries(
    dict.fromkeys(("kind", "name", "message", "stack"), TEXTS | JSON),
    optional={"status": NUMBERS, "network": st.booleans() | JSON, "line": NUMBERS, "column": NUMBERS},
)
LINES = st.lists(st.tuples(TEXTS | JSON, NUMBERS, TEXTS | JSON), max_size=2)
DETAILS = st.fixed_dictionaries(
    {}, optional={"error": ERRORS | JSON, "value": TEXTS | JSON, "logs": LINES | JSON, "results": JSON}
)
RECORDS = st.one_of(
    st.tuples(st.just(0), st.integers(0, 5), DETAILS | JSON),
    st.tuples(st.just(1), st.integers(0, 5), st.integers(), TEXTS, JSON),
    JSON,
)
SETTLED = st.lists(st.integers(0, 5) | JSON, max_size=6)
REPLIES = st.fixed_dictionaries({"settled": SETTLED, "records": st.lists(RECORDS, max_size=4)}) | JSON
READY = st.fixed_dictionaries({}, optional={"handlers": st.lists(TEXTS) | JSON, "error": ERRORS | JSON}) | JSON
LISTED = st.lists(st.integers(0, 5), max_size=3).map(lambda numbers: ",".join(map(str, numbers)).encode())


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


BATCH_REPLIES = st.builds(
    lambda first, count, unsettled: wire.BATCH_REPLY_HEADER.pack(first, count, 5, 5) + unsettled,
    st.integers(0, 5), st.integers(0, 4) | st.integers(0, 2**32 - 1), LISTED | st.binary(max_size=4),
)  # fmt: skip
FRAMES = st.one_of(
    st.tuples(st.sampled_from(list(Kind)) | st.integers(0, 255), st.binary(max_size=40)),
    st.tuples(st.sampled_from(list(Kind)), JSON.map(encoded)),
    st.tuples(st.just(Kind.REPLY), REPLIES.map(encoded)),
    st.tuples(st.just(Kind.READY), READY.map(encoded)),
    st.tuples(st.just(Kind.BATCH_REPLY), BATCH_REPLIES),
    st.tuples(st.just(Kind.EXIT), st.builds(wire.EXIT_HEADER.pack, st.integers(0, 5), st.integers(-2, 5),
                                           st.just(0), st.just(0))),
)  # fmt: skip


@dataclass
class Executor:
    """Notes all that a worker brings about."""

    outcomes: list[Outcome] = field(default_factory=list)
    requests: list[HostRequest] = field(default_factory=list)
    exits: list[WorkerExit] = field(default_factory=list)
    killed: list[int] = field(default_factory=list)

    def hears(self, stream: bytes, cuts: list[int]) -> None:
        """Have one worker with three jobs say this, in pieces, and then end."""
        worker = Worker(PID, mmap.mmap(-1, mmap.PAGESIZE), self.killed.append)
        worker.listen(self.outcomes.extend, self.requests.append, self.exits.append)
        worker.submit([Job(id_, "track", b"{}") for id_ in sorted(SENT)])
        for cut in [*cuts, len(stream)]:
            worker.protocol.data_received(stream[:cut])
            stream = stream[cut:]
        worker.closed()
        worker.ended(KILLED)
        worker.locked.exception()  # nobody waits for it here


def heard(stream: bytes, cuts: list[int]) -> Executor:
    async def run() -> Executor:
        executor = Executor()
        executor.hears(stream, cuts)
        return executor

    return asyncio.run(run())


def framed(frames: list[tuple[int, bytes]]) -> bytes:
    return b"".join(struct.pack("<IB", len(body), kind) + body for kind, body in frames)


def check(executor: Executor) -> None:
    ids = [outcome.id for outcome in executor.outcomes]
    assert len(ids) == len(set(ids)), "two outcomes of one job"
    assert set(ids) <= SENT
    assert {request.job_id for request in executor.requests} <= SENT
    assert set(executor.killed) <= {PID}
    (exit_,) = executor.exits
    assert set(exit_.unfinished) == SENT - set(ids)
    assert exit_.guilty is None or exit_.guilty in exit_.unfinished
    assert all(is_what_it_says(outcome) for outcome in executor.outcomes)
    assert all(type(request.request_id) is int and type(request.kind) is str for request in executor.requests)


def is_what_it_says(outcome: Outcome) -> bool:
    error, lines = outcome.error, outcome.logs
    assert error is None or (type(error) is UserError and type(error.message) is type(error.stack) is str)
    assert all(type(line) is LogLine and type(line.text) is str and type(line.time_ms) is int for line in lines)
    assert outcome.value is None or type(outcome.value) is bytes
    return type(outcome.wall_us) is type(outcome.cpu_us) is int


@given(st.lists(FRAMES, max_size=6), st.lists(st.integers(0, 60), max_size=4))
def test_no_frames_do_more_than_end_their_worker(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    check(heard(framed(frames), cuts))


@given(st.binary(max_size=200), st.lists(st.integers(0, 60), max_size=4))
def test_no_bytes_do_more_than_end_their_worker(stream: bytes, cuts: list[int]) -> None:
    check(heard(stream, cuts))


def test_a_worker_that_sends_nonsense_is_killed_and_not_heard_any_more() -> None:
    settled = encoded({"settled": [2, 1, 1], "records": []})
    executor = heard(framed([(Kind.REPLY, b"[]"), (Kind.REPLY, settled)]), [])
    assert executor.killed == [PID]
    assert executor.outcomes == []
    assert executor.exits[0].reason == "crashed"


def test_a_count_beyond_what_was_sent_costs_nothing() -> None:
    """A range of four thousand million events would keep the executor's loop for minutes."""
    executor = heard(framed([(Kind.BATCH_REPLY, wire.BATCH_REPLY_HEADER.pack(1, 2**32 - 1, 1, 1))]), [])
    assert executor.killed == [PID]
    assert sorted(executor.exits[0].unfinished) == sorted(SENT)


def test_what_is_told_of_an_event_before_its_end_is_part_of_its_outcome() -> None:
    records = [[0, 1, {"value": "1"}], [0, 2, {"value": "2"}], [0, 9, {"value": "9"}]]
    told = encoded({"settled": [], "records": records})
    ended = wire.BATCH_REPLY_HEADER.pack(1, 2, 5, 5) + b"2"
    executor = heard(framed([(Kind.REPLY, told), (Kind.BATCH_REPLY, ended)]), [])
    assert [(one.id, one.value) for one in executor.outcomes] == [(11, b"1")]
    assert executor.killed == []


def test_more_calls_than_an_attempt_may_make_end_their_worker() -> None:
    calls = [[1, 1, number, "abort", {"id": 1}] for number in range(101)]
    executor = heard(framed([(Kind.REPLY, encoded({"settled": [], "records": [one]})) for one in calls]), [])
    assert executor.killed == [PID]
    assert len(executor.requests) == 100


def test_a_worker_that_tells_without_end_of_events_that_do_not_end_is_killed() -> None:
    told = encoded({"settled": [], "records": [[0, 1, {"value": "x" * (8 << 20)}]]})
    assert heard(framed([(Kind.REPLY, told)] * 8), []).killed == [PID]


def test_deep_nesting_ends_its_worker() -> None:
    deep = b'{"settled":[],"records":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert heard(framed([(Kind.REPLY, deep)]), []).killed == [PID]


@pytest.mark.parametrize("settled", [[1, 2**32, 1], [1, 1, 2**32], [1, -1, 1], [1, 1, -1], [-1, 1, 1]])
def test_numbers_beyond_any_record_end_their_worker_and_no_job(settled: list[int]) -> None:
    executor = heard(framed([(Kind.REPLY, encoded({"settled": settled, "records": []}))]), [])
    assert executor.killed == [PID]
    assert executor.outcomes == []
    assert sorted(executor.exits[0].unfinished) == sorted(SENT)


def test_a_fault_of_ours_is_told_and_is_not_taken_for_nonsense_of_the_worker() -> None:
    class Faulty(Executor):
        def hears(self, stream: bytes, cuts: list[int]) -> None:
            self.outcomes = FaultyList()
            super().hears(stream, cuts)

    class FaultyList(list[Outcome]):
        def extend(self, _: Any) -> None:
            raise ValueError("a fault of ours")

    async def run() -> Executor:
        executor = Faulty()
        executor.hears(framed([(Kind.REPLY, encoded({"settled": [1, 1, 1], "records": []}))]), [])
        return executor

    with capture_logs() as logs:
        executor = asyncio.run(run())
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("worker_not_heard", "error")]
    assert executor.killed == [PID]
