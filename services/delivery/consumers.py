"""Outcomes from JetStream to Postgres; acknowledged when they are committed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from uuid import UUID

import asyncpg
import structlog
from google.protobuf.message import DecodeError

from kit.bus.acks import ack, nak, terminate
from kit.bus.connection import Bus
from kit.bus.message import Message
from kit.clock import Clock, unix_us
from kit.errors import Unavailable
from kit.postgres.pool import Pool
from kit.rpc.names import is_id
from onward.executor.v1 import outcomes_pb2 as pb
from services.delivery.projections.batches import Applied, BatchWriter
from services.delivery.projections.salvage import REFUSALS, salvage

log = structlog.get_logger(__name__)

# Messages of one pull; each has 500 attempts at most.
PULL_MESSAGES = 32
# Attempts of one transaction: enough to make its round trips cheap, few enough to take a tenth of a second.
ATTEMPTS_MAX = 5_000
# Somebody stored the same attempt first; looking once more settles it unless they do so again.
TRIES_MAX = 4
# Messages that can't be applied now are delivered again after this.
RETRY_DELAY_S = 1.0
# A transaction takes a tenth of a second, and some seconds on a slow disk. One that never ends is asyncpg's: a COPY
# whose connection is lost while it waits to write is told nothing (seen when Postgres ran out of disk).
STORE_TIMEOUT_S = 20.0
# A message that fails by a fault of ours keeps coming, so that nothing is lost, and hardly costs anything.
FAILED_DELAY_S = 30.0
# Deliveries of a message that Postgres refuses for what it holds, before it is taken apart: it holds up all look-ups.
REFUSED_TRIES_MAX = 3

# What the executor keeps to; a longer text might be more than an index takes.
SOURCE_LENGTH_MAX = 63
MESSAGE_ID_LENGTH_MAX = 256
EVENT_NAME_LENGTH_MAX = 200
REASON_LENGTH_MAX = 256
# As the proto says of an error's message; names are a line.
MESSAGE_LENGTH_MAX = 8192
ERROR_NAME_LENGTH_MAX = 256
STACK_LENGTH_MAX = 16_384
SAMPLE_BYTES_MAX = 4096
# As DNS has it.
HOST_LENGTH_MAX = 255
_DETAIL_LENGTHS = {
    "error_name": ERROR_NAME_LENGTH_MAX,
    "error_message": MESSAGE_LENGTH_MAX,
    "error_stack": STACK_LENGTH_MAX,
}
_UNMATCHED_LENGTHS = {"source": SOURCE_LENGTH_MAX, "name": 100}
_FAILURE_LENGTHS = {"source": SOURCE_LENGTH_MAX, "reason": REASON_LENGTH_MAX, "message": MESSAGE_LENGTH_MAX}

Told = Callable[[Applied], None]


class PoisonError(ValueError):
    """A message that can never be applied."""


class RefusedError(Exception):
    """Postgres refuses what a batch holds, and will do so again."""


class OutcomesConsumer:
    """Applies what the puller brings, one transaction at a time: two of one process only wait for each other's keys.

    `told` hears of every committed transaction.
    """

    def __init__(self, bus: Bus, pool: Pool, writer: BatchWriter, clock: Clock, told: Told) -> None:
        self._bus = bus
        self._pool = pool
        self._writer = writer
        self._clock = clock
        self._told = told
        self.applied = 0

    async def on_messages(self, messages: list[Message]) -> None:
        """Apply these messages; those that can't be are given back."""
        part: list[tuple[Message, pb.OutcomeBatch]] = []
        attempts = 0
        for message in messages:
            try:
                batch = decode(message.data)
            except PoisonError as reason:
                log.error("outcomes_undecodable", sequence=message.stream_seq, reason=str(reason))  # noqa: TRY400
                terminate(self._bus, [message])
                continue
            # What others ask is answered meanwhile.
            await asyncio.sleep(0)
            part.append((message, batch))
            attempts += sum(len(one.attempts) for one in batch.destinations)
            if attempts >= ATTEMPTS_MAX:
                await self._apply(part)
                part, attempts = [], 0
        if part:
            await self._apply(part)

    async def _apply(self, part: list[tuple[Message, pb.OutcomeBatch]]) -> None:
        messages = [message for message, _ in part]
        try:
            applied = await self._store([batch for _, batch in part])
        except Unavailable as error:
            log.warning("outcomes_wait", count=len(messages), reason=error.reason)
            nak(self._bus, messages, RETRY_DELAY_S)
        except Exception as error:  # noqa: BLE001  logged in _refused, which decides what it means
            # One of them is refused: apart, the others are not held up by it.
            if len(part) > 1:
                for one in part:
                    await self._apply([one])
            else:
                await self._refused(*part[0], error)
        else:
            self._finish(messages, [applied])

    async def apply(self, batches: Sequence[pb.OutcomeBatch]) -> None:
        """Apply what the tracker itself has to report. Raises as the database does."""
        applied = await self._store(batches)
        self._writer.committed(applied)
        self._told(applied)

    def _finish(self, messages: list[Message], applied: Sequence[Applied]) -> None:
        for one in applied:
            self._writer.committed(one)
        ack(self._bus, messages)
        for one in applied:
            self.applied += len(one.attempts)
            self._told(one)

    async def _refused(self, message: Message, batch: pb.OutcomeBatch, error: Exception) -> None:
        """Give a message back; or store what can be stored of it where giving it back did not help."""
        failure = type(error.__cause__ or error).__name__
        if not isinstance(error, RefusedError):
            log.error("outcomes_failed", sequence=message.stream_seq, failure=failure, exc_info=error)
            nak(self._bus, [message], FAILED_DELAY_S)
        elif message.delivered < REFUSED_TRIES_MAX:
            log.warning("outcomes_refused", sequence=message.stream_seq, failure=failure, tries=message.delivered)
            nak(self._bus, [message], RETRY_DELAY_S)
        else:
            await self._salvage(message, batch)

    async def _salvage(self, message: Message, batch: pb.OutcomeBatch) -> None:
        batch_id = batch.batch_id
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S), self._pool.transaction() as connection:
                salvaged = await salvage(self._writer, connection, batch, unix_us(self._clock))
        except (TimeoutError, Unavailable, asyncpg.UniqueViolationError) as error:
            log.warning("outcomes_wait", count=1, reason=type(error).__name__)
            nak(self._bus, [message], RETRY_DELAY_S)
        except Exception:
            log.exception("outcomes_failed", sequence=message.stream_seq)
            nak(self._bus, [message], FAILED_DELAY_S)
        else:
            for piece, reason in salvaged.refused:
                log.error("outcome_refused", batch=batch_id, stored_as=piece.batch_id, reason=type(reason).__name__)
            self._finish([message], salvaged.applied)

    async def _store(self, batches: Sequence[pb.OutcomeBatch]) -> Applied:
        careful = False
        for _ in range(TRIES_MAX - 1):
            try:
                return await self._transact(batches, careful=careful)
            except asyncpg.UniqueViolationError as conflict:
                # Events that another replica saw at the same time are found by looking again as before.
                careful = careful or not (conflict.table_name or "").startswith("seen_events")
        return await self._transact(batches, careful=True)

    async def _transact(self, batches: Sequence[pb.OutcomeBatch], *, careful: bool) -> Applied:
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S), self._pool.transaction() as connection:
                try:
                    return await self._writer.write(connection, batches, unix_us(self._clock), careful=careful)
                except REFUSALS as refusal:
                    # Named before the pool sees it, to whom a value that says "closed" is a closed connection.
                    raise RefusedError from refusal
        except TimeoutError as error:
            raise Unavailable("Postgres has not stored outcomes in time; they come again.") from error


