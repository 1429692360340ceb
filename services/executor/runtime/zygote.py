"""The process that forks workers; zygote_main.py starts it.

It has imported everything, started V8 and rehearsed what workers do. It holds no secrets, no environment and no
descriptor but its control socket. What a worker runs reaches it through its own socket after the fork. Control messages
are one packet each; see REQUEST and REPORT.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import os
import select
import signal
import socket
import struct
import traceback
import warnings
from pathlib import Path
from typing import Final

from services.executor.runtime import crypto, v8
from services.executor.runtime.crypto.warm_up import warm_up
from services.executor.runtime.fork_rehearsal import rehearse
from services.executor.runtime.lockdown import die_with
from services.executor.runtime.prelude import Prelude, read_prelude
from services.executor.runtime.worker import run_worker

# Operation, pid. FORK carries two descriptors: the worker's socket and its cell.
REQUEST: Final = struct.Struct("<BI")
FORK: Final = 1
KILL: Final = 2
_DESCRIPTORS: Final = 2
# Event, pid, exit status as waitpid gives it, or the error number of a fork that failed. READY comes once, FORKED or
# FORK_FAILED in the order of the requests.
REPORT: Final = struct.Struct("<BIi")
READY: Final = 1
FORKED: Final = 2
EXITED: Final = 3
FORK_FAILED: Final = 4

_M_ARENA_MAX: Final = -8


def leave_group() -> None:
    """Be a group of one's own for the kernel, which shares out cores by session first, where autogroups are in use.

    In one group, all workers would stand behind the one that computes most.
    """
    os.setsid()


class Zygote:
    """Serves one control socket until it closes."""

    def __init__(self, control: socket.socket, prelude: Prelude, *, jitless: bool) -> None:
        self._control = control
        self._prelude = prelude
        self._library = v8.initialise(jitless=jitless)
        self._anchor = rehearse(self._library, prelude, crypto.OPS)
        self._workers: set[int] = set()
        self._pid = os.getpid()

    def serve(self) -> None:
        """Fork and reap until the executor hangs up."""
        warm_up()
        # Nothing that exists now is ever garbage: keep collections from touching, and so copying, shared pages.
        gc.collect()
        gc.freeze()
        wakeup = self._child_signals()
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(wakeup, select.POLLIN)
        self._report(READY, self._pid)
        try:
            while True:
                for fd, _ in poll.poll():
                    if fd == wakeup.fileno():
                        wakeup.recv(4096)
                    elif not self._handle_request():
                        return
                self._reap()
        finally:
            # Workers end with the executor, and nobody reads of it any more: Python would complain of that on stderr.
            signal.set_wakeup_fd(-1)

    @staticmethod
    def _child_signals() -> socket.socket:
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        return reader

    def _handle_request(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._control, REQUEST.size, _DESCRIPTORS)
        if not data:
            return False
        operation, pid = REQUEST.unpack(data)
        if operation == FORK:
            self._fork(descriptors)
        elif pid in self._workers:  # not reaped, so the pid is still the worker's
            os.kill(pid, signal.SIGKILL)
        return True

    def _fork(self, descriptors: list[int]) -> None:
        try:
            pid = self._forked(descriptors)
        except OSError as error:  # no memory, no process, no descriptor left: this worker can't be had, others go on
            self._report(FORK_FAILED, 0, error.errno or errno.EAGAIN)
        else:
            self._workers.add(pid)
            self._report(FORKED, pid)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _forked(self, descriptors: list[int]) -> int:
        if len(descriptors) != _DESCRIPTORS:
            raise OSError(errno.EMFILE, "descriptors were lost on their way")
        pid = os.fork()
        if pid == 0:
            self._become_worker(*descriptors)
        return pid

    def _become_worker(self, worker_socket: int, cell: int) -> None:
        try:
            leave_group()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            ends = worker_socket, cell
            run_worker(self._library, self._prelude, *ends, parent=self._pid, operations=crypto.OPS)
        except BaseException:  # noqa: BLE001 - the traceback is all that is left to give
            traceback.print_exc()
        finally:
            os._exit(70)  # a worker never comes back

    def _reap(self) -> None:
        while self._workers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._workers.discard(pid)
            self._report(EXITED, pid, status)

    def _report(self, event: int, pid: int, status: int = 0) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._control.send(REPORT.pack(event, pid, status))


def main(arguments: list[str]) -> None:
    """Serve what the executor wants; the process is its own from here on."""
    die_with(os.getppid())
    # malloc_trim leaves what is free at the end of any arena but the first: 0.4 MB of an idle worker.
    ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    # The rehearsal's thread waits, and holds no lock that a child would miss; Python 3.12 warns of any thread.
    warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)
    control = socket.socket(fileno=int(arguments[0]))
    prelude = read_prelude(Path(arguments[1]), allow_eval="--no-eval" not in arguments)
    Zygote(control, prelude, jitless="--jitless" in arguments).serve()
