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


class Refusal(Exception):  # noqa: N818 - an answer to user code, not a failure of ours
    """What an operation raises when JavaScript is to see the text."""


class HostCalls:
    """Answers `hostSync` from a table of operations.

    Any exception but Refusal is told without its text, which could hold a key.
    """

    def __init__(self, operations: Mapping[int, Operation], address: int, length: int) -> None:
        """`address` and `length` are those of the ArrayBuffer that JavaScript shares."""
        self._operations = operations
        shared: Any = (ctypes.c_char * length).from_address(address)
        self._memory = memoryview(shared).cast("B")
        self._chunk_bytes = length - _HEADER.size
        self._input = bytearray()
        self._input_bytes = 0
        # None once all of it was fetched: an answer is its caller's alone.
        self._output: bytes | None = None
        self._sent = 0
        self._status = _OK

    def serve(self) -> None:
        """One call from JavaScript."""
        operation, length, more, _ = _HEADER.unpack_from(self._memory)
        if operation != _CONTINUE:
            self._take(max(0, min(length, self._chunk_bytes)))
            if more:
                return
            self._begin(operation)
        if self._output is None:
            _HEADER.pack_into(self._memory, 0, 0, 0, 0, _REFUSED)
        else:
            self._send_chunk(self._output)

    def _take(self, length: int) -> None:
        self._input_bytes += length
        if self._input_bytes <= INPUT_BYTES_MAX:
            self._input += self._memory[_HEADER.size : _HEADER.size + length]

    def _begin(self, operation: int) -> None:
        data, self._input = bytes(self._input), bytearray()
        size, self._input_bytes = self._input_bytes, 0
        self._sent = 0
        self._status = _REFUSED
        try:
            if size > INPUT_BYTES_MAX:
                self._output = b"more than %d bytes" % INPUT_BYTES_MAX
                return
            self._output = self._operations[operation](data)
            self._status = _OK
        except Refusal as error:
            self._output = str(error).encode("ascii", "replace")[: self._chunk_bytes]
        except MemoryError:
            self._output = b"out of memory"
        except BaseException:  # noqa: BLE001 - JavaScript must get an answer; a panic of Rust is no Exception
            self._output = b""

    def _send_chunk(self, output: bytes) -> None:
        part = output[self._sent : self._sent + self._chunk_bytes]
        self._memory[_HEADER.size : _HEADER.size + len(part)] = part
        _HEADER.pack_into(self._memory, 0, len(output), len(part), 0, self._status)
        self._sent += len(part)
        if self._sent >= len(output):
            self._output = None
