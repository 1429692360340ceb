"""The sandbox as it is tried at the start of an executor, and as it looks from outside."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from kit.embedded.nats import EmbeddedNats
from kit.settings import SettingsError
from kit.testing.eventually import eventually
from services.executor.app import build
from services.executor.handlers.checks import SANDBOX_ADVICE, judge_sandbox
from services.executor.runtime import pool
from services.executor.runtime.lockdown import ARCHITECTURES
from services.executor.runtime.probes import DEADLY, SURVIVED
from services.executor.runtime.self_test import DEGRADATION, Finding, degradations_of, self_test
from services.executor.settings import RUNTIME_DIR
from tests.integration.executor_world import executor_world
from tests.integration.sandbox_world import Run, Sandbox, sandbox_of

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PRELUDE = RUNTIME_DIR / "prelude.js"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with sandbox_of() as sandbox:
        yield sandbox


@pytest.fixture
async def listening() -> AsyncIterator[tuple[str, int]]:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield host, port


def leak(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Have zygotes of this test start under another name."""
    monkeypatch.setattr(pool, "zygote_main", SimpleNamespace(__name__=f"tests.integration.{name}"))


# ---- probes ----------------------------------------------------------------------------------------------------------


async def test_whatever_a_worker_tries_is_refused_or_its_end(sandbox: Sandbox, listening: tuple[str, int]) -> None:
    """E22: files, sockets, processes, namespaces, kernel interfaces, each tried by native code in a real worker."""
    findings = await self_test(sandbox.zygote, endpoints=[listening], files=[PRELUDE])
    assert [finding for finding in findings if not finding.passed] == []
    assert {one.probe: one.got for one in findings if one.expected == "killed"} == dict.fromkeys(DEADLY, "SIGSYS")
    assert {one.got for one in findings if one.expected == "refused"} == {"EPERM"}
    assert len(findings) == len(SURVIVED) + len(DEADLY)


async def test_workers_that_were_probed_are_gone_and_others_were_left_alone(sandbox: Sandbox) -> None:
    before = set(sandbox.zygote.worker_pids)
    await self_test(sandbox.zygote)
    await eventually(lambda: set(sandbox.zygote.worker_pids) == before)


async def test_without_any_sandbox_all_that_succeeds_is_found(
    monkeypatch: pytest.MonkeyPatch, listening: tuple[str, int]
) -> None:
    """E22: the probes do what their names say, so a refusal means something."""
    leak(monkeypatch, "leaky_zygote")
    async with sandbox_of() as sandbox:
        findings = await self_test(sandbox.zygote, endpoints=[listening], files=[PRELUDE])
    failed = {finding.probe for finding in findings if not finding.passed}
    assert {"open files for reading", "make a file", "list a directory", "connect to Onward", "Unix socket"} <= failed
    assert {"signal another process", "memory file", "fork", "vfork", "clone a process", "execve", "ptrace"} <= failed
    # What else is refused here is refused to everybody on this machine, or to everybody who is not root.
    assert len(failed) > 25
    assert degradations_of(findings)[0].startswith(f"{DEGRADATION}: ")


async def test_without_the_filter_the_other_layers_still_close_files_network_and_processes(
    monkeypatch: pytest.MonkeyPatch, listening: tuple[str, int]
) -> None:
    """E22: layers stand behind one another."""
    leak(monkeypatch, "leaky_zygote_seccomp")
    async with sandbox_of() as sandbox:
        if sandbox.zygote.degradations:
            pytest.skip(f"the kernel refuses {sandbox.zygote.degradations}")
        findings = await self_test(sandbox.zygote, endpoints=[listening], files=[PRELUDE])
    got = {finding.probe: finding.got for finding in findings}
    behind = {
        "open files for reading": "EACCES", "open files for writing": "EACCES", "make a file": "EACCES",
        "open /proc/self/mem": "EACCES", "list a directory": "EACCES", "environment of another process": "EACCES",
        "memory map of another process": "EACCES", "memory of another process": "EPERM", "change the user": "EPERM",
        "raise limits": "EPERM", "raw socket": "EPERM", "packet socket": "EPERM", "execve": "EACCES", "ptrace": "EPERM",
        "signal another process": "EPERM",
    }  # fmt: skip
    assert {probe: got[probe] for probe in behind} == behind
    # A namespace without any address but its own: there is no way to what listens outside.
    assert got["connect to Onward"] in ("ENETUNREACH", "EACCES", "ECONNREFUSED")


# ---- what an executor does about it ----------------------------------------------------------------------------------


