"""nats-py's client with a faster way from the socket to us.

nats-py keeps what it does well: TLS, authentication, reconnecting, replaying subscriptions. Two of its parts
are replaced, because they cost more than everything else on the hot path (a regular expression, two copies
and a header dictionary for each message): the parser, which hands messages of our own subscriptions to a
plain function as raw bytes, and the transport, which reads larger chunks and never waits for a dead peer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from nats.aio.client import Client as NatsClient
from nats.aio.client import Srv
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport
from nats.errors import ProtocolError
from nats.protocol.parser import Parser as NatsParser

# (subject, reply, header, data), all raw; header is empty where the message has none. Called from the
# parser, so it must be quick and must not raise.
Sink = Callable[[bytes, bytes, bytes, bytes], None]

# One read of the socket: large enough for a few hundred events, so that batches form by themselves.
READ_BYTES = 256 * 1024
# The server's own limit for a line; INFO of a large cluster is the longest.
CONTROL_LINE_BYTES_MAX = 64 * 1024
# A peer that has vanished never takes our last bytes: after this the socket is thrown away.
CLOSE_TIMEOUT_S = 0.5

_CRLF = b"\r\n"
_H = ord("H")
_M = ord("M")


class Parser(NatsParser):
    """Splits the byte stream into messages; lines other than messages go to nats-py's own parser."""

    def __init__(self, client: NatsClient) -> None:
        self.sinks: dict[int, Sink] = {}
        self._generation = 0
        super().__init__(client)

    def reset(self) -> None:
        super().reset()
        self._parts: list[bytes] = []
        self._have = 0
        self._need = 0
        self._generation += 1

    async def parse(self, data: bytes = b"") -> None:
        if self._parts:
            self._parts.append(data)
            self._have += len(data)
            if self._have < self._need:
                return
            data = b"".join(self._parts)
            self._parts = []
        generation = self._generation
        try:
            rest, need = await self._consume(data)
        except (ValueError, IndexError) as error:
            # nats-py's reader survives a ProtocolError by reconnecting; anything else would end it silently.
            raise ProtocolError from error
        if rest and generation == self._generation:
            self._parts, self._have, self._need = [rest], len(rest), need

    async def _consume(self, data: bytes) -> tuple[bytes, int]:
        """Handles all whole messages; returns the rest, and how many bytes make it worth another look."""
        generation = self._generation
        sinks = self.sinks
        find = data.find
        position, end = 0, len(data)
        while position < end:
            line_end = find(_CRLF, position)
            if line_end < 0:
                if end - position > CONTROL_LINE_BYTES_MAX:
                    raise ValueError("control line too long")
                return data[position:], 0
            first = data[position]
            if first == _H:
                args = data[position + 5 : line_end].split()
                header_bytes = int(args[-2])
                reply = args[2] if len(args) == 5 else b""
            elif first == _M:
                args = data[position + 4 : line_end].split()
                header_bytes = 0
                reply = args[2] if len(args) == 4 else b""
            else:
                await super().parse(data[position : line_end + 2])
                if generation != self._generation:
                    return b"", 0
                position = line_end + 2
                continue
            start = line_end + 2
            stop = start + int(args[-1])
            if stop + 2 > end:
                return data[position:], stop + 2 - position
            body = start + header_bytes
            sid = int(args[1])
            sink = sinks.get(sid)
            if sink is not None:
                sink(args[0], reply, data[start:body], data[body:stop])
            else:
                await self.nc._process_msg(sid, args[0], reply, data[body:stop], data[start:body])
            position = stop + 2
        return b"", 0


class Transport(TcpTransport):
    """A TCP or TLS stream that reads large chunks and closes within a bounded time."""

    async def read(self, buffer_size: int) -> bytes:
        assert self._io_reader is not None
        return await self._io_reader.read(READ_BYTES)

    async def wait_closed(self) -> None:
        if self._io_writer is None:
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._io_writer.wait_closed()
        except TimeoutError:
            self._io_writer.transport.abort()


class Client(NatsClient):
    """A nats-py client whose subscriptions may be plain functions."""

    def __init__(self) -> None:
        super().__init__()
        self._ps: Parser = Parser(self)

    @property
    def buffered_bytes(self) -> int:
        """What waits to be written to the socket."""
        return self._pending_data_size

    async def subscribe_sink(self, subject: str, sink: Sink, queue: str = "") -> Subscription:
        """Subscribes; the messages go to `sink` from within the parser, in order."""
        # The next id is taken beforehand, for the first message may arrive before subscribe() returns.
        self._ps.sinks[self._sid + 1] = sink
        return await self.subscribe(subject, queue)

    async def unsubscribe_sink(self, subscription: Subscription | None) -> None:
        """Unsubscribes; what the server had already sent has reached the sink when this returns."""
        if subscription is None or self._subs.get(subscription._id) is not subscription:
            # It was made by a client that is gone.
            return
        try:
            if self.is_connected:
                await self._send_unsubscribe(subscription._id)
                await self.flush()
        finally:
            self._remove_sub(subscription._id)
            self._ps.sinks.pop(subscription._id, None)

    def write(self, commands: bytes) -> None:
        """Queues whole protocol commands for the next write to the socket, which happens at once.

        While the client reconnects they wait, and are sent afterwards.
        """
        self._pending.append(commands)
        self._pending_data_size += len(commands)
        queue = self._flush_queue
        if queue is not None and queue.empty() and self.is_connected:
            queue.put_nowait(asyncio.get_running_loop().create_future())

    async def _connect_to_server(self, s: Srv) -> None:
        s.last_attempt = time.monotonic()
        # The old connection's reader may have left half a message behind.
        self._ps.reset()
        if self._transport is None:
            self._transport = Transport()  # type: ignore[no-untyped-call]  # nats-py
        options: dict[str, Any] = self.options
        await self._transport.connect(s.uri, buffer_size=READ_BYTES, connect_timeout=options["connect_timeout"])
