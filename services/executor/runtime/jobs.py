"""What goes to a worker and comes back: jobs, limits, outcomes, requests and exits, and the texts that carry them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import orjson

T = TypeVar("T")

_HANDLERS: Final = {
    kind: f"on{kind.capitalize()}" for kind in ("identify", "track", "page", "screen", "group", "alias", "delete")
}


# A frame of a worker of ours has fewer brackets and commas outside of its texts: at most 256 KiB of short headers.
_PARTS_MAX: Final = 120_000
# And fewer, or quotation marks, in all: the texts of one event, and 256 KiB of others.
_IN_TEXTS_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What one attempt, and one worker, may use."""

    wall_ms: int = 5_000
    cpu_ms: int = 1_000
    heap_bytes: int = 64 << 20
    buffers_bytes: int = 128 << 20  # ArrayBuffers and whatever else the process needs

    @property
    def overtime(self) -> str:
        """What people are told of an attempt that took too long."""
        return f"the handler did not settle within {self.wall_ms / 1000:g} s"


@dataclass(frozen=True, slots=True)
class Job:
    """One event for one handler, or the events of a batch for onBatch."""

    id: int
    type: str  # "track", ..., or the name of a handler
    event: bytes  # JSON, already normalised: it goes into a larger text as it is; for onBatch an array
    capture: bool = False  # keep what the handler returns


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a handler wrote to its console.

    It may hold secrets, and end with the head of one where the sandbox cut it: cuts.redacted_lines masks both.
    """

    level: str
    time_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class UserError:
    """What a handler threw, or what became of it.

    Its texts are capped as cuts.py says. They may hold secrets, and end with the head of one where the sandbox cut
    them: cuts.redacted_text masks both.
    """

    kind: str  # a class of ours, "Error" or "Timeout"
    name: str
    message: str
    stack: str
    http_status: int | None = None
    network: bool = False  # an uncaught network failure of fetch


@dataclass(slots=True)
class Outcome:
    """How one job ended. Times of events that ran in one turn are its mean.

    `value` and `logs` are as the handler gave them, but for the caps: see cuts.redacted_value and redacted_lines.
    """

    id: int
    ok: bool
    wall_us: int
    cpu_us: int
    logs: list[LogLine]
    value: bytes | None
    error: UserError | None
    value_cut: bool = False
    value_error: UserError | None = None  # what the handler returned could not be turned into JSON
    results: list[tuple[int, str]] | None = None  # of onBatch: status and message of each event, where it gave them
    unshaped: bool = False  # onBatch returned something else than that


@dataclass(frozen=True, slots=True)
class HostRequest:
    """Something that a running attempt asks of the executor; see Worker.answer."""

    job_id: int
    request_id: int
    kind: str
    payload: Any


@dataclass(frozen=True, slots=True)
class WorkerExit:
    """Why a worker ended, and what that leaves behind.

    `reason`: stopped, killed, timeout, out_of_memory, crashed or lost. `guilty` is the job that ran then, or None where
    that is not known; it is among `unfinished`. Jobs in `sent_requests` have had an effect outside. `wall_us` and
    `cpu_us` are what the guilty had used; a worker that could not tell has a CPU time of 0. `logs` are the last console
    lines of the unfinished: as many as were still in memory.
    """

    reason: str
    guilty: int | None
    unfinished: list[int]
    sent_requests: set[int]
    signal: str | None = None
    wall_us: int = 0
    cpu_us: int = 0
    logs: dict[int, list[LogLine]] = field(default_factory=dict)


class LoadLostError(ConnectionError):
    """A script was too much for its worker while it loaded, or took too long.

    Of code that has loaded before this says little: the machine may be short of CPU or memory. To be tried again.
    """


class CodeError(Exception):
    """The script does not compile or throws at top level; in a check, also: its top level does not end."""

    def __init__(
        self, message: str, line: int | None = None, column: int | None = None, *, compiled: bool = True
    ) -> None:
        super().__init__(message)
        self.message, self.line, self.column, self.compiled = message, line, column, compiled


@dataclass(frozen=True, slots=True)
class CodeWarning:
    """Something in a script that deserves a look. Line and column are 0 where it concerns all of it."""

    rule: str
    message: str
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a script defines, or what is wrong with it; `unread` is why a script that runs could not be read."""

    handlers: list[str]
    error: CodeError | None
    warnings: list[CodeWarning] = field(default_factory=list)
    unread: str | None = None


