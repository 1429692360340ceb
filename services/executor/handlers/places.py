"""Which workers may be warm at once: for deliveries, and beside them to check code.

The number of workers is bounded by the memory that they take. Where more destinations are active than fit, places go
round: a worker keeps its place for a while, events of the others gather meanwhile, and a fork serves all of them.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import structlog

from kit.clock import Clock
from kit.errors import Overloaded
from kit.waiting import is_set_within
from services.executor.runtime import processes

# Each takes two workers for some milliseconds, or for some seconds if its code is made for that, and 50 MB meanwhile.
CHECKS_MAX = 4
# Long enough for dozens of usual checks to end; what takes longer is asked for again. The registry waits for 12 s,
# and a check takes 6 at most.
CHECK_WAIT_S = 2.0

# Part of the places, and of the memory, that workers may take which are started before anybody needs them: the rest is
# for whoever has events.
SPARE_SHARE = 0.8

# What a new worker is taken for until it has been measured: between idle (4 MB) and busy (up to 30 MB).
EXPECTED_BYTES = 8 << 20
# Pages that a worker shares with the zygote at first and has written to since: they are its own, and statm can't tell.
COPIED_BYTES = 3 << 20
# One look measures so many workers: 2 ms.
MEASURED_AT_ONCE = 40
LOOK_S = 0.25
# While somebody waits for a place.
LOOK_PRESSED_S = 0.01
# Workers that start at once, for each core: one starts while another one waits for the zygote or its socket.
STARTING_PER_CORE = 2
# Where places go round, forks may take this part of the cores: less makes everybody wait for longer, more leaves too
# little for the events.
FORKING_SHARE = 0.33
# A worker that somebody else waits for stays for at least this: some batches of its own.
RESIDENCE_MIN_S = 0.05
# CPU time of a fork, until some were seen: zygote and worker together.
START_CPU_S = 0.012
# How much a new figure moves the mean.
START_CPU_WEIGHT = 0.05
# Attempts that run in a worker that was told to leave may take up to a minute. After this nobody counts on its place
# any more, and somebody else is told to leave as well.
LEAVES_WITHIN_S = 1.0
# Somebody else's worker that had nothing to do for this long can be spared, whatever its workspace has.
SPARED_AFTER_S = 5.0
# An idle worker that takes more than this much is asked to give back what it can.
TRIM_ABOVE_BYTES = 6 << 20
TRIM_AFTER_S = 2.0

log = structlog.get_logger()


class Holder(Protocol):
    """Who has a worker, or wants one."""

    @property
    def workspace(self) -> str: ...

    @property
    def busy(self) -> bool:
        """Whether anything is queued or runs."""

    def idle_since(self) -> float: ...

    def give_way(self) -> None:
        """End the worker once what runs in it has ended; what is queued waits for another one."""

    def trim(self) -> None:
        """Let the worker give back memory that it does not need."""

    def hangs(self) -> bool:
        """Whether something runs in the worker, and none of it has ended for long: it may not end soon either."""


@dataclass(eq=False, slots=True)
class Place:
    """A worker's claim to be there."""

    holder: Holder
    # When its worker was ready.
    since: float = 0.0
    # 0 until then.
    pid: int = 0
    used_bytes: int = EXPECTED_BYTES
    # Its worker will end: once what runs in it has ended, or now since nothing does.
    leaving: bool = False
    ending: bool = False
    # When it was first told to.
    told_at: float = 0.0
    # When it was last asked to give back memory.
    trimmed_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Pressure:
    """What decides who must go."""

    most: int
    # Workspaces that have places or wait for some.
    claimants: int
    residence_s: float
    now: float


def choose(held: list[Place], asking: str, pressure: Pressure) -> Place | None:
    """Say who goes so that a worker of the asking workspace can come; None where everybody has a right to stay.

    Idle ones first, the longest idle at first; those where attempts hang last. No workspace takes the place of another
    one that has no more than its share, unless nothing used that for long.
    """
    going = [place for place in held if place.pid and not place.leaving]
    counts = Counter(place.holder.workspace for place in going)
    share = pressure.most / max(1, pressure.claimants)
    settled = [place for place in going if pressure.now - place.since >= pressure.residence_s]

    def may_take(place: Place) -> bool:
        workspace = place.holder.workspace
        return counts[workspace] > share if workspace != asking else counts[asking] >= min(share, len(going))

    def may_spare(place: Place) -> bool:
        return place.holder.workspace == asking or pressure.now - place.holder.idle_since() >= SPARED_AFTER_S

    idle = [place for place in settled if not place.holder.busy and (may_take(place) or may_spare(place))]
    if idle:
        return min(idle, key=lambda place: place.holder.idle_since())
    busy = [place for place in settled if may_take(place)]
    return min(
        busy, key=lambda place: (place.holder.hangs(), -counts[place.holder.workspace], place.since), default=None
    )


