"""What an outcome means to a destination, or to whoever tries code by hand: the same words and verdicts for both."""

from __future__ import annotations

from dataclasses import replace

from services.executor.domain import errors
from services.executor.domain.errors import Verdict, judge
from services.executor.handlers.resolve import Program
from services.executor.runtime.pool import Outcome, UserError

# The sandbox's reasons -> the kind of error that they are, and what people are told.
_LOSSES = {
    "timeout": ("Timeout", "the handler did not settle in time, or used up its CPU time"),
    "out_of_memory": ("OutOfMemory", "the function ran out of memory"),
}
_LOST = ("Internal", "the worker that ran the function was lost")


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


def lost_outcome(reason: str, wall_us: int = 0, cpu_us: int = 0) -> Outcome:
    """The outcome of an attempt whose worker was lost; `reason` is the sandbox's."""
    kind, message = _LOSSES.get(reason, _LOST)
    error = UserError(kind=kind, name=kind, message=message, stack="")
    return Outcome(id=0, ok=False, wall_us=wall_us, cpu_us=cpu_us, logs=[], value=None, error=error)


def as_thrown(outcome: Outcome, status: int) -> Outcome:
    """Treat an answer of 400 or more as if the handler had thrown it."""
    message = f"an answer had the status {status}, which this destination counts as a failure"
    error = UserError(kind="Error", name="HttpError", message=message, stack="", http_status=status)
    return replace(outcome, ok=False, error=error)
