"""What is read of the machine, its cgroups and its processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.executor.runtime.processes import IdleShare, anonymous_bytes, cores, read_memory

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


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))


def _grant(folder: Path, version: int, quota_us: int, used_us: int = 0) -> None:
    """Have a cgroup grant this much of each 100 ms."""
    folder.mkdir(parents=True, exist_ok=True)
    if version == 2:
        (folder / "cpu.max").write_text(f"{'max' if quota_us < 0 else quota_us} 100000\n")
        (folder / "cpu.stat").write_text(f"usage_usec {used_us}\nuser_usec {used_us}\n")
    else:
        (folder / "cpu.cfs_quota_us").write_text(f"{quota_us}\n")
        (folder / "cpu.cfs_period_us").write_text("100000\n")
        (folder / "cpuacct.usage").write_text(f"{used_us * 1000}\n")


CPU_FOLDERS = [(".", 2), ("slice", 2), ("slice/unit", 2), ("cpu", 1), ("cpu/jobs/one", 1)]


@pytest.mark.parametrize(("folder", "version"), CPU_FOLDERS)
@pytest.mark.parametrize(("quota_us", "expected"), [(-1, 8), (50_000, 1), (200_000, 2), (250_000, 3), (1_600_000, 8)])
@pytest.mark.usefixtures("eight_cores")
def test_a_container_has_the_cores_that_it_is_granted(
    proc: Path, tmp_path: Path, folder: str, version: int, quota_us: int, expected: int
) -> None:
    cgroups = tmp_path / "cgroup"
    assert cores(proc, cgroups) == 8
    _grant(cgroups / folder, version, quota_us)
    assert cores(proc, cgroups) == expected


@pytest.mark.parametrize(("folder", "version"), CPU_FOLDERS)
def test_cores_are_short_where_a_container_uses_what_it_is_granted_though_the_machine_is_idle(
    proc: Path, tmp_path: Path, folder: str, version: int
) -> None:
    cgroups, now_ns = tmp_path / "cgroup", [0]
    (proc / "stat").write_text("cpu  100 0 0 900 0 0 0 0\n")
    _grant(cgroups / folder, version, 200_000, used_us=1_000_000)
    share = IdleShare(proc, cgroups, now_ns=lambda: now_ns[0])
    for used_us, left in ((1_190_000, 0.05), (1_290_000, 0.5), (1_290_000, 0.8), (9_000_000, 0.0)):
        now_ns[0] += 100_000_000
        (proc / "stat").write_text(
            f"cpu  {100 + now_ns[0] // 10**8 * 20} 0 0 {900 + now_ns[0] // 10**8 * 80} 0 0 0 0\n"
        )
        _grant(cgroups / folder, version, 200_000, used_us)
        assert share.read() == pytest.approx(left)


def test_without_a_quota_the_machine_says_what_is_idle(proc: Path, tmp_path: Path) -> None:
    (proc / "stat").write_text("cpu  100 0 0 900 0 0 0 0\n")
    share = IdleShare(proc, tmp_path / "cgroup")
    assert share.read() == 1.0
    (proc / "stat").write_text("cpu  160 0 0 940 0 0 0 0\n")
    assert share.read() == pytest.approx(0.4)
