"""What became of an attempt that was begun: judged, described, and handed to the log of outcomes."""

from __future__ import annotations

from dataclasses import replace

import structlog

from services.executor.domain import errors
from services.executor.domain.errors import Verdict, judge
from services.executor.handlers import detail as details
from services.executor.handlers.egress import forsake, http_error_status, retry_after_ms
from services.executor.handlers.generations import Services
from services.executor.handlers.resolve import Program
from services.executor.handlers.work import Item, Run
from services.executor.runtime.pool import Outcome, UserError

# The sandbox's reasons -> the kind of error that they are, and what people are told.
_LOSSES = {
    "timeout": ("Timeout", "the handler did not settle in time, or used up its CPU time"),
    "out_of_memory": ("OutOfMemory", "the function ran out of memory"),
}
_LOST = ("Internal", "the worker that ran the function was lost")

log = structlog.get_logger()


class Attempts:
    """Ends the attempts of one destination."""

    def __init__(self, destination: str, services: Services) -> None:
        self._destination = destination
        self._outcomes = services.outcomes
        self._clock = services.clock

    def settle(self, program: Program, item: Item, outcome: Outcome) -> None:
        """Settle an attempt; a fault of ours must not leave its message without an outcome for ever."""
        try:
            self._settle(program, item, outcome)
        except Exception:
            log.exception("attempt_not_described", destination=self._destination)
            detail = details.failure(item, "Internal", "the outcome of the attempt could not be recorded in full")
            self._outcomes.record(item, errors.INTERNAL, run_of(program, outcome), detail)

    def lose(self, program: Program, item: Item, reason: str) -> None:
        """End an attempt whose worker was lost; `reason` is the sandbox's."""
        kind, message = _LOSSES.get(reason, _LOST)
        error = UserError(kind=kind, name=kind, message=message, stack="")
        outcome = Outcome(id=0, ok=False, wall_us=0, cpu_us=0, logs=[], value=None, error=error)
        self.settle(program, item, outcome)

    def _settle(self, program: Program, item: Item, outcome: Outcome) -> None:
        # Not by run_of: every attempt comes here.
        run = Run(
            program.version, program.settings_revision, outcome.wall_us, outcome.cpu_us, program.filter_revision
        )  # fmt: skip
        if outcome.ok and not item.sampled and not item.exchanges:
            self._outcomes.record(item, errors.DELIVERED, run)
            return
        forsake(item)
        status = http_error_status(item)
        if outcome.ok and status and program.fail_on_http_error:
            outcome = _as_thrown(outcome, status)
        verdict = _verdict(program, outcome)
        keep = not outcome.ok or item.sampled or status
        self._outcomes.record(
            item,
            verdict,
            run,
            details.build(item, outcome, verdict, program.redactor) if keep else None,
            retry_after_ms=retry_after_ms(item, self._clock),
            http_error=status > 0,
            reason=errors.DROP_EVENT if verdict is errors.FILTERED else "",
        )


def _verdict(program: Program, outcome: Outcome) -> Verdict:
    error = outcome.error
    if error is None:
        return errors.DELIVERED
    return judge(error.kind, error.http_status, network=error.network, retry_only_explicit=program.retry_only_explicit)


def run_of(program: Program, outcome: Outcome | None = None) -> Run:
    """What an attempt ran with; without an outcome nothing ran."""
    wall_us, cpu_us = (outcome.wall_us, outcome.cpu_us) if outcome else (0, 0)
    return Run(program.version, program.settings_revision, wall_us, cpu_us, program.filter_revision)


def _as_thrown(outcome: Outcome, status: int) -> Outcome:
    """Treat an answer of 400 or more as if the handler had thrown it."""
    message = f"an answer had the status {status}, which this destination counts as a failure"
    error = UserError(kind="Error", name="HttpError", message=message, stack="", http_status=status)
    return replace(outcome, ok=False, error=error)
