"""Applies batches of outcomes: one transaction, all of it or nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kit.postgres.pool import Connection
from onward.executor.v1 import outcomes_pb2 as pb
from services.delivery.domain.breaker import Breaker
from services.delivery.domain.schedule import Random, Schedule
from services.delivery.projections.breakers import BreakerChange
from services.delivery.projections.rollups import columns
from services.delivery.projections.rows import AttemptRow, Memory, Released, Rows, groups_of
from services.delivery.projections.standing import Destination, Group, Key, queries, read_standing
from services.delivery.projections.unmatched import write_unmatched

# Destinations that this process has seen stored; beyond it begins anew.
KNOWN_DESTINATIONS_MAX = 100_000

# (workspace, destination, source, function)
DestinationRow = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Applied:
    """What a transaction did, for whoever wants to know once it is committed."""

    attempts: Sequence[AttemptRow] = ()
    details: Sequence[tuple[object, ...]] = ()
    due: dict[Key, tuple[object, ...]] = field(default_factory=dict)
    released: dict[Destination, Released] = field(default_factory=dict)
    destinations: Sequence[DestinationRow] = ()
    # Successes by destination; breakers that counted them, and those that opened or closed.
    delivered: Mapping[Destination, int] = field(default_factory=dict)
    breakers: Mapping[Destination, Breaker] = field(default_factory=dict)
    breaker_changes: Sequence[BreakerChange] = ()
    at_us: int = 0
    # Of those that go on, the numbers of the replays that they are of.
    replays: Mapping[Key, int] = field(default_factory=dict)


class BatchWriter:
    """Writes batches; one for each process, since it remembers what need not be written again."""

    def __init__(self, schedule: Schedule, random: Random) -> None:
        self._schedule = schedule
        self._random = random
        self._memory = Memory()
        self._known: set[DestinationRow] = set()

    async def write(
        self, connection: Connection, batches: Sequence[pb.OutcomeBatch], now_us: int, *, careful: bool = False
    ) -> Applied:
        """Apply what is new, within the caller's transaction.

        Raises asyncpg.UniqueViolationError where an attempt is recorded already: begin again with `careful`, which
        looks first.
        """
        fresh = await self.fresh(connection, batches, now_us)
        return await self.write_fresh(connection, fresh, now_us, careful=careful)

    async def fresh(
        self, connection: Connection, batches: Sequence[pb.OutcomeBatch], now_us: int
    ) -> list[pb.OutcomeBatch]:
        """Those that were not applied yet, one of each id; with this transaction they are applied."""
        by_id: dict[str, pb.OutcomeBatch] = {}
        for batch in batches:
            by_id.setdefault(batch.batch_id, batch)
        rows = await connection.fetch(queries.insert_batches, list(by_id), now_us)
        fresh = {str(row["batch_id"]) for row in rows}
        return [batch for batch_id, batch in by_id.items() if batch_id in fresh]

    async def write_fresh(
        self, connection: Connection, batches: Sequence[pb.OutcomeBatch], now_us: int, *, careful: bool
    ) -> Applied:
        """Apply batches whose ids were stored in this transaction."""
        await _write_ingest_failures(connection, batches)
        await write_unmatched(connection, batches)
        groups = groups_of(batches)
        if not groups:
            return Applied()
        standing = await read_standing(connection, groups, now_us, careful=careful)
        rows = Rows(standing, self._schedule, self._random, self._memory, now_us)
        for group in groups:
            rows.add(group)
            # Executors wait for answers: a group has 500 attempts at most, and takes some milliseconds.
            await asyncio.sleep(0)
        destinations = {_destination(one) for one in groups} - self._known
        if destinations:
            await connection.execute(queries.insert_destinations, *columns([*sorted(destinations)], 4))
        await rows.store(connection)
        return Applied(
            rows.attempts, rows.details, rows.due, rows.released, list(destinations), rows.delivered,
            rows.settled.counted, rows.settled.changes, now_us, standing.replays,
        )  # fmt: skip

    def committed(self, applied: Applied) -> None:
        """Remember what is stored for good."""
        if len(self._known) + len(applied.destinations) > KNOWN_DESTINATIONS_MAX:
            self._known.clear()
        self._known.update(applied.destinations)
        if applied.attempts:
            self._memory.recent.stored(applied.delivered, applied.breakers, applied.at_us)


def _destination(group: Group) -> DestinationRow:
    return group.workspace, group.header.destination, group.header.source, group.header.function


async def _write_ingest_failures(connection: Connection, batches: Sequence[pb.OutcomeBatch]) -> None:
    rows: list[tuple[object, ...]] = [
        (
            batch.workspace, one.stream_sequence, one.index, one.received_at_us, one.source, one.reason, one.message,
            one.sample,
        )
        for batch in batches
        for one in batch.ingest_failures
    ]  # fmt: skip
    if not rows:
        return
    stored = await connection.fetch(queries.insert_ingest_failures, *columns(sorted(rows, key=_place), 8))
    counts = Counter((row["workspace"], row["minute"], row["source"]) for row in stored)
    sums: list[tuple[object, ...]] = [(*key, count) for key, count in sorted(counts.items())]
    await connection.execute(queries.add_ingest_counts, *columns(sums, 4))


def _place(row: tuple[object, ...]) -> tuple[object, ...]:
    return row[:3]
