"""The executor's side of the sandbox: one zygote, and the workers that it has forked.

Everything runs on the event loop: a worker costs a socket, not a thread. Nothing here parses events.
"""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

from services.executor.runtime import zygote as protocol
from services.executor.runtime import zygote_main
from services.executor.runtime.jobs import (
    CheckResult,
    CodeError,
    CodeWarning,
    HostRequest,
    Job,
    Limits,
    LoadLostError,
    LogLine,
    Outcome,
    UserError,
    WorkerExit,
)
from services.executor.runtime.journal import CELL_BYTES
from services.executor.runtime.prepared import PreparedSpares
from services.executor.runtime.readers import Readers
from services.executor.runtime.watchdog import CLOSER_LOOKS, LOOK_S
from services.executor.runtime.worker_link import Worker

_ROOT: Final = Path(__file__).resolve().parents[3]
# Importing, reading the bundle and starting V8 takes 0.3 s; a machine under load needs its time.
_START_TIMEOUT_S: Final = 30.0
# Lock-down, isolate and prelude take about 10 ms.
_FORK_TIMEOUT_S: Final = 10.0
# Making a spare worker takes the CPU from whoever took the last one: its script and first event go first.
_REFILL_AFTER_S: Final = 0.02
# Room for a few batches, so that the worker finds its next one waiting.
_SOCKET_BUFFER_BYTES: Final = 1 << 20

_ARGUMENT_JITLESS: Final = "--jitless"
_ARGUMENT_NO_EVAL: Final = "--no-eval"


class ZygoteLostError(ConnectionError):
    """The zygote ended; the next fork starts another."""


@dataclass(frozen=True, slots=True)
class _Forking:
    """A worker that was asked for."""

    cell: mmap.mmap
    worker: asyncio.Future[Worker]