class WorkerPlaces:
    """One place a warm worker. `run()` must be running: it measures, and has workers go that others wait for."""

    def __init__(
        self,
        most: int,
        memory_bytes: int,
        clock: Clock,
        *,
        cores: int | None = None,
        measure: Callable[[int], int] = processes.anonymous_bytes,
        cpu_ns: Callable[[int], int] = processes.cpu_ns,
    ) -> None:
        self.most = most
        self.memory_bytes = memory_bytes
        self._clock = clock
        self._cores = cores or processes.cores()
        self._measure = measure
        self._cpu_ns = cpu_ns
        # In the order in which they are measured.
        self._held: dict[Place, None] = {}
        self._of_workspace: Counter[str] = Counter()
        self._waiting: dict[str, deque[tuple[Place, asyncio.Future[None]]]] = {}
        self._wake = asyncio.Event()
        self._start_cpu_s = START_CPU_S
        # What the zygote has itself: a worker's share of it is no memory more.
        self.shared_bytes = 0
        self.used_bytes = 0
        self.starting = 0
        # How often somebody had to wait, and had to go.
        self.waits = 0
        self.evictions = 0

    @property
    def held(self) -> list[Place]:
        """All places that somebody has."""
        return list(self._held)

    @property
    def taken(self) -> int:
        return len(self._held)

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    @property
    def residence_s(self) -> float:
        """How long a worker stays at least while others wait, so that forks take no more than their part of the CPU."""
        return max(RESIDENCE_MIN_S, self.taken * self._start_cpu_s / (self._cores * FORKING_SHARE))

    # --- taking ----------------------------------------------------------------------------------------------

    async def take(self, holder: Holder) -> Place:
        """Wait for a place. Call `ready` once its worker is there, and `give_back` when that has ended."""
        place = Place(holder)
        if not self._waiting and self._room():
            self._hold(place)
            return place
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(holder.workspace, deque()).append((place, granted))
        self.waits += 1
        self._wake.set()
        try:
            await granted
        except BaseException:
            self._leave_queue(place, granted)
            raise
        return place

    @property
    def has_spare(self) -> bool:
        """Whether one more worker would come in nobody's way: it has nothing to do yet."""
        used_bytes = self.used_bytes + EXPECTED_BYTES
        fits = len(self._held) + 1 <= SPARE_SHARE * self.most and used_bytes <= SPARE_SHARE * self.memory_bytes
        return fits and not self._waiting and self._room()

    def take_spare(self, holder: Holder) -> Place | None:
        """Take a place if there is one to spare, without waiting and without anybody's having to go."""
        if not self.has_spare:
            return None
        place = Place(holder)
        self._hold(place)
        return place

    def _leave_queue(self, place: Place, granted: asyncio.Future[None]) -> None:
        if place in self._held:
            self.give_back(place)
            return
        workspace = place.holder.workspace
        queue = self._waiting.get(workspace)
        if queue is not None:
            with suppress(ValueError):
                queue.remove((place, granted))
            if not queue:
                del self._waiting[workspace]

    def _hold(self, place: Place) -> None:
        self._held[place] = None
        self._of_workspace[place.holder.workspace] += 1
        self.used_bytes += place.used_bytes
        self.starting += 1

    def ready(self, place: Place, pid: int) -> None:
        """Note that a worker has begun to serve."""
        place.pid, place.since = pid, self._clock.monotonic()
        self.starting -= 1
        # What it has used by now is its start; the zygote's part of a fork takes about half as much again.
        cost_s = 1.5 * self._cpu_ns(pid) / 1e9
        self._start_cpu_s += START_CPU_WEIGHT * (cost_s - self._start_cpu_s)
        self._grant()

    def leaves(self, place: Place, *, ending: bool = False) -> None:
        """Note that a worker will end; `ending` where nothing runs in it any more."""
        if not place.leaving:
            place.leaving, place.told_at = True, self._clock.monotonic()
        place.ending = place.ending or ending

    def give_back(self, place: Place) -> None:
        if place not in self._held:
            return
        del self._held[place]
        workspace = place.holder.workspace
        self._of_workspace[workspace] -= 1
        if not self._of_workspace[workspace]:
            del self._of_workspace[workspace]
        self.used_bytes -= place.used_bytes
        self.starting -= not place.pid
        self._grant()

    def _fits(self) -> bool:
        """Whether number and memory allow one more; there is always one."""
        fits = len(self._held) < self.most and self.used_bytes + EXPECTED_BYTES <= self.memory_bytes
        return fits or not self._held

    def _room(self) -> bool:
        return self.starting < STARTING_PER_CORE * self._cores and self._fits()

    def _grant(self) -> None:
        """Give free places to those who wait: the workspace with the fewest first, then whoever waits for longest."""
        while self._waiting and self._room():
            workspace = min(self._waiting, key=lambda one: self._of_workspace[one])
            queue = self._waiting.pop(workspace)
            place, granted = queue.popleft()
            if queue:
                self._waiting[workspace] = queue
            if not granted.done():
                self._hold(place)
                granted.set_result(None)

    # --- going -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Measure workers, and have some go where others need the place or all take too much, until cancelled."""
        while True:
            await is_set_within(self._wake, LOOK_PRESSED_S if self._waiting else LOOK_S)
            self._wake.clear()
            self.look()
            if self._waiting:
                # Not at every arrival: a look goes through all workers.
                await asyncio.sleep(LOOK_PRESSED_S)

    def look(self) -> None:
        now = self._clock.monotonic()
        self._measure_some(now)
        self._shed(now)
        self._make_room(now)
        self._grant()

    def _make_room(self, now: float) -> None:
        leaving = sum(_leaves_soon(place, now) for place in self._held)
        free = self.most - len(self._held)
        wanted = min(self.waiting, STARTING_PER_CORE * self._cores) - leaving - (free if self._fits() else 0)
        for _ in range(wanted):
            asking = min(self._waiting, key=lambda one: self._of_workspace[one])
            pressure = Pressure(
                self.most if free <= 0 else len(self._held),
                len(self._of_workspace.keys() | self._waiting.keys()),
                self.residence_s,
                now,
            )
            going = choose(list(self._held), asking, pressure)
            if going is None:
                return
            self._evict(going)

    def _shed(self, now: float) -> None:
        """Have idle workers go while all of them take more than they may; busy ones are bounded by their own limits."""
        excess = self.used_bytes - self.memory_bytes
        excess -= sum(place.used_bytes for place in self._held if _leaves_soon(place, now))
        if excess <= 0:
            return
        idle = [place for place in self._held if place.pid and not place.leaving and not place.holder.busy]
        for place in sorted(idle, key=lambda one: one.holder.idle_since()):
            if excess <= 0 or now - place.since < self.residence_s:
                break
            excess -= place.used_bytes
            self._evict(place)

    def _evict(self, place: Place) -> None:
        self.leaves(place)
        self.evictions += 1
        place.holder.give_way()

    def _measure_some(self, now: float) -> None:
        for place in tuple(islice(self._held, MEASURED_AT_ONCE)):
            # To the end of the row.
            del self._held[place]
            self._held[place] = None
            if place.pid and (used := self._measure(place.pid)):
                used_bytes = max(0, used - self.shared_bytes) + COPIED_BYTES
                self.used_bytes += used_bytes - place.used_bytes
                place.used_bytes = used_bytes
                self._trim(place, now)

    @staticmethod
    def _trim(place: Place, now: float) -> None:
        """Once for each time that it was busy."""
        idle_since = place.holder.idle_since()
        if place.used_bytes < TRIM_ABOVE_BYTES or place.leaving or place.holder.busy or place.trimmed_at > idle_since:
            return
        if now - idle_since >= TRIM_AFTER_S:
            place.trimmed_at = now
            place.holder.trim()


def _leaves_soon(place: Place, now: float) -> bool:
    return place.leaving and (place.ending or now - place.told_at < LEAVES_WITHIN_S)


class CheckPlaces:
    """A place for each check of code under way, first come, first served."""

    def __init__(self, most: int = CHECKS_MAX, wait_s: float = CHECK_WAIT_S) -> None:
        self._free = asyncio.Semaphore(most)
        self._wait_s = wait_s

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Wait for a place and hold it. Raises `Overloaded` where none gets free in time."""
        try:
            async with asyncio.timeout(self._wait_s):
                await self._free.acquire()
        except TimeoutError:
            raise Overloaded(
                "Too much code is being checked at once; nothing was saved. Try again.", retry_after_s=1.0
            ) from None
        try:
            yield
        finally:
            self._free.release()
