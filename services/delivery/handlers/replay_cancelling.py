"""Ends what of a cancelled replay waits, part by part."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import asyncpg

from kit.clock import Clock, unix_us
from kit.postgres.pool import Connection, Pool
from onward.delivery.v1 import replays_pb2 as pb
from services.delivery.domain.decisions import CANCELLED_REASON
from services.delivery.handlers.cancelled import cancelled_batch
from services.delivery.handlers.replay_rows import queries
from services.delivery.projections import reopening
from services.delivery.projections.batches import Applied, BatchWriter
from services.delivery.projections.rollups import columns
from services.delivery.projections.standing import queries as locks

# Some milliseconds of one transaction, in which nothing of the workspace is applied.
SLICE_MAX = 250


class ReplayCancelling:
    """A replay's deliveries end as cancelled. A redrive's that were not attempted are left as they were: failed."""

    def __init__(self, pool: Pool, writer: BatchWriter, clock: Clock, told: Callable[[Applied], None]) -> None:
        self._pool = pool
        self._writer = writer
        self._clock = clock
        self._told = told

    async def end_some(self, row: asyncpg.Record) -> bool:
        """End the next ones; whether there may be more that wait here."""
        key = (row["workspace"], row["destination"], row["number"])
        applied: Applied | None = None
        async with self._pool.transaction() as connection:
            await connection.execute(locks.lock_workspaces, [row["workspace"]], [True])
            await connection.execute(queries.mark_cancelled, *key)
            waiting = await connection.fetch(queries.waiting_of, *key, SLICE_MAX)
            redriven = row["kind"] == pb.REPLAY_KIND_REDRIVE
            back = [one for one in waiting if redriven and not one["first_ended_at_us"]]
            ended = [one for one in waiting if not redriven or one["first_ended_at_us"]]
            if back:
                await _give_back(connection, row, back)
            if ended:
                applied = await self._cancel(connection, ended)
        if applied is not None:
            self._writer.committed(applied)
            self._told(applied)
        return len(waiting) == SLICE_MAX

    async def _cancel(self, connection: Connection, rows: Sequence[asyncpg.Record]) -> Applied:
        now_us = unix_us(self._clock)
        batch = cancelled_batch(rows, now_us, CANCELLED_REASON)
        return await self._writer.write(connection, [batch], now_us, careful=True)


async def _give_back(connection: Connection, row: asyncpg.Record, back: Sequence[asyncpg.Record]) -> None:
    where = reopening.Place(row["workspace"], row["destination"])
    references = [(one["stream_sequence"], one["event_index"], one["received_at_us"]) for one in back]
    await reopening.close_again(connection, where, references)
    gone: list[tuple[object, ...]] = [(*where, one["stream_sequence"], one["event_index"]) for one in back]
    await connection.execute(locks.delete_due, *columns(gone, 4))
    await connection.execute(queries.give_back, row["workspace"], row["number"], len(back))
