"""A fast and cheap HTTP receiver in a process of its own, for benches that send to one."""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

import psutil
import uvloop

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n" + b'{"success":true}'
_LENGTH = b"content-length:"
# What a client may send without ending its head; a bench that does is broken.
HEAD_BYTES_MAX = 64 << 10


@dataclass(frozen=True, slots=True)
class Receiver:
    """`count` is how many requests it has answered since it was started."""

    url: str
    process: psutil.Process
    shared: ctypes.c_uint64

    @property
    def count(self) -> int:
        return self.shared.value

    def cpu_s(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)


class _Protocol(asyncio.Protocol):
    """Answers each request at once, whatever it says; it reads no more of it than where it ends."""

    def __init__(self, shared: ctypes.c_uint64) -> None:
        self._shared = shared
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        data = self._received + data if self._received else data
        answers = start = 0
        while (end := data.find(b"\r\n\r\n", start)) >= 0:
            after = end + 4 + _body_bytes(data[start:end])
            if after > len(data):
                break
            start = after
            answers += 1
        self._received = data[start:]
        assert start or len(data) < HEAD_BYTES_MAX, "a head has no end"
        if answers:
            self._shared.value += answers
            self._transport.write(ANSWER * answers)  # type: ignore[attr-defined]  # asyncio gives a Transport


def _body_bytes(head: bytes) -> int:
    at = head.lower().find(_LENGTH)
    return int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0


def _receive(ready: Connection, shared: ctypes.c_uint64) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: _Protocol(shared), "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(main())


@contextmanager
def running_receiver() -> Iterator[Receiver]:
    """Start a receiver on a free port of loopback, and end it afterwards."""
    # Not forked: the caller may have a loop, and threads of gRPC.
    context = multiprocessing.get_context("spawn")
    shared = context.RawValue(ctypes.c_uint64)
    here, there = context.Pipe()
    process = context.Process(target=_receive, args=(there, shared), daemon=True)
    process.start()
    assert process.pid is not None
    try:
        yield Receiver(f"http://127.0.0.1:{here.recv()}", psutil.Process(process.pid), shared)
    finally:
        process.terminate()
        process.join()
