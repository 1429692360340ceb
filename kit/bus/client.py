"""nats-py's client with a faster way from the socket to us.

nats-py keeps what it does well: TLS, authentication, reconnecting, replaying subscriptions. Two of its parts
are replaced, because they cost more than everything else on the hot path (a regular expression, two copies
and a header dictionary for each message): the parser, which hands messages of our own subscriptions to a
plain function as raw bytes within the callback that read it, and the transport, which reads larger chunks, writes
at once and never waits for a dead peer.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import ParseResult

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
# What the socket does not take at once waits in the event loop's memory up to this, then in ours, which is bounded.
UNSENT_BYTES_MAX = 64 * 1024
# A peer that has vanished never takes our last bytes: after this the socket is thrown away.
CLOSE_TIMEOUT_S = 0.5

_CRLF = b"\r\n"
_PING = b"PING\r\n"
_H = ord("H")
_M = ord("M")


class Parser(NatsParser):
    """Splits the byte stream into messages; what is none of ours goes to nats-py's own parser."""

    def __init__(self, client: NatsClient) -> None:
        self.sinks: dict[int, Sink] = {}
        # Another one for each connection.
        self.generation = 0
        super().__init__(client)

    def reset(self) -> None:
        super().reset()
        self._parts: list[bytes] = []
        self._have = 0
        self._need = 0
        self.generation += 1

    async def parse(self, data: bytes = b"") -> None:
        generation = self.generation
        data = self.take(data)
        while data and generation == self.generation:
            try:
                end = await self._leave_to_nats_py(data)
            except (ValueError, IndexError) as error:
                raise ProtocolError from error
            if generation == self.generation:
                data = self.take(data[end:])

    def take(self, data: bytes) -> bytes:
        """Hand over whole messages of our own subscriptions, and keep a part of one until the rest comes.

        Gives the rest from the first line on that is nats-py's: `parse` goes on there. Raises ProtocolError.
        """
        if self._parts:
            self._parts.append(data)
            self._have += len(data)
            if self._have < self._need:
                return b""
            data = b"".join(self._parts)
            self._parts = []
        try:
            position, need = self._take(data)
        except (ValueError, IndexError) as error:
            # nats-py's reader survives a ProtocolError by reconnecting; anything else would end it silently.
            raise ProtocolError from error
        if need < 0:
            return data[position:]
        if position < len(data):
            self._parts, self._have, self._need = [data[position:]], len(data) - position, need
        return b""

    def _take(self, data: bytes) -> tuple[int, int]:
        """How far whole messages go, and how many bytes from there make it worth another look; -1 for nats-py's."""
        sinks = self.sinks
        find = data.find
        position, end = 0, len(data)
        while position < end:
            line_end = find(_CRLF, position)
            if line_end < 0:
                if end - position > CONTROL_LINE_BYTES_MAX:
                    raise ValueError("control line too long")
                return position, 0
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
                return position, -1
            start = line_end + 2
            stop = start + int(args[-1])
            if stop + 2 > end:
                return position, stop + 2 - position
            sink = sinks.get(int(args[1]))
            if sink is None:
                return position, -1
            body = start + header_bytes
            sink(args[0], reply, data[start:body], data[body:stop])
            position = stop + 2
        return position, 0

    async def _leave_to_nats_py(self, data: bytes) -> int:
        """Let nats-py have the line, or the whole message, that `data` begins with; gives where that ends."""
        line_end = data.index(_CRLF)
        if data[0] not in (_H, _M):
            await super().parse(data[: line_end + 2])
            return line_end + 2
        args = data[:line_end].split()[1:]
        header_bytes = int(args[-2]) if data[0] == _H else 0
        reply = args[2] if len(args) == (5 if header_bytes else 4) else b""
        start = line_end + 2
        body, stop = start + header_bytes, start + int(args[-1])
        await self.nc._process_msg(int(args[1]), args[0], reply, data[body:stop], data[start:body])
        return stop + 2


