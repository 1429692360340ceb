"""Publishing that knows what was stored.

One message: a publish with a reply subject, whose answer says stored, duplicate or why not. Many: atomic
batches, since a batch costs the server four fsyncs instead of one a message; with `sync_interval: always`
that is 58,000 messages a second instead of 4,000. A batch is stored whole or not at all, so one message
that was stored before makes the server refuse all (10201): such a batch is sent again message by message.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import orjson

from kit.bus.connection import Bus, Reply
from kit.bus.errors import (
    BATCH_DISABLED,
    ConnectionLost,
    NoResponders,
    StreamFull,
    api_error,
    nats_error,
)
from kit.errors import DeadlineExceeded, InvalidArgument, OnwardError

# The server takes 1,000 messages a batch; above 500 the gain is gone.
BATCH_MESSAGES_MAX = 500
# One batch is one write; the server's max_payload is 1 MB for a message, and we keep a batch in that order.
BATCH_BYTES_MAX = 900_000
# Data and headers; the server closes the connection of whoever sends more than its max_payload of 1 MiB.
MESSAGE_BYTES_MAX = 1_000_000
# Below this, single messages in flight are as quick and need no staging files.
BATCH_MESSAGES_MIN = 8
# The server allows 50 open batches for each stream, of all publishers together.
BATCHES_IN_FLIGHT = 4
# Single publishes that wait for their answer; more gains nothing (lab: 256 fills the server).
SINGLES_IN_FLIGHT = 256
TIMEOUT_S = 30.0
# One try; a server that restarts answers long before, a lost answer is asked for again after it.
TRY_TIMEOUT_S = 5.0
RETRY_DELAY_S = 0.05

# What says that nothing is known or that the server is not ready: the same message id may be sent again.
_RETRYABLE = (ConnectionLost, NoResponders, DeadlineExceeded)


class Outgoing(NamedTuple):
    """A message to publish. Without a `msg_id` a retry after a lost answer may store it twice."""

    subject: str
    data: bytes
    msg_id: str | None = None
    headers: Mapping[str, str] | None = None


class PubAck(NamedTuple):
    """What the stream answered; in the results of `publish_many`, `error` says why it was not stored."""

    stream: str
    seq: int
    duplicate: bool = False
    error: OnwardError | None = None


class Publisher:
    """Publishes to JetStream through one bus; share one for each process."""

    def __init__(
        self, bus: Bus, *, batches_in_flight: int = BATCHES_IN_FLIGHT, try_timeout_s: float = TRY_TIMEOUT_S
    ) -> None:
        self._bus = bus
        self._try_timeout_s = try_timeout_s
        self._batches = asyncio.Semaphore(batches_in_flight)
        self._singles = asyncio.Semaphore(SINGLES_IN_FLIGHT)
        self._batch_prefix = bus.new_inbox().rpartition(".")[2]
        self._batch_ids = itertools.count()
        # Streams that were made without allow_atomic.
        self._no_batches: set[str] = set()

    async def publish(
        self,
        subject: str,
        data: bytes,
        msg_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> PubAck:
        """Stores one message. With a `msg_id` it is tried again until `timeout_s`, and counts once.

        Raises StreamFull, InvalidArgument, Unavailable or DeadlineExceeded.
        """
        result = await self._single(Outgoing(subject, data, msg_id, headers), self._deadline(timeout_s))
        if result.error is not None:
            raise result.error
        return result

    async def publish_many(self, messages: Iterable[Outgoing], *, timeout_s: float = TIMEOUT_S) -> list[PubAck]:
        """Stores many messages; the results are in their order, each one stored, a duplicate or an error.

        Messages of one stream stay in order unless a part of them has to be sent again.
        """
        outgoing = list(messages)
        deadline = self._deadline(timeout_s)
        results: list[PubAck | None] = [None] * len(outgoing)

        async def send(indexes: list[int]) -> None:
            part = [outgoing[index] for index in indexes]
            for index, result in zip(indexes, await self._part(part, deadline), strict=True):
                results[index] = result

        async with asyncio.TaskGroup() as group:
            for indexes in _split(outgoing):
                group.create_task(send(indexes))
        return [result for result in results if result is not None]

    def _deadline(self, timeout_s: float) -> float:
        return asyncio.get_running_loop().time() + timeout_s

    async def _part(self, part: Sequence[Outgoing], deadline: float) -> list[PubAck]:
        stream = _stream_key(part[0].subject)
        if len(part) < BATCH_MESSAGES_MIN or stream in self._no_batches:
            return await self._one_by_one(part, deadline)
        async with self._batches:
            try:
                return await self._batch_with_retries(part, deadline)
            except (*_RETRYABLE, StreamFull) as error:
                return [PubAck("", 0, error=error)] * len(part)
            except OnwardError as error:
                # A duplicate, a message that is too large: one by one, only the culprit is refused.
                if nats_error(error) == BATCH_DISABLED:
                    self._no_batches.add(stream)
        return await self._one_by_one(part, deadline)

    async def _batch_with_retries(self, part: Sequence[Outgoing], deadline: float) -> list[PubAck]:
        """Sends a batch until there is an answer; a batch without message ids is never sent twice."""
        repeatable = all(message.msg_id for message in part)
        while True:
            try:
                return await self._batch(part, deadline)
            except _RETRYABLE:
                if not repeatable or not await self._worth_another_try(deadline):
                    raise

    async def _batch(self, part: Sequence[Outgoing], deadline: float) -> list[PubAck]:
        batch_id = f"{self._batch_prefix}-{next(self._batch_ids)}"
        await self._wait_connected(deadline)
        reply_subject, answer = self._bus.expect_reply(part[-1].subject)
        try:
            self._bus.write(_encode_batch(part, batch_id, reply_subject.decode()))
            async with asyncio.timeout(self._try_timeout_s):
                ack = _decode(await answer, part[-1].subject)
        except TimeoutError:
            raise DeadlineExceeded("JetStream did not confirm a batch in time") from None
        finally:
            self._bus.forget(reply_subject)
        first = ack.seq - len(part) + 1
        return [PubAck(ack.stream, first + index) for index in range(len(part))]

    async def _one_by_one(self, part: Sequence[Outgoing], deadline: float) -> list[PubAck]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._single(message, deadline)) for message in part]
        return [task.result() for task in tasks]

    async def _single(self, message: Outgoing, deadline: float) -> PubAck:
        """Sends one message until there is an answer; errors are in the result."""
        async with self._singles:
            while True:
                try:
                    return await self._try(message, deadline)
                except NoResponders as error:
                    # Nothing was stored for sure, so this is safe without a message id as well.
                    if not await self._worth_another_try(deadline):
                        return PubAck("", 0, error=error)
                except (ConnectionLost, DeadlineExceeded) as error:
                    if not message.msg_id or not await self._worth_another_try(deadline):
                        return PubAck("", 0, error=error)
                except OnwardError as error:
                    return PubAck("", 0, error=error)

    async def _try(self, message: Outgoing, deadline: float) -> PubAck:
        await self._wait_connected(deadline)
        reply_subject, answer = self._bus.expect_reply(message.subject)
        try:
            self._bus.write(_encode(message, reply_subject.decode(), ""))
            async with asyncio.timeout(self._try_timeout_s):
                return _decode(await answer, message.subject)
        except TimeoutError:
            raise DeadlineExceeded(f"JetStream did not confirm a message on {message.subject} in time") from None
        finally:
            self._bus.forget(reply_subject)

    async def _wait_connected(self, deadline: float) -> None:
        if not self._bus.connected:
            await self._bus.wait_connected(max(0.0, deadline - asyncio.get_running_loop().time()))

    async def _worth_another_try(self, deadline: float) -> bool:
        if asyncio.get_running_loop().time() + RETRY_DELAY_S >= deadline:
            return False
        await asyncio.sleep(RETRY_DELAY_S)
        return True


def _stream_key(subject: str) -> str:
    """Which messages may share a batch: those of one stream; each workspace's events have their own."""
    first, _, rest = subject.partition(".")
    return f"events.{rest.partition('.')[0]}" if first == "events" else first


