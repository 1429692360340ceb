"""One worker as the executor sees it: jobs out; outcomes, host requests and in the end one exit in."""

from __future__ import annotations

import asyncio
import mmap
import os
import re
import signal
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar, cast

import orjson
import structlog

from services.executor.runtime import wire
from services.executor.runtime.jobs import (
    CheckResult,
    CodeError,
    HostRequest,
    Job,
    Limits,
    LoadLostError,
    LogLine,
    Outcome,
    UserError,
    WorkerExit,
    batch_text,
    detailed,
    is_of,
    loads,
)
from services.executor.runtime.journal import lines_by_seq
from services.executor.runtime.recycling import Recycling
from services.executor.runtime.script_errors import code_error
from services.executor.runtime.watchdog import LOOK_S, waited_s, watch
from services.executor.runtime.wire import Kind

# How much longer than its limits allow a worker may take to load or read a script, to answer, or to end. Attempts are
# watched more closely: watchdog.py.
_GRACE_S: Final = 1.0
# For so long a worker may wait for a CPU while it loads, before it counts as one that hangs.
_STARVED_S_MAX: Final = 60.0
# Some forty system calls, of which each is refused at once.
_PROBE_S: Final = 5.0
# How long to wait for the exit status after the socket has closed.
_STATUS_TIMEOUT_S: Final = 2.0
_WHOLE_BATCH: Final = -1
# What comes of reading a frame that no worker of ours sends.
_MALFORMED: Final = (
    wire.FrameTooLargeError, struct.error, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError,
)  # fmt: skip
# Ends of a worker that say nothing of the script that it was loading.
_NOT_THE_SCRIPT: Final = frozenset({"lost", "killed", "stopped"})
# A script that names none of these does nothing that has to be told apart between the events of a batch.
_ATTRIBUTED: Final = re.compile(
    r"console|fetch|setTimeout|setInterval|setImmediate|cache|AWS|OAuth|Abort|crypto|eval|Function|constructor"
    r"|globalThis|\bthis\b|import|\\u"
)
# The kind of error that failure.js says of what waited too long; it does not know how long that is.
_TIMEOUT: Final = "Timeout"
_CELL: Final = struct.Struct("<i")
# Requests of an attempt, each of which may be aborted; requests.js stops there as well.
_CALLS_MAX: Final = 100
# So much of answers goes into one frame, and one answer at least.
_ANSWERS_BYTES: Final = 256 << 10
# The details of a whole batch may come before the word that it has ended.
_KEPT_BYTES_MAX: Final = 64 << 20
# Sequence numbers and times of other frames, and of the outcomes that are stored, have as many bits.
_U32_MAX: Final = 2**32 - 1

log = structlog.get_logger(__name__)
T = TypeVar("T")


class _UnheardError(Exception):
    """What a worker said was understood, and its owner failed over it."""


@dataclass(slots=True)
class _Callbacks:
    outcomes: Callable[[list[Outcome]], None]
    request: Callable[[HostRequest], None]
    exit: Callable[[WorkerExit], None]


@dataclass(slots=True)
class _Ending:
    reason: str | None = None
    guilty: int | None = None
    used_us: tuple[int, int] | None = None  # wall and CPU time of the guilty
    closed: bool = False
    status_known: bool = False
    signal: str | None = None
    reported: bool = False
    event: asyncio.Event = field(default_factory=asyncio.Event)


class _Protocol(asyncio.Protocol):
    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._reader = wire.FrameReader(wire.FROM_WORKER_BYTES_MAX)
        self._distrusted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio's.
        self._worker.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._distrusted:
            return
        try:
            for kind, body in self._reader.feed(data):
                self._worker.received(kind, body)
        except (*_MALFORMED, _UnheardError):
            # A compromised worker may send anything. It is being killed: what else it says is of no interest. After a
            # fault of ours it is the only way to let the owner know that what it had given has not ended.
            self._distrusted = True
            self._worker.fail()

    def connection_lost(self, exc: Exception | None) -> None:
        self._worker.closed()


