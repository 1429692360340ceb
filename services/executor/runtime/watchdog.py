"""When the executor kills a worker: where the worker's own watchdog, which is more precise, does not do its work.

The worker looks at its clocks at least every 20 ms while JavaScript runs, and at every deadline, and counts each look
in its cell (`beat`). As long as that number moves, limits are its business. Once it stands still, they are ours: an
attempt whose turn it is may use its CPU time and no more, and an idle worker may sleep as long as an attempt may last.

A machine that is short of CPU makes everything late. So time in which the kernel let the worker wait for a CPU does not
count, and one look is never enough: what the worker has sent meanwhile is read between two looks.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from services.executor.runtime.jobs import Limits
from services.executor.runtime.processes import PROC, cpu_ns
from services.executor.runtime.pump import BEATS_AT

# How often the executor looks at each worker that has work; three looks are the longest a kill comes late.
LOOK_S: Final = 0.05
# Every so many looks it looks closer: at memory, and at workers that have nothing to do.
CLOSER_LOOKS: Final = 20
# A worker that sleeps until a deadline and then ends the attempt needs some milliseconds for it.
_SLACK_S: Final = 0.05
# Between two closer looks. Giving back memory, which it is asked for when idle, takes less and does not go on.
_IDLE_CPU_S: Final = 0.1
# How much slower than alone a worker may be, where those of many functions run at once.
_STARVED: Final = 20
# However many there are: events must not hang for hours in a worker that was taken over.
_OTHERS_S_MAX: Final = 60.0
_NS_PER_S: Final = 1_000_000_000

_RUNNING: Final = struct.Struct("<i")
_BEATS: Final = struct.Struct("<I")
_NOBODY: Final = 0


class Readable(Protocol):
    """The shared page."""

    def __getitem__(self, index: slice, /) -> bytes: ...


@dataclass(slots=True)
class _Stand:
    """What a worker was doing when it was last seen to move."""

    beats: int
    running: int
    since_s: float
    cpu_s: float
    # How long it had waited for a CPU when it had stood still for half of its time: files are read for that.
    waited_s: float | None = None


class Watchdog:
    """Watches one worker; `overdue` is asked every LOOK_S while it has work."""

    def __init__(
        self, cell: Readable, limits: Limits, cpu_s: Callable[[], float], waited_s: Callable[[], float]
    ) -> None:
        """`cpu_s` is what the process has used, `waited_s` how long it was kept waiting for a CPU, since it began."""
        self._cell = cell
        self._wall_s, self._cpu_limit_s = limits.wall_ms / 1000, limits.cpu_ms / 1000
        self._cpu_s, self._waited_s = cpu_s, waited_s
        self._stand: _Stand | None = None
        self._suspected = False
        self._idle_cpu_s: float | None = None

    def begin(self) -> None:
        """It has work again: nothing of before counts."""
        self._stand = None
        self._suspected = False
        self._idle_cpu_s = None

    def runs_idle(self) -> bool:
        """Whether something runs in it that nobody asked for; for CLOSER_LOOKS, while it has no work."""
        before_s, self._idle_cpu_s = self._idle_cpu_s, self._cpu_s()
        suspected = before_s is not None and self._idle_cpu_s - before_s >= _IDLE_CPU_S
        surely, self._suspected = suspected and self._suspected, suspected
        return surely

    def overdue(self, now_s: float, jobs: int, outcome_s: float) -> bool:
        """Whether to kill it. `outcome_s` is when it last ended one of its `jobs`, or was given the first."""
        suspected = self._stands_still(now_s) or self._ends_nothing(now_s, jobs, outcome_s)
        surely, self._suspected = suspected and self._suspected, suspected
        return surely

    def _stands_still(self, now_s: float) -> bool:
        (beats,) = _BEATS.unpack(self._cell[BEATS_AT : BEATS_AT + _BEATS.size])
        (running,) = _RUNNING.unpack(self._cell[0 : _RUNNING.size])
        stand = self._stand
        if stand is None or beats != stand.beats or running != stand.running:
            self._stand = _Stand(beats, running, now_s, self._cpu_s())
            return False
        if running != _NOBODY and self._cpu_s() - stand.cpu_s >= self._cpu_limit_s:
            return True
        stood_s = now_s - stand.since_s
        if stand.waited_s is None:
            if stood_s >= self._wall_s / 2:
                stand.waited_s = self._waited_s()
            return False
        allowed_s = self._wall_s + (_SLACK_S if running == _NOBODY else 0)
        return stood_s >= allowed_s and stood_s - (self._waited_s() - stand.waited_s) >= allowed_s

    def _ends_nothing(self, now_s: float, jobs: int, outcome_s: float) -> bool:
        """A worker that was taken over may beat as it likes. Those of ours end an attempt within this time.

        Each may wait its wall time, in which the CPU time of all others is not counted.
        """
        others_s = min(jobs * self._cpu_limit_s * _STARVED, _OTHERS_S_MAX)
        return now_s - outcome_s >= self._wall_s + others_s + _SLACK_S


def watch(pid: int, cell: Readable, limits: Limits) -> Watchdog:
    """A watchdog with the clocks of a real process."""
    return Watchdog(cell, limits, lambda: cpu_ns(pid) / _NS_PER_S, lambda: waited_s(pid))


def waited_s(pid: int) -> float:
    """How long the thread that waited longest has waited for a CPU; 0 where the kernel does not count that."""
    try:
        found = [int(path.read_bytes().split()[1]) for path in (PROC / str(pid) / "task").glob("*/schedstat")]
    except (OSError, ValueError, IndexError):
        return 0
    return max(found, default=0) / _NS_PER_S
