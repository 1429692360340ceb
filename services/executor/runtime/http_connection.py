"""One HTTP/1.1 connection: an asyncio protocol around aiohttp's parser (llhttp).

aiohttp's ClientSession costs three times the CPU of this for each request (bench/egress.py has the
figures), and it resolves, retries and reads informational answers on its own, which the broker must
bound itself. The parser, the part where mistakes are dangerous, is aiohttp's.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple, cast

from aiohttp.http import HttpResponseParser
from aiohttp.http_exceptions import HttpProcessingError

from services.executor.runtime.egress import (
    EgressError,
    EgressLimits,
    Headers,
    body_error,
    system_error,
    too_large,
)

# The parser's own buffer; the connection empties it after every read, so it never pauses.
PARSER_BUFFER_BYTES: Final = 1 << 20
# Chunk sizes may double a body of small chunks; head, extensions and trailers get this much more.
FRAMING_BYTES_MAX: Final = 1 << 20
LINE_BYTES_MAX: Final = 16 << 10  # Node's limit for a whole header


class RawResponse(NamedTuple):
    """An answer as it came off the wire."""

    status: int
    reason: str
    headers: Headers
    body: bytes


class Connection(asyncio.Protocol):
    """Carries one exchange at a time; `reusable` says whether it may carry another."""

    def __init__(self, limits: EgressLimits, loop: asyncio.AbstractEventLoop) -> None:
        self._limits = limits
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[RawResponse] | None = None
        self._parser: Any = None
        self._url = ""
        self._on_head: Callable[[], None] | None = None
        self._message: Any = None
        self._payload: Any = None
        self._parts: list[bytes] = []
        self._body_bytes = 0
        self._body_bytes_max = 0
        self._received_bytes = 0
        self._informational = 0
        self._keep = True
        self.exchanges = 0
        self.idle_since = 0.0

    def exchange(
        self,
        data: bytes,
        url: str,
        *,
        has_body: bool,
        body_bytes_max: int,
        on_head: Callable[[], None] | None = None,
    ) -> asyncio.Future[RawResponse]:
        """Send one request; the future ends with the answer or an EgressError. `on_head` hears of the answer's head."""
        assert self._waiter is None
        if self._transport is None:
            raise system_error("ECONNRESET", "socket hang up")
        self._parser = HttpResponseParser(
            self,  # type: ignore[arg-type]  # it only ever calls pause_reading and resume_reading
            self._loop,
            PARSER_BUFFER_BYTES,
            max_line_size=LINE_BYTES_MAX,
            max_field_size=LINE_BYTES_MAX,
            max_headers=self._limits.response_headers_max,
            response_with_body=has_body,
            read_until_eof=True,
            auto_decompress=False,
        )
        self._url = url
        self._on_head = on_head
        self._message = self._payload = None
        self._parts = []
        self._body_bytes = self._received_bytes = self._informational = 0
        self._body_bytes_max = body_bytes_max
        self.exchanges += 1
        self._waiter = self._loop.create_future()
        self._transport.write(data)
        return self._waiter

    @property
    def reusable(self) -> bool:
        """Idle, alive, in step with the server, and all of the request has left."""
        transport = self._transport
        return (
            self._keep
            and self._waiter is None
            and transport is not None
            and not transport.is_closing()
            and transport.get_write_buffer_size() == 0
        )

    @property
    def answered(self) -> bool:
        """Whether any byte of the current answer has arrived."""
        return self._received_bytes > 0

    @property
    def head(self) -> RawResponse | None:
        """The current answer without its body, once its head has arrived."""
        return None if self._message is None else _answer(self._message, b"")

    def abort(self) -> None:
        """Drop the connection and whatever it was doing."""
        self._keep = False
        self._waiter = None
        if self._transport is not None:
            self._transport.abort()

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, since uvloop's transports are not asyncio's by class.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._waiter is None:
            # Bytes that nobody asked for: whatever they are, the next answer could be mistaken for them.
            self.abort()
            return
        try:
            self._received_bytes += len(data)
            messages, upgraded, _ = self._parser.feed_data(data)
            self._head(messages)
            if upgraded:
                raise self._parse_error("Response switches protocols")
            if self._message is not None:
                self._body()
        except EgressError as error:
            self._fail(error)
        except HttpProcessingError as error:
            self._fail(self._parse_error(str(error.message)))

    def connection_lost(self, exc: Exception | None) -> None:
        self._keep = False
        self._transport = None
        if self._waiter is None:
            return
        if self._message is None:
            self._fail(_hung_up(exc))
        elif exc is not None:
            self._fail(self._cut_short())
        else:
            self._body_until_eof()

    # -- what aiohttp's stream calls; one read never exceeds PARSER_BUFFER_BYTES, so there is nothing to pause

    def pause_reading(self) -> None: ...

    def resume_reading(self, resume_parser: bool = True) -> None: ...

    # -- the answer

    def _head(self, messages: list[Any]) -> None:
        for message, payload in messages:
            if self._message is not None:
                self._keep = False  # an answer too many
            elif message.code >= 200:
                self._message, self._payload = message, payload
                self._keep = not message.should_close
                self._check_head(message)
                if self._on_head is not None:
                    self._on_head()
            else:
                self._informational += 1
        if self._informational > self._limits.informational_max:
            raise self._parse_error("Too many informational responses")
        if self._message is None and self._received_bytes > self._limits.response_head_bytes_max:
            raise system_header_overflow()

    def _check_head(self, message: Any) -> None:
        head_bytes_max = self._limits.response_head_bytes_max
        # Most answers arrive whole and small: only what might be too much is added up.
        if self._received_bytes > head_bytes_max:
            head_bytes = sum(len(name) + len(value) + 4 for name, value in message.raw_headers)
            if head_bytes > head_bytes_max:
                raise system_header_overflow()
        length = message.headers.get("Content-Length", "")
        # Digits beyond 20 are refused by the parser.
        if not self._payload.is_eof() and length.isdigit() and int(length) > self._body_bytes_max:
            raise too_large(self._url, self._body_bytes_max)

    def _body(self) -> None:
        payload = self._payload
        if payload.exception() is not None:
            raise body_error(self._url, "HPE_INVALID_CHUNK_SIZE", "Parse Error: Invalid chunk")
        if chunk := payload.read_nowait():
            self._parts.append(chunk)
            self._body_bytes += len(chunk)
            if self._body_bytes > self._body_bytes_max:
                raise too_large(self._url, self._body_bytes_max)
        if payload.is_eof():
            self._finish()
        elif self._received_bytes > 2 * self._body_bytes_max + FRAMING_BYTES_MAX:
            # Chunk extensions and trailers are no body, and have no end either.
            raise too_large(self._url, self._body_bytes_max)

    def _body_until_eof(self) -> None:
        try:
            self._parser.feed_eof()
        except HttpProcessingError:
            self._fail(self._cut_short())
        else:
            self._finish()

    def _cut_short(self) -> EgressError:
        """Node words a chunked body that ends early in its own way."""
        if self._message.chunked:
            return body_error(self._url, "ERR_STREAM_PREMATURE_CLOSE", "Premature close")
        return body_error(self._url, "ECONNRESET", "aborted")

    def _finish(self) -> None:
        message, waiter = self._message, self._waiter
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._waiter = self._parser = self._payload = None
        self._parts = []
        if waiter is not None and not waiter.done():
            waiter.set_result(_answer(message, body))

    def _fail(self, error: EgressError) -> None:
        waiter = self._waiter
        self.abort()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def _parse_error(self, reason: str) -> EgressError:
        reason = reason.partition("\n")[0]
        if "Too many headers" in reason or "bytes when reading" in reason:
            return system_header_overflow()
        return system_error("HPE_INVALID_CONSTANT", f"Parse Error: {reason}")


def _answer(message: Any, body: bytes) -> RawResponse:
    """Bytes as Node shows them: one character for each."""
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message.raw_headers]
    reason: str = message.reason or ""
    if not reason.isascii():
        reason = reason.encode("utf-8", "surrogateescape").decode("latin-1")
    return RawResponse(message.code, reason, headers, body)


def system_header_overflow() -> EgressError:
    """Not `network`: a server that sends such headers will send them again."""
    return EgressError("HPE_HEADER_OVERFLOW", "system", "Parse Error: Header overflow")


def _hung_up(exc: Exception | None) -> EgressError:
    if exc is None:
        return system_error("ECONNRESET", "socket hang up")
    if isinstance(exc, BrokenPipeError):
        return system_error("EPIPE", "write EPIPE")
    return system_error("ECONNRESET", "read ECONNRESET")
