"""Stores what can be stored of a batch that Postgres refuses, and sets the rest aside."""

from __future__ import annotations

from typing import NamedTuple

import asyncpg

from kit.ids import uuid7
from kit.postgres.pool import Connection
from onward.executor.v1 import outcomes_pb2 as pb
from services.delivery.projections.batches import Applied, BatchWriter
from services.delivery.projections.rollups import columns
from services.delivery.projections.standing import queries

# What a batch itself is to blame for, whatever state Postgres is in: a value out of range, a key too long for an index.
# ValueError and OverflowError are asyncpg's, of values that it can't encode.
REFUSALS: tuple[type[Exception], ...] = (
    asyncpg.DataError,
    asyncpg.ProgramLimitExceededError,
    asyncpg.CardinalityViolationError,
    ValueError,
    OverflowError,
)
# Pieces set aside of one batch; what is refused after that is not looked into any more. Finding one piece takes nine
# halvings of a few milliseconds each, so that a batch takes some seconds at most.
REFUSED_PIECES_MAX = 100
# The driver's words may quote the value.
REASON_LENGTH_MAX = 1024
# A longer id is none.
BATCH_ID_LENGTH_MAX = 64

# An attempt with the head of its group, or a refused event.
_Unit = tuple[pb.DestinationOutcomes | None, pb.Attempt | pb.IngestFailure]


class Refused(NamedTuple):
    """A piece that can't be stored."""

    piece: pb.OutcomeBatch
    reason: Exception


class Salvaged(NamedTuple):
    """What a salvage did."""

    applied: list[Applied]
    refused: list[Refused]


async def salvage(writer: BatchWriter, connection: Connection, batch: pb.OutcomeBatch, now_us: int) -> Salvaged:
    """Apply a batch piece by piece, within the caller's transaction; what can't be applied goes to `dead_outcomes`.

    Raises asyncpg.UniqueViolationError where another replica was faster with the same attempt.
    """
    salvaged = Salvaged([], [])
    try:
        async with connection.transaction():
            fresh = await writer.fresh(connection, [batch], now_us)
    except REFUSALS as reason:
        # Without an id that is stored, it might be counted twice.
        salvaged.refused.append(Refused(batch, reason))
    else:
        await _apply_pieces(writer, connection, fresh, now_us, salvaged)
    await _set_aside(connection, batch, salvaged.refused, now_us)
    return salvaged


async def _apply_pieces(
    writer: BatchWriter, connection: Connection, waiting: list[pb.OutcomeBatch], now_us: int, salvaged: Salvaged
) -> None:
    """Halve what is refused until it is one outcome, in the order in which they were reported."""
    for batch in waiting:
        # At once alone: to become so later, with locks shared by others, would end in a deadlock.
        await connection.execute(queries.lock_workspaces, [batch.workspace], [True])
    while waiting:
        piece = waiting.pop()
        try:
            async with connection.transaction():
                applied = await writer.write_fresh(connection, [piece], now_us, careful=True)
        except REFUSALS as reason:
            halves = _halves(piece) if len(salvaged.refused) < REFUSED_PIECES_MAX else []
            if halves:
                waiting += reversed(halves)
            else:
                salvaged.refused.append(Refused(piece, reason))
        else:
            salvaged.applied.append(applied)


async def _set_aside(connection: Connection, batch: pb.OutcomeBatch, refused: list[Refused], now_us: int) -> None:
    batch_id = _storable(batch.batch_id, BATCH_ID_LENGTH_MAX)
    rows: list[tuple[object, ...]] = []
    for piece, reason in refused:
        # The old id is stored as applied, so that the piece would never be.
        piece.batch_id = uuid7()
        why = _storable(f"{type(reason).__name__}: {reason}", REASON_LENGTH_MAX)
        rows.append((batch_id, batch.workspace, piece.SerializeToString(), why, now_us))
    if rows:
        await connection.execute(queries.insert_dead_outcomes, *columns(rows, 5))


def _storable(text: str, length_max: int) -> str:
    return text[:length_max].replace("\0", "\N{SYMBOL FOR NULL}")


def _halves(batch: pb.OutcomeBatch) -> list[pb.OutcomeBatch]:
    """The batch in two; nothing where it holds one outcome."""
    units: list[_Unit] = [(group, one) for group in batch.destinations for one in group.attempts]
    units += [(None, one) for one in batch.ingest_failures]
    if len(units) < 2:
        return []
    middle = len(units) // 2
    return [_batch_of(batch, units[:middle]), _batch_of(batch, units[middle:])]


def _batch_of(batch: pb.OutcomeBatch, units: list[_Unit]) -> pb.OutcomeBatch:
    piece = pb.OutcomeBatch(batch_id=batch.batch_id, workspace=batch.workspace)
    last: pb.DestinationOutcomes | None = None
    for group, one in units:
        if isinstance(one, pb.IngestFailure):
            piece.ingest_failures.append(one)
        elif group is not None:
            if group is not last:
                piece.destinations.append(_head(group))
                last = group
                if one == group.attempts[0]:
                    # What all of them called goes with the first one.
                    piece.destinations[-1].hosts.extend(group.hosts)
            piece.destinations[-1].attempts.append(one)
    return piece


def _head(group: pb.DestinationOutcomes) -> pb.DestinationOutcomes:
    return pb.DestinationOutcomes(
        destination=group.destination,
        source=group.source,
        function=group.function,
        version=group.version,
        settings_revision=group.settings_revision,
        filter_revision=group.filter_revision,
    )