def batch_text(first: int, jobs: Sequence[Job]) -> bytes:
    """The JSON of a batch, as pump.js takes it apart; events are copied, not parsed."""
    types = {job.type for job in jobs}
    captures = {job.capture for job in jobs}
    one_type = [jobs[0].type] if len(types) == 1 else [job.type for job in jobs]
    one_capture = [jobs[0].capture] if len(captures) == 1 else [job.capture for job in jobs]
    head = orjson.dumps([_HANDLERS.get(type_, type_) for type_ in one_type])
    events = b",".join([job.event for job in jobs])
    flags = b",".join([b"1" if capture else b"0" for capture in one_capture])
    return b'{"n":%d,"t":%b,"c":[%b],"e":[%b]}' % (first, head, flags, events)


def detailed(job_id: int, wall_us: int, cpu_us: int, detail: dict[str, Any]) -> Outcome:
    """An outcome with more to it than having gone well. Raises TypeError, KeyError or AttributeError for nonsense."""
    error, value = detail.get("error"), detail.get("value")
    logs = [_log_line(*entry) for entry in detail.get("logs", ())]
    kept = is_of(str, value).encode("utf-8", "replace") if value is not None else None
    outcome = Outcome(job_id, error is None, wall_us, cpu_us, logs, kept, user_error(error))
    outcome.value_cut = is_of(bool, detail.get("valueCut", False))
    outcome.value_error = user_error(detail.get("valueError"))
    if "results" in detail:
        _add_results(outcome, detail["results"])
    return outcome


def _add_results(outcome: Outcome, results: list[Any] | None) -> None:
    """Take what batch.js says of a batch's events; None where the handler returned another shape."""
    if results is None:
        outcome.unshaped = True
    else:
        outcome.results = [(int(status), str(message)) for status, message in results]


def user_error(error: dict[str, Any] | None) -> UserError | None:
    """An error as failure.js describes it."""
    if error is None:
        return None
    kind, name, message, stack = (is_of(str, error[key]) for key in ("kind", "name", "message", "stack"))
    return UserError(kind, name, message, stack, is_of(int, error["status"]) or None, is_of(bool, error["network"]))


def _log_line(level: Any, time_ms: Any, text: Any) -> LogLine:
    return LogLine(is_of(str, level), is_of(int, time_ms), is_of(str, text))


def is_of(type_: type[T], value: Any) -> T:
    """A worker that was taken over may send anything: what is no `type_` is a TypeError."""
    if type(value) is not type_:
        raise TypeError(f"a worker sent {type(value).__name__} for {type_.__name__}")
    return value


def loads(data: bytes) -> Any:
    """Parse what a worker has sent, in some 0.1 s at most. Raises ValueError for what none of ours sends."""
    if _parts(data) > _PARTS_MAX and _of_too_many_parts(data):
        raise ValueError(f"a frame of more than {_PARTS_MAX} parts")
    return orjson.loads(data)


def _of_too_many_parts(data: bytes) -> bool:
    """Rarely asked: where texts have many commas or brackets in them."""
    in_texts = max(_parts(data), data.count(b'"'))
    return in_texts > _IN_TEXTS_MAX or _parts(_without_texts(data)) > _PARTS_MAX


def _without_texts(data: bytes) -> bytes:
    return b"".join(data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])


def _parts(data: bytes) -> int:
    return data.count(b",") + data.count(b"[") + data.count(b"{")