class Worker:
    """Made by Zygote.fork. Callbacks run on the event loop, synchronously."""

    def __init__(self, pid: int, cell: mmap.mmap, kill: Callable[[int], None]) -> None:
        self.pid = pid
        self.handlers: list[str] = []
        self.transport: asyncio.Transport | None = None
        self.protocol = _Protocol(self)
        loop = asyncio.get_running_loop()
        self.locked: asyncio.Future[list[str]] = loop.create_future()
        self._loaded: asyncio.Future[dict[str, Any]] = loop.create_future()
        self._checked: asyncio.Future[Any] = loop.create_future()
        self._probed: asyncio.Future[Any] = loop.create_future()
        self._heap_asked: list[asyncio.Future[int]] = []
        self._loop = loop
        self._cell = cell
        self._kill = kill
        self._callbacks: _Callbacks | None = None
        self._limits = Limits()
        self._one_by_one = True
        self._jobs: dict[int, Job] = {}
        self._sent_requests: set[int] = set()
        # By sequence number: what was told of jobs that have not ended yet, and how many calls each has made.
        self._details: dict[int, dict[str, Any]] = {}
        self._kept_bytes = 0
        self._calls: dict[int, int] = {}
        self._answers: list[bytes] = []
        self._answers_bytes = 0
        self._next_seq = 1
        self._progress_s = self._outcome_s = time.monotonic()
        self._watchdog = watch(pid, cell, self._limits)
        # Once a script is loaded.
        self._recycling: Recycling | None = None
        self._ending = _Ending()

    # ---- what the executor does ----------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Jobs submitted that have not ended."""
        return len(self._jobs)

    @property
    def alive(self) -> bool:
        """Whether jobs may still be submitted."""
        return not self._ending.closed and self._ending.reason is None

    def submit(self, jobs: Sequence[Job], *, alone: bool = False) -> None:
        """Send jobs as one frame. `alone` starts each in a turn of its own, whatever the script mentions."""
        if not jobs:
            return
        if not self._jobs:
            self._progress_s = self._outcome_s = time.monotonic()
            self._watchdog.begin()
        first, count = self._next_seq, len(jobs)
        self._next_seq += count
        for seq, job in enumerate(jobs, first):
            self._jobs[seq] = job
        if self._recycling is not None:
            self._recycling.took(count)
        header = wire.BATCH_HEADER.pack(first, count, self._one_by_one or alone)
        self._write(Kind.BATCH, header, batch_text(first, jobs))

    def answer(self, request_id: int, *, result: Any = None, error: dict[str, Any] | None = None) -> None:
        """Resolve a host request with JSON-able `result`, or reject it with {code, type, message}."""
        value = result if error is None else error
        if not self._answers:
            # Together with those that are found in this turn of the loop: each frame costs both sides as much.
            self._loop.call_soon(self._send_answers)
        self._answers.append(orjson.dumps([request_id, error is None, value]))
        self._answers_bytes += len(self._answers[-1])
        if self._answers_bytes > _ANSWERS_BYTES:
            self._send_answers()

    def _send_answers(self) -> None:
        answers, self._answers, self._answers_bytes = self._answers, [], 0
        if answers:
            self._write(Kind.ANSWERS, b"[", b",".join(answers), b"]")

    async def heap_used(self) -> int:
        """Bytes of V8's heap in use, garbage included, once nothing runs there.

        Raises ConnectionError where the worker ends first, and TimeoutError.
        """
        if self._ending.closed:
            raise ConnectionError("the worker has ended")
        answer: asyncio.Future[int] = self._loop.create_future()
        self._heap_asked.append(answer)
        self._write(Kind.HEAP)
        async with asyncio.timeout(self._limits.wall_ms / 1000 + _GRACE_S):
            return await answer

    def computing(self) -> bool:
        """Whether a handler runs at this moment; one that waits for an answer or a timer does not."""
        return self.alive and _CELL.unpack_from(self._cell)[0] != 0

    def trim(self) -> None:
        """Have it give back memory that it does not need; what is sent next waits for that, some milliseconds."""
        if self.alive and not self._jobs:
            self._write(Kind.TRIM)

    async def stop(self) -> None:
        """Ask the worker to end, and wait until it has."""
        if self.alive:
            self._ending.reason = "stopped"
            self._write(Kind.STOP)
        try:
            async with asyncio.timeout(_GRACE_S):
                await self._ending.event.wait()
        except TimeoutError:
            self._kill(self.pid)
            await self._ending.event.wait()

    def kill(self) -> None:
        """End it at once."""
        self._end("killed")

    # ---- what the zygote does ------------------------------------------------------------------------------------

    def listen(
        self,
        on_outcomes: Callable[[list[Outcome]], None],
        on_request: Callable[[HostRequest], None],
        on_exit: Callable[[WorkerExit], None],
    ) -> None:
        """Give a spare worker its owner."""
        self._callbacks = _Callbacks(on_outcomes, on_request, on_exit)

    def prepare(self, names: Sequence[str]) -> None:
        """Have it evaluate libraries, once, before the script, which must name all of them."""
        self._write(Kind.PREPARE, orjson.dumps(names))

    async def check(self, code: str, setting_names: Sequence[str], limits: Limits) -> Any:
        """What check.js says of a script, before it is loaded: JSON of whatever shape a worker may send.

        One at a time. Raises ConnectionError where the worker ended over it, or answered before, and TimeoutError.
        """
        if self._checked.done():
            raise ConnectionError("the worker that was to read it says things that nobody asked for")
        header = wire.CHECK_HEADER.pack(limits.wall_ms, limits.cpu_ms, limits.heap_bytes, limits.buffers_bytes)
        text = code.encode("utf-8", "surrogatepass")
        self._write(Kind.CHECK, header, orjson.dumps(list(setting_names)), b"\n", text)
        async with asyncio.timeout(limits.wall_ms / 1000 + _GRACE_S):
            found = await self._checked
        self._checked = self._loop.create_future()
        return found

    async def load(self, code: str, settings: bytes, limits: Limits) -> None:
        """Send the script, wait for its handlers.

        Raises CodeError; ConnectionError where the worker was lost, and LoadLostError where the script was its end.
        """
        self._limits = limits
        self._watchdog = watch(self.pid, self._cell, limits)
        self._one_by_one = _ATTRIBUTED.search(code) is not None
        header = wire.LOAD_HEADER.pack(
            limits.wall_ms, limits.cpu_ms, limits.heap_bytes, limits.buffers_bytes, len(settings)
        )
        self._write(Kind.LOAD, header, settings, code.encode("utf-8", "surrogatepass"))
        result = await self._load_result(limits.wall_ms / 1000 + _GRACE_S)
        if "lost" in result:
            raise ConnectionError(f"a worker was lost while it loaded a script: {result['lost']}")
        if "ended" in result:
            raise LoadLostError(f"the script's top level ended the worker: {result['ended']}")
        if (error := result.get("error")) is not None:
            raise code_error(code, error)
        self.handlers = result["handlers"]
        self._recycling = Recycling(self.pid, limits)
        self._watchdog.begin()

    async def _load_result(self, allowed_s: float) -> dict[str, Any]:
        """As watchdog.py: the time in which it waited for a CPU does not count, and one look is never enough.

        Where the executor itself was held up, the answer is there and only has to be read.
        """
        began_s, waited_before_s = time.monotonic(), waited_s(self.pid)
        late = False
        while True:
            taken_s = time.monotonic() - began_s
            left_s = allowed_s - taken_s + min(waited_s(self.pid) - waited_before_s, _STARVED_S_MAX)
            if left_s <= 0 and late:
                raise LoadLostError("the script does not end: its top level ran into the time limit")
            late = left_s <= 0
            done, _ = await asyncio.wait([self._loaded], timeout=max(left_s, LOOK_S))
            if done:
                return self._loaded.result()

    async def probe(self, request: bytes) -> Any:
        """What came of the probes of probes.py, before a script is loaded; JSON of whatever shape a worker may send.

        Once. Raises ConnectionError where the worker ended over it, and TimeoutError.
        """
        self._write(Kind.PROBE, request)
        async with asyncio.timeout(_PROBE_S):
            return await self._probed

    @property
    def end_signal(self) -> str | None:
        """What has ended the process, SIGSYS for one; None while it lives, or where it ended by itself."""
        return self._ending.signal

    @property
    def spent(self) -> str | None:
        """Why a new worker should take its place, once what runs has ended."""
        return self._recycling.due if self._recycling is not None else None

    def enforce_deadline(self, now: float) -> None:
        """Kill a worker that has jobs and no longer minds their limits."""
        if self._jobs and self._watchdog.overdue(now, len(self._jobs), self._outcome_s):
            self._end("timeout")

    def look_closer(self) -> None:
        """From time to time: measure what it uses, and kill it where something runs though nobody gave it anything."""
        if self._recycling is None:
            return
        if self._jobs:
            self._recycling.measure()
        elif self._watchdog.runs_idle():
            self._end("timeout")

    def ended(self, status: int | None) -> None:
        """The process is gone; `status` as waitpid gives it, None when the zygote went first."""
        ending = self._ending
        ending.status_known = True
        if status is not None and os.WIFSIGNALED(status):
            ending.signal = signal.Signals(os.WTERMSIG(status)).name
        if self.transport is None:
            ending.closed = True
        if status is None and self.transport is not None:
            self.transport.abort()
        self._report_exit()

    # ---- frames --------------------------------------------------------------------------------------------------

    def received(self, kind: int, body: bytes) -> None:
        """One frame from the worker."""
        self._progress_s = time.monotonic()
        if kind == Kind.BATCH_REPLY:
            self._batch_reply(body)
        elif kind == Kind.REPLY:
            reply = loads(body)
            settled = [_u32(number) for number in reply["settled"]]
            self._take_records(reply["records"], len(body))
            self._report(settled)
        elif kind == Kind.EXIT:
            index, guilty, *used_us = wire.EXIT_HEADER.unpack(body)
            self._ending.reason, self._ending.guilty = wire.EXIT_REASONS[index], guilty
            self._ending.used_us = used_us[0], used_us[1]
        elif kind == Kind.HEAP_USED:
            self._answer_heap(wire.HEAP_USED_BODY.unpack(body)[0])
        elif kind == Kind.LOCKED and not self.locked.done():
            self.locked.set_result([is_of(str, degradation) for degradation in is_of(list, loads(body))])
        elif kind == Kind.CHECKED and not self._checked.done():
            self._checked.set_result(loads(body))
        elif kind == Kind.FILLED and self._recycling is not None:
            self._recycling.filled = True
        elif kind == Kind.PROBED and not self._probed.done():
            self._probed.set_result(loads(body))
        elif kind == Kind.READY and not self._loaded.done():
            self._loaded.set_result(_loaded(loads(body)))

    def _batch_reply(self, body: bytes) -> None:
        first, count, wall_us, cpu_us = wire.BATCH_REPLY_HEADER.unpack_from(body)
        if first + count > self._next_seq:
            raise ValueError("events that were never submitted")  # and perhaps four thousand million of them
        if count > len(self._jobs):
            raise ValueError(f"a worker told of {count} events, but had {len(self._jobs)}")
        waiting = set(_numbers(body[wire.BATCH_REPLY_HEADER.size :]))
        ended: Iterable[int] = range(first, first + count)
        if waiting:
            ended = [seq for seq in ended if seq not in waiting]
        self._report(None, ended, wall_us, cpu_us)

    def _answer_heap(self, used_bytes: int) -> None:
        """Every question is answered, in their order; nobody may wait for one any more."""
        answer = self._heap_asked.pop(0)
        if not answer.done():
            answer.set_result(used_bytes)

    def _take_records(self, records: list[list[Any]], size: int) -> None:
        """Pass on requests, and keep what is told of events that are about to end."""
        self._kept_bytes = self._kept_bytes + size if self._details else size
        if self._kept_bytes > _KEPT_BYTES_MAX:
            raise ValueError("a worker tells more and more of events, and ends none")
        for record in records:
            type_, seq, *rest = record
            job = self._jobs.get(is_of(int, seq))
            if type_ == 0:
                detail = is_of(dict, *rest)
                if job is not None:
                    self._details[seq] = detail
                continue
            request_id, kind, payload = rest
            request = is_of(int, request_id), is_of(str, kind), payload
            if job is not None and self._callbacks is not None:
                self._count_call(seq)
                self._sent_requests.add(job.id)
                self._tell(self._callbacks.request, HostRequest(job.id, *request))

    def _count_call(self, seq: int) -> None:
        self._calls[seq] = self._calls.get(seq, 0) + 1
        if self._calls[seq] > _CALLS_MAX:
            raise ValueError("more requests than an attempt may make")

    def _report(
        self,
        settled: list[int] | None,
        seqs: Iterable[int] = (),
        wall_us: int = 0,
        cpu_us: int = 0,
    ) -> None:
        ended: dict[int, Outcome] = {}
        known = self._jobs.get
        timed: Iterable[tuple[int, int, int]] = ((seq, wall_us, cpu_us) for seq in seqs)
        if settled is not None:
            timed = zip(settled[::3], settled[1::3], settled[2::3], strict=True)
        for seq, wall, cpu in timed:
            job = known(seq)
            if job is None:
                continue
            detail = self._details.get(seq)
            if detail is None:
                ended[seq] = Outcome(job.id, True, wall, cpu, [], None, None)
            else:
                ended[seq] = outcome = detailed(job.id, wall, cpu, detail)
                if outcome.error is not None and outcome.error.kind == _TIMEOUT:
                    outcome.error = replace(outcome.error, message=self._limits.overtime)
        # Not before all of it was understood: what a worker leaves behind that sends nonsense has not ended.
        for seq in ended:
            del self._jobs[seq]
            self._details.pop(seq, None)
            self._calls.pop(seq, None)
        outcomes = list(ended.values())
        if outcomes:
            self._outcome_s = self._progress_s
        if outcomes and self._callbacks is not None:
            self._tell(self._callbacks.outcomes, outcomes)

    def _tell(self, callback: Callable[[T], None], what: T) -> None:
        try:
            callback(what)
        except Exception as error:
            log.exception("worker_not_heard", pid=self.pid)
            raise _UnheardError from error

    def _write(self, kind: Kind, *parts: bytes) -> None:
        if self.transport is not None and not self._ending.closed:
            self.transport.write(wire.frame(kind, *parts))

    # ---- the end -------------------------------------------------------------------------------------------------

    def _end(self, reason: str) -> None:
        if self._ending.reason is None:
            self._ending.reason = reason
        self._kill(self.pid)

    def fail(self) -> None:
        """It sent what no worker of ours sends."""
        self._end("crashed")

    def closed(self) -> None:
        """Its socket has closed; the exit status may still be on its way."""
        if self._ending.used_us is None:  # since it was heard of: of whoever ran then
            self._ending.used_us = min(round((time.monotonic() - self._progress_s) * 1e6), _U32_MAX), 0
        self._ending.closed = True
        if not self._ending.status_known:
            self._loop.call_later(_STATUS_TIMEOUT_S, self._status_missing)
        self._report_exit()

    def _status_missing(self) -> None:
        self._ending.status_known = True
        self._report_exit()

    def _report_exit(self) -> None:
        ending = self._ending
        if ending.reported or not (ending.closed and ending.status_known):
            return
        ending.reported = True
        exit_ = self._verdict()
        self._cell.close()
        self._release_waiters(exit_)
        self._jobs.clear()
        ending.event.set()
        if self._callbacks is not None:
            self._callbacks.exit(exit_)

    def _verdict(self) -> WorkerExit:
        ending = self._ending
        reason = ending.reason or _reason_of(ending.signal)
        seq = ending.guilty if ending.guilty is not None else _CELL.unpack_from(self._cell)[0]
        job = self._jobs.get(seq) if seq != _WHOLE_BATCH else None
        blamed = job.id if job is not None and reason not in ("stopped", "killed", "lost") else None
        unfinished = [job.id for job in self._jobs.values()]
        wall_us, cpu_us = ending.used_us or (0, 0)
        sent = self._sent_requests & set(unfinished)
        kept = lines_by_seq(self._cell) if unfinished else {}
        logs = {self._jobs[seq].id: lines for seq, lines in kept.items() if seq in self._jobs}
        return WorkerExit(reason, blamed, unfinished, sent, ending.signal, wall_us=wall_us, cpu_us=cpu_us, logs=logs)

    def _release_waiters(self, exit_: WorkerExit) -> None:
        if not self.locked.done():
            self.locked.set_exception(ConnectionError(f"a worker ended while it was set up: {exit_.signal}"))
        if not self._checked.done():
            self._checked.set_exception(ConnectionError(f"the worker that read it ended: {exit_.reason}"))
            self._checked.exception()  # most workers check nothing: nobody waits for it
        if not self._probed.done():
            self._probed.set_exception(ConnectionError(f"a probe ended the worker: {exit_.signal}"))
            self._probed.exception()  # hardly any worker is probed
        for answer in self._heap_asked:
            if not answer.done():
                answer.set_exception(ConnectionError(f"the worker ended before it told: {exit_.reason}"))
        if self._loaded.done():
            return
        if exit_.reason in _NOT_THE_SCRIPT:
            self._loaded.set_result({"lost": exit_.signal})
        else:
            self._loaded.set_result({"ended": exit_.reason})


