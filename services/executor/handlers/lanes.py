"""One lane a destination: its queue, and what of it starts, waits or is deferred.

A lane never holds up another: what cannot start soon is recorded as deferred and comes back through the tracker.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque

import structlog

from kit.errors import OnwardError
from services.executor.domain.gathering import Gathering
from services.executor.handlers.attempts import Attempts
from services.executor.handlers.batching import BATCHES_MAX, Batcher, taken_back
from services.executor.handlers.generations import Blame, Generation, Generations, Services
from services.executor.handlers.unstarted import DEFER_AFTER_S, Unstarted
from services.executor.handlers.work import BATCH_HANDLER, Begun, Item
from services.executor.runtime.egress import Scope
from services.executor.runtime.pool import HostRequest, Job, Outcome, Worker

# Attempts that one worker is given at once: two batches, so that the next is there when one ends.
IN_FLIGHT_MAX = 256
BATCH_MAX = 128
# A worker in which nothing has ended for so long, though something runs, may go on like that.
HANGS_AFTER_S = 1.0
# A change and an event are stored in two streams, each by the clock of the server that leads it: where there are
# several servers, these may differ by this much. And a change is on the bus a moment after it was answered. Nearer
# events wait for the next worker, whichever came first.
CLOCKS_DIFFER_US = 1_000_000
# A lane whose program could not be had asks again after this.
RETRY_PROGRAM_S = 0.5

log = structlog.get_logger()


class Lane:
    """The queue and the worker of one destination."""

    def __init__(self, workspace: str, destination: str, services: Services, group: asyncio.TaskGroup) -> None:
        self.workspace = workspace
        self.destination = destination
        self._services = services
        self._group = group
        self._generations = Generations(workspace, destination, services, group, self)
        self._attempts = Attempts(destination, services)
        self._batcher = Batcher(services)
        # Looks at what is being gathered though nothing comes.
        self._alarm: asyncio.TimerHandle | None = None
        self._queue: deque[Item] = deque()
        self._unstarted = Unstarted(workspace, destination, services, self._queue)
        self._current: Generation | None = None
        self._preparing = False
        self._closed = False
        # Counts the changes: a program that was asked for before the last one is not used.
        self._epoch = 0
        self._scheduled = False
        self._checking = False
        self._job_id = 0
        self._last_used = services.clock.monotonic()
        # When something ended in the worker, or began since nothing ran there.
        self._progress_at = self._last_used
        self.share = services.shares.add(self)

    # --- what comes in ---------------------------------------------------------------------------------------

    def push(self, item: Item) -> None:
        """Queue an attempt; it starts in this turn of the loop if the worker has room."""
        self._queue.append(item)
        self._last_used = item.queued_at
        self._schedule()

    def changed(self, stored_at_us: int = 0) -> None:
        """Take note that the destination changed, or ended: the next attempts run what the registry says then.

        Events from before `stored_at_us` go on with the worker that is there until the next one is ready; those that
        may be from after it do not.
        """
        self._epoch += 1
        current = self._current
        if current is not None and current.worker is not None and stored_at_us and self.busy:
            current.until_us = current.until_us or max(1, stored_at_us - CLOCKS_DIFFER_US)
            self._schedule()
        else:
            self.give_way()

    async def warm(self) -> None:
        """Have a worker ready before anything needs it, where nobody misses its place."""
        if not self._preparing and not self._closed and (self._current is None or self._current.until_us):
            self._preparing = True
            await self._prepare(spare=True)

    @property
    def busy(self) -> bool:
        running = self._current is not None and bool(self._current.in_flight)
        return running or self._preparing or self._waiting

    @property
    def in_use(self) -> bool:
        """Whether anything is to be done or runs, be it in a worker that was told to end."""
        return self.busy or self._generations.ending

    @property
    def _waiting(self) -> bool:
        """Whether anything is still to be started."""
        gathering = self._current.gathering if self._current is not None else None
        return bool(self._queue) or bool(gathering)

    def idle_since(self) -> float:
        return self._last_used

    def hangs(self) -> bool:
        running = self._current is not None and bool(self._current.in_flight)
        return running and self._services.clock.monotonic() - self._progress_at >= HANGS_AFTER_S

    @property
    def has_worker(self) -> bool:
        return self._current is not None and self._current.worker is not None

    @property
    def _filters(self) -> bool:
        """Whether events meet filters, so that a few of them may take long."""
        return self._current is not None and self._current.program.filters is not None

    # --- the pump --------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        if self._scheduled:
            return
        self._scheduled = True
        if self._filters:
            self._services.turns.ask(self.workspace, self._pump)
        else:
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        """Start what there is room for."""
        self._scheduled = False
        if self._closed:
            return
        generation = self._current
        if self._queue and (generation is None or generation.refusal is None) and self._unstarted.hold(generation):
            self._schedule()
        if generation is None:
            if self._queue and self._unstarted.cancelled():
                return
            self._begin_to_prepare()
        elif generation.refusal is not None:
            self._unstarted.refuse(generation.program, generation.refusal)
            if self._queue:
                self._schedule()
        elif generation.worker is not None and self._services.shares.enter(self.share):
            if generation.until_us:
                self._begin_to_prepare()
            self._fill(generation, generation.worker)
        if not self._checking and self._waiting:
            self._checking = True
            self._unstarted.finished = 0
            asyncio.get_running_loop().call_later(DEFER_AFTER_S, self._check_waiting)

    def _begin_to_prepare(self) -> None:
        if self._queue and not self._preparing:
            self._preparing = True
            self._group.create_task(self._prepare())

    def _fill(self, generation: Generation, worker: Worker) -> None:
        """Give the worker batches while it has room; filters that drop everything, or are slow, leave others theirs."""
        taken = 0
        if not generation.in_flight:
            self._progress_at = self._services.clock.monotonic()
        while self._queue and len(generation.in_flight) < self.share.in_flight_max(IN_FLIGHT_MAX):
            if taken >= IN_FLIGHT_MAX or (taken and self._turn_is_over):
                self._schedule()
                break
            started = self._start(generation, worker)
            if not started:
                break
            taken += started
        if generation.gathering is not None and not self._scheduled:
            self._gather(generation, generation.gathering, worker)

    def _gather(self, generation: Generation, gathering: Gathering[Item], worker: Worker) -> None:
        """Start the batch that is being filled, or put it off, or wait until one of that is to be done."""
        if self._batcher.starts(generation):
            begun = self._batcher.begin(generation, self.share.in_flight_max(BATCHES_MAX))
            if begun is not None:
                worker.submit([self._job(generation, begun)])
            return
        self._batcher.put_off(generation)
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if gathering:
            self._alarm = asyncio.get_running_loop().call_later(self._batcher.wait_s(gathering), self._schedule)

    def _start(self, generation: Generation, worker: Worker) -> int:
        """Give the worker a batch; an item that must run alone waits until nothing else runs, and runs alone.

        Answers how many items left the queue, filtered ones included.
        """
        jobs: list[Job] = []
        taken = 0
        program, gathering = generation.program, generation.gathering
        most = self.share.in_flight_max(IN_FLIGHT_MAX)
        room = min(self.share.batch_max(BATCH_MAX), most - len(generation.in_flight))
        while self._queue and taken < room:
            item = self._queue[0]
            if generation.until_us and item.stored_at_us >= generation.until_us:
                # It was published after a change: the next worker runs it.
                break
            if generation.alone or (item.alone and generation.in_flight) or (taken and self._turn_is_over):
                break
            joins = gathering is not None and not item.single
            if joins and gathering is not None and not gathering.takes(len(item.payload), item.batch_max):
                begun = self._batcher.begin(generation, self.share.in_flight_max(BATCHES_MAX))
                if begun is None:
                    break
                jobs.append(self._job(generation, begun))
            self._queue.popleft()
            taken += 1
            if program.filters is not None and not self._unstarted.passes(program, item):
                continue
            if joins and gathering is not None:
                self._batcher.add(gathering, item)
            else:
                jobs.append(self._job(generation, item))
        if jobs:
            worker.submit(jobs)
        return taken

    def _job(self, generation: Generation, begun: Begun) -> Job:
        """Note what is begun, and say what the worker is to run."""
        self._job_id += 1
        generation.in_flight[self._job_id] = begun
        sampled = begun.sampled = random.random() < generation.program.success_sample_rate  # noqa: S311
        if isinstance(begun, Item):
            generation.alone = begun.alone
            return Job(self._job_id, begun.type, begun.event, sampled)
        generation.batches += 1
        return Job(self._job_id, BATCH_HANDLER, begun.events, sampled)

    @property
    def _turn_is_over(self) -> bool:
        return self._filters and self._services.turns.over

    async def _prepare(self, *, spare: bool = False) -> None:
        """Get the program and a worker for it; a change meanwhile makes it start over."""
        epoch = self._epoch
        try:
            generation = await self._generations.make(spare=spare)
            if generation is None:
                log.info("warm_up_without_room", destination=self.destination)
            elif epoch == self._epoch:
                self.give_way()
                self._current = generation
            else:
                self._generations.retire(generation)
        except (OnwardError, OSError, TimeoutError) as error:
            log.warning("program_unavailable", destination=self.destination, reason=str(error))
            await asyncio.sleep(RETRY_PROGRAM_S)
        finally:
            self._preparing = False
            if self._queue:
                self._schedule()

    # --- what comes out --------------------------------------------------------------------------------------

    def on_outcomes(self, generation: Generation, outcomes: list[Outcome]) -> None:
        """Take what a worker has finished."""
        in_flight = generation.in_flight
        for outcome in outcomes:
            begun = in_flight.get(outcome.id)
            if begun is None:
                continue
            # It is in flight until it is settled: if that fails, it is lost with its worker, and not for ever.
            if isinstance(begun, Item):
                self._attempts.settle(generation.program, begun, outcome)
            else:
                again = self._attempts.batches.settle(generation.program, begun, outcome)
                generation.batches -= 1
                self._unstarted.finished += len(begun.items) - 1
                self._queue.extendleft(reversed(again))
            del in_flight[outcome.id]
        generation.alone = generation.alone and bool(generation.in_flight)
        self.share.note(outcomes[-1].cpu_us)
        if self.share.holds and not generation.in_flight:
            self._services.shares.pause(self.share, more=self._waiting)
        self._unstarted.finished += len(outcomes)
        self._last_used = self._progress_at = self._services.clock.monotonic()
        if generation.retired:
            self._generations.retire(generation)
        elif generation is self._current and generation.worker is not None and generation.worker.spent:
            log.info("worker_recycled", destination=self.destination, reason=generation.worker.spent)
            self._services.meters.recycles[generation.worker.spent] += 1
            self.give_way()
        if self._waiting:
            self._schedule()

    def on_request(self, generation: Generation, request: HostRequest) -> None:
        """Send what a running attempt asks for."""
        begun = generation.in_flight.get(request.job_id)
        if begun is None or generation.worker is None:
            return
        if begun.scope is None:
            begun.scope = Scope(
                workspace=self.workspace,
                destination=self.destination,
                allowed_ranges=self._services.view.egress_ranges(self.workspace),
                idempotency_seed=None if generation.program.omit_idempotency_key else begun.delivery,
            )
        self._services.egress.begin(generation.worker, request, begun, begun.scope)

    def on_loss(self, generation: Generation, blame: Blame) -> None:
        """Note that a worker was lost: end the attempts that it took with it, begin the others once more."""
        if self._current is generation and generation.refusal is None:
            self._current = None
        for begun, loss in blame.lost:
            self._attempts.lose(generation.program, begun, loss)
        self._queue.extendleft(reversed(blame.again + taken_back(generation)))
        if self._queue:
            self._schedule()

    # --- what cannot run -------------------------------------------------------------------------------------

    def _check_waiting(self) -> None:
        """Defer what the lane will not start soon, judged by what it finished since the last look."""
        self._checking = False
        if self._current is not None:
            self._check_gathered(self._current)
        if self._queue:
            self._unstarted.defer_late(self._current)
        self._unstarted.finished = 0
        if self._waiting:
            self._checking = True
            asyncio.get_running_loop().call_later(DEFER_AFTER_S, self._check_waiting)

    def _check_gathered(self, generation: Generation) -> None:
        """Let a batch that finds no room wait like what is queued; what is not full by now waits in the tracker."""
        if self._batcher.starts(generation):
            self._queue.extendleft(reversed(taken_back(generation)))
            self._schedule()
        else:
            self._batcher.put_off(generation)

    # --- the end ---------------------------------------------------------------------------------------------

    def release(self) -> None:
        """Give back the memory of an idle worker."""
        if not self.busy:
            self.give_way()

    def give_way(self) -> None:
        """Let the worker end when what runs in it has ended; what is queued waits for another one."""
        generation, self._current = self._current, None
        if generation is not None:
            self._queue.extendleft(reversed(taken_back(generation)))
            self._generations.retire(generation)
        if self._queue:
            self._schedule()

    def resume(self) -> None:
        """Go on where the CPU was somebody else's."""
        self._schedule()

    def trim(self) -> None:
        """Let an idle worker give back memory that it does not need."""
        if not self.busy and self._current is not None and self._current.worker is not None:
            self._current.worker.trim()

    def close(self) -> None:
        """Begin nothing from now on."""
        self._closed = True
        if self._alarm is not None:
            self._alarm.cancel()
        self._generations.close()
        self._services.shares.remove(self.share)

    async def stop(self) -> None:
        """Stop the worker; what is queued or running stays unacknowledged and is delivered again."""
        self._queue.clear()
        generation, self._current = self._current, None
        if generation is not None and generation.worker is not None:
            generation.in_flight.clear()
            await generation.worker.stop()