def _split(messages: Sequence[Outgoing]) -> list[list[int]]:
    """Indexes of the messages, grouped by stream and cut to what a batch may hold."""
    parts: list[list[int]] = []
    open_parts: dict[str, tuple[list[int], int]] = {}
    for index, message in enumerate(messages):
        key = _stream_key(message.subject)
        part, size = open_parts.get(key, (None, 0))
        if part is None or len(part) == BATCH_MESSAGES_MAX or size + len(message.data) > BATCH_BYTES_MAX:
            part, size = [], 0
            parts.append(part)
        part.append(index)
        open_parts[key] = (part, size + len(message.data))
    return parts


def _encode_batch(part: Sequence[Outgoing], batch_id: str, reply_subject: str) -> bytes:
    last = len(part)
    commands = [
        _encode(message, "", f"Nats-Batch-Id: {batch_id}\r\nNats-Batch-Sequence: {sequence}\r\n")
        for sequence, message in enumerate(part[:-1], 1)
    ]
    batch_headers = f"Nats-Batch-Id: {batch_id}\r\nNats-Batch-Sequence: {last}\r\nNats-Batch-Commit: 1\r\n"
    commands.append(_encode(part[-1], reply_subject, batch_headers))
    return b"".join(commands)


def _encode(message: Outgoing, reply_subject: str, more_headers: str) -> bytes:
    subject, data, msg_id, headers = message
    if " " in subject or "\r" in subject or "\n" in subject or not subject:
        raise InvalidArgument(f"{subject!r} is not a subject to publish to")
    block = more_headers
    if msg_id:
        block = f"Nats-Msg-Id: {_one_line(msg_id)}\r\n{block}"
    if headers:
        block += "".join(f"{_one_line(name)}: {_one_line(value)}\r\n" for name, value in headers.items())
    if not block and len(data) <= MESSAGE_BYTES_MAX:
        return b"PUB %b %b %d\r\n%b\r\n" % (subject.encode(), reply_subject.encode(), len(data), data)
    header = f"NATS/1.0\r\n{block}\r\n".encode()
    if len(header) + len(data) > MESSAGE_BYTES_MAX:
        raise InvalidArgument(f"a message must not have more than {MESSAGE_BYTES_MAX} bytes")
    line = f"HPUB {subject} {reply_subject} {len(header)} {len(header) + len(data)}\r\n"
    return b"%b%b%b\r\n" % (line.encode(), header, data)


def _one_line(value: str) -> str:
    """A line break in a header would let its author write protocol commands of their own."""
    if "\r" in value or "\n" in value:
        raise InvalidArgument("a header of a message must not contain a line break")
    return value


def _decode(reply: Reply, subject: str) -> PubAck:
    answer = orjson.loads(reply.data)
    if "error" in answer:
        raise api_error(answer["error"], subject)
    return PubAck(answer["stream"], answer["seq"], answer.get("duplicate", False))
