"""Programs that we start, wait for and stop, and that never outlive us."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from kit.embedded.errors import EmbeddedError
from kit.embedded.identity import OURSELVES, Identity

# linux/prctl.h: the signal that the kernel sends to a process when its parent dies.
PR_SET_PDEATHSIG = 1
# Where the kernel has no pidfd (not Linux), how often to ask whether a process has ended.
EXIT_POLL_S = 0.05

_LIBC = ctypes.CDLL(None, use_errno=True)


def spawn(
    argv: Sequence[str | Path],
    *,
    output: IO[bytes] | int,
    env: Mapping[str, str],
    identity: Identity = OURSELVES,
    death_signal: signal.Signals = signal.SIGTERM,
    keep_fds: Sequence[int] = (),
    cwd: Path | str = "/",
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, with stdout and stderr going to `output`.

    A session of its own keeps a Ctrl-C in the terminal from reaching it: we stop our children in order.
    `keep_fds` stay open in it. Must be called from the main thread: PR_SET_PDEATHSIG fires when the
    *thread* that started the child ends, which would take the server down with a worker thread. Raises
    EmbeddedError.
    """
    if threading.current_thread() is not threading.main_thread():
        raise EmbeddedError(f"start {argv[0]} from the main thread: it ends with the thread that starts it")
    try:
        return subprocess.Popen(
            [*identity.prefix, *map(str, argv)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
            pass_fds=tuple(keep_fds),
            preexec_fn=_die_with_parent(death_signal),
            user=identity.uid,
            group=identity.gid,
            extra_groups=None if identity.uid is None else [],
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedError(f"{argv[0]} can't be started: {error}") from error


def _die_with_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    parent = os.getpid()

    # Runs in the child after it has changed its user, which would have cleared the setting.
    def set_death_signal() -> None:
        _LIBC.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return set_death_signal


async def _wait_ended(process: subprocess.Popen[bytes]) -> None:
    """Wait until the process has ended, without reaping it: its pid and its group are still its own."""
    if process.returncode is not None:
        return
    if not hasattr(os, "pidfd_open"):
        while process.poll() is None:
            await asyncio.sleep(EXIT_POLL_S)
        return
    pidfd = os.pidfd_open(process.pid)
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)


async def wait_exit(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of the process and return its exit code (negative: the signal that ended it).

    What it has left behind in its process group is killed.
    """
    await _wait_ended(process)
    _kill_group(process)
    return process.wait()


async def stop(process: subprocess.Popen[bytes], steps: Sequence[tuple[signal.Signals, float]]) -> int:
    """Send each signal in turn and wait its grace (seconds) for the end; SIGKILL at last."""
    for signum, grace_s in steps:
        process.send_signal(signum)
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                return await wait_exit(process)
    process.kill()
    return await wait_exit(process)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    # While it is not reaped its pid can't name another group.
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
