"""Tests of keeping programs running, and of their ending with us."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kit.embedded.data_folder import DataFolder
from kit.embedded.errors import EmbeddedError
from kit.embedded.nats import EmbeddedNats
from kit.embedded.nats_users import NatsUser
from kit.embedded.program import LineFile, Program
from kit.embedded.supervisor import Backoff, Supervisor
from kit.testing.eventually import eventually
from kit.testing.servers import connect_nats, short_lived_folder

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).parents[2]
QUICK = Backoff(first_s=0.01, max_s=0.05)


class Output:
    """A LineSink that keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, name: str, line: str) -> None:
        self.lines.append((name, line))


@pytest.fixture
def output() -> Output:
    return Output()


def shell(name: str, script: str, output: Output, *, grace_s: float = 5.0) -> Program:
    return Program(name, ["/bin/sh", "-c", script], env=dict(os.environ), on_line=output, grace_s=grace_s)


def is_alive(pid: int) -> bool:
    """A zombie, whose parent has not asked for it yet, is dead."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return state.stdout.strip() != "" and not state.stdout.startswith("Z")


@asynccontextmanager
async def supervised(*programs: Program) -> AsyncIterator[Supervisor]:
    async with Supervisor(QUICK) as supervisor:
        for program in programs:
            await supervisor.start(program)
        yield supervisor


async def test_a_killed_child_is_started_again(output: Output) -> None:
    async with supervised(shell("a", "exec sleep 60", output)) as supervisor:
        first = supervisor.pid("a")
        supervisor.kill("a")
        await eventually(lambda: supervisor.restarts("a") == 1)
        assert supervisor.pid("a") not in (None, first)


async def test_a_child_that_ends_by_itself_is_started_again(output: Output) -> None:
    async with supervised(shell("a", "echo here; exit 0", output)) as supervisor:
        await eventually(lambda: supervisor.restarts("a") >= 3)
    assert output.lines[:3] == [("a", "here")] * 3


async def test_restarts_are_held_back(output: Output) -> None:
    async with Supervisor(Backoff(first_s=3600)) as supervisor:
        await supervisor.start(shell("a", "exit 1", output))
        await eventually(lambda: supervisor.pid("a") is None)
        assert supervisor.restarts("a") == 0


async def test_a_configuration_error_is_reported_and_not_tried_again(output: Output) -> None:
    async with supervised(shell("a", "echo ONWARD_PORTT is unknown; exit 2", output)) as supervisor:
        error = await supervisor.refusal()
        assert str(error) == "a refuses to start, correct its configuration: ONWARD_PORTT is unknown"
        assert supervisor.restarts("a") == 0
    assert output.lines == [("a", "ONWARD_PORTT is unknown")]


async def test_a_program_that_is_not_there_is_reported_at_once(output: Output) -> None:
    async with Supervisor(QUICK) as supervisor:
        with pytest.raises(EmbeddedError, match="/no/such/program can't be started"):
            await supervisor.start(Program("a", ["/no/such/program"], env={}, on_line=output))


async def test_children_are_stopped_in_the_reverse_order_of_their_starts(output: Output) -> None:
    script = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done"
    names = ["a", "b", "c"]
    async with supervised(*(shell(name, script, output) for name in names)):
        await eventually(lambda: len(output.lines) == 3)
    assert output.lines[3:] == [("c", "bye"), ("b", "bye"), ("a", "bye")]


async def test_a_child_that_ignores_sigterm_is_killed_after_its_grace(output: Output) -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 0.01; done"
    async with supervised(shell("a", script, output, grace_s=0.1)) as supervisor:
        await eventually(lambda: output.lines)
        pid = supervisor.pid("a")
    assert pid is not None
    assert not is_alive(pid)


async def test_what_a_child_leaves_running_is_killed_with_it(output: Output) -> None:
    async with supervised(shell("a", "sleep 60 & echo $!; wait", output)) as supervisor:
        await eventually(lambda: output.lines)
        grandchild = int(output.lines[0][1])
        supervisor.kill("a")
        await eventually(lambda: not is_alive(grandchild))


async def test_a_stop_during_the_wait_for_a_restart_takes_effect(output: Output) -> None:
    async with Supervisor(Backoff(first_s=3600)) as supervisor:
        await supervisor.start(shell("a", "exit 1", output))
        await eventually(lambda: supervisor.pid("a") is None)
        async with asyncio.timeout(5):
            await supervisor.stop("a")


async def test_an_endless_line_is_cut_and_not_kept_in_memory(output: Output) -> None:
    async with supervised(shell("a", "head -c 1000000 /dev/zero; echo; exec sleep 60", output)):
        await eventually(lambda: sum(len(line) for _, line in output.lines) == 1_000_000)
    assert max(len(line) for _, line in output.lines) <= 2 * 64 * 1024


async def test_output_that_can_not_be_written_does_not_end_the_child() -> None:
    seen: list[str] = []

    def full_disk(_: str, line: str) -> None:
        seen.append(line)
        raise OSError(28, "No space left on device")

    loud = Program("a", ["/bin/sh", "-c", "echo 1; echo 2; exec sleep 60"], env={}, on_line=full_disk)
    async with supervised(loud) as supervisor:
        await eventually(lambda: seen == ["1", "2"])
        assert supervisor.pid("a") is not None


async def test_an_error_of_the_caller_passes_as_it_is_and_stops_the_children(output: Output) -> None:
    sleep = shell("a", "exec sleep 60", output)
    pids: list[int | None] = []

    async def up() -> None:
        async with supervised(sleep):
            pids.append(sleep.pid)
            raise KeyError("of the caller")

    with pytest.raises(KeyError):
        await up()
    assert pids[0] is not None
    assert not is_alive(pids[0])


async def test_a_cancelled_caller_stops_the_children(output: Output) -> None:
    pids: list[int | None] = []

    async def up() -> None:
        async with supervised(shell("a", "exec sleep 60", output)) as supervisor:
            pids.append(supervisor.pid("a"))
            await asyncio.Event().wait()

    task = asyncio.create_task(up())
    await eventually(lambda: pids)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pids[0] is not None
    assert not is_alive(pids[0])


async def test_a_killed_server_is_started_again_at_its_address(data_folder: DataFolder) -> None:
    server = EmbeddedNats(data_folder, [NatsUser("test", "secret")])
    async with Supervisor(QUICK) as supervisor:
        await supervisor.start(server)
        supervisor.kill("nats")
        await eventually(lambda: supervisor.restarts("nats") == 1)
        client = await connect_nats(server)
        await client.close()


def test_a_log_file_does_not_grow_without_limit(tmp_path: Path) -> None:
    log = LineFile(tmp_path / "a.log", bytes_max=100)
    for number in range(100):
        log("a", f"line {number}")
    log.close()
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(sizes) == {"a.log", "a.log.old"}
    assert max(sizes.values()) < 120
    assert (tmp_path / "a.log").read_text().endswith("line 99\n")


START_ALL = """
import asyncio, sys
from kit.embedded.data_folder import DataFolder
from kit.embedded.nats import EmbeddedNats
from kit.embedded.nats_users import NatsUser
from kit.embedded.postgres import EmbeddedPostgres
from kit.embedded.program import Program
from kit.embedded.supervisor import Supervisor

