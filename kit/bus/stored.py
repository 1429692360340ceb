"""Messages read out of a stream without a consumer, from the newest to the oldest of a subject.

The stream must be declared with `allow_direct`. A step costs the server about 0.5 ms, and some 40 ms where it has to
read a block of the stream from disk.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

import orjson

from kit.bus.connection import Bus, Reply
from kit.bus.errors import NoResponders
from kit.bus.message import parse_headers
from kit.errors import Internal, Unavailable

_NOT_FOUND = b"NATS/1.0 404"
_STATUS = b"NATS/1.0 "


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One message as the stream holds it."""

    sequence: int
    timestamp_ns: int
    data: bytes


async def newest_first(bus: Bus, stream: str, subject: str) -> AsyncIterator[StoredMessage]:
    """Every message of a subject, one request each. Raises Unavailable where the stream can't be read so."""
    up_to = 0
    while True:
        found = await _last(bus, stream, subject, up_to)
        if found is None:
            return
        yield found
        up_to = found.sequence - 1
        if not up_to:
            return


async def exists(bus: Bus, stream: str, sequence: int) -> bool:
    """Whether the stream can still give a message. Raises Unavailable where it can't be read so."""
    try:
        reply = await bus.request(f"$JS.API.DIRECT.GET.{stream}", orjson.dumps({"seq": sequence}))
    except NoResponders as error:
        raise Unavailable(f"The stream {stream} can't be read: it is not there, or not yet as declared.") from error
    return not reply.header.startswith(_NOT_FOUND)


async def _last(bus: Bus, stream: str, subject: str, up_to: int) -> StoredMessage | None:
    """The last message of the subject up to a sequence; 0 for the stream's end."""
    request = {"multi_last": [subject], "batch": 1} | ({"up_to_seq": up_to} if up_to else {})
    try:
        # The end of the batch, which comes after the message, finds nobody who waits.
        reply = await bus.request(f"$JS.API.DIRECT.GET.{stream}", orjson.dumps(request))
    except NoResponders as error:
        raise Unavailable(f"The stream {stream} can't be read: it is not there, or not yet as declared.") from error
    if reply.header.startswith(_NOT_FOUND):
        return None
    if reply.header.startswith(_STATUS):
        status = reply.header.partition(b"\r\n")[0].decode("ascii", "replace")
        raise Internal(f"JetStream refused to read {stream}: {status}")
    return _stored(reply)


def _stored(reply: Reply) -> StoredMessage:
    headers = parse_headers(reply.header)
    # Nanoseconds, of which datetime takes six digits.
    stored_at = datetime.fromisoformat(headers["Nats-Time-Stamp"])
    timestamp_ns = int(stored_at.timestamp() * 1_000_000) * 1000
    return StoredMessage(int(headers["Nats-Sequence"]), timestamp_ns, reply.data)
