"""An HTTP receiver on loopback that records each request as it came off the wire, and answers as its URL says.

`/reply?b=<base64url>` answers with just those bytes, once or `times` times, after `wait` milliseconds; `end` says what
follows: `keep` (the default) waits for the next request, `close` closes, `reset` resets, `stall` does nothing more.
`{port}` in the bytes becomes the receiver's own port. Every other path answers with a line of JSON.
"""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs

# Larger than what any script sends; a client that never ends must not fill the memory of the test.
RECEIVED_BYTES_MAX: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request: names of headers keep their case, headers their order."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, wanted: str) -> str | None:
        return next((value for name, value in self.headers if name.lower() == wanted), None)


@dataclass
class Receiver:
    """Listens on a free port between `start` and `stop`; `requests` is in the order of arrival."""

    requests: list[Recorded] = field(default_factory=list)
    port: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", 0, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks.copy():
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._exchange(reader, writer):
                pass
        except (OSError, EOFError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; whether the connection stays open."""
        request = await read_request(reader)
        self.requests.append(request)
        path, _, query = request.target.partition("?")
        if path != "/reply":
            writer.write(_described(request))
        else:
            options = {name: values[-1] for name, values in parse_qs(query).items()}
            return await _reply(options, writer, self.port)
        return request.header("connection") != "close"


async def _reply(options: dict[str, str], writer: asyncio.StreamWriter, port: int) -> bool:
    await asyncio.sleep(int(options.get("wait", 0)) / 1000)
    data = base64.urlsafe_b64decode(options.get("b", "") + "==").replace(b"{port}", b"%d" % port)
    for _ in range(int(options.get("times", 1))):
        writer.write(data)
        await writer.drain()
    match options.get("end", "keep"):
        case "stall":
            await asyncio.Event().wait()
        case "reset":
            # What was written must have arrived before the reset, which would discard it.
            await asyncio.sleep(0.05)
            writer.transport.abort()
            return False
        case "close":
            return False
    return True


async def read_request(reader: asyncio.StreamReader) -> Recorded:
    """One request as it came off the wire; EOFError and OSError where none comes."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    request_line, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    method, target, _ = request_line.split(" ")
    headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
    fields = {name.lower(): value for name, value in headers}
    if fields.get("transfer-encoding") == "chunked":
        body = await _chunks(reader)
    else:
        body = await reader.readexactly(int(fields.get("content-length", 0)))
    return Recorded(method, target, headers, body)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while len(body) <= RECEIVED_BYTES_MAX:
        size = int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16)
        body += await reader.readexactly(size)
        await reader.readexactly(2)
        if size == 0:
            return body
    raise EOFError("the body has no end")


def _described(request: Recorded) -> bytes:
    answer: dict[str, Any] = {"method": request.method, "target": request.target, "bytes": len(request.body)}
    body = json.dumps(answer).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + (b"" if request.method == "HEAD" else body)
