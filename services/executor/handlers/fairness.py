"""Who computes when more want to than there are cores: by workspace first, then by destination.

Workers are processes, and a kernel gives each of them the same: a workspace with a hundred destinations that compute
would get a hundred times as much as one with one. So the CPU time of every worker is looked at ten times a second.
Where cores are short, destinations that use more than their share, of workspaces that do, wait for one of a few slots
before their workers get more; all others go on as if nothing was. What computes for long also steps back in the
kernel's queue.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from kit.clock import Clock
from kit.waiting import is_set_within
from services.executor.runtime import processes

LOOK_S = 0.1
# While somebody waits for a slot.
LOOK_PRESSED_S = 0.01
# What was used this long ago counts a third: much longer than the limit of one attempt, so that code which always runs
# into it is known for what it is.
MEMORY_S = 10.0
# Cores are short where workers use this part of them, or the whole machine leaves less than that idle.
CONTENDED = 0.7
IDLE_LITTLE = 0.15
# Part of an even share that may be used without waiting: what is used so freely leaves half of the cores to share out.
FREE_SHARE = 0.5
# Workers that may compute at once for each core, where one workspace wants all: one more is ready when one ends.
SLOTS_PER_CORE = 2
# Whoever uses less than this part of a core does not count.
NOTHING = 0.001
# A worker goes on without asking again for this long, in CPU time.
SLICE_S = 0.02
# What one frame gives a worker to do, in CPU time: events that were given can't be taken back.
BATCH_CPU_S = 0.05
# And what it holds in all: what waits for APIs needs many at once, what computes would only wait in the worker.
IN_FLIGHT_CPU_S = 1.0
# What an event takes before any has been seen, and how much each batch moves the mean.
EVENT_CPU_S = 0.0002
EVENT_CPU_WEIGHT = 0.2
# A slot's worker that uses less than this part of a core waits for somebody, and leaves the slot to others.
COMPUTES = 0.1
# A worker that used this part of a core between two looks steps back behind all that use less; where cores are short,
# also one that computed whenever it was looked at.
HEAVY = 0.5
COMPUTING_LOOKS = 3
# It is heavy no more once it was seen computing at none of so many looks.
RESTED_LOOKS = 20
# The worker of a destination whose last ones have used this much, in seconds, begins behind the others.
HEAVY_BEFORE_S = 0.5
# A mean over less says nothing.
MEAN_S_MIN = 0.2
# A tenth of the weight of other processes: they hardly notice it, and it still gets on where others never rest.
NICENESS = 10


class Runner(Protocol):
    """A lane, as far as it computes."""

    @property
    def workspace(self) -> str: ...

    def resume(self) -> None:
        """Ask again: there may be a slot now."""


@dataclass(eq=False, slots=True)
class Computing:
    """One worker of a destination."""

    # Whether it computes now; at how many looks running it did, or did not where that is negative.
    computes: Callable[[], bool]
    seen_ns: int
    looks: int = 0
    niceness: int = 0


@dataclass(eq=False, slots=True)
class Share:
    """What one destination uses of the CPU. Times are in seconds; `used_s` is a mean that forgets."""

    runner: Runner
    since: float
    # By their pids: one that loads, one that runs, those that end what they had begun.
    workers: dict[int, Computing] = field(default_factory=dict)
    used_s: float = 0.0
    # Since the last look, and between the last two, as a part of one core.
    counted_s: float = 0.0
    rate: float = 0.0
    # It must have a slot to be given more.
    gated: bool = False
    # It has one: what it may use until others are asked.
    slice_s: float = 0.0
    holds: bool = False
    waits: bool = False
    # It has one and wanted more than that gives: it asks again when it has none.
    refused: bool = False
    idle_looks: int = 0
    event_cpu_s: float = EVENT_CPU_S

    def mean(self, now: float) -> float:
        """What was used lately, as a part of one core."""
        return self.used_s / min(max(now - self.since, MEAN_S_MIN), MEMORY_S)

    def batch_max(self, most: int) -> int:
        """How many events its worker may be given at once."""
        return max(1, min(most, int(BATCH_CPU_S / self.event_cpu_s)))

    def in_flight_max(self, most: int) -> int:
        """How many events its worker may hold; two batches at least, so that the next is there when one ends."""
        held_s = 2 * BATCH_CPU_S if self.gated else IN_FLIGHT_CPU_S
        return max(2, min(most, int(held_s / self.event_cpu_s)))

    def note(self, cpu_us: int) -> None:
        """Learn from an outcome what an event takes."""
        self.event_cpu_s += EVENT_CPU_WEIGHT * (cpu_us * 1e-6 - self.event_cpu_s)
        if self.event_cpu_s < 1e-6:
            self.event_cpu_s = 1e-6


class CpuShares:
    """Slots for those who use much. `run()` must be running: it looks at what workers use."""

    def __init__(
        self,
        clock: Clock,
        *,
        cores: int | None = None,
        cpu_ns: Callable[[int], int] = processes.cpu_ns,
        renice: Callable[[int, int], bool] = processes.renice,
        idle: Callable[[], float] | None = None,
    ) -> None:
        self._clock = clock
        self._cores = cores or processes.cores()
        self._cpu_ns = cpu_ns
        self._renice = renice
        self._idle = idle or processes.IdleShare().read
        self._shares: dict[Share, None] = {}
        self._waiting: dict[str, deque[Share]] = {}
        self._holders: Counter[str] = Counter()
        # What workspaces used lately, as a number of cores.
        self._mean: defaultdict[str, float] = defaultdict(float)
        self._looked_at = clock.monotonic()
        self._wake = asyncio.Event()
        self.contended = False
        # How often somebody had to wait.
        self.waits = 0

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    # --- the lane's side -------------------------------------------------------------------------------------

    def add(self, runner: Runner) -> Share:
        """Begin to count for a lane."""
        share = Share(runner, self._clock.monotonic())
        self._shares[share] = None
        return share

    def remove(self, share: Share) -> None:
        self.leave(share)
        self._forget_waiting(share)
        self._shares.pop(share, None)

    def started(self, share: Share, pid: int, computing: Callable[[], bool]) -> None:
        """Count a worker, from before it loads its code; one of a lane that has used much begins behind the others."""
        worker = share.workers[pid] = Computing(computing, self._cpu_ns(pid))
        if share.used_s >= HEAVY_BEFORE_S:
            self._step_back(pid, worker)

    def ended(self, share: Share, pid: int) -> None:
        share.workers.pop(pid, None)
        if not share.workers:
            self.leave(share)

    def enter(self, share: Share) -> bool:
        """Whether a lane may give its worker more now. If not, it is told when to ask again."""
        if not share.gated or (share.holds and (share.slice_s > 0 or not self._waiting)):
            return True
        if share.holds or share.waits:
            share.refused = share.holds
            return False
        workspace = share.runner.workspace
        if workspace not in self._waiting and self._slot_for(workspace):
            self._hold(share)
            return True
        share.waits = True
        self.waits += 1
        self._waiting.setdefault(workspace, deque()).append(share)
        self._wake.set()
        return False

    def pause(self, share: Share, *, more: bool) -> None:
        """Note that a lane's worker has nothing to do; `more` may come at once, for the rest of its slice."""
        if not more or share.slice_s <= 0 or self._waiting:
            self.leave(share)

    def leave(self, share: Share) -> None:
        """Note that a lane's worker has nothing to do any more, or must ask again."""
        if not share.holds:
            return
        share.holds, refused, share.refused = False, share.refused, False
        workspace = share.runner.workspace
        self._holders[workspace] -= 1
        if not self._holders[workspace]:
            del self._holders[workspace]
        self._grant()
        if refused:
            share.runner.resume()

    # --- slots -----------------------------------------------------------------------------------------------

    def _slot_for(self, workspace: str) -> bool:
        """One for each workspace in any case; what more there is only while nobody else wants it."""
        holds = self._holders[workspace]
        claimants = len(self._holders.keys() | self._waiting.keys() | {workspace})
        if claimants == 1:
            return holds < SLOTS_PER_CORE * self._cores
        return holds < max(1, math.ceil(self._cores / claimants))

    def _hold(self, share: Share) -> None:
        share.holds, share.slice_s, share.idle_looks, share.refused = True, SLICE_S, 0, False
        self._holders[share.runner.workspace] += 1

    def _grant(self) -> None:
        """Give slots to those who wait: the workspace that used least first, then whoever waits for longest."""
        for workspace in sorted(self._waiting, key=lambda one: self._mean[one]):
            while workspace in self._waiting and self._slot_for(workspace):
                share = self._waiting[workspace][0]
                self._forget_waiting(share)
                if share.gated:
                    self._hold(share)
                share.runner.resume()

    def _forget_waiting(self, share: Share) -> None:
        if not share.waits:
            return
        share.waits = False
        workspace = share.runner.workspace
        queue = self._waiting[workspace]
        queue.remove(share)
        if not queue:
            del self._waiting[workspace]

    # --- what is used ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Look at what workers use, until cancelled."""
        while True:
            if self._waiting:
                await asyncio.sleep(LOOK_PRESSED_S)
                self.look_at_holders(LOOK_PRESSED_S)
            else:
                self._wake.clear()
                await is_set_within(self._wake, LOOK_S)
            if self._clock.monotonic() - self._looked_at >= LOOK_S:
                self.look()

    def look_at_holders(self, passed_s: float) -> None:
        """Take slots from those who wait for something else than a core."""
        for share in [share for share in self._shares if share.holds]:
            used_s = self._count(share)
            share.slice_s -= used_s
            share.idle_looks = share.idle_looks + 1 if used_s < COMPUTES * passed_s else 0
            if share.idle_looks >= 2:
                self.leave(share)

    def look(self) -> None:
        """Count what everybody used, and judge who must wait and who steps back."""
        now = self._clock.monotonic()
        passed_s = max(now - self._looked_at, 1e-3)
        self._looked_at = now
        keeps = math.exp(-passed_s / MEMORY_S)
        self._mean.clear()
        for share in self._shares:
            self._count(share)
            share.rate, share.counted_s = share.counted_s / passed_s, 0.0
            share.used_s *= keeps
            self._mean[share.runner.workspace] += share.mean(now)
        self.contended = (
            self._idle() < IDLE_LITTLE or sum(share.rate for share in self._shares) >= CONTENDED * self._cores
        )
        self._judge_shares(now)
        self._grant()

    def _count(self, share: Share) -> float:
        used_s = 0.0
        for pid, worker in share.workers.items():
            now_ns = self._cpu_ns(pid)
            used_s += max(0, now_ns - worker.seen_ns) / 1e9
            worker.seen_ns = max(worker.seen_ns, now_ns)
        share.used_s += used_s
        share.counted_s += used_s
        return used_s

    def _judge_shares(self, now: float) -> None:
        free = FREE_SHARE * sum(self._mean.values())
        of_workspace = free / max(1, sum(mean > NOTHING for mean in self._mean.values()))
        of_destination = free / max(1, sum(share.mean(now) > NOTHING for share in self._shares))
        for share in self._shares:
            greedy = share.mean(now) > of_destination and self._mean[share.runner.workspace] > of_workspace
            share.gated = self.contended and greedy
            for pid, worker in share.workers.items():
                self._judge_niceness(pid, worker, share.rate)
            if not share.gated:
                self.leave(share)
                if share.waits:
                    self._forget_waiting(share)
                    share.runner.resume()

    # --- the kernel's queue ----------------------------------------------------------------------------------

    def _judge_niceness(self, pid: int, worker: Computing, rate: float) -> None:
        worker.looks = (max(0, worker.looks) + 1) if worker.computes() else min(0, worker.looks) - 1
        heavy = rate >= HEAVY or (self.contended and worker.looks >= COMPUTING_LOOKS)
        if not worker.niceness and heavy:
            self._step_back(pid, worker)
        elif worker.niceness and worker.looks <= -RESTED_LOOKS and self._renice(pid, 0):
            # Only root may; others' workers go back to the front with their next fork.
            worker.niceness = 0

    def _step_back(self, pid: int, worker: Computing) -> None:
        if self._renice(pid, NICENESS):
            worker.niceness = NICENESS