async def test_a_probe_that_gets_through_is_shown_and_where_the_sandbox_is_required_ends_the_start(
    monkeypatch: pytest.MonkeyPatch, nats_url: str, nats_server: EmbeddedNats
) -> None:
    leak(monkeypatch, "leaky_zygote_seccomp")
    async with executor_world(nats_url, nats_server.monitor_url) as world:
        assert world.app is not None
        found = world.app._zygote.degradations
        assert any(what.startswith("self-test: fork") for what in found)
        checks = judge_sandbox(found)
        assert {check.advice for check in checks} >= {SANDBOX_ADVICE[DEGRADATION]}
        strict = await build(world.settings.model_copy(update={"sandbox_required": True}))
        with pytest.raises(SettingsError, match=r"ONWARD_SANDBOX_REQUIRED.*self-test: fork: .*self-test: vfork"):
            await strict.start()
        await strict.stop()


def test_a_refusal_passes_whatever_layer_it_comes_from() -> None:
    assert Finding("fork", "killed", "SIGSYS").passed
    assert Finding("fork", "killed", "EPERM").passed
    assert Finding("open", "refused", "EACCES").passed
    for got in ("allowed", "EBADF", "SIGSEGV", "no answer", "EFAULT"):
        assert not Finding("open", "refused", got).passed
    assert not Finding("open", "refused", "SIGSYS").passed, "what must survive a refusal and does not is a mistake"


def test_by_hand_it_prints_what_it_has_found() -> None:
    command = [sys.executable, "-m", "services.executor.runtime.self_test"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert re.search(r"^fork +killed +SIGSYS$", shown.stdout, re.MULTILINE), shown.stderr
    said = subprocess.run([*command, "--json"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    found = json.loads(said.stdout)
    assert all(probe["passed"] for probe in found["probes"])
    assert shown.returncode == said.returncode == (1 if found["degradations"] else 0)


# ---- a live worker from outside --------------------------------------------------------------------------------------


async def _working(sandbox: Sandbox) -> Run:
    return await sandbox.run("async function onTrack() { console.log('x'); await null; return 1 }", {}, {})


async def test_a_live_worker_holds_one_socket_and_no_file_network_or_privilege(sandbox: Sandbox) -> None:
    """E22: by /proc."""
    run = await _working(sandbox)
    proc = Path(f"/proc/{run.worker.pid}")
    status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line)
    assert {name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == dict.fromkeys(
        ("CapInh", "CapPrm", "CapEff", "CapAmb"), 0
    )
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    if not sandbox.zygote.degradations:
        assert status["Groups"].strip() in ("", "65534")
    if os.geteuid() != 0:
        pytest.skip("what a process holds is shown to root alone")
    assert status["Uid"].split() == ["65534"] * 4
    assert [os.readlink(fd).partition(":")[0] for fd in (proc / "fd").iterdir()] == ["socket"]
    assert (proc / "environ").read_bytes() == b""
    routes, devices = (proc / "net/route").read_text(), (proc / "net/dev").read_text()
    assert routes.splitlines()[1:] == []
    assert [line.split(":")[0].strip() for line in devices.splitlines()[2:]] == ["lo"]
    for space in ("net", "mnt", "ipc", "uts"):
        assert os.readlink(proc / "ns" / space) != os.readlink(f"/proc/self/ns/{space}")
    writable = [
        line for line in (proc / "maps").read_text().splitlines() if "w" in line.split()[1] and "s" in line.split()[1]
    ]
    assert len(writable) == 1, "the cell is all that it shares"


async def test_a_working_worker_makes_none_but_harmless_system_calls(sandbox: Sandbox, tmp_path: Path) -> None:
    """E22: by strace."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    run = await sandbox.load("async function onTrack(e) { console.log('x'); await null; return 'x'.repeat(e.n) }")
    traced = tmp_path / "trace"
    command = ["strace", "-f", "-o", str(traced), "-p", str(run.worker.pid)]
    strace = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    assert strace.stderr is not None
    said = await strace.stderr.readline()
    if b"attached" not in said:
        await strace.wait()
        pytest.skip(f"strace may not look at it: {said.decode().strip()}")
    for n in range(20):
        await run.events(*({"n": n * 1000} for _ in range(5)))
    strace.send_signal(signal.SIGTERM)
    await strace.wait()
    calls = set(re.findall(r"^\d+ +(\w+)\(", traced.read_text(), re.MULTILINE))
    assert calls & {"sendto", "recvfrom"}, "nothing was traced"
    harmless = {
        "futex", "poll", "sendto", "recvfrom", "read", "mmap", "munmap", "mprotect", "madvise", "brk", "mremap",
        "restart_syscall", "getpid", "gettid", "clock_nanosleep", "sched_yield", "getrusage", "clock_gettime",
    }  # fmt: skip
    assert calls <= harmless
    assert calls <= set(ARCHITECTURES[os.uname().machine].numbers)


async def test_a_worker_may_not_be_looked_into_by_its_sibling(sandbox: Sandbox) -> None:
    """E18, E22: neither by signals nor by memory nor by files; E18 has no other way to be broken."""
    findings = {one.probe: one for one in await self_test(sandbox.zygote)}
    for probe in ("memory of another process", "environment of another process", "signal another process", "ptrace"):
        assert findings[probe].passed
