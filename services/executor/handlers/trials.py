"""Runs code once by hand: in a worker of its own, with the limits of a delivery, and nothing kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from kit.clock import Clock
from kit.errors import Unavailable
from services.executor.handlers.egress import Egress, Exchange, forsake
from services.executor.handlers.judgement import Loss, lost_outcome
from services.executor.handlers.resolve import Program
from services.executor.handlers.trial_places import TrialPlaces
from services.executor.runtime.addresses import Network
from services.executor.runtime.egress import Scope
from services.executor.runtime.pool import HostRequest, Job, Outcome, Worker, WorkerExit, Zygote

# The worker and the zygote end what takes too long; this is for the case that both of them are gone.
OVERTIME_S = 5.0
# A worker whose event has ended answers within milliseconds, unless something of it runs on.
HEAP_WAIT_S = 0.5
_JOB = 1

log = structlog.get_logger(__name__)

# The address ranges that a workspace may call besides the public internet, as they are now.
Ranges = Callable[[str], Awaitable[tuple[Network, ...]]]


@dataclass(frozen=True, slots=True)
class Trial:
    """What is to be run. `name` stands for the destination where requests are bounded and connections kept."""

    workspace: str
    name: str
    program: Program
    # Such as "onTrack".
    handler: str
    # JSON of an event, or of an array of them.
    event: bytes
    # Seeds the Idempotency-Key; None sends none.
    idempotency_seed: str | None


@dataclass(slots=True)
class Observed:
    """What came of it. Secrets are in clear here."""

    outcome: Outcome
    # Handlers that the code defines.
    handlers: list[str]
    # When the handler was called; up to some milliseconds later under load.
    started_at: datetime
    exchanges: list[Exchange] = field(default_factory=list)
    # 0 where the worker was lost.
    heap_bytes: int = 0


class Trials:
    """Runs what it is given, each in a `place`. Its `Egress` must be running."""

    def __init__(self, zygote: Zygote, egress: Egress, ranges: Ranges, places: TrialPlaces, clock: Clock) -> None:
        self._zygote = zygote
        self._egress = egress
        self._ranges = ranges
        self._places = places
        self._clock = clock

    def place(self, workspace: str) -> AbstractAsyncContextManager[None]:
        """Wait for a place and hold it, also while code is checked. Raises Overloaded."""
        return self._places.taken(workspace)

    async def run(self, trial: Trial) -> Observed:
        """Run it; the worker is gone afterwards, however this ends.

        Raises CodeError where the code does not compile or throws at its top level, and Unavailable.
        """
        run = _Run(trial, self._egress, await self._ranges(trial.workspace))
        try:
            return await run.observe(self._zygote, self._clock)
        except (OSError, TimeoutError) as error:
            raise Unavailable(f"No worker could be had to run the code ({error}); try again.") from error
        finally:
            run.end()


class _Run:
    """One run under way."""

    def __init__(self, trial: Trial, egress: Egress, ranges: tuple[Network, ...]) -> None:
        self.exchanges: list[Exchange] = []
        self._trial = trial
        self._egress = egress
        self._scope = Scope(trial.workspace, trial.name, ranges, trial.idempotency_seed)
        self._done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._worker: Worker | None = None

    async def observe(self, zygote: Zygote, clock: Clock) -> Observed:
        program = self._trial.program
        self._worker = worker = await zygote.fork(
            program.code, program.settings, program.limits, self._on_outcomes, self._on_request, self._on_exit
        )
        submitted_at = clock.now()
        # In a turn of its own, so that its times are its own.
        worker.submit([Job(_JOB, self._trial.handler, self._trial.event, capture=True)], alone=True)
        async with asyncio.timeout(program.limits.wall_ms / 1000 + OVERTIME_S):
            outcome = await self._done
        # The worker says for how long the handler ran, but not since when.
        began_at = clock.now() - timedelta(microseconds=outcome.wall_us) if outcome.wall_us else submitted_at
        started_at = max(submitted_at, began_at)
        return Observed(outcome, worker.handlers, started_at, self.exchanges, await self._heap_bytes(worker))

    @staticmethod
    async def _heap_bytes(worker: Worker) -> int:
        try:
            async with asyncio.timeout(HEAP_WAIT_S):
                return await worker.heap_used()
        except (ConnectionError, TimeoutError):
            return 0

    def end(self) -> None:
        if self._worker is not None:
            self._worker.kill()

    def _on_outcomes(self, outcomes: list[Outcome]) -> None:
        self._end_with(outcomes[0])

    def _on_request(self, request: HostRequest) -> None:
        # What is asked for after the end is not sent any more.
        if self._worker is not None and not self._done.done():
            self._egress.begin(self._worker, request, self, self._scope)

    def _on_exit(self, exit_: WorkerExit) -> None:
        self._end_with(lost_outcome(Loss.of(exit_, _JOB), self._trial.program.limits))

    def _end_with(self, outcome: Outcome) -> None:
        if not self._done.done():
            # At once: an answer that comes from now on comes too late.
            forsake(self, outcome)
            self._done.set_result(outcome)
