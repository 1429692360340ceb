"""What each worker does, done once in the zygote, so that workers share what it leaves in memory.

Python writes to what it runs: caches into code, names into the cache of methods, what ctypes makes of a signature. Of
pages that were written to before the fork, a worker gets copies only where it writes again: 0.4 MB less for each.
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Mapping
from typing import Final

from services.executor.runtime.host_calls import Operation
from services.executor.runtime.journal import CELL_BYTES
from services.executor.runtime.prelude import Prelude
from services.executor.runtime.pump import Pump
from services.executor.runtime.wire import BATCH_HEADER, LOAD_HEADER, FrameReader, Kind, frame
from services.executor.runtime.worker import Worker

_SCRIPT: Final = b"async function onTrack(event) { return event.event; }"
_EVENT: Final = b'{"n":%d,"t":["onTrack"],"c":[0],"e":[{"type":"track","event":"Rehearsed"}]}'
# Python specialises code that has run some eight times.
_EVENTS: Final = 10
_PATIENCE_MS: Final = 60_000
# More memory than there is: this process must not be limited.
_NO_LIMIT: Final = 1 << 60
_ANSWER_BYTES_MAX: Final = 4096


def rehearse(library: ctypes.CDLL, prelude: Prelude, operations: Mapping[int, Operation]) -> Worker:
    """Run events in a worker that is none. Whoever forks keeps it for ever, and uses it no more.

    While one isolate lives, what all of them share read-only stays in memory, and isolates of forked processes find it
    there instead of making it again: 0.5 MB each. Its thread does not survive a fork, so nobody may use it there.
    """
    cell = os.memfd_create("cell")
    os.ftruncate(cell, CELL_BYTES)
    pump = Pump(library, prelude, cell, operations)
    os.close(cell)
    executor, connection = socket.socketpair()
    worker = Worker(pump, connection, os.open("/proc/self/statm", os.O_RDONLY))
    with executor, connection:
        limits = LOAD_HEADER.pack(_PATIENCE_MS, _PATIENCE_MS, _NO_LIMIT, _NO_LIMIT, 0)
        executor.sendall(frame(Kind.LOAD, limits, _SCRIPT) + b"".join(map(_batch, range(1, _EVENTS + 1))))
        worker.begin()
        _require_ended(executor.recv(_ANSWER_BYTES_MAX))
        executor.sendall(frame(Kind.TRIM))
        worker.serve()
        worker.handle_frames()
    pump.cell.unshare()
    return worker


def _batch(number: int) -> bytes:
    """One event, started in one of the two ways."""
    return frame(Kind.BATCH, BATCH_HEADER.pack(number, 1, number % 2), _EVENT % number)


def _require_ended(data: bytes) -> None:
    kinds = [kind for kind, _ in FrameReader().feed(data)]
    ended = sum(kind in (Kind.REPLY, Kind.BATCH_REPLY) for kind in kinds)
    if kinds[0] != Kind.READY or ended != _EVENTS:
        raise RuntimeError(f"the runtime can't run a function: {data!r}")
