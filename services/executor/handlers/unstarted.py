"""What of a lane's queue ends without being started: filtered, refused, cancelled, or deferred to the tracker."""

from __future__ import annotations

from collections import deque
from itertools import islice

import structlog

from services.executor.domain import errors
from services.executor.domain.filtering import filtered
from services.executor.handlers import detail as details
from services.executor.handlers.attempts import run_of
from services.executor.handlers.generations import Generation, Refusal, Services
from services.executor.handlers.holds import BREAKER_OPEN
from services.executor.handlers.resolve import Program
from services.executor.handlers.work import Item, Run

# Attempts that end without a worker in one turn of the loop.
REFUSED_MAX = 256
# What cannot start within this is deferred, where the lane waits for somebody else's API or has no worker.
DEFER_AFTER_S = 0.25
# A lane that is merely short of CPU may take longer: deferring would only make the machine busier.
DEFER_BUSY_AFTER_S = 1.5
# Where places for workers go round, a lane keeps a batch for so long: its fork is to serve that, not the next event.
KEPT_FOR_PLACE_S = 6.0
KEPT_FOR_PLACE = 128
SECOND_US = 1_000_000

log = structlog.get_logger()


class Unstarted:
    """Looks after the queue of one lane, which it shares with that."""

    def __init__(self, workspace: str, destination: str, services: Services, queue: deque[Item]) -> None:
        self._workspace = workspace
        self._destination = destination
        self._services = services
        self._queue = queue
        # Attempts that ended since the last look.
        self.finished = 0

    def passes(self, program: Program, item: Item) -> bool:
        """Apply the filters to an item's event; one that is dropped ends here."""
        item.filtered = None
        if program.filters is None:
            return True
        try:
            event, dropped_by = filtered(program.filters, item.payload, item.delivered_as)
        except Exception:
            log.exception("event_not_filtered", destination=self._destination)
            item.filtered = b""
            detail = details.failure(item, "Internal", "the filters could not be applied; Onward's log says why")
            self._services.outcomes.record(item, errors.INTERNAL, run_of(program), detail)
            return False
        if event is None:
            self.finished += 1
            reason = dropped_by.removeprefix(f"workspaces/{self._workspace}/")
            self._services.outcomes.record(item, errors.FILTERED, run_of(program), reason=reason)
            return False
        if event is not item.payload:
            item.filtered = event
        return True

    def refuse(self, program: Program, refusal: Refusal) -> None:
        """End some of what is queued without running it; a change of version or settings makes a new generation."""
        run = run_of(program)
        for taken in range(min(len(self._queue), REFUSED_MAX)):
            if taken and program.filters is not None and self._services.turns.over:
                break
            item = self._queue.popleft()
            if program.unfiltered:
                item.filtered = b""
            elif not self.passes(program, item):
                continue
            detail = details.failure(item, refusal.name, refusal.message)
            self._services.outcomes.record(item, refusal.verdict, run, detail)

    def hold(self, generation: Generation | None) -> bool:
        """Leave to the tracker what it is to hold back; whether there is more to look through.

        Where filters are not known yet, only what an open breaker holds back goes: nothing of it would be run.
        """
        route = self._services.view.route(self._workspace, self._destination)
        broken = (self._workspace, self._destination) in self._services.breakers
        reason = BREAKER_OPEN if broken else route.held if route is not None else ""
        if not reason or (generation is None and not broken):
            return False
        kept: list[Item] = []
        over = False
        count = 0
        while self._queue and not over:
            item = self._queue.popleft()
            if item.released:
                kept.append(item)
            elif generation is None or self.passes(generation.program, item):
                self._hold(generation, item, reason)
                count += 1
            over = generation is not None and generation.program.filters is not None and self._services.turns.over
        self._queue.extendleft(reversed(kept))
        if count:
            self._services.meters.deferrals[reason] += count
        return over

    def _hold(self, generation: Generation | None, item: Item, reason: str) -> None:
        gathering = None
        if generation is None:
            item.filtered = b""
            run = Run(item.route.version, item.route.settings_revision)
        else:
            run = run_of(generation.program)
            gathering = generation.gathering if not item.single else None
        batching = gathering.batching if gathering is not None and gathering.batching.wait_s else None
        self._services.outcomes.record(
            item,
            errors.DEFERRED if batching is None else errors.GATHERING,
            run,
            details.event_only(item),
            reason=reason,
            batch_events_max=0 if batching is None else batching.events_max,
            batch_until_us=0 if batching is None else item.received_at_us + round(batching.wait_s * SECOND_US),
        )

    def cancelled(self) -> bool:
        """End what waits for a destination that was disconnected; nothing of it is run."""
        reason = self._services.view.end_reason(self._workspace, self._destination)
        if not reason:
            return False
        while self._queue:
            item = self._queue.popleft()
            run = Run(item.route.version, item.route.settings_revision)
            self._services.outcomes.record(item, errors.CANCELLED, run, reason=reason)
        return True

    def defer_late(self, generation: Generation | None) -> None:
        """Defer what will not start soon, judged by what was finished since the last look."""
        patience = DEFER_AFTER_S if self._waits_for_others(generation) else DEFER_BUSY_AFTER_S
        waited_s = self._services.clock.monotonic() - self._queue[0].queued_at
        if waited_s >= patience:
            keep = int(self.finished * patience / DEFER_AFTER_S)
            if generation is None and waited_s < KEPT_FOR_PLACE_S and self._services.places.waiting:
                keep = KEPT_FOR_PLACE
            reason = "no_worker" if generation is None else "api" if patience == DEFER_AFTER_S else "cpu"
            self._defer(max(0, len(self._queue) - keep), reason, generation)

    def _waits_for_others(self, generation: Generation | None) -> bool:
        """Tell a lane whose worker waits (for an API, or for ever) from one that is short of CPU or starting."""
        if generation is None or not generation.in_flight:
            return False
        return self.finished == 0 or any(item.exchanges for item in islice(generation.in_flight.values(), 8))

    def _defer(self, count: int, reason: str, generation: Generation | None) -> None:
        """Give the last `count` queued items to the tracker, which brings them back later."""
        program = generation.program if generation else None
        for _ in range(count):
            item = self._queue.pop()
            run = Run(item.route.version, program.settings_revision if program else item.route.settings_revision)
            # What is deferred until it fails may be shown only as filters leave it, and they have not seen it.
            item.filtered = None if program and program.filters is None and not program.unfiltered else b""
            self._services.outcomes.record(item, errors.DEFERRED, run, details.event_only(item), reason=reason)
        if count:
            self._services.meters.deferrals[reason] += count
            log.info("deliveries_deferred", destination=self._destination, count=count, reason=reason)