async def main(folder):
    async with Supervisor() as supervisor:
        await supervisor.start(EmbeddedPostgres(folder))
        await supervisor.start(EmbeddedNats(folder, [NatsUser("test", "secret")]))
        await supervisor.start(Program("sleep", ["sleep", "60"], env={}, on_line=print))
        print("pids", *(supervisor.pid(name) for name in ("postgres", "nats", "sleep")), flush=True)
        if sys.argv[2] == "wait":
            await asyncio.Event().wait()

with DataFolder(sys.argv[1]) as folder:
    asyncio.run(main(folder))
"""


async def _pids(parent: asyncio.subprocess.Process) -> list[int]:
    """What START_ALL prints, among the lines of its log."""
    assert parent.stdout is not None
    async for line in parent.stdout:
        if line.startswith(b"pids"):
            return [int(pid) for pid in line.split()[1:]]
    raise AssertionError("it ended before everything was started")


@pytest.mark.parametrize("mode", [0o700, 0o711], ids=["closed to others", "open to others"])
async def test_servers_and_programs_end_when_their_parent_is_killed(mode: int) -> None:
    with short_lived_folder() as path:
        path.chmod(mode)
        parent = await asyncio.create_subprocess_exec(
            sys.executable, "-c", START_ALL, path / "data", "wait", stdout=subprocess.PIPE, cwd=REPOSITORY
        )
        pids = await _pids(parent)
        assert all(is_alive(pid) for pid in pids)
        parent.send_signal(signal.SIGKILL)
        await parent.wait()
        # Their lock is free as soon as the last one has ended, and not before.
        DataFolder(path / "data").close()
        assert not any(is_alive(pid) for pid in pids[:2])
        await eventually(lambda: not is_alive(pids[2]))


async def test_a_server_that_outlives_its_parent_keeps_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kit.embedded.data_folder.ORPHANS_END_S", 0.1)
    with short_lived_folder() as path:
        parent = await asyncio.create_subprocess_exec(
            sys.executable, "-c", START_ALL, path / "data", "wait", stdout=subprocess.PIPE, cwd=REPOSITORY
        )
        _, nats_pid, _ = await _pids(parent)
        # A paused process can't act on the signal that it gets when its parent dies.
        os.kill(nats_pid, signal.SIGSTOP)
        parent.send_signal(signal.SIGKILL)
        await parent.wait()
        try:
            with pytest.raises(EmbeddedError, match=rf"servers of a killed `onward up` \(pid {parent.pid}\)"):
                DataFolder(path / "data")
        finally:
            os.kill(nats_pid, signal.SIGCONT)
        monkeypatch.undo()
        DataFolder(path / "data").close()


def _as_ordinary_user() -> list[str]:
    """What to put before a command so that it runs as an ordinary user, who owns the files of the test."""
    if os.geteuid() != 0:
        return []
    prefix = ["unshare", "-U", "--map-user=65534", "--map-group=65534"]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("we are root, and may not become an ordinary user by a user namespace")
    return prefix


async def test_an_ordinary_user_starts_everything() -> None:
    prefix = _as_ordinary_user()
    with short_lived_folder() as path:
        argv = [*prefix, sys.executable, "-c", START_ALL, str(path / "data"), "stop"]
        process = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.PIPE, cwd=REPOSITORY)
        pids = await _pids(process)
        await process.communicate()
        assert process.returncode == 0
        assert not any(is_alive(pid) for pid in pids)
