"""What a forked worker does: lock itself down, make the isolate, take a script, then events, until it is told to stop.

Two threads. The isolate's own one does all the work between two events too: it reads the socket, posts what came as
tasks to itself and writes the replies, so that a busy worker switches threads for nothing. The first thread sets the
worker up, wakes the other one when something comes after a while of silence, and looks at the clocks while it is busy.

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
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from services.executor.runtime import wire
from services.executor.runtime.host_calls import Operation
from services.executor.runtime.lockdown import filter_syscalls, lock_down
from services.executor.runtime.prelude import Prelude
from services.executor.runtime.probes import attempt_all
from services.executor.runtime.pump import WHOLE_BATCH, Output, Pump
from services.executor.runtime.recycling import FILLED_SHARE
from services.executor.runtime.v8 import V8Error
from services.executor.runtime.wire import Kind

# How often a running turn is looked at: the precision of the CPU limit.
_TICK_S: Final = 0.02
# Looks at a script that loads are 20 ms apart, on a machine with CPU to spare.
_GAP_NS_MAX: Final = 50_000_000
_RECEIVE_BYTES: Final = 256 << 10
# For so long the isolate's thread waits for more before it gives the socket back: until then it needs no waking.
_LINGER_MS: Final = 20
# How long a last word may wait for a reply that is being written.
_LAST_WORD_S: Final = 0.1
_PAGE_BYTES: Final = resource.getpagesize()
_NS_PER_MS: Final = 1_000_000
_U32_MAX: Final = 2**32 - 1
_NOTHING_SEEN: Final = -2  # no sequence number
_NO_BATCH: Final = (0, 0, b"")
# What the isolate's thread does by itself.
_POSTED: Final = frozenset({Kind.BATCH, Kind.ANSWERS})

_libc = ctypes.CDLL(None)


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


def _as_json(value: Any) -> bytes:
    """Without the lone surrogates that texts of JavaScript may hold."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


def _give_back_memory() -> None:
    """Reading a script takes the allocator a multiple of what is kept of it."""
    _libc.malloc_trim(0)


