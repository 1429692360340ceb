"""What became of an attempt that was begun: judged, described, and handed to the log of outcomes."""

from __future__ import annotations

from dataclasses import replace

import structlog

from services.executor.domain import errors
from services.executor.handlers import detail as details
from services.executor.handlers.batch_attempts import BatchAttempts
from services.executor.handlers.egress import forsake, http_error_status, retry_after_ms
from services.executor.handlers.generations import Services
from services.executor.handlers.host_calls import host_calls
from services.executor.handlers.judgement import Loss, as_thrown, lost_outcome, verdict_of
from services.executor.handlers.resolve import Program
from services.executor.handlers.work import Begun, Item, Run
from services.executor.runtime.pool import Outcome, UserError

log = structlog.get_logger()


class Attempts:
    """Ends the attempts of one destination."""

    def __init__(self, destination: str, services: Services) -> None:
        self._destination = destination
        self._outcomes = services.outcomes
        self._clock = services.clock
        self.batches = BatchAttempts(destination, services.outcomes, services.clock)

    def settle(self, program: Program, item: Item, outcome: Outcome) -> None:
        """Settle an attempt; a fault of ours must not leave its message without an outcome for ever."""
        try:
            self._settle(program, item, outcome)
        except Exception:
            log.exception("attempt_not_described", destination=self._destination)
            detail = details.failure(item, "Internal", "the outcome of the attempt could not be recorded in full")
            # Without its numbers: they may be what could not be recorded.
            self._outcomes.record(item, errors.INTERNAL, run_of(program), detail)

    def lose(self, program: Program, begun: Begun, loss: Loss) -> None:
        """End what a lost worker had begun."""
        outcome = lost_outcome(loss, program.limits)
        if isinstance(begun, Item):
            self.settle(program, begun, outcome)
        else:
            self.batches.settle(program, begun, outcome)

    def _settle(self, program: Program, item: Item, outcome: Outcome) -> None:
        # Not by run_of: every attempt comes here.
        run = Run(
            program.version, program.settings_revision, outcome.wall_us, outcome.cpu_us, program.filter_revision
        )  # fmt: skip
        if outcome.ok and not item.sampled and not item.exchanges:
            self._outcomes.record(item, errors.DELIVERED, run)
            return
        forsake(item, outcome)
        status = http_error_status(item)
        if outcome.ok and status and program.fail_on_http_error:
            outcome = as_thrown(outcome, status)
        elif item.unshaped and outcome.error is not None:
            outcome = _as_unshaped(outcome, outcome.error, item.unshaped)
        verdict = verdict_of(program, outcome)
        keep = not outcome.ok or item.sampled or status
        self._outcomes.record(
            item,
            verdict,
            run,
            details.build(item, outcome, verdict, program.redactor) if keep else None,
            retry_after_ms=retry_after_ms(item, self._clock),
            http_error=status > 0,
            reason=errors.DROP_EVENT if verdict is errors.FILTERED else "",
            calls=host_calls(item, program.redactor) if item.exchanges else (),
        )


def _as_unshaped(outcome: Outcome, error: UserError, events: int) -> Outcome:
    """Say why an event of a batch came to a handler that does not exist, where that is so."""
    if error.kind != "EventNotSupported" or not error.message.endswith(" is not defined"):
        return outcome
    what = f"onBatch returned something else than one {{status, errormessage}} for each of its {events} events"
    message = f"{what}, so each was run singly: {error.message}"
    return replace(outcome, error=replace(error, message=message))


def run_of(program: Program) -> Run:
    """What an attempt ran with, or would have; its times are unknown."""
    return Run(program.version, program.settings_revision, filter_revision=program.filter_revision)
