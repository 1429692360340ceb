"""What a process and the machine use: CPU time by one system call, memory from /proc, limits from the cgroups."""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import clock_gettime_ns, monotonic_ns
from typing import Final

_PAGE_BYTES: Final = resource.getpagesize()
# The CPU clock of another process: its pid, inverted, above the three bits that name the clock (CPUCLOCK_SCHED).
_CLOCK_OF: Final = 2
# cgroup v1 writes "no limit" as the largest number of pages.
_NO_LIMIT: Final = 1 << 60

PROC: Final = Path("/proc")
CGROUPS: Final = Path("/sys/fs/cgroup")


def cores(proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """How many cores this process may use: those that it may run on, or as much time as its cgroups grant."""
    granted = [math.ceil(quota.cores) for quota in _quotas(proc, cgroups)]
    return max(1, min([len(os.sched_getaffinity(0)), *granted]))


@dataclass(frozen=True, slots=True)
class _Quota:
    """The CPU time that a cgroup grants, as a number of cores, and where it says how much was used."""

    cores: float
    used: Path
    version: int

    def used_ns(self) -> int:
        """CPU time of the cgroup; 0 where the kernel does not tell."""
        try:
            text = self.used.read_text()
            if self.version == 1:
                return int(text)
            return int(dict(line.split() for line in text.splitlines())["usage_usec"]) * 1000
        except (OSError, ValueError, KeyError):
            return 0


def _quotas(proc: Path, cgroups: Path) -> list[_Quota]:
    """The quotas of every cgroup from the root to ours, of either version."""
    found: list[_Quota] = []
    for folder, version in _folders("cpu", proc, cgroups):
        try:
            if version == 2:
                quota_us, period_us = (folder / "cpu.max").read_text().split()
                used = folder / "cpu.stat"
            else:
                quota_us, period_us = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
                used = folder / "cpuacct.usage"
            granted = int(quota_us) / int(period_us)
        except (OSError, ValueError, ZeroDivisionError):
            # None here, or no limit ("max").
            continue
        if granted > 0:
            found.append(_Quota(granted, used, version))
    return found


def raise_open_files() -> None:
    """Use what the hard limit allows: each worker takes two descriptors, and many systems begin with 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def cpu_ns(pid: int) -> int:
    """CPU time of all threads of a process, 0 where it is gone. Takes half a microsecond, and no right to it."""
    try:
        return clock_gettime_ns((~pid << 3) | _CLOCK_OF)
    except OSError:
        return 0


def data_bytes(pid: int, proc: Path = PROC) -> int:
    """What RLIMIT_DATA limits of a process, touched or not; 0 where it is gone."""
    try:
        fields = (proc / str(pid) / "statm").read_bytes().split()
    except OSError:
        return 0
    return int(fields[5]) * _PAGE_BYTES if len(fields) > 5 else 0


class IdleShare:
    """Part of the CPU time that was idle since the last question; 1 where the kernel does not tell.

    Of all the machine's time, or of what a cgroup grants to us and others in it, whichever has less left.
    """

    def __init__(self, proc: Path = PROC, cgroups: Path = CGROUPS, *, now_ns: Callable[[], int] = monotonic_ns) -> None:
        self._path = proc / "stat"
        self._quotas = _quotas(proc, cgroups)
        self._now_ns = now_ns
        self._idle, self._all = self._times()
        self._asked_ns, self._used_ns = now_ns(), [quota.used_ns() for quota in self._quotas]

    def read(self) -> float:
        """Takes 50 us, and 20 more for each quota."""
        idle, in_all = self._times()
        passed, waited = in_all - self._all, idle - self._idle
        self._idle, self._all = idle, in_all
        return min([waited / passed if passed > 0 else 1.0, *self._left()])

    def _left(self) -> list[float]:
        """What was left of each quota."""
        now_ns, used_ns = self._now_ns(), [quota.used_ns() for quota in self._quotas]
        passed_ns = max(1, now_ns - self._asked_ns)
        left = [
            max(0.0, 1 - (now - before) / (quota.cores * passed_ns))
            for quota, now, before in zip(self._quotas, used_ns, self._used_ns, strict=True)
        ]
        self._asked_ns, self._used_ns = now_ns, used_ns
        return left

    def _times(self) -> tuple[int, int]:
        try:
            with self._path.open("rb", buffering=0) as file:
                fields = [int(field) for field in file.read(300).splitlines()[0].split()[1:9]]
        except (OSError, ValueError, IndexError):
            return 0, 0
        # Waiting for a disk is idle for a core; being taken by the hypervisor is not.
        return sum(fields[3:5]), sum(fields)


def renice(pid: int, niceness: int, proc: Path = PROC) -> bool:
    """Give all threads of a process a niceness; False where the kernel refuses that, or the process is gone."""
    try:
        threads = os.listdir(proc / str(pid) / "task")
        for thread in threads:
            os.setpriority(os.PRIO_PROCESS, int(thread), niceness)
    except OSError:
        return False
    renice_group(pid, niceness, proc)
    return True


def renice_group(pid: int, niceness: int, proc: Path = PROC) -> None:
    """Give the group of a process that leads its session the same, where autogroups are in use.

    There the niceness of a thread counts within its group only: beside others, a worker would get as much as before.
    The kernel leaves this to root.
    """
    with suppress(OSError):
        if os.getsid(pid) == pid:
            (proc / str(pid) / "autogroup").write_text(str(niceness))


def anonymous_bytes(pid: int, proc: Path = PROC) -> int:
    """Memory of a process that no file holds, shared or not; 0 where it is gone.

    Takes 30 us. Exact figures (smaps_rollup) take 2 ms, and are closed to an executor that is not root.
    """
    try:
        with (proc / str(pid) / "statm").open("rb", buffering=0) as file:
            fields = file.read(200).split()
    except OSError:
        return 0
    return (int(fields[1]) - int(fields[2])) * _PAGE_BYTES if len(fields) > 2 else 0


def read_memory(proc: Path = PROC, cgroups: Path = CGROUPS) -> tuple[int, int]:
    """Available and total bytes, of the machine or of the narrowest cgroup that this process is in."""
    lines = dict(line.split(":") for line in (proc / "meminfo").read_text().splitlines())
    available, total = (int(lines[name].split()[0]) * 1024 for name in ("MemAvailable", "MemTotal"))
    for limit, used in _limits(proc, cgroups):
        available, total = min(available, max(limit - used, 0)), min(total, limit)
    return available, total


# Names of the files, by the version of the cgroups.
_MEMORY_FILES: Final = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    2: ("memory.max", "memory.current"),
}


def _limits(proc: Path, cgroups: Path) -> list[tuple[int, int]]:
    """(limit, used) of every cgroup from the root to ours that limits memory, of either version."""
    found: list[tuple[int, int]] = []
    for folder, version in _folders("memory", proc, cgroups):
        try:
            limit, used = (int((folder / name).read_text()) for name in _MEMORY_FILES[version])
        except (OSError, ValueError):
            # None here, or no limit ("max").
            continue
        if limit < _NO_LIMIT:
            found.append((limit, used))
    return found


def _folders(controller: str, proc: Path, cgroups: Path) -> Iterator[tuple[Path, int]]:
    """Every cgroup from the root to ours that may limit something, with its version."""
    for root, path, version in _memberships(controller, proc, cgroups):
        # Inside a container the path may be one of the host's, and the root is ours then.
        for folder in {root, *_upwards(root, path)}:
            yield folder, version


def _upwards(root: Path, path: str) -> list[Path]:
    folder = root / path.strip("/")
    return [folder, *(parent for parent in folder.parents if parent.is_relative_to(root))]


def _memberships(controller: str, proc: Path, cgroups: Path) -> list[tuple[Path, str, int]]:
    found = [(cgroups, "", 2), (cgroups / controller, "", 1)]
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            found.append((cgroups, path, 2))
        elif controller in controllers.split(","):
            found.append((cgroups / controller, path, 1))
    return found
