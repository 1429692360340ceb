"""The Python side of pump.js: runs its entries as tasks of the isolate and measures what each attempt uses.

A turn is two tasks, `turn` and `flush`, with the microtasks drained between and after them. Each pair is posted from
the callback of the last, on the isolate's thread, so that a turn costs about 10 us and no switch of threads. What is
below "running" belongs to that thread, but for what `busy`, `used_us` and `take` say.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import threading
import time
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from services.executor.runtime.host_calls import HostCalls, Operation
from services.executor.runtime.journal import CELL_BYTES
from services.executor.runtime.prelude import LIBRARY_PART, Library, Prelude
from services.executor.runtime.script_errors import compile_error, position_of
from services.executor.runtime.v8 import PARSE_ERROR, Isolate, Raw, V8Error

_TURN: Final = 1
_FLUSH: Final = 2
_STARTED: Final = 3
_COLLECTED: Final = 4
_HOST: Final = 5
_QUEUED: Final = 6
_WOKEN: Final = 7

# After so long the chain of turns is broken off, so that answers and new events get in between.
_CHAIN_NS_MAX: Final = 20_000_000
# Places in the cell, as in pump.js.
_RUNNING: Final = 0
_TURNS_LEFT: Final = 1
_RAN: Final = 4
_ENDED_PLAINLY: Final = 5
# In bytes; pump.js leaves this place alone.
BEATS_AT: Final = 32

# Makes of a function with one argument one that takes it as `this`.
_TAKING: Final = "(function () { 'use strict'; const f = this; return function () { 'use strict'; return f(this) } })"

WHOLE_BATCH: Final = -1
_PROT_READ_WRITE: Final = 3
_MAP_SHARED_FIXED: Final = 0x11
_MAP_PRIVATE_FIXED: Final = 0x12 | mmap.MAP_ANONYMOUS

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]


@dataclass(slots=True)
class Usage:
    """What one attempt has used so far."""

    started_ns: int = 0
    cpu_ns: int = 0
    others_ns: int = 0  # how long the isolate had been busy in all when it started


@dataclass(slots=True)
class Output:
    """What the turns since the last take have produced."""

    settled: list[int] = field(default_factory=list)  # seq, wall_us, cpu_us; and so on
    records: list[bytes] = field(default_factory=list)


_NOTHING: Final = Output()


class Cell:
    """The first page that JavaScript, this process and the executor all see; pump.js says what stands in it."""

    def __init__(self, address: int) -> None:
        self._address = address
        self.ints: Any = (ctypes.c_int32 * 6).from_address(address)
        self._due: Any = ctypes.c_double.from_address(address + 8)
        self._beats: Any = ctypes.c_uint32.from_address(address + BEATS_AT)

    def beat(self) -> None:
        """Tell the executor that this worker looks at its clocks; watchdog.py says what comes of silence."""
        self._beats.value += 1

    def unshare(self) -> None:
        """Put pages of this process alone in their place: processes that it forks are to share none."""
        _map_over(self._address, _MAP_PRIVATE_FIXED, -1)

    @property
    def running(self) -> int:
        """Sequence number of the event that runs; 0 for none, WHOLE_BATCH for one of a batch."""
        return int(self.ints[_RUNNING])

    @property
    def turns_left(self) -> bool:
        """Whether attempts wait to be started or resumed."""
        return bool(self.ints[_TURNS_LEFT])

    @property
    def next_due_ms(self) -> float:
        """When the next timer is due, in milliseconds since the epoch; 0 for never."""
        return float(self._due.value)


def overlay_cell(address: int, fd: int) -> int:
    """Put the shared pages `fd` over pages of the buffer at `address`; answers their offset in the buffer.

    V8 takes no foreign memory for an ArrayBuffer, but it does not mind what lies under one that it keeps for ever.
    """
    page = -(-address // mmap.PAGESIZE) * mmap.PAGESIZE
    _map_over(page, _MAP_SHARED_FIXED, fd)
    return page - address


def _map_over(page: int, flags: int, fd: int) -> None:
    if _libc.mmap(page, CELL_BYTES, _PROT_READ_WRITE, flags, fd, 0) != page:
        raise OSError(ctypes.get_errno(), "the cell's pages could not be mapped")


class Pump:
    """One isolate with the prelude in it, ready for a script and then for events."""

    def __init__(
        self, library: ctypes.CDLL, prelude: Prelude, cell_fd: int, operations: Mapping[int, Operation]
    ) -> None:
        self._prelude = prelude
        self._lock = threading.Lock()
        self._output = Output()
        self.usage: dict[int, Usage] = {}
        self.busy_ns = 0
        self.out_of_memory_in: int | None = None
        self.refused = False
        self.batch: tuple[int, int, bytes] | None = None  # wall_us and cpu_us in all, those that go on
        self.started: list[int] = []
        # What is to happen when a batch or a chain of turns has ended; its owner sets it.
        self.on_ended: Callable[[], None] = lambda: None
        # Whether user code may be running, and which chain or batch it is.
        self.busy = False
        self.chain = 0
        callbacks: dict[int, Callable[[Raw], None]] = {
            _FLUSH: self._on_flush,
            _STARTED: self._on_started,
            _COLLECTED: self._on_collected,
            _HOST: self._on_host_call,
            _QUEUED: self._on_queued,
            _WOKEN: self._on_woken,
        }
        self.isolate = Isolate(library, callbacks)
        callbacks[_TURN] = self.isolate.free
        self._entries = self._evaluate_prelude()
        self._call("rehearse")
        self.cell = self._bind_cell(cell_fd)
        self._ints = self.cell.ints
        self._host = self._bind_host(operations)
        self._checker: Raw | None = None
        self._prepared: set[str] = set()
        self._post_start = self.isolate.poster(self._entries["turn"], _TURN)
        self._post_flush = self.isolate.poster(self._entries["flush"], _FLUSH)
        # Called from another thread: makes the isolate's thread call `on_ended`.
        self.wake = self.isolate.poster(self._entries["nothing"], _WOKEN)
        self._cpu_clock = time.pthread_getcpuclockid(self.isolate.thread_id)
        self._turn_began_ns = self._chain_began_ns = 0
        self.turn_began_cpu_ns = 0
        self._ran = 0

    # ---- set-up ------------------------------------------------------------------------------------------------

    def _evaluate_prelude(self) -> dict[str, Raw]:
        isolate = self.isolate
        isolate.expose_extras()
        isolate.free(isolate.evaluate(self._prelude.source))
        names = isolate.take(isolate.evaluate("Object.keys(__onward).join()")) or b""
        entries = {name: isolate.evaluate(f"__onward.{name}") for name in names.decode().split(",")}
        isolate.free(isolate.evaluate("delete globalThis.__onward"))
        return entries

    def _bind_cell(self, fd: int) -> Cell:
        buffer = self.isolate.call_raw(self._entries["shareCell"])
        address, _ = self.isolate.memory(buffer)
        offset = overlay_cell(address, fd)
        self.isolate.call(self._entries["bindCell"], str(offset).encode())
        return Cell(address + offset)

    def _bind_host(self, operations: Mapping[int, Operation]) -> HostCalls:
        function = self.isolate.function(_HOST)
        buffer = self.isolate.call_raw(self._entries["bindSync"], value=function)
        return HostCalls({LIBRARY_PART: self._prelude.part, **operations}, *self.isolate.memory(buffer))

    def check(self, text: bytes) -> bytes:
        """What check.js says of a script's text, as JSON. It is evaluated here and nowhere else."""
        if self._checker is None:
            function = self.isolate.evaluate(self._prelude.checker)
            self._checker = self.isolate.call_raw(self.isolate.evaluate(_TAKING), value=function)
        return self.isolate.call(self._checker, text) or b"{}"

    def load(self, code: str, settings: bytes) -> dict[str, Any]:
        """Evaluate a script: {"handlers": [...]} or {"error": {"name", "message", "line", "column", ...}}.

        An error that has `compiled` came while it ran.
        """
        if self._checker is not None:
            # The script's memory is its own.
            self.isolate.free(self._checker)
            self._checker = None
        for library in self._prelude.libraries_for(code):
            if library.name not in self._prepared:
                self._add_library(library)
        self.isolate.call(self._entries["setSettings"], settings)
        wrapped = json.loads(self._call("wrap", code.encode("utf-8", "surrogatepass")) or b"{}")
        try:
            script = self.isolate.evaluate(wrapped["text"])
        except V8Error as error:
            if error.kind == PARSE_ERROR or wrapped["error"] is None:
                return {"error": compile_error(error, wrapped["columns"])}
        if wrapped["error"] is not None:  # it parses only together with our brackets
            name, _, message = wrapped["error"].partition(": ")
            return {"error": {"name": name, "message": message}}
        raw = self.isolate.take(self.isolate.call_raw(self._entries["adopt"], value=script)) or b"{}"
        result: dict[str, Any] = json.loads(raw)
        if "error" in result:
            result["error"].update(position_of(result["error"]["stack"]), compiled=True)
        return result

    def prepare(self, names: Container[str]) -> None:
        """Evaluate libraries ahead of the script, which names all of them."""
        for library in self._prelude.libraries:
            if library.name in names:
                self._add_library(library)
                self._prepared.add(library.name)

    def _add_library(self, library: Library) -> None:
        definition = self.isolate.evaluate(library.source)
        self.isolate.free(self.isolate.call_raw(self._entries["addLibrary"], value=definition))
        self.isolate.free(definition)

    def _call(self, entry: str, argument: bytes | None = None) -> bytes | None:
        return self.isolate.call(self._entries[entry], argument)

    # ---- running -----------------------------------------------------------------------------------------------

    def start_all(self, text: bytes) -> None:
        """Start a whole batch in one turn, without measuring its events apart."""
        self._begin()
        self.isolate.post(self._entries["startAll"], _STARTED, text)
        self.isolate.post(self._entries["collect"], _COLLECTED)

    def start_each(self, text: bytes, first: int, count: int) -> None:
        """Start each event in a turn of its own."""
        for seq in range(first, first + count):
            self.usage[seq] = Usage()
        self._queue("startEach", text)

    def expect(self, seq: int) -> None:
        """An event of a batch that did not settle in its turn is an attempt like any other from now on."""
        self.usage[seq] = Usage(self._chain_began_ns, 0, self.busy_ns)
        self.started.append(seq)

    def answer(self, text: bytes) -> None:
        """Run the turns in which these answers arrive."""
        self._queue("answers", text)

    def fire_timers(self) -> None:
        """Run the turns of the timers that are due."""
        self._queue("wake")

    def expire(self, seqs: list[int]) -> None:
        """End waiting attempts with a Timeout."""
        self._queue("expire", json.dumps(seqs).encode())

    def run_turns(self) -> None:
        """Run the turns that are left, for a while."""
        self._begin()
        self._post_turn()

    def take_started(self) -> list[int]:
        """Attempts that have started since the last call."""
        started, self.started = self.started, []
        return started

    def take(self) -> Output:
        """What has been produced since the last call. For any thread."""
        if not self._output.settled and not self._output.records:
            return _NOTHING
        with self._lock:
            output, self._output = self._output, Output()
        return output

    def cpu_ns(self) -> int:
        """CPU time of the isolate's thread."""
        return time.clock_gettime_ns(self._cpu_clock)

    def used_us(self, seq: int) -> tuple[int, int]:
        """Wall and CPU time of an attempt whose turn it is; of the chain, where attempts are not told apart.

        For any thread.
        """
        usage = self.usage.get(seq) or Usage()
        wall_ns = time.monotonic_ns() - (usage.started_ns or self._turn_began_ns)
        return wall_ns // 1000, (usage.cpu_ns + self.cpu_ns() - self.turn_began_cpu_ns) // 1000

    def _queue(self, entry: str, text: bytes | None = None) -> None:
        self._begin()
        self.isolate.post(self._entries[entry], _QUEUED, text)
        self._post_turn()

    def _begin(self) -> None:
        self.chain += 1
        self.busy = True
        self._chain_began_ns = self._turn_began_ns = time.monotonic_ns()
        self.turn_began_cpu_ns = self.cpu_ns()

    def _post_turn(self) -> None:
        self._post_start()
        self._post_flush()

    # ---- callbacks, on the isolate's thread --------------------------------------------------------------------

    def _on_host_call(self, raw: Raw) -> None:
        self.isolate.free(raw)
        self._host.serve()

    def _on_woken(self, raw: Raw) -> None:
        self.isolate.free(raw)
        self.on_ended()

    def _on_queued(self, raw: Raw) -> None:
        self.refused = self.isolate.failed(raw)
        self.isolate.free(raw)

    def _ended(self) -> None:
        self.busy = False
        self.on_ended()

    def _on_flush(self, raw: Raw) -> None:
        ints = self._ints
        now, cpu = time.monotonic_ns(), time.thread_time_ns()
        self._ran = ran = ints[_RAN]
        self._account(ran, now, cpu)
        if ints[_ENDED_PLAINLY]:
            self.isolate.free(raw)
            with self._lock:
                self._settle(ran, now)
        elif not self._flushed(raw, now):
            self._ended()
            return
        if ints[_TURNS_LEFT] and now - self._chain_began_ns < _CHAIN_NS_MAX:
            self._post_turn()
        else:
            if self.isolate.heap_exceeded():
                self.out_of_memory_in = ran
            self._ended()

    def _flushed(self, raw: Raw, now: int) -> bool:
        """Keep the text of a flush; False when the turn died of memory, which is silent in microtasks."""
        failed = self.isolate.failed(raw)
        text = self.isolate.take(raw)
        if failed or self.isolate.heap_exceeded():
            self.out_of_memory_in = self._ran
            return False
        if text is not None:
            self._add(text, now)
        return True

    def _account(self, ran: int, now: int, cpu: int) -> None:
        usage = self.usage.get(ran)
        if usage is not None:
            if not usage.started_ns:
                usage.started_ns, usage.others_ns = self._turn_began_ns, self.busy_ns
                self.started.append(ran)
            # Whoever looks in between these two sees too little, not too much.
            began_ns, self.turn_began_cpu_ns = self.turn_began_cpu_ns, cpu
            usage.cpu_ns += cpu - began_ns
        self.busy_ns += now - self._turn_began_ns
        self._turn_began_ns, self.turn_began_cpu_ns = now, cpu

    def _add(self, text: bytes, now: int) -> None:
        head, _, records = text.partition(b"\n")
        with self._lock:
            if records:
                self._output.records += records.split(b"\n")
            for seq in head.split(b",") if head else ():
                self._settle(int(seq), now)

    def _settle(self, seq: int, now: int) -> None:
        usage = self.usage.pop(seq, None) or Usage(now)
        wall_ns = now - (usage.started_ns or now)
        self._output.settled += (seq, wall_ns // 1000, usage.cpu_ns // 1000)

    def _on_started(self, raw: Raw) -> None:
        self._ran = self.cell.running
        self.refused = self.isolate.failed(raw)
        self.isolate.free(raw)

    def _on_collected(self, raw: Raw) -> None:
        failed = self.isolate.failed(raw)
        text = self.isolate.take(raw) or b""
        wall, cpu = time.monotonic_ns() - self._chain_began_ns, time.thread_time_ns() - self.turn_began_cpu_ns
        if failed or self.isolate.heap_exceeded():
            self.out_of_memory_in = self._ran
        else:
            head, _, records = text.partition(b"\n")
            unsettled, _, late = head.partition(b";")
            if late or records:
                self._add(late + b"\n" + records, time.monotonic_ns())
            self.batch = (wall // 1000, cpu // 1000, unsettled)
        self._ended()
