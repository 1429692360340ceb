"""Publishing that knows what was stored.

One message: a publish with a reply subject, whose answer says stored, duplicate or why not. Many: atomic
batches, since a batch costs the server four fsyncs instead of one a message; with `sync_interval: always`
that is 58,000 messages a second (in batches of 500) instead of 4,000. A batch is stored whole or not at
all, so one message that was stored before makes the server refuse all (10201): such a batch is sent again
message by message.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
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

# The server takes 1,000 messages a batch, and does little else while it stores what is in flight: beside somebody who
# publishes at full speed, p99 of others' events is 3.1 to 3.4 times what it is alone where four batches of 500 are in
# flight, and 2.0 to 2.3 times with four of 200. `onward events publish` does 36,000 events a second with the former,
# and 25,000 with the latter (docs/adr/0002-data-plane.md).
BATCH_MESSAGES_MAX = 200
# One batch is one write; the server's max_payload is 1 MB for a message, and we keep a batch in that order.
BATCH_BYTES_MAX = 900_000
# Data and headers; the server closes the connection of whoever sends more than its max_payload of 1 MiB.
MESSAGE_BYTES_MAX = 1_000_000
# Below this, single messages in flight are answered sooner and cost the server less: a batch has staging files. With
# `sync_interval: always`, 8 take 2.3 ms and 0.17 ms of CPU each, 8 in a batch 3.5 and 0.30; of 16 it is 3.9 and 0.14
# beside 3.7 and 0.17.
BATCH_MESSAGES_MIN = 16
# The server allows 50 open batches for each stream, of all publishers together.
BATCHES_IN_FLIGHT = 4
# Single publishes are sent by so many in one write; two such writes in flight keep the server busy.
SINGLES_IN_FLIGHT = 256
SINGLE_WRITES_IN_FLIGHT = 2
TIMEOUT_S = 30.0
# As a timeout: for who repeats by himself. The answer to the one try is waited for as always.
ONE_TRY = 0.0
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
        self._singles = asyncio.Semaphore(SINGLE_WRITES_IN_FLIGHT)
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
        message = Outgoing(subject, data, msg_id, headers)
        (result,) = await self._singles_with_retries([message], self._deadline(timeout_s))
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
        results: list[PubAck] = []
        for start in range(0, len(part), SINGLES_IN_FLIGHT):
            async with self._singles:
                results += await self._singles_with_retries(part[start : start + SINGLES_IN_FLIGHT], deadline)
        return results

    async def _singles_with_retries(self, messages: Sequence[Outgoing], deadline: float) -> list[PubAck]:
        """Sends messages side by side until each has an answer; errors are in the results."""
        results = await self._try(messages, deadline)
        while True:
            again = [index for index, result in enumerate(results) if _may_repeat(result, messages[index])]
            if not again or not await self._worth_another_try(deadline):
                return results
            repeated = await self._try([messages[index] for index in again], deadline)
            for index, result in zip(again, repeated, strict=True):
                results[index] = result

    async def _try(self, messages: Sequence[Outgoing], deadline: float) -> list[PubAck]:
        """Sends messages in one write and waits for what the server says to each."""
        commands: list[bytes] = []
        waiting: list[tuple[bytes, asyncio.Future[Reply]]] = []
        try:
            await self._wait_connected(deadline)
            for message in messages:
                reply_subject, answer = self._bus.expect_reply(message.subject)
                waiting.append((reply_subject, answer))
                try:
                    _encode(commands, message, reply_subject.decode(), "")
                except InvalidArgument as error:
                    answer.set_exception(error)
            self._bus.write(b"".join(commands))
            await asyncio.wait([answer for _, answer in waiting], timeout=self._try_timeout_s)
            return [_result(answer, message.subject) for (_, answer), message in zip(waiting, messages, strict=True)]
        except OnwardError as error:
            return [PubAck("", 0, error=error)] * len(messages)
        finally:
            for reply_subject, answer in waiting:
                self._bus.forget(reply_subject)
                # asyncio complains about errors that nobody has looked at.
                if answer.done() and not answer.cancelled():
                    answer.exception()

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
    commands: list[bytes] = []
    last = len(part)
    for sequence, message in enumerate(part, 1):
        batch_headers = f"Nats-Batch-Id: {batch_id}\r\nNats-Batch-Sequence: {sequence}\r\n"
        if sequence == last:
            _encode(commands, message, reply_subject, f"{batch_headers}Nats-Batch-Commit: 1\r\n")
        else:
            _encode(commands, message, "", batch_headers)
    return b"".join(commands)


def _encode(commands: list[bytes], message: Outgoing, reply_subject: str, batch_headers: str) -> None:
    """Adds the protocol's command for a message; raises InvalidArgument."""
    subject, data, msg_id, headers = message
    block = batch_headers
    if msg_id:
        block = f"Nats-Msg-Id: {_one_line(msg_id)}\r\n{block}"
    if headers:
        block += "".join([f"{_one_line(name)}: {_one_line(value)}\r\n" for name, value in headers.items()])
    header = f"NATS/1.0\r\n{block}\r\n".encode() if block else b""
    size = len(header) + len(data)
    if size > MESSAGE_BYTES_MAX:
        raise InvalidArgument(f"a message must not have more than {MESSAGE_BYTES_MAX} bytes")
    if header:
        line = f"HPUB {_checked_subject(subject)} {reply_subject} {len(header)} {size}\r\n"
    else:
        line = f"PUB {_checked_subject(subject)} {reply_subject} {size}\r\n"
    commands += (line.encode(), header, data, b"\r\n")


@lru_cache(maxsize=4096)
def _checked_subject(subject: str) -> str:
    """The subject, if it has nothing in it by which its author could write protocol commands of their own."""
    if not subject or not subject.isprintable() or " " in subject:
        raise InvalidArgument(f"{subject!r} is not a subject to publish to")
    return subject


def _one_line(value: str) -> str:
    """A line break in a header would end it, and what follows would be a command."""
    if "\r" in value or "\n" in value:
        raise InvalidArgument("a header of a message must not contain a line break")
    return value


def _may_repeat(result: PubAck, message: Outgoing) -> bool:
    """Whether a message can be sent again without being stored twice."""
    if isinstance(result.error, NoResponders):
        # Nothing was stored for sure.
        return True
    return bool(message.msg_id) and isinstance(result.error, _RETRYABLE)


def _result(answer: asyncio.Future[Reply], subject: str) -> PubAck:
    if not answer.done():
        return PubAck("", 0, error=DeadlineExceeded(f"JetStream did not confirm {subject} in time"))
    try:
        return _decode(answer.result(), subject)
    except OnwardError as error:
        return PubAck("", 0, error=error)


def _decode(reply: Reply, subject: str) -> PubAck:
    answer = orjson.loads(reply.data)
    if "error" in answer:
        raise api_error(answer["error"], subject)
    return PubAck(answer["stream"], answer["seq"], answer.get("duplicate", False))