def _reason_of(signal_name: str | None) -> str:
    """V8 aborts by a trap when memory of any kind is refused to it; nobody else kills but us and the kernel."""
    if signal_name == "SIGTRAP":
        return "out_of_memory"
    return "crashed" if signal_name not in (None, "SIGKILL") else "lost"


def _loaded(result: Any) -> dict[str, Any]:
    """What became of a script: {handlers}, or {error: {name, message, line?, column?, compiled?}}."""
    error = is_of(dict, result).get("error")
    if error is None:
        return {"handlers": [is_of(str, name) for name in result["handlers"]]}
    told = {key: is_of(str, error[key]) for key in ("name", "message")}
    places = {key: is_of(int, error[key]) for key in ("line", "column") if error.get(key) is not None}
    return {"error": {**told, **places, **({"compiled": True} if "compiled" in error else {})}}


def _u32(value: Any) -> int:
    """A number as records hold it: a worker that was taken over may send any."""
    if 0 <= is_of(int, value) <= _U32_MAX:
        return cast("int", value)
    raise ValueError(f"a worker sent {value}")


def _numbers(text: bytes) -> list[int]:
    return [int(number) for number in text.split(b",")] if text else []


__all__ = [
    "CheckResult", "CodeError", "HostRequest", "Job", "Limits", "LogLine", "Outcome", "UserError", "Worker",
    "WorkerExit",
]  # fmt: skip