class Worker:
    """Reads frames, posts them to the isolate, writes what comes of it, and keeps the deadlines."""

    def __init__(self, pump: Pump, connection: socket.socket, memory: int) -> None:
        self._pump = pump
        self._socket = connection
        self._memory = memory
        self._reader = wire.FrameReader()
        self._frames: deque[tuple[int, bytes]] = deque()
        self._frames_first = True
        self._loaded = False
        self._told_filled = False
        self._wall_ns = self._cpu_ns = 0
        self._deadlines: list[tuple[int, int]] = []
        self._batch = _NO_BATCH
        self._seen = (0, _NOTHING_SEEN)  # chain and sequence number
        self._seen_ns = self._seen_cpu_ns = 0
        self._sending = threading.Lock()
        self._handed_back = threading.Lock()
        self._handed_back.acquire()
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        pump.on_ended = self._on_ended

    def send(self, kind: Kind, *parts: bytes) -> None:
        """Write one frame; a vanished executor ends the worker."""
        try:
            self._socket.sendall(wire.frame(kind, *parts))
        except OSError:
            os._exit(0)

    def _receive(self, patience_ms: float | None) -> None:
        """Read what comes in that time; an executor that hangs up ends the worker."""
        if not self._poll.poll(patience_ms):
            return
        data = self._socket.recv(_RECEIVE_BYTES)
        if not data:
            os._exit(0)
        self._frames.extend(self._reader.feed(data))

    # ---- the first thread ----------------------------------------------------------------------------------------

    def run(self) -> NoReturn:
        """Serve until the executor hangs up or says stop."""
        self.begin()
        while True:
            self.serve()

    def begin(self) -> None:
        """Serve until there is a script, and run what came with it."""
        while not self._loaded:
            self._receive(None)
            self.handle_frames()
        self._hand_over()  # its first event is on its way
        _give_back_memory()

    def serve(self) -> None:
        """Wait for something to do, and do it and what comes meanwhile."""
        self.handle_frames()
        if not self._frames:
            self._poll.poll(self._patience_ms(None))
        self._hand_over()

    def _hand_over(self) -> None:
        """Let the isolate's thread work until nothing is left to do, and look at the clocks meanwhile."""
        beat = self._pump.cell.beat
        beat()
        self._pump.wake()
        while not self._handed_back.acquire(timeout=_TICK_S):
            beat()
            self._look()
        beat()

    def handle_frames(self) -> None:
        """Do what needs an isolate that stands still."""
        while self._frames and not (self._loaded and self._frames[0][0] in _POSTED):
            self._handle(*self._frames.popleft())

    def _handle(self, kind: int, body: bytes) -> None:
        if kind == Kind.LOAD:
            self._load(body)
        elif kind == Kind.CHECK:
            self._check(body)
        elif kind == Kind.PROBE:
            self.send(Kind.PROBED, json.dumps(attempt_all(**json.loads(body))).encode())
        elif kind == Kind.HEAP:
            self.send(Kind.HEAP_USED, wire.HEAP_USED_BODY.pack(self._pump.isolate.heap_used()))
        elif kind == Kind.PREPARE:
            self._prepare(body)
        elif kind == Kind.TRIM:
            self._trim()
        else:
            os._exit(0)

    def _trim(self) -> None:
        """Give garbage back to the machine: V8's, which takes it some milliseconds, then the allocator's."""
        self._pump.isolate.collect_garbage()
        _give_back_memory()

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
        self._loaded = True
        self.send(Kind.READY, _as_json(result))

    def _prepare(self, body: bytes) -> None:
        self._pump.prepare(json.loads(body))
        _give_back_memory()

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
        self.send(Kind.CHECKED, _as_json(json.loads(found)))

    def _limit(self, wall_ms: int, cpu_ms: int, heap: int, rest: int) -> int:
        """Set what V8 and the clocks limit; answers the most that the process's data may grow to, in bytes."""
        self._wall_ns, self._cpu_ns = wall_ms * _NS_PER_MS, cpu_ms * _NS_PER_MS
        self._pump.isolate.limit_heap(heap)
        self._pump.isolate.watch_heap(int(heap * FILLED_SHARE))
        data_max = _data_bytes(self._memory) + heap + rest
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        return data_max if most == resource.RLIM_INFINITY else min(data_max, most)

    def _limit_loading(self) -> None:
        """A script's top level may use as much time as an attempt."""
        cpu_until_ns = self._pump.cpu_ns() + self._cpu_ns
        left_ns, seen_ns = self._wall_ns, time.monotonic_ns()

        def look() -> None:
            nonlocal left_ns, seen_ns
            now_ns = time.monotonic_ns()
            # A longer gap means that this process stood still, which is no fault of the script's.
            left_ns -= min(now_ns - seen_ns, _GAP_NS_MAX)
            seen_ns = now_ns
            if left_ns <= 0 or self._pump.cpu_ns() > cpu_until_ns:
                self._exit("timeout", 0)

        self._pump.isolate.while_waiting = look

    # ---- the isolate's thread ------------------------------------------------------------------------------------

    def _on_ended(self) -> None:
        """A batch or a chain has ended, or the first thread has handed over."""
        pump = self._pump
        if pump.out_of_memory_in is not None or pump.refused:
            self._on_broken()
        with self._sending:
            self._reply(pump.take())
            if pump.batch is not None:
                self._reply_to_batch(*pump.batch)
                pump.batch = None
        self._watch_started()
        if not self._told_filled and pump.isolate.heap_filled():
            self._told_filled = True
            with self._sending:
                self.send(Kind.FILLED)
        if not self._post_next():
            self._handed_back.release()

    def _on_broken(self) -> NoReturn:
        first, count, _ = self._batch
        with self._sending:
            self._reply(self._pump.take())
        if self._pump.out_of_memory_in is not None:
            self._exit("out_of_memory", self._pump.out_of_memory_in)
        self._exit("crashed", first if count == 1 else WHOLE_BATCH)

    def _reply_to_batch(self, wall_us: int, cpu_us: int, unsettled: bytes) -> None:
        first, count, _ = self._batch
        head = wire.BATCH_REPLY_HEADER.pack(first, count, wall_us // count, cpu_us // count)
        self.send(Kind.BATCH_REPLY, head, unsettled)
        for seq in map(int, unsettled.split(b",") if unsettled else ()):
            self._pump.expect(seq)

    def _reply(self, output: Output) -> None:
        if not output.settled and not output.records:
            return
        *earlier, last = wire.portions(output.records)
        for records in earlier:
            self.send(Kind.REPLY, b'{"settled":[],"records":[', records, b"]}")
        settled = ",".join(map(str, output.settled)).encode()
        self.send(Kind.REPLY, b'{"settled":[', settled, b'],"records":[', last, b"]}")

    def _post_next(self) -> bool:
        """Post what is to be done next. False when there is nothing, or only something for the first thread."""
        if not self._frames:
            self._receive(self._patience_ms(_LINGER_MS))
        # Neither may keep the other from ever coming.
        self._frames_first = not self._frames_first
        if self._frames and self._frames_first:
            return self._post_frame()
        return self._post_due() or self._post_frame()

    def _post_frame(self) -> bool:
        if not self._frames or self._frames[0][0] not in _POSTED:
            return False
        kind, body = self._frames.popleft()
        self._batch = _NO_BATCH
        if kind == Kind.ANSWERS:
            self._pump.answer(body)
            return True
        first, count, one_by_one = wire.BATCH_HEADER.unpack_from(body)
        self._batch = first, count, body[wire.BATCH_HEADER.size :]
        if one_by_one:
            self._pump.start_each(self._batch[2], first, count)
        else:
            self._pump.start_all(self._batch[2])
        return True

    def _post_due(self) -> bool:
        """Timers and deadlines whose time has come, and turns that are left."""
        pump = self._pump
        due = pump.cell.next_due_ms
        if due and due <= time.time() * 1000:
            pump.fire_timers()
        elif expired := self._expired():
            pump.expire(expired)
        elif pump.cell.turns_left:
            pump.run_turns()
        else:
            return False
        return True

    # ---- limits ------------------------------------------------------------------------------------------------

    def _watch_started(self) -> None:
        for seq in self._pump.take_started():
            usage = self._pump.usage.get(seq)
            if usage is not None:
                heapq.heappush(self._deadlines, (usage.started_ns + self._wall_ns, seq))

    def _patience_ms(self, at_most: float | None) -> float | None:
        if self._pump.cell.turns_left:
            return 0
        waits = [] if at_most is None else [at_most]
        if self._deadlines:
            waits.append((self._deadlines[0][0] - time.monotonic_ns()) / _NS_PER_MS)
        if due := self._pump.cell.next_due_ms:
            waits.append(due - time.time() * 1000)
        # poll rounds a float up to the next millisecond, so a timer is never early.
        return max(0, min(waits)) if waits else None

    def _expired(self) -> list[int]:
        expired: list[int] = []
        if not self._deadlines:
            return expired
        now = time.monotonic_ns()
        while self._deadlines and self._deadlines[0][0] <= now:
            _, seq = heapq.heappop(self._deadlines)
            left = self._wall_left_ns(seq, now)
            if left is None:
                continue
            if left > 0:
                heapq.heappush(self._deadlines, (now + left, seq))
            else:
                expired.append(seq)
        return expired

    def _wall_left_ns(self, seq: int, now: int) -> int | None:
        """What is left of an attempt's time, which others' turns do not use up; None once it has settled."""
        usage = self._pump.usage.get(seq)
        if usage is None:
            return None
        others_ns = max(0, self._pump.busy_ns - usage.others_ns - usage.cpu_ns)
        return self._wall_ns - (now - usage.started_ns - others_ns)

    def _look(self) -> None:
        """Now and then, from the first thread: pass on what has ended already, and cut what runs too long."""
        if not self._pump.busy:
            return
        if self._sending.acquire(blocking=False):
            try:
                self._reply(self._pump.take())
            finally:
                self._sending.release()
        self._enforce()

    def _enforce(self) -> None:
        """Cut what runs too long: the attempt whose turn it is, or the part of a batch that has stood still."""
        pump = self._pump
        seen, now, cpu_ns = (pump.chain, pump.cell.running), time.monotonic_ns(), pump.cpu_ns()
        if seen != self._seen:
            self._seen, self._seen_ns, self._seen_cpu_ns = seen, now, cpu_ns
        usage = pump.usage.get(seen[1])
        before_ns = pump.turn_began_cpu_ns - usage.cpu_ns if usage is not None else self._seen_cpu_ns
        if cpu_ns - before_ns >= self._cpu_ns or now - self._seen_ns >= self._wall_ns:
            self._exit("timeout", seen[1])

    def _exit(self, reason: str, guilty: int) -> NoReturn:
        used_us = [min(used, _U32_MAX) for used in self._pump.used_us(guilty)]
        if self._sending.acquire(timeout=_LAST_WORD_S):
            self.send(Kind.EXIT, wire.EXIT_HEADER.pack(wire.EXIT_REASONS.index(reason), guilty, *used_us))
        os._exit(0)


__all__ = ["WHOLE_BATCH", "Worker", "run_worker"]