def decode(data: bytes) -> pb.OutcomeBatch:
    """The batch in a message; raises PoisonError."""
    try:
        batch = pb.OutcomeBatch.FromString(data)
    except DecodeError as error:
        raise PoisonError("not an OutcomeBatch") from error
    if not is_id(batch.workspace):
        raise PoisonError("no workspace")
    _normalise(batch)
    if b"\0" in data:
        _without_nul(batch)
    return batch


def _normalise(batch: pb.OutcomeBatch) -> None:
    """Write the id as Postgres does, and cut what is longer than the executor ever sends."""
    # Postgres refuses what is no UUID.
    with suppress(ValueError):
        batch.batch_id = str(UUID(batch.batch_id))
    for group in batch.destinations:
        group.source = group.source[:SOURCE_LENGTH_MAX]
        for host in group.hosts:
            host.host = host.host[:HOST_LENGTH_MAX]
        for one in group.attempts:
            if len(one.message_id) > MESSAGE_ID_LENGTH_MAX:
                one.message_id = one.message_id[:MESSAGE_ID_LENGTH_MAX]
            if len(one.event_name) > EVENT_NAME_LENGTH_MAX:
                one.event_name = one.event_name[:EVENT_NAME_LENGTH_MAX]
            if len(one.reason) > REASON_LENGTH_MAX:
                one.reason = one.reason[:REASON_LENGTH_MAX]
            if one.HasField("detail"):
                _cut(one.detail, _DETAIL_LENGTHS)
    for unmatched in batch.unmatched_integrations:
        _cut(unmatched, _UNMATCHED_LENGTHS)
    for failure in batch.ingest_failures:
        _cut(failure, _FAILURE_LENGTHS)
        failure.sample = failure.sample[:SAMPLE_BYTES_MAX]


def _cut(message: pb.AttemptDetail | pb.IngestFailure | pb.UnmatchedIntegration, lengths: dict[str, int]) -> None:
    for name, length_max in lengths.items():
        text = getattr(message, name)
        if len(text) > length_max:
            setattr(message, name, text[:length_max])


def _without_nul(batch: pb.OutcomeBatch) -> None:
    """Postgres stores every character but this one; a message that holds it is rare, and its sign is a byte of 0."""
    for group in batch.destinations:
        for host in group.hosts:
            host.host = _shown(host.host)
        for one in group.attempts:
            one.message_id = _shown(one.message_id)
            one.event_name = _shown(one.event_name)
            one.reason = _shown(one.reason)
            if one.HasField("detail"):
                for name in _DETAIL_LENGTHS:
                    setattr(one.detail, name, _shown(getattr(one.detail, name)))
    for unmatched in batch.unmatched_integrations:
        unmatched.source, unmatched.name = _shown(unmatched.source), _shown(unmatched.name)
    for failure in batch.ingest_failures:
        for name in _FAILURE_LENGTHS:
            setattr(failure, name, _shown(getattr(failure, name)))


def _shown(text: str) -> str:
    return text.replace("\0", "\N{SYMBOL FOR NULL}") if "\0" in text else text