class Reader(asyncio.StreamReader):
    """Gives what arrives to a parser within the callback that read it, and to whoever reads what that leaves.

    A task that reads would be a turn of the event loop later: 10 ms, where the loop is busy.
    """

    def __init__(self, parser: Parser) -> None:
        super().__init__(limit=READ_BYTES)
        self._parser = parser
        # The parser's when it was last asked for; 0 before.
        self._generation = 0
        # Somebody waits for more, and has dealt with all that came before.
        self._waited_for = False

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # asyncio gives bytes
        if self._generation and self._generation != self._parser.generation:
            # The parser serves another connection already.
            return
        if self._waited_for:
            try:
                data = self._parser.take(data)
            except ProtocolError as error:
                self._waited_for = False
                self.set_exception(error)
                return
            if not data:
                return
            self._waited_for = False
        super().feed_data(data)

    async def rest(self) -> bytes:
        """What the parser has left, as soon as there is something."""
        self._generation = self._parser.generation
        self._waited_for = True
        try:
            return await self.read(READ_BYTES)
        finally:
            self._waited_for = False


class Transport(TcpTransport):
    """A TCP or TLS stream that reads large chunks and closes within a bounded time."""

    def __init__(self, parser: Parser) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # nats-py
        self._parser = parser
        self._reader: Reader | None = None

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        protocol = self._protocol()
        create = asyncio.get_running_loop().create_connection
        async with asyncio.timeout(connect_timeout):
            transport, _ = await create(lambda: protocol, uri.hostname or "", uri.port or 0)
        self._bare_io_reader, self._bare_io_writer = self._use(transport, protocol)

    async def connect_tls(
        self, uri: str | ParseResult, ssl_context: ssl.SSLContext, buffer_size: int, connect_timeout: int
    ) -> None:
        assert self._bare_io_writer is not None, "connect() comes before"
        protocol = self._protocol()
        name = uri if isinstance(uri, str) else uri.hostname
        start = asyncio.get_running_loop().start_tls
        async with asyncio.timeout(connect_timeout):
            transport = await start(self._bare_io_writer.transport, protocol, ssl_context, server_hostname=name)
        if transport is None:
            raise ConnectionError("the connection was closed before TLS began")
        self._use(transport, protocol)

    def _protocol(self) -> asyncio.StreamReaderProtocol:
        self._reader = Reader(self._parser)
        return asyncio.StreamReaderProtocol(self._reader)

    def _use(
        self, transport: asyncio.WriteTransport, protocol: asyncio.StreamReaderProtocol
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        assert self._reader is not None
        self._io_reader = self._reader
        self._io_writer = asyncio.StreamWriter(transport, protocol, self._reader, asyncio.get_running_loop())
        return self._io_reader, self._io_writer

    def send(self, commands: bytes) -> None:
        """Write while it `takes_more`."""
        assert self._io_writer is not None
        self._io_writer.write(commands)

    async def read(self, buffer_size: int) -> bytes:
        assert self._reader is not None
        return await self._reader.rest()

    @property
    def takes_more(self) -> bool:
        """Whether it is open, and the peer takes what is written."""
        if self._io_writer is None or self._io_writer.is_closing():
            return False
        return self._io_writer.transport.get_write_buffer_size() < UNSENT_BYTES_MAX

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
        self._transport: Transport | None = None

    @property
    def buffered_bytes(self) -> int:
        """What waits to be written to the socket, but for UNSENT_BYTES_MAX and what was written last."""
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
        """Writes whole protocol commands to the socket, in order.

        While the client reconnects, or the server does not take more, they wait and are sent afterwards.
        """
        transport = self._transport
        if not self._pending and transport is not None and self.is_connected and transport.takes_more:
            transport.send(commands)
            return
        self._pending.append(commands)
        self._pending_data_size += len(commands)
        queue = self._flush_queue
        if queue is not None and queue.empty() and self.is_connected:
            queue.put_nowait(asyncio.get_running_loop().create_future())

    async def _send_ping(self, future: asyncio.Future[Any] | None = None) -> None:
        """In order with all else, so that its answer says that what was written before has arrived."""
        self._pongs.append(future if future is not None else asyncio.get_running_loop().create_future())
        self.write(_PING)

    async def _connect_to_server(self, s: Srv) -> None:
        s.last_attempt = time.monotonic()
        # The old connection's reader may have left half a message behind.
        self._ps.reset()
        if self._transport is None:
            self._transport = Transport(self._ps)
        options: dict[str, Any] = self.options
        await self._transport.connect(s.uri, buffer_size=READ_BYTES, connect_timeout=options["connect_timeout"])
