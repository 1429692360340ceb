"""Frames between the executor and its workers: `u32 length | u8 kind | body`, little-endian.

Frames to a worker carry text that goes to the isolate as it is: nobody in between parses events, settings or answers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Final


class Kind(IntEnum):
    """What a frame holds."""

    # To the worker.
    LOAD = 1  # LOAD_HEADER, settings, code
    BATCH = 2  # BATCH_HEADER, {"n":..,"t":[..],"c":[..],"e":[..]} as pump.js reads it
    ANSWERS = 3  # [[request id, ok, value], ...]
    STOP = 4
    CHECK = 5  # CHECK_HEADER, a line of JSON with the names of the settings, code
    HEAP = 6  # answered by HEAP_USED once nothing runs
    PROBE = 7  # JSON: {"names": [...], "targets": {...}} as probes.py reads them
    TRIM = 8  # give back memory that is not needed; only while nothing runs
    PREPARE = 9  # JSON: globals of the libraries to evaluate ahead of a script that names them
    # From the worker.
    LOCKED = 16  # JSON: list of degradations
    READY = 17  # JSON: {"handlers": [...]} or {"error": {...}}
    REPLY = 18  # JSON: {"settled": [seq, wall_us, cpu_us, ...], "records": [...]}, an event's records not after its end
    BATCH_REPLY = 19  # BATCH_REPLY_HEADER, then the events that have not ended, with commas between
    EXIT = 20  # EXIT_HEADER: the worker ends itself
    CHECKED = 21  # JSON: what check.js has found
    HEAP_USED = 22  # HEAP_USED_BODY
    PROBED = 23  # JSON: [[name, what came of it], ...]
    FILLED = 24  # nothing: what lives in the heap is most of what may


HEADER: Final = struct.Struct("<IB")
# Wall limit in ms, CPU limit in ms, heap bytes, bytes of everything else, bytes of the settings that follow.
LOAD_HEADER: Final = struct.Struct("<IIQQI")
# The same four limits, for what reads the code.
CHECK_HEADER: Final = struct.Struct("<IIQQ")
# First sequence number, count, 1 when every event must be started alone.
BATCH_HEADER: Final = struct.Struct("<IIB")

# First sequence number, count, mean wall and CPU time in us.
BATCH_REPLY_HEADER: Final = struct.Struct("<IIII")
# One of EXIT_REASONS, sequence number of the guilty event (0: nobody, -1: one of a batch), and the wall and CPU time in
# us that it has used.
EXIT_HEADER: Final = struct.Struct("<BiII")
# Bytes of V8's heap in use.
HEAP_USED_BODY: Final = struct.Struct("<Q")
EXIT_REASONS: Final = ("stopped", "timeout", "out_of_memory", "crashed")

# One frame must hold a batch, or an answer with the largest response body in base64.
FRAME_BYTES_MAX: Final = 64 << 20
# So much of records goes into one reply, and at least one record: what one frame says is parsed in a moment.
REPLY_BYTES: Final = 256 << 10
# A record is at most a request with the largest body in base64, its head escaped.
_RECORD_BYTES_MAX: Final = 8 << 20
_SMALL_BYTES_MAX: Final = 1 << 10
# What a worker may send; of other kinds, nothing.
FROM_WORKER_BYTES_MAX: Final[Mapping[int, int]] = {
    Kind.LOCKED: 64 << 10,
    Kind.READY: 1 << 20,
    Kind.REPLY: REPLY_BYTES + _RECORD_BYTES_MAX,
    Kind.BATCH_REPLY: 1 << 20,
    Kind.EXIT: _SMALL_BYTES_MAX,
    Kind.CHECKED: _RECORD_BYTES_MAX,
    Kind.HEAP_USED: _SMALL_BYTES_MAX,
    Kind.PROBED: 1 << 20,
    Kind.FILLED: _SMALL_BYTES_MAX,
}


class FrameTooLargeError(Exception):
    """A peer announced a frame beyond the limit; the connection is of no further use."""


def frame(kind: Kind, *parts: bytes) -> bytes:
    """One frame, ready to be sent."""
    return b"".join((HEADER.pack(sum(map(len, parts)), kind), *parts))


def portions(records: list[bytes]) -> list[bytes]:
    """The records of some replies, each with commas between; at least one."""
    found: list[bytes] = []
    first = size = 0
    for at, record in enumerate(records):
        if at > first and size + len(record) > REPLY_BYTES:
            found.append(b",".join(records[first:at]))
            first, size = at, 0
        size += len(record)
    return [*found, b",".join(records[first:])]


class FrameReader:
    """Cuts a byte stream into frames."""

    def __init__(self, bytes_max: Mapping[int, int] | None = None) -> None:
        """`bytes_max` is by kind; a kind that is not in it may hold nothing."""
        self._buffer = bytearray()
        self._bytes_max = bytes_max

    def feed(self, data: bytes | memoryview) -> Iterator[tuple[int, bytes]]:
        """Yield (kind, body) of every frame that `data` completes."""
        buffer = self._buffer
        buffer += data
        start, end = 0, len(buffer)
        while end - start >= HEADER.size:
            length, kind = HEADER.unpack_from(buffer, start)
            most = FRAME_BYTES_MAX if self._bytes_max is None else self._bytes_max.get(kind, 0)
            if length > most:
                raise FrameTooLargeError(f"a frame of {length} bytes; the limit is {most}")
            after = start + HEADER.size + length
            if after > end:
                break
            body = bytes(memoryview(buffer)[start + HEADER.size : after])
            start = after
            yield kind, body
        if start:
            del buffer[:start]
