"""What a process and the machine use: CPU time by one system call, memory from /proc, limits from the cgroups."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from time import clock_gettime_ns
from typing import Final

_PAGE_BYTES: Final = resource.getpagesize()
# The CPU clock of another process: its pid, inverted, above the three bits that name the clock (CPUCLOCK_SCHED).
_CLOCK_OF: Final = 2
# cgroup v1 writes "no limit" as the largest number of pages.
_NO_LIMIT: Final = 1 << 60

PROC: Final = Path("/proc")
CGROUPS: Final = Path("/sys/fs/cgroup")


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


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
    """Part of all the machine's CPU time that was idle since the last question; 1 where the kernel does not tell."""

    def __init__(self, proc: Path = PROC) -> None:
        self._path = proc / "stat"
        self._idle, self._all = self._times()

    def read(self) -> float:
        """Takes 50 us."""
        idle, in_all = self._times()
        passed, waited = in_all - self._all, idle - self._idle
        self._idle, self._all = idle, in_all
        return waited / passed if passed > 0 else 1.0

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
    return True


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


def _limits(proc: Path, cgroups: Path) -> list[tuple[int, int]]:
    """(limit, used) of every cgroup from the root to ours that limits memory, of either version."""
    found: list[tuple[int, int]] = []
    for root, path, names in _memberships(proc, cgroups):
        # Inside a container the path may be one of the host's, and the root is ours then.
        for folder in {root, *_upwards(root, path)}:
            try:
                limit, used = (int((folder / name).read_text()) for name in names)
            except (OSError, ValueError):
                # None here, or no limit ("max").
                continue
            if limit < _NO_LIMIT:
                found.append((limit, used))
    return found


def _upwards(root: Path, path: str) -> list[Path]:
    folder = root / path.strip("/")
    return [folder, *(parent for parent in folder.parents if parent.is_relative_to(root))]


def _memberships(proc: Path, cgroups: Path) -> list[tuple[Path, str, tuple[str, str]]]:
    version_2 = ("memory.max", "memory.current")
    version_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    found = [(cgroups, "", version_2), (cgroups / "memory", "", version_1)]
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            found.append((cgroups, path, version_2))
        elif "memory" in controllers.split(","):
            found.append((cgroups / "memory", path, version_1))
    return found
