"""Deliveries that have failed go on: rows, sums and what is due change together.

The row that ended a delivery stays with its result and error, and ends it no more; sums lose it; a row in `due` takes
its place. So lists, numbers and the delivery itself agree at any time. The caller holds the workspace alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import asyncpg

from kit.postgres.pool import Connection
from kit.postgres.queries import load_queries
from services.delivery.domain.schedule import MINUTE_US
from services.delivery.projections.rollups import columns

queries = load_queries(Path(__file__).parent / "reopening.sql")

# A delivery of a destination: (stream sequence, event index, time of receipt).
Reference = tuple[int, int, int]
# What failures are counted by: (minute, error type, event's type).
Kind = tuple[int, int, int]


class Place(NamedTuple):
    """The destination whose deliveries go on."""

    workspace: str
    destination: str


async def reopen(
    connection: Connection,
    place: Place,
    failed: Sequence[asyncpg.Record],
    due_us: Sequence[int],
    replay: int,
    now_us: int,
) -> int:
    """Have failed deliveries (rows of replays.sql's `failed`) tried again; answers how many there were."""
    keys = [(row["stream_sequence"], row["event_index"], row["received_at_us"]) for row in failed]
    last = await connection.fetch(queries.last_attempts, *place, *columns([*keys], 3))
    numbers = {(row["stream_sequence"], row["event_index"]): row["attempt"] for row in last}
    closed: list[tuple[object, ...]] = [(*key, row["attempt"]) for key, row in zip(keys, failed, strict=True)]
    rows = await connection.fetch(queries.reopen, *place, *columns(closed, 4))
    await _count(connection, place, rows, -1)
    due: list[tuple[object, ...]] = [
        (
            row["stream_sequence"], row["event_index"], row["source"], row["function"], row["message_id"], row["type"],
            row["event_name"], row["received_at_us"], row["duplicate"], row["event"],
            numbers[row["stream_sequence"], row["event_index"]] + 1, row["error_type"], row["error_message"], due_at_us,
        )
        for row, due_at_us in zip(failed, due_us, strict=True)
    ]  # fmt: skip
    await connection.execute(queries.insert_reopened, *place, replay, now_us, *columns(due, 14))
    return len(rows)


async def close_again(connection: Connection, place: Place, references: Iterable[Reference]) -> None:
    """Leave deliveries that were reopened and not attempted as they were: failed."""
    rows = await connection.fetch(queries.close_again, *place, *columns([*references], 3))
    await _count(connection, place, rows, 1)


async def _count(connection: Connection, place: Place, rows: Sequence[asyncpg.Record], sign: int) -> None:
    """Add failures to the sums, or take them off."""
    counts: Counter[tuple[Kind, str]] = Counter()
    duplicates: Counter[tuple[Kind, str]] = Counter()
    groups: Counter[tuple[int, int]] = Counter()
    reasons: Counter[tuple[int, str]] = Counter()
    for row in rows:
        minute = row["received_at_us"] // MINUTE_US
        kind = (minute, row["error_type"], row["type"])
        counts[kind, row["event_name"]] += 1
        duplicates[kind, row["event_name"]] += row["duplicate"]
        if row["error_group"]:
            groups[minute, row["error_group"]] += sign
        if row["reason"]:
            reasons[minute, row["reason"]] += sign
    if not counts:
        return
    sums = _spread(counts, duplicates, await _counted(connection, place, counts), sign)
    await connection.execute(queries.add_counts, *place, *columns(sums, 6))
    for statement, changed in ((queries.add_failed, groups), (queries.add_reasons, reasons)):
        if changed:
            ordered: list[tuple[object, ...]] = [(*key, count) for key, count in sorted(changed.items())]
            await connection.execute(statement, *place, *columns(ordered, 3))


async def _counted(
    connection: Connection, place: Place, counts: Counter[tuple[Kind, str]]
) -> dict[tuple[Kind, str], int]:
    kinds = columns([*sorted({kind for kind, _ in counts})], 3)
    rows = await connection.fetch(queries.counted_names, *place, *kinds)
    return {((row["minute"], row["error_type"], row["type"]), row["event_name"]): row["count"] for row in rows}


def _spread(
    counts: Counter[tuple[Kind, str]],
    duplicates: Counter[tuple[Kind, str]],
    counted: dict[tuple[Kind, str], int],
    sign: int,
) -> list[tuple[object, ...]]:
    """Rows of changes. What a minute had no name left for was counted under ""."""
    changes: dict[tuple[Kind, str], list[int]] = {}
    for (kind, name), count in counts.items():
        known = counted.get((kind, name))
        named = 0 if known is None else count if sign > 0 else min(count, known)
        repeated = duplicates[kind, name]
        for under, part in ((name, named), ("", count - named)):
            if part:
                change = changes.setdefault((kind, under), [0, 0])
                change[0] += sign * part
                change[1] += sign * min(part, repeated)
                repeated -= min(part, repeated)
    return [(*kind, name, *change) for (kind, name), change in sorted(changes.items())]
