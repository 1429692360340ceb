"""A worker and what it runs: how it is made, how it ends, and who is to blame where it is lost."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from kit.clock import Clock
from services.executor.domain import errors
from services.executor.domain.errors import Verdict
from services.executor.domain.gathering import Gathering
from services.executor.handlers.batch_attempts import halved
from services.executor.handlers.egress import Egress
from services.executor.handlers.fairness import CpuShares, Share
from services.executor.handlers.holds import OpenBreakers
from services.executor.handlers.judgement import Loss
from services.executor.handlers.metering import Meters
from services.executor.handlers.places import Holder, Place, WorkerPlaces
from services.executor.handlers.resolve import Program, Resolver
from services.executor.handlers.settle import OutcomeLog
from services.executor.handlers.turns import Turns
from services.executor.handlers.work import BATCH_HANDLER, Batch, Begun, Item
from services.executor.projections import View
from services.executor.runtime.cuts import ERROR_MESSAGE_MAX, redacted_text
from services.executor.runtime.pool import CodeError, HostRequest, Outcome, Worker, WorkerExit, Zygote

# Ends of workers that cost no attempt: asked for; of code that could not be loaded; of one that had nothing to do.
STOPPED = "stopped"
NOT_LOADED = "not_loaded"
IDLE = "idle"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Services:
    """What every lane needs."""

    zygote: Zygote
    resolver: Resolver
    outcomes: OutcomeLog
    egress: Egress
    view: View
    clock: Clock
    places: WorkerPlaces
    turns: Turns
    shares: CpuShares
    meters: Meters = field(default_factory=Meters)
    breakers: OpenBreakers = field(default_factory=OpenBreakers)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a destination's code cannot run at all."""

    verdict: Verdict
    name: str
    message: str


@dataclass(eq=False, slots=True)
class Generation:
    """A worker and what it runs; replaced when the version or the settings change."""

    program: Program
    worker: Worker | None = None
    # Its worker's, as soon as that is there, and for good.
    pid: int = 0
    in_flight: dict[int, Begun] = field(default_factory=dict)
    retired: bool = False
    # An item runs in it that must have it for itself.
    alone: bool = False
    # It runs only what was stored before this, until the next one is ready; 0 for everything.
    until_us: int = 0
    # Its claim to be among the warm workers.
    place: Place | None = None
    # Why nothing can run: every attempt ends so.
    refusal: Refusal | None = None
    # Where its code takes batches: the one that is being filled.
    gathering: Gathering[Item] | None = None
    # How many of those in flight are batches.
    batches: int = 0


@dataclass(slots=True)
class Blame:
    """What the loss of a worker means for the attempts that were in it."""

    # Attempts that end, each with what is known of its end.
    lost: list[tuple[Begun, Loss]] = field(default_factory=list)
    # Attempts that are begun once more.
    again: list[Item] = field(default_factory=list)


class Owner(Holder, Protocol):
    """Whose workers they are; called on the event loop."""

    share: Share

    def on_outcomes(self, generation: Generation, outcomes: list[Outcome]) -> None: ...

    def on_request(self, generation: Generation, request: HostRequest) -> None: ...

    def on_loss(self, generation: Generation, blame: Blame) -> None: ...


