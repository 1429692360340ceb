"""What is read of the machine, its cgroups and its processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.executor.runtime.processes import anonymous_bytes, read_memory

KIB = 1024


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A machine of 4 MiB, half of it available, with a process in a cgroup of either version."""
    proc = tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal:       4096 kB\nMemFree:        100 kB\nMemAvailable:   2048 kB\n")
    (proc / "self" / "cgroup").write_text("4:cpu,memory:/jobs/one\n1:pids:/\n0::/slice/unit\n")
    return proc


def _limit(folder: Path, names: tuple[str, str], limit: str, used: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")


V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")
V2 = ("memory.max", "memory.current")


def test_a_machine_without_limits_has_its_memory(proc: Path, tmp_path: Path) -> None:
    cgroups = tmp_path / "cgroup"
    assert read_memory(proc, cgroups) == (2048 * KIB, 4096 * KIB)
    _limit(cgroups, V2, "max", 1024)
    _limit(cgroups / "memory", V1, "9223372036854771712", 1024)
    assert read_memory(proc, cgroups) == (2048 * KIB, 4096 * KIB)


@pytest.mark.parametrize(
    ("folder", "names"),
    [
        (".", V2),
        ("slice", V2),
        ("slice/unit", V2),
        ("memory", V1),
        ("memory/jobs", V1),
        ("memory/jobs/one", V1),
    ],
)
def test_a_container_has_the_memory_of_its_limit(
    proc: Path, tmp_path: Path, folder: str, names: tuple[str, str]
) -> None:
    cgroups = tmp_path / "cgroup"
    _limit(cgroups / folder, names, str(1024 * KIB), 1024)
    assert read_memory(proc, cgroups) == (1023 * KIB, 1024 * KIB)


def test_the_narrowest_limit_counts(proc: Path, tmp_path: Path) -> None:
    cgroups = tmp_path / "cgroup"
    _limit(cgroups / "memory/jobs/one", V1, str(1024 * KIB), 24 * KIB)
    _limit(cgroups / "memory/jobs", V1, str(512 * KIB), 500 * KIB)
    assert read_memory(proc, cgroups) == (12 * KIB, 512 * KIB)


def test_a_process_that_is_gone_takes_nothing(proc: Path) -> None:
    assert anonymous_bytes(4711, proc) == 0
    (proc / "4711").mkdir()
    (proc / "4711" / "statm").write_text("5000 900 300 1 0 800 0\n")
    assert anonymous_bytes(4711, proc) == 600 * 4096
