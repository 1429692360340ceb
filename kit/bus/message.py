"""A delivered message, parsed no further than somebody asks."""

from __future__ import annotations

import re
from collections.abc import Mapping

# $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<timestamp>.<pending>; newer servers may
# put the domain and the account's hash after ACK, and a random token at the end (ADR-15 of NATS).
_SHORT_TOKENS = 9
_SHORT_OFFSET = 4
_LONG_OFFSET = 6

_NO_HEADERS: Mapping[str, str] = {}
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def parse_headers(block: bytes) -> dict[str, str]:
    """Reads a NATS header block; the last value of a repeated name stays."""
    headers: dict[str, str] = {}
    for line in block.split(b"\r\n")[1:]:
        name, separator, value = line.partition(b":")
        if separator:
            headers[name.decode("ascii", "replace")] = value.strip().decode("utf-8", "replace")
    return headers


def valid_traceparent(value: str) -> str:
    """A W3C trace context as it is, and nothing for what is none: that would only be carried along."""
    return value if _TRACEPARENT.fullmatch(value.encode()) else ""


class Message:
    """One message of a JetStream consumer. `headers` is None when it has none.

    `stream_seq` is its place in the stream, `delivered` how often the server has delivered it, this time
    included.
    """

    __slots__ = (
        "_headers", "arrived_at", "data", "delivered", "header_block", "reply_subject", "stream_seq", "subject",
    )  # fmt: skip

    def __init__(self, subject: bytes, reply: bytes, header: bytes, data: bytes, arrived_at: float = 0.0) -> None:
        self.subject = subject.decode()
        self.reply_subject = reply
        self.header_block = header
        self.data = data
        # By the monotonic clock: `pending` is of then.
        self.arrived_at = arrived_at
        self._headers: dict[str, str] | None = None
        # Everybody needs these two; the rest is parsed when it is asked for.
        ack = reply.split(b".")
        offset = _SHORT_OFFSET if len(ack) == _SHORT_TOKENS else _LONG_OFFSET
        self.delivered = int(ack[offset])
        self.stream_seq = int(ack[offset + 1])

    @classmethod
    def build(
        cls,
        subject: str,
        data: bytes,
        headers: Mapping[str, str] = _NO_HEADERS,
        *,
        stream: str = "STREAM",
        stream_seq: int = 1,
        delivered: int = 1,
        timestamp_ns: int = 0,
        pending: int = 0,
        arrived_at: float = 0.0,
    ) -> Message:
        """A message as the server would deliver it, for tests of what consumes messages."""
        reply = f"$JS.ACK.{stream}.consumer.{delivered}.{stream_seq}.{stream_seq}.{timestamp_ns}.{pending}"
        block = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        header = f"NATS/1.0\r\n{block}\r\n".encode() if headers else b""
        return cls(subject.encode(), reply.encode(), header, data, arrived_at)

    def __repr__(self) -> str:
        return f"Message({self.subject!r}, stream_seq={self.stream_seq}, {len(self.data)} bytes)"

    @property
    def reply(self) -> str:
        """Where an acknowledgement goes."""
        return self.reply_subject.decode()

    @property
    def headers(self) -> dict[str, str] | None:
        if self._headers is None and self.header_block:
            self._headers = parse_headers(self.header_block)
        return self._headers

    @property
    def msg_id(self) -> str | None:
        """The Nats-Msg-Id that the publisher gave, without reading the other headers."""
        start = self.header_block.find(b"\r\nNats-Msg-Id:")
        if start < 0:
            return None
        start += 14
        return self.header_block[start : self.header_block.find(b"\r\n", start)].strip().decode()

    @property
    def traceparent(self) -> str:
        """The W3C trace context that the publisher gave, without reading the other headers; empty for none."""
        start = self.header_block.find(b"\r\ntraceparent:")
        if start < 0:
            return ""
        start += 14
        value = self.header_block[start : self.header_block.find(b"\r\n", start)].strip()
        # One that is no context would only be carried along.
        return value.decode() if _TRACEPARENT.fullmatch(value) else ""

    def _ack_token(self, index: int) -> bytes:
        tokens = self.reply_subject.split(b".")
        return tokens[index + (_SHORT_OFFSET if len(tokens) == _SHORT_TOKENS else _LONG_OFFSET)]

    @property
    def stream(self) -> str:
        return self._ack_token(-2).decode()

    @property
    def consumer_seq(self) -> int:
        return int(self._ack_token(2))

    @property
    def timestamp_ns(self) -> int:
        """When the stream stored it, in nanoseconds since 1970."""
        return int(self._ack_token(3))

    @property
    def pending(self) -> int:
        """How many messages of the consumer waited behind it."""
        return int(self._ack_token(4))