class Generations:
    """Makes and ends the workers of one destination."""

    def __init__(
        self, workspace: str, destination: str, services: Services, group: asyncio.TaskGroup, owner: Owner
    ) -> None:
        self._workspace = workspace
        self._destination = destination
        self._services = services
        self._group = group
        self._owner = owner
        self._closed = False
        self._ending: set[Generation] = set()

    @property
    def ending(self) -> bool:
        """Whether attempts still run in workers that were told to end."""
        return bool(self._ending)

    async def make(self, *, spare: bool = False) -> Generation | None:
        """Get the program and a worker for it; None where it would be a `spare` one and there is no room to spare.

        Raises `OnwardError`, OSError and TimeoutError where it can't be had.
        """
        phase = self._services.meters.phases_from(self._services.clock.monotonic())
        program = await self._services.resolver.program(self._workspace, self._destination)
        generation = Generation(program)
        phase("program", self._services.clock.monotonic())
        if program.invalid is not None:
            generation.refusal = Refusal(errors.INVALID_SETTINGS, "InvalidSettings", program.invalid)
            return generation
        places = self._services.places
        generation.place = places.take_spare(self._owner) if spare else await places.take(self._owner)
        if generation.place is None:
            return None
        phase("place", self._services.clock.monotonic())
        try:
            worker = generation.worker = await self._fork(generation)
            phase("start", self._services.clock.monotonic())
            places.ready(generation.place, worker.pid)
            if BATCH_HANDLER in worker.handlers and program.batching.events_max > 1:
                generation.gathering = Gathering(program.batching)
        except CodeError as error:
            message = redacted_text(program.redactor, str(error), ERROR_MESSAGE_MAX)
            generation.refusal = Refusal(errors.BAD_REQUEST, "CodeError", message)
            self._give_place_back(generation)
        except BaseException:
            self._give_place_back(generation)
            raise
        return generation

    async def _fork(self, generation: Generation) -> Worker:
        program = generation.program
        return await self._services.zygote.fork(
            program.code,
            program.settings,
            program.limits,
            lambda outcomes: self._owner.on_outcomes(generation, outcomes),
            lambda request: self._owner.on_request(generation, request),
            lambda exit_: self._on_exit(generation, exit_),
            lambda worker: self._on_start(generation, worker),
        )

    def _on_start(self, generation: Generation, worker: Worker) -> None:
        """Count what it uses from here on: loading code may take as long as running it."""
        generation.pid = worker.pid
        self._services.shares.started(self._owner.share, worker.pid, worker.computing)

    def _give_place_back(self, generation: Generation) -> None:
        place, generation.place = generation.place, None
        if place is not None:
            self._services.places.give_back(place)

    def _on_exit(self, generation: Generation, exit_: WorkerExit) -> None:
        self._ending.discard(generation)
        self._services.shares.ended(self._owner.share, generation.pid)
        self._services.meters.exits[_counted_as(generation, exit_.reason)] += 1
        self._give_place_back(generation)
        generation.worker = None
        if generation.in_flight:
            log.warning("worker_lost", destination=self._destination, reason=exit_.reason, guilty=exit_.guilty)
        blame = blamed(generation.in_flight, exit_)
        generation.in_flight.clear()
        generation.batches = 0
        generation.alone = False
        self._owner.on_loss(generation, blame)

    def retire(self, generation: Generation) -> None:
        """Stop a worker once nothing runs in it."""
        generation.retired = True
        if generation.place is not None:
            self._services.places.leaves(generation.place, ending=not generation.in_flight)
        if generation.in_flight:
            self._ending.add(generation)
        elif generation.worker is not None:
            self._ending.discard(generation)
            worker, generation.worker = generation.worker, None
            if self._closed:
                worker.kill()
            else:
                self._group.create_task(worker.stop())

    def close(self) -> None:
        """Begin nothing from now on: workers that retire are killed."""
        self._closed = True


def _counted_as(generation: Generation, reason: str) -> str:
    """Say as what an end is counted: by the sandbox's reasons only where it has cost an attempt."""
    if generation.in_flight:
        return reason
    if generation.place is None or not generation.place.pid:
        return NOT_LOADED
    return STOPPED if reason in (STOPPED, "killed") else IDLE


def blamed(in_flight: dict[int, Begun], exit_: WorkerExit) -> Blame:
    """Blame the guilty attempt; bystanders that had sent nothing run again, the others are retried alone."""
    blame = Blame()
    guilty = exit_.guilty
    if guilty is None and len(in_flight) == 1:
        guilty = next(iter(in_flight))
    for job_id, begun in in_flight.items():
        if job_id == guilty and (begun.exchanges or isinstance(begun, Item)):
            blame.lost.append((begun, Loss.of(exit_, job_id)))
        elif begun.exchanges:
            blame.lost.append((begun, Loss("lost", logs=exit_.logs.get(job_id, []))))
        elif isinstance(begun, Item):
            # Where nobody is known to be guilty each runs alone, so that the next loss names one.
            begun.alone = begun.alone or guilty is None
            begun.filtered = None
            blame.again.append(begun)
        else:
            blame.again += _smaller(begun) if guilty in (None, job_id) else _together(begun)
    return blame


def _smaller(batch: Batch) -> list[Item]:
    """The events of a batch that may be guilty, for smaller ones: in a few steps the guilty event is alone."""
    most = halved(batch)
    for item in batch.items:
        item.batch_max = min(item.batch_max or most, most)
    return _together(batch)


def _together(batch: Batch) -> list[Item]:
    """The events of a batch that begins once more, without waiting."""
    for item in batch.items:
        item.gathered = True
        item.filtered = None
    return batch.items
