"""What became of the events that one invocation of `onBatch` was given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import structlog

from kit.clock import Clock
from onward.executor.v1 import outcomes_pb2 as pb
from services.executor.domain import errors
from services.executor.domain.errors import Verdict
from services.executor.handlers import detail as details
from services.executor.handlers.detail import BatchDetails
from services.executor.handlers.egress import forsake, http_error_status, retry_after_ms
from services.executor.handlers.host_calls import host_calls
from services.executor.handlers.judgement import as_thrown, ending_of, verdict_of
from services.executor.handlers.resolve import Program
from services.executor.handlers.settle import OutcomeLog
from services.executor.handlers.work import Batch, Item, Run
from services.executor.runtime.pool import Outcome, UserError

log = structlog.get_logger()

# What a batch means for one of its events: the verdict, and the error where there is one.
Ending = tuple[Verdict, UserError | None]


class BatchAttempts:
    """Ends the batches of one destination."""

    def __init__(self, destination: str, outcomes: OutcomeLog, clock: Clock) -> None:
        self._destination = destination
        self._outcomes = outcomes
        self._clock = clock

    def settle(self, program: Program, batch: Batch, outcome: Outcome) -> list[Item]:
        """Settle each event of a batch; answers those that are to be run singly, where its return says nothing of them.

        A fault of ours must not leave events without an outcome for ever.
        """
        if outcome.unshaped or (outcome.results is not None and len(outcome.results) != len(batch.items)):
            log.warning("batch_result_unshaped", destination=self._destination, events=len(batch.items))
            return singled(batch)
        run = run_of_batch(program, batch, outcome)
        try:
            described = self._described(program, batch, outcome)
            # Of the batch as a whole: they go with its first event.
            calls = host_calls(batch, program.redactor)
        except Exception:
            log.exception("batch_not_described", destination=self._destination)
            for item in batch.items:
                self._record_fault(item, run)
            return []
        retry_ms, http_error = retry_after_ms(batch, self._clock), _saw_http_error(batch, outcome)
        for item, verdict, described_as in described:
            try:
                self._outcomes.record(
                    item,
                    verdict,
                    run,
                    described_as,
                    retry_after_ms=retry_ms if verdict.result == pb.RESULT_RETRYABLE else 0,
                    http_error=http_error,
                    reason=errors.DROP_EVENT if verdict is errors.FILTERED else "",
                    calls=calls,
                )
                calls = []
            except Exception:
                log.exception("attempt_not_described", destination=self._destination)
                self._record_fault(item, run)
        return []

    def _record_fault(self, item: Item, run: Run) -> None:
        """Record an event without its numbers: they may be what could not be recorded."""
        detail = details.failure(item, "Internal", "the outcome of the batch could not be recorded in full")
        self._outcomes.record(item, errors.INTERNAL, replace(run, wall_us=0, cpu_us=0, batch=None), detail)

    def _described(
        self, program: Program, batch: Batch, outcome: Outcome
    ) -> Sequence[tuple[Item, Verdict, pb.AttemptDetail | None]]:
        forsake(batch, outcome)
        endings = _endings(program, batch, outcome)
        keep_all = _saw_http_error(batch, outcome)
        if not keep_all and not batch.sampled and all(error is None for _, error in endings):
            return [(item, verdict, None) for item, (verdict, _) in zip(batch.items, endings, strict=True)]
        shared = BatchDetails(batch, outcome, program.redactor)
        described: list[tuple[Item, Verdict, pb.AttemptDetail | None]] = []
        for place, (item, (verdict, error)) in enumerate(zip(batch.items, endings, strict=True)):
            keep = error is not None or keep_all or (batch.sampled and place == 0)
            if verdict is errors.TIMEOUT:
                # Retried in the same company, it might never end: sooner or later the one to blame is alone.
                item.batch_max = halved(batch)
            described.append((item, verdict, shared.build(item, error, verdict) if keep else None))
        return described


def _endings(program: Program, batch: Batch, outcome: Outcome) -> list[Ending]:
    """What the batch means for each of its events: what it says of them, or the same for all."""
    if outcome.ok and outcome.results is not None:
        return [ending_of(program, status, message) for status, message in outcome.results]
    if outcome.ok and program.fail_on_http_error and (status := http_error_status(batch)):
        outcome = as_thrown(outcome, status)
    return [(verdict_of(program, outcome), outcome.error)] * len(batch.items)


def _saw_http_error(batch: Batch, outcome: Outcome) -> bool:
    """Whether an answer of 400 or more concerns every event: not where the code tells them apart."""
    return outcome.results is None and http_error_status(batch) > 0


def run_of_batch(program: Program, batch: Batch, outcome: Outcome) -> Run:
    """What each event of a batch ran with: its share of the time."""
    events = len(batch.items)
    batch.wall_us, batch.cpu_us = outcome.wall_us, outcome.cpu_us
    return Run(
        program.version,
        program.settings_revision,
        outcome.wall_us // events,
        outcome.cpu_us // events,
        program.filter_revision,
        events,
        batch,
    )


def halved(batch: Batch) -> int:
    """The most events of the batches that the events of one that did not end come into."""
    return max(1, len(batch.items) // 2)


def singled(batch: Batch) -> list[Item]:
    """The events of a batch, each for its single handler from now on."""
    for item in batch.items:
        item.batch_max = 1
        item.unshaped = len(batch.items)
        # The next program's filters are to see it as it came.
        item.filtered = None
    return batch.items
