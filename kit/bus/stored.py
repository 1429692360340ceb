"""Messages of a subject read out of a stream without a consumer: backwards, or pages of them upwards.

The stream must be declared with `allow_direct`. A step costs the server about 0.5 ms, and some 40 ms where it has to
read a block of the stream from disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from kit.bus.connection import Bus, Reply
from kit.bus.errors import NoResponders
from kit.bus.message import parse_headers, valid_traceparent
from kit.errors import Internal, Unavailable

_NOT_FOUND = b"NATS/1.0 404"
_STATUS = b"NATS/1.0 "
_END_OF_BATCH = b"NATS/1.0 204"
# A page comes as that many messages, so its end is waited for as long as for the answer of any other call.
PAGE_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One message as the stream holds it."""

    sequence: int
    timestamp_ns: int
    data: bytes
    # W3C trace context that the publisher gave; empty for none.
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Messages of a subject in their order, and how many the stream has after them."""

    messages: list[StoredMessage]
    pending: int


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


async def next_page(
    bus: Bus, stream: str, subject: str, *, first: int = 1, since_us: int = 0, messages_max: int, bytes_max: int
) -> Page:
    """The messages of a subject from a sequence on, and from a time on where one is given.

    Raises Unavailable where the stream can't be read so.
    """
    request: dict[str, object] = {"next_by_subj": subject, "batch": messages_max, "max_bytes": bytes_max}
    if since_us:
        request["start_time"] = datetime.fromtimestamp(since_us / 1_000_000, UTC).isoformat()
    else:
        request["seq"] = first
    inbox = bus.new_inbox()
    replies: asyncio.Queue[Reply] = asyncio.Queue()

    def receive(_subject: bytes, _reply: bytes, header: bytes, data: bytes) -> None:
        # No more than `messages_max` come, and the end.
        replies.put_nowait(Reply(header, data))

    subscription = await bus.subscribe(inbox, receive)
    try:
        bus.send(f"$JS.API.DIRECT.GET.{stream}", orjson.dumps(request), inbox)
        async with asyncio.timeout(PAGE_TIMEOUT_S):
            return await _page(replies, stream)
    except TimeoutError:
        raise Unavailable(f"JetStream did not answer with messages of {stream} in time; try again.") from None
    finally:
        await bus.unsubscribe(subscription)


async def _page(replies: asyncio.Queue[Reply], stream: str) -> Page:
    messages: list[StoredMessage] = []
    while True:
        reply = await replies.get()
        if reply.header.startswith(_END_OF_BATCH):
            return Page(messages, int(parse_headers(reply.header).get("Nats-Num-Pending", "0")))
        if reply.header.startswith(_NOT_FOUND):
            return Page(messages, 0)
        if reply.header.startswith(_STATUS + b"503"):
            raise Unavailable(f"The stream {stream} can't be read: it is not there, or not yet as declared.")
        if _is_refusal(reply):
            raise Internal(f"JetStream refused to read {stream}: {_status(reply)}")
        messages.append(_stored(reply))


def _is_refusal(reply: Reply) -> bool:
    """A message's headers follow the version at once, a status comes between them."""
    return reply.header.startswith(_STATUS)


def _status(reply: Reply) -> str:
    return reply.header.partition(b"\r\n")[0].decode("ascii", "replace")


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
    if _is_refusal(reply):
        raise Internal(f"JetStream refused to read {stream}: {_status(reply)}")
    return _stored(reply)


def _stored(reply: Reply) -> StoredMessage:
    headers = parse_headers(reply.header)
    # Nanoseconds, of which datetime takes six digits.
    stored_at = datetime.fromisoformat(headers["Nats-Time-Stamp"])
    timestamp_ns = int(stored_at.timestamp() * 1_000_000) * 1000
    return StoredMessage(
        int(headers["Nats-Sequence"]), timestamp_ns, reply.data, valid_traceparent(headers.get("traceparent", ""))
    )
