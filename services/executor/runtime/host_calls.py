"""Synchronous calls from JavaScript to Python inside the worker (Node's crypto rests on them).

The callback runs on the isolate's thread while JavaScript waits, so it must not use the isolate. Bytes pass through
one shared buffer, in chunks; host.js (`hostSync`) is the other end.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

_HEADER: Final = struct.Struct("<iiii")  # operation or total, length of this chunk, more to come, status
_CONTINUE: Final = -1
_OK: Final = 0
_REFUSED: Final = 1
# More input than the largest request body makes no sense, and would only fill the worker's memory.
INPUT_BYTES_MAX: Final = 32 << 20

Operation = Callable[[bytes], bytes]


class HostCalls:
    """Answers `hostSync` from a table of operations."""

    def __init__(self, operations: Mapping[int, Operation], address: int, length: int) -> None:
        """`address` and `length` are those of the ArrayBuffer that JavaScript shares."""
        self._operations = operations
        shared: Any = (ctypes.c_char * length).from_address(address)
        self._memory = memoryview(shared).cast("B")
        self._chunk_bytes = length - _HEADER.size
        self._input = bytearray()
        self._output = b""
        self._sent = 0

    def serve(self) -> None:
        """One call from JavaScript."""
        operation, length, more, _ = _HEADER.unpack_from(self._memory)
        if operation != _CONTINUE:
            self._input += self._memory[_HEADER.size : _HEADER.size + length]
            if more:
                return
            self._begin(operation)
        self._send_chunk()

    def _begin(self, operation: int) -> None:
        data, self._input = bytes(self._input), bytearray()
        self._sent = 0
        self._status = _OK
        try:
            if len(data) > INPUT_BYTES_MAX:
                raise ValueError(f"more than {INPUT_BYTES_MAX} bytes")
            self._output = self._operations[operation](data)
        except Exception as error:  # noqa: BLE001 - whatever it is, JavaScript must get an answer
            self._status = _REFUSED
            self._output = str(error).encode("ascii", "replace")[: self._chunk_bytes]

    def _send_chunk(self) -> None:
        part = self._output[self._sent : self._sent + self._chunk_bytes]
        self._memory[_HEADER.size : _HEADER.size + len(part)] = part
        _HEADER.pack_into(self._memory, 0, len(self._output), len(part), 0, self._status)
        self._sent += len(part)
