"""Outcomes from JetStream to Postgres; acknowledged when they are committed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import asyncpg
import structlog
from google.protobuf.message import DecodeError

from kit.bus.acks import ack, nak, terminate
from kit.bus.connection import Bus
from kit.bus.message import Message
from kit.clock import Clock
from kit.errors import Unavailable
from kit.postgres.pool import Pool
from kit.rpc.names import is_id
from onward.executor.v1 import outcomes_pb2 as pb
from services.delivery.domain.schedule import SECOND_US
from services.delivery.projections.batches import Applied, BatchWriter

log = structlog.get_logger(__name__)

# Messages of one pull; each has 500 attempts at most.
PULL_MESSAGES = 32
# Attempts of one transaction: enough to make its round trips cheap, few enough to take a tenth of a second.
ATTEMPTS_MAX = 5_000
# Somebody stored the same attempt first; looking once more settles it unless they do so again.
TRIES_MAX = 4
# Messages that can't be applied now are delivered again after this.
RETRY_DELAY_S = 1.0
# A message that Postgres will not take keeps coming, so that nothing is lost, and hardly costs anything.
REFUSED_DELAY_S = 30.0

Told = Callable[[Applied], None]


class PoisonError(ValueError):
    """A message that can never be applied."""


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
        except Exception as error:
            # One of them is refused: apart, the others are not held up by it.
            if len(part) > 1:
                for one in part:
                    await self._apply([one])
                return
            log.exception("outcomes_refused", sequence=messages[0].stream_seq, failure=type(error).__name__)
            nak(self._bus, messages, REFUSED_DELAY_S)
        else:
            self._writer.committed(applied)
            ack(self._bus, messages)
            self.applied += len(applied.attempts)
            self._told(applied)

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
        now_us = int(self._clock.now().timestamp() * SECOND_US)
        async with self._pool.transaction() as connection:
            return await self._writer.write(connection, batches, now_us, careful=careful)


def decode(data: bytes) -> pb.OutcomeBatch:
    """The batch in a message; raises PoisonError."""
    try:
        batch = pb.OutcomeBatch.FromString(data)
    except DecodeError as error:
        raise PoisonError("not an OutcomeBatch") from error
    if not is_id(batch.workspace):
        raise PoisonError("no workspace")
    if b"\0" in data:
        _without_nul(batch)
    return batch


def _without_nul(batch: pb.OutcomeBatch) -> None:
    """Postgres stores every character but this one; a message that holds it is rare, and its sign is a byte of 0."""
    for group in batch.destinations:
        for one in group.attempts:
            one.message_id = _shown(one.message_id)
            one.event_name = _shown(one.event_name)
            if one.HasField("detail"):
                for name in ("error_name", "error_message", "error_stack"):
                    setattr(one.detail, name, _shown(getattr(one.detail, name)))
    for failure in batch.ingest_failures:
        for name in ("source", "reason", "message"):
            setattr(failure, name, _shown(getattr(failure, name)))


def _shown(text: str) -> str:
    return text.replace("\0", "\N{SYMBOL FOR NULL}") if "\0" in text else text
