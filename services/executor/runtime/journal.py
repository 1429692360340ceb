"""The last console lines of a worker, read after its end from the memory that it shared; js/journal.js writes them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, Protocol

from services.executor.runtime.jobs import LogLine

# As in journal.js; in bytes, but for the units of a line.
HALVES_AT: Final = 4096
HALF_BYTES: Final = 32 * 1024
CELL_BYTES: Final = HALVES_AT + 2 * HALF_BYTES
_COUNTS: Final = struct.Struct("<3i")
_COUNTS_AT: Final = 40
_HEAD: Final = struct.Struct("<3H")
_UNIT_BYTES: Final = 2
# A worker that was taken over may have written anything.
_MALFORMED: Final = (ValueError, struct.error)


class Readable(Protocol):
    """The shared memory."""

    def __getitem__(self, index: slice, /) -> bytes: ...


def lines_by_seq(cell: Readable) -> dict[int, list[LogLine]]:
    """The lines that are still there, by the sequence number of the attempt that wrote them, oldest first."""
    found: dict[int, list[LogLine]] = {}
    try:
        first, second, newer = _COUNTS.unpack(cell[_COUNTS_AT : _COUNTS_AT + _COUNTS.size])
        counts = (first, second)
        for half in (1 - (newer & 1), newer & 1):
            start = HALVES_AT + half * HALF_BYTES
            size = min(max(counts[half], 0) * _UNIT_BYTES, HALF_BYTES)
            for seq, line in _entries(cell[start : start + size]):
                found.setdefault(seq, []).append(line)
    except _MALFORMED:
        return found
    return found


def _entries(data: bytes) -> Iterator[tuple[int, LogLine]]:
    at = 0
    while at < len(data):
        low, high, units = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        # What JavaScript calls a text may hold lone halves of pairs.
        text = data[at : at + units * _UNIT_BYTES].decode("utf-16-le", "replace")
        at += units * _UNIT_BYTES
        level, time_ms, line = text.split(" ", 2)
        yield high << 16 | low, LogLine(level, int(time_ms), line)
