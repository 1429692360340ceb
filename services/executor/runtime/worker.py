"""What a forked worker does: lock itself down, make the isolate, take a script, then events, until it is told to stop.

The worker cuts what runs too long by ending itself; an isolate is never used again after a cut. Its cell, shared with
the executor, still says which event ran.
"""

from __future__ import annotations

import ctypes
import heapq
import json
import os
import resource
import select
import socket
import time
from collections.abc import Mapping
from typing import Final, NoReturn

from services.executor.runtime import wire
from services.executor.runtime.host_calls import Operation
from services.executor.runtime.lockdown import filter_syscalls, lock_down
from services.executor.runtime.prelude import Prelude
from services.executor.runtime.probes import attempt_all
from services.executor.runtime.pump import WHOLE_BATCH, Output, Pump
from services.executor.runtime.v8 import V8Error
from services.executor.runtime.wire import Kind

# How often a running turn is looked at: the precision of the CPU limit.
_TICK_S: Final = 0.02
_RECEIVE_BYTES: Final = 256 << 10
_PAGE_BYTES: Final = resource.getpagesize()
_NS_PER_MS: Final = 1_000_000
_U32_MAX: Final = 2**32 - 1
_NOTHING_SEEN: Final = -2  # no sequence number


def run_worker(
    library: ctypes.CDLL,
    prelude: Prelude,
    worker_socket: int,
    cell: int,
    *,
    parent: int,
    operations: Mapping[int, Operation] | None = None,
) -> NoReturn:
    """Become a worker. Never returns."""
    # Everything that needs a call which the filter refuses is made before it.
    connection = socket.socket(fileno=worker_socket)
    memory = os.open("/proc/self/statm", os.O_RDONLY)
    degradations = lock_down((worker_socket, cell, memory), parent=parent)
    degradations += filter_syscalls()
    pump = Pump(library, prelude, cell, operations or {})
    os.close(cell)
    worker = Worker(pump, connection, memory)
    worker.send(Kind.LOCKED, json.dumps(degradations).encode())
    worker.run()


def _data_bytes(memory: int) -> int:
    """VmData of this process: what RLIMIT_DATA limits."""
    return int(os.pread(memory, 200, 0).split()[5]) * _PAGE_BYTES