class Zygote:
    """Forks sandboxed workers. `degradations` names what the kernel has refused to them."""

    def __init__(
        self, runtime_dir: Path, *, jitless: bool = False, allow_eval: bool = True, spares: int = 1, readers: int = 0
    ) -> None:
        """`runtime_dir` holds what build.mjs wrote; `spares` workers are kept forked, to hide the fork.

        `readers` more are kept to read scripts, since somebody waits for `check`.
        """
        self._runtime_dir = runtime_dir
        self._options = [_ARGUMENT_JITLESS] * jitless + [_ARGUMENT_NO_EVAL] * (not allow_eval)
        self._spares_wanted = spares
        self._spares: deque[Worker] = deque()
        self._prepared = PreparedSpares()
        self._readers = Readers(readers, self._spare, self._fork)
        self._refilling = False
        self._process: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._ready: asyncio.Future[None] | None = None
        self._forking: deque[_Forking] = deque()
        self._workers: dict[int, Worker] = {}
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self.degradations: list[str] = []

    @property
    def worker_pids(self) -> list[int]:
        """The processes of all workers that live."""
        return list(self._workers)

    @property
    def pid(self) -> int:
        """The zygote's process; 0 where there is none."""
        return self._process.pid if self._process is not None else 0

    @property
    def readers_ready(self) -> int:
        """How many workers wait for a script to check."""
        return self._readers.ready

    @property
    def prepared(self) -> dict[tuple[str, ...], int]:
        """The processes of workers that have been given libraries to evaluate ahead, by the globals of these."""
        return self._prepared.ready

    # ---- life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the zygote, and one worker to see what the kernel allows."""
        self._stopping = False
        self._own(self._watch())
        worker = await self._fork()
        self._prepared.read(self._runtime_dir)
        self._spares.append(worker)
        await self._readers.refill()
        self._own(self._refill())

    async def stop(self) -> None:
        """End the zygote; its workers die with it."""
        self._stopping = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._spares.clear()
        self._readers.clear()
        self._prepared.clear()
        process = self._process
        self._hang_up()
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        self._lose_workers()
        await asyncio.sleep(0)  # their transports close in the next turn of the loop

    def _lose_workers(self) -> None:
        for worker in list(self._workers.values()):
            worker.ended(None)
        self._workers.clear()

    def _own(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ensure_started(self) -> socket.socket:
        async with self._lock:
            if self._stopping:  # nobody would end another one
                raise ZygoteLostError("the zygote was stopped")
            if self._control is None:
                await self._start_process()
        assert self._control is not None
        return self._control

    async def _start_process(self) -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        arguments = [str(theirs.fileno()), str(self._runtime_dir.resolve()), *self._options]
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", zygote_main.__name__, *arguments,
                pass_fds=(theirs.fileno(),), env={}, cwd=_ROOT, stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        self._control, self._ready = ours, loop.create_future()
        loop.add_reader(ours.fileno(), self._on_report)
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                await self._ready
        except BaseException:
            self._hang_up()
            raise

    def _hang_up(self) -> None:
        if self._control is None:
            return
        asyncio.get_running_loop().remove_reader(self._control.fileno())
        self._control.close()
        self._control = None
        died = ZygoteLostError("the zygote ended; its log says why")
        for waiting in (self._ready, *(forking.worker for forking in self._forking)):
            if waiting is not None and not waiting.done():
                waiting.set_exception(died)
        self._forking.clear()

    def _on_report(self) -> None:
        assert self._control is not None
        while True:
            try:
                data = self._control.recv(protocol.REPORT.size)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._on_zygote_end()
                return
            self._report(*protocol.REPORT.unpack(data))

    def _report(self, event: int, pid: int, status: int) -> None:
        if event == protocol.READY:
            if self._ready is not None and not self._ready.done():
                self._ready.set_result(None)
        elif event == protocol.FORKED:
            self._forked(self._forking.popleft(), pid)
        elif event == protocol.FORK_FAILED:
            forking = self._forking.popleft()
            if not forking.worker.done():
                forking.worker.set_exception(OSError(status, f"a worker could not be forked: {os.strerror(status)}"))
        elif (worker := self._workers.pop(pid, None)) is not None:
            worker.ended(status)
            self._prepared.remove(worker)
            self._readers.remove(worker)
            with contextlib.suppress(ValueError):
                self._spares.remove(worker)

    def _forked(self, forking: _Forking, pid: int) -> None:
        if forking.worker.done():  # nobody waits any more
            self.kill(pid)
            return
        # Known from here on: that it has ended may be the next thing to read.
        self._workers[pid] = worker = Worker(pid, forking.cell, self.kill)
        forking.worker.set_result(worker)

    def _on_zygote_end(self) -> None:
        self._hang_up()
        self._spares.clear()
        self._readers.clear()
        self._prepared.clear()
        if self._process is not None:
            self._own(self._reap(self._process))
        self._lose_workers()

    @staticmethod
    async def _reap(process: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def _watch(self) -> None:
        for number in count():
            await asyncio.sleep(LOOK_S)
            now = time.monotonic()
            closer = number % CLOSER_LOOKS == 0
            for worker in list(self._workers.values()):
                worker.enforce_deadline(now)
                if closer:
                    worker.look_closer()

    # ---- workers -------------------------------------------------------------------------------------------------

    def kill(self, pid: int) -> None:
        """SIGKILL by the zygote, which alone knows that the pid is still the worker's."""
        if self._control is not None:
            with contextlib.suppress(OSError):
                self._control.send(protocol.REQUEST.pack(protocol.KILL, pid))

    async def fork(
        self,
        code: str,
        settings: bytes,
        limits: Limits,
        on_outcomes: Callable[[list[Outcome]], None],
        on_request: Callable[[HostRequest], None],
        on_exit: Callable[[WorkerExit], None],
        on_start: Callable[[Worker], None] | None = None,
    ) -> Worker:
        """A worker that has evaluated the script; `on_start` hears of it before it does.

        Raises CodeError when it does not compile or throws; OSError or TimeoutError when no worker can be had, which
        says nothing of the script, or little: LoadLostError, when it was too much for its worker.
        """
        worker = self._prepared.take(self._prepared.names(code)) or await self._spare()
        worker.listen(on_outcomes, on_request, on_exit)
        if on_start is not None:
            on_start(worker)
        try:
            return await self._loaded(worker, code, settings, limits)
        finally:
            self._own(self._refill())

    async def bare(self) -> Worker:
        """A worker without a script, new and never to be used for one. Whoever takes it kills it. Raises as `fork`."""
        return await self._fork()

    @staticmethod
    async def _loaded(worker: Worker, code: str, settings: bytes, limits: Limits) -> Worker:
        try:
            await worker.load(code, settings, limits)
        except BaseException:
            worker.kill()
            raise
        return worker

    async def check(
        self, code: str, setting_names: Sequence[str] = (), *, settings: bytes = b"{}", limits: Limits | None = None
    ) -> CheckResult:
        """Read a script in one worker, and compile and evaluate it in another, which is thrown away. Raises as `fork`.

        Both at once: neither has to know what the other finds.
        """
        loading = asyncio.ensure_future(self._handlers_of(code, settings, limits or Limits()))
        try:
            findings = await self._readers.read(code, setting_names)
            loaded = await loading
        except BaseException:
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)
            raise
        finally:
            # Not before: it would take the CPU from what is waited for.
            self._own(self._readers.refill())
        if isinstance(loaded, CodeError):
            return CheckResult([], findings.clearest(loaded))
        return findings.result(loaded)

    async def _handlers_of(self, code: str, settings: bytes, limits: Limits) -> list[str] | CodeError:
        try:
            worker = await self.fork(code, settings, limits, _ignore, _ignore, _ignore)
        except CodeError as error:
            return error
        except LoadLostError as error:  # nobody has seen it load before
            return CodeError(str(error))
        worker.kill()
        return worker.handlers

    async def _spare(self) -> Worker:
        while self._spares:
            worker = self._spares.popleft()
            if worker.alive:
                return worker
        return await self._fork()

    async def _refill(self) -> None:
        if self._refilling:
            return
        self._refilling = True
        try:
            await asyncio.sleep(_REFILL_AFTER_S)
            while len(self._spares) < self._spares_wanted and not self._stopping:
                self._spares.append(await self._fork())
            while (names := self._prepared.missing()) is not None and not self._stopping:
                self._prepared.put(names, await self._fork())
        except (OSError, TimeoutError):
            return  # the next fork tries again, and tells its caller
        finally:
            self._refilling = False

    async def _fork(self) -> Worker:
        control = await self._ensure_started()
        ours, forked = self._request_fork(control)
        worker: Worker | None = None
        try:
            async with asyncio.timeout(_FORK_TIMEOUT_S):
                worker = await forked
                spoken = worker.protocol
                await asyncio.get_running_loop().create_unix_connection(lambda: spoken, sock=ours)
                self._note(await worker.locked)
        except BaseException:
            forked.cancel()
            if worker is None and not forked.cancelled() and forked.exception() is None:
                worker = forked.result()  # it came when nobody waited any more
            if worker is not None:
                worker.kill()
            if worker is None or worker.transport is None:
                ours.close()
            raise
        return worker

    def _request_fork(self, control: socket.socket) -> tuple[socket.socket, asyncio.Future[Worker]]:
        """Send the zygote a new worker's socket and cell; answers our end of the socket, and the worker to come."""
        ours, theirs = socket.socketpair()
        cell_fd = os.memfd_create("cell")
        try:
            os.ftruncate(cell_fd, CELL_BYTES)
            cell = mmap.mmap(cell_fd, CELL_BYTES)
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
            socket.send_fds(control, [protocol.REQUEST.pack(protocol.FORK, 0)], [theirs.fileno(), cell_fd])
        except OSError:
            ours.close()
            raise
        finally:
            os.close(cell_fd)
            theirs.close()
        forked: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
        self._forking.append(_Forking(cell, forked))
        return ours, forked

    def _note(self, degradations: list[str]) -> None:
        self.degradations += [found for found in degradations if found not in self.degradations]


def _ignore(_: object) -> None:
    return None


__all__ = [
    "CheckResult", "CodeError", "CodeWarning", "HostRequest", "Job", "Limits", "LoadLostError", "LogLine", "Outcome",
    "UserError", "Worker", "WorkerExit", "Zygote", "ZygoteLostError",
]  # fmt: skip
