"""What an outcome means to a destination, or to whoever tries code by hand: the same words and verdicts for both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.executor.domain import errors
from services.executor.domain.errors import Verdict, judge
from services.executor.handlers.resolve import Program
from services.executor.runtime.pool import Limits, LogLine, Outcome, UserError, WorkerExit

# The sandbox's reasons -> the kind of error that they are.
_KINDS = {"timeout": "Timeout", "out_of_memory": "OutOfMemory"}
_LOST = "the worker that ran the function was lost"
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Loss:
    """How an attempt ended with its worker; `reason` is the sandbox's, the times are 0 where they are not known."""

    reason: str
    wall_us: int = 0
    cpu_us: int = 0
    logs: Sequence[LogLine] = ()

    @classmethod
    def of(cls, exit_: WorkerExit, job_id: int) -> Loss:
        """The loss of the attempt that the worker's end is blamed on."""
        return cls(exit_.reason, exit_.wall_us, exit_.cpu_us, exit_.logs.get(job_id, []))


def verdict_of(program: Program, outcome: Outcome) -> Verdict:
    """Judge an outcome as the program's destination wants it."""
    error = outcome.error
    if error is None:
        return errors.DELIVERED
    return judge(error.kind, error.http_status, network=error.network, retry_only_explicit=program.retry_only_explicit)


def ending_of(program: Program, status: int, message: str) -> tuple[Verdict, UserError | None]:
    """Judge what onBatch said of one of its events, as an error that carries the status."""
    if 200 <= status < 300:
        return errors.DELIVERED, None
    text = message or f"onBatch gave this event the status {status}"
    error = UserError(kind="Error", name="HttpError", message=text, stack="", http_status=status)
    return judge(error.kind, status, network=False, retry_only_explicit=program.retry_only_explicit), error


def lost_outcome(loss: Loss, limits: Limits) -> Outcome:
    """The outcome of an attempt whose worker was lost."""
    kind = _KINDS.get(loss.reason, "Internal")
    error = UserError(kind=kind, name=kind, message=_of_loss(loss, limits), stack="")
    return Outcome(
        id=0, ok=False, wall_us=loss.wall_us, cpu_us=loss.cpu_us, logs=list(loss.logs), value=None, error=error
    )


def _of_loss(loss: Loss, limits: Limits) -> str:
    """What people are told: which limit it was, where that is known."""
    wall, cpu = f"{limits.wall_ms / 1000:g} s", f"{limits.cpu_ms / 1000:g} s"
    if loss.reason == "out_of_memory":
        return f"the function ran out of memory: it may use {limits.heap_bytes // _MIB} MiB of heap"
    if loss.reason != "timeout":
        return _LOST
    if loss.cpu_us >= limits.cpu_ms * 1000:
        return f"the handler used up its CPU time of {cpu}, so it was ended: does a loop not end?"
    if not loss.cpu_us and loss.wall_us < limits.wall_ms * 1000:
        return f"the handler was ended: it may take {wall}, {cpu} of it CPU time"
    return limits.overtime


def as_thrown(outcome: Outcome, status: int) -> Outcome:
    """Treat an answer of 400 or more as if the handler had thrown it."""
    message = f"an answer had the status {status}, which this destination counts as a failure"
    error = UserError(kind="Error", name="HttpError", message=message, stack="", http_status=status)
    return replace(outcome, ok=False, error=error)