class Worker:
    """One loop over the socket, the timers and the deadlines."""

    def __init__(self, pump: Pump, connection: socket.socket, memory: int) -> None:
        self._pump = pump
        self._socket = connection
        self._memory = memory
        self._reader = wire.FrameReader()
        self._wall_ns = self._cpu_ns = 0
        self._deadlines: list[tuple[int, int]] = []
        self._seen = _NOTHING_SEEN
        self._seen_ns = self._seen_cpu_ns = 0
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)

    def send(self, kind: Kind, *parts: bytes) -> None:
        """Write one frame; a vanished executor ends the worker."""
        try:
            self._socket.sendall(wire.frame(kind, *parts))
        except OSError:
            os._exit(0)

    def run(self) -> NoReturn:
        """Serve until the executor hangs up or says stop."""
        while True:
            self._pump.cell.beat()
            if self._poll.poll(self._patience_ms()):
                data = self._socket.recv(_RECEIVE_BYTES)
                if not data:
                    os._exit(0)
                for kind, body in self._reader.feed(data):
                    self._handle(kind, body)
            self._run_timers_and_turns()
            self._expire()

    def _handle(self, kind: int, body: bytes) -> None:
        if kind == Kind.BATCH:
            self._take_batch(body)
        elif kind == Kind.ANSWERS:
            self._pump.answer(body)
            self._run_turns()
        elif kind == Kind.LOAD:
            self._load(body)
        elif kind == Kind.CHECK:
            self._check(body)
        elif kind == Kind.PROBE:
            self.send(Kind.PROBED, json.dumps(attempt_all(**json.loads(body))).encode())
        elif kind == Kind.HEAP:
            self.send(Kind.HEAP_USED, wire.HEAP_USED_BODY.pack(self._pump.isolate.heap_used()))
        elif kind == Kind.TRIM:
            self._trim()
        else:
            os._exit(0)

    # ---- script ------------------------------------------------------------------------------------------------

    def _load(self, body: bytes) -> None:
        *limits, settings_bytes = wire.LOAD_HEADER.unpack_from(body)
        after = wire.LOAD_HEADER.size + settings_bytes
        settings, code = body[wire.LOAD_HEADER.size : after], body[after:].decode("utf-8", "surrogatepass")
        data_max = self._limit(*limits)
        resource.setrlimit(resource.RLIMIT_DATA, (data_max, data_max))
        os.close(self._memory)
        self._limit_loading()
        try:
            result = self._pump.load(code, settings)
        except V8Error:
            self._exit("out_of_memory", 0)
        self._pump.isolate.while_waiting = self._pump.cell.beat
        ctypes.CDLL(None).malloc_trim(0)
        self.send(Kind.READY, json.dumps(result).encode())

    def _check(self, body: bytes) -> None:
        """Read a script before any of it runs. Whatever this costs, loading it afterwards has limits of its own."""
        data_max = self._limit(*wire.CHECK_HEADER.unpack_from(body))
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (data_max, hard))
        self._limit_loading()
        try:
            found = self._pump.check(body[wire.CHECK_HEADER.size :])
        except V8Error:
            self._exit("out_of_memory", 0)
        self._pump.isolate.while_waiting = lambda: None
        self.send(Kind.CHECKED, found)

    def _limit(self, wall_ms: int, cpu_ms: int, heap: int, rest: int) -> int:
        """Set what V8 and the clocks limit; answers the most that the process's data may grow to, in bytes."""
        self._wall_ns, self._cpu_ns = wall_ms * _NS_PER_MS, cpu_ms * _NS_PER_MS
        self._pump.isolate.limit_heap(heap)
        return _data_bytes(self._memory) + heap + rest

    def _limit_loading(self) -> None:
        """A script's top level may use as much time as an attempt."""
        until_ns, cpu_until_ns = time.monotonic_ns() + self._wall_ns, self._pump.cpu_ns() + self._cpu_ns

        def look() -> None:
            if time.monotonic_ns() > until_ns or self._pump.cpu_ns() > cpu_until_ns:
                self._exit("timeout", 0)

        self._pump.isolate.while_waiting = look

    # ---- events ------------------------------------------------------------------------------------------------

    def _take_batch(self, body: bytes) -> None:
        first, count, one_by_one = wire.BATCH_HEADER.unpack_from(body)
        text = body[wire.BATCH_HEADER.size :]
        if not one_by_one and not self._pump.trapped:
            self._pump.start_all(text)
            self._wait()
            output = self._pump.take()
            if self._pump.refused:
                self._exit("crashed", first if count == 1 else WHOLE_BATCH)
            if output.batch is not None:
                self._reply_to_batch(first, count, output.batch)
                return
        try:
            self._pump.start_each(text, first, count)
        except V8Error:
            self._exit("crashed", first if count == 1 else WHOLE_BATCH)
        self._run_turns()

    def _reply_to_batch(self, first: int, count: int, batch: tuple[int, int, bytes]) -> None:
        wall_us, cpu_us, text = batch
        head = wire.BATCH_REPLY_HEADER.pack(first, count, wall_us // count, cpu_us // count)
        self.send(Kind.BATCH_REPLY, head, text)
        unsettled = text.partition(b";")[0]
        for seq in map(int, unsettled.split(b",") if unsettled else ()):
            self._pump.expect(seq)
        self._watch_started()

    def _run_timers_and_turns(self) -> None:
        due = self._pump.cell.next_due_ms
        if due and due <= time.time() * 1000:
            self._pump.fire_timers()
        if self._pump.cell.turns_left:
            self._run_turns()

    def _run_turns(self) -> None:
        self._pump.run_turns()
        self._wait()
        self._reply(self._pump.take())
        self._watch_started()

    def _reply(self, output: Output) -> None:
        if output.settled or output.records:
            settled = ",".join(map(str, output.settled)).encode()
            self.send(Kind.REPLY, b'{"settled":[', settled, b'],"records":[', b",".join(output.records), b"]}")

    def _trim(self) -> None:
        """Give garbage back to the machine: V8's, which takes it some milliseconds, then the allocator's."""
        self._pump.isolate.collect_garbage()
        ctypes.CDLL(None).malloc_trim(0)

    # ---- limits ------------------------------------------------------------------------------------------------

    def _watch_started(self) -> None:
        for seq in self._pump.take_started():
            usage = self._pump.usage.get(seq)
            if usage is not None:
                heapq.heappush(self._deadlines, (usage.started_ns + self._wall_ns, seq))

    def _patience_ms(self) -> float | None:
        if self._pump.cell.turns_left:
            return 0
        waits = []
        if self._deadlines:
            waits.append((self._deadlines[0][0] - time.monotonic_ns()) / _NS_PER_MS)
        if due := self._pump.cell.next_due_ms:
            waits.append(due - time.time() * 1000)
        # poll rounds a float up to the next millisecond, so a timer is never early.
        return max(0, min(waits)) if waits else None

    def _expire(self) -> None:
        now = time.monotonic_ns()
        expired = []
        while self._deadlines and self._deadlines[0][0] <= now:
            _, seq = heapq.heappop(self._deadlines)
            left = self._wall_left_ns(seq, now)
            if left is None:
                continue
            if left > 0:
                heapq.heappush(self._deadlines, (now + left, seq))
            else:
                expired.append(seq)
        if expired:
            self._pump.expire(expired)
            self._run_turns()

    def _wall_left_ns(self, seq: int, now: int) -> int | None:
        """What is left of an attempt's time, which others' turns do not use up; None once it has settled."""
        usage = self._pump.usage.get(seq)
        if usage is None:
            return None
        others_ns = max(0, self._pump.busy_ns - usage.others_ns - usage.cpu_ns)
        return self._wall_ns - (now - usage.started_ns - others_ns)

    def _wait(self) -> None:
        pump = self._pump
        self._seen = _NOTHING_SEEN
        while not pump.wait(_TICK_S):
            pump.cell.beat()
            self._reply_early()
            self._enforce()
        if pump.out_of_memory_in is not None:
            self._reply_early()
            self._exit("out_of_memory", pump.out_of_memory_in)

    def _reply_early(self) -> None:
        self._reply(self._pump.take())

    def _enforce(self) -> None:
        """Cut what runs too long: the attempt whose turn it is, or the part of a batch that has stood still."""
        pump = self._pump
        seq, now, cpu_ns = pump.cell.running, time.monotonic_ns(), pump.cpu_ns()
        if seq != self._seen:
            self._seen, self._seen_ns, self._seen_cpu_ns = seq, now, cpu_ns
        usage = pump.usage.get(seq)
        before_ns = pump.turn_began_cpu_ns - usage.cpu_ns if usage is not None else self._seen_cpu_ns
        used_ns = cpu_ns - before_ns
        if used_ns >= self._cpu_ns or now - self._seen_ns >= self._wall_ns:
            self._exit("timeout", seq)

    def _exit(self, reason: str, guilty: int) -> NoReturn:
        used_us = [min(used, _U32_MAX) for used in self._pump.used_us(guilty)]
        self.send(Kind.EXIT, wire.EXIT_HEADER.pack(wire.EXIT_REASONS.index(reason), guilty, *used_us))
        os._exit(0)


__all__ = ["WHOLE_BATCH", "Worker", "run_worker"]
