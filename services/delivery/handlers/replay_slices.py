"""One transaction's part of a replay: what it takes up becomes due, and its place moves on."""

from __future__ import annotations

import asyncpg

from kit.clock import Clock, unix_us
from kit.postgres.pool import Connection, Pool
from onward.delivery.v1 import replays_pb2 as pb
from services.delivery.domain.replays import Selection, due_times, replayed_index, room
from services.delivery.handlers.replay_counts import failed_filters
from services.delivery.handlers.replay_events import WANTED_MAX, Kept, KeptEvents, Place, Scanned, wants_stored
from services.delivery.handlers.replay_rows import queries, wanted_by_state
from services.delivery.projections import reopening
from services.delivery.projections.rollups import columns
from services.delivery.projections.standing import queries as locks

# Some milliseconds, and events of 32 KiB at most each.
SLICE_MAX = 250


class ReplaySlices:
    """Takes up parts of replays, each once, whatever dies in between."""

    def __init__(self, pool: Pool, kept: KeptEvents, clock: Clock) -> None:
        self._pool = pool
        self._kept = kept
        self._clock = clock

    async def take_up(self, row: asyncpg.Record) -> bool:
        """Take up the next ones of a replay; whether there may be more at once. Raises Unavailable."""
        now_us = unix_us(self._clock)
        waiting = await self._pool.fetchval(queries.unattempted, row["workspace"], row["destination"])
        most = room(row["rate_per_second"], row["next_at_us"], now_us, waiting, SLICE_MAX)
        if not most:
            return False
        if row["kind"] == pb.REPLAY_KIND_REDRIVE:
            return await self._redrive(row, most, now_us)
        return await self._replay(row, most, now_us)

    async def _replay(self, row: asyncpg.Record, most: int, now_us: int) -> bool:
        selection = Selection.of(pb.ReplaySelection.FromString(row["selection"]))
        place = Place(row["cursor_sequence"], row["cursor_index"])
        # By their states, they are looked through in the transaction.
        scanned = await self._kept.scan(
            row["workspace"], row["source"], selection, place, WANTED_MAX if selection.states else most
        )
        async with self._pool.transaction() as connection:
            if not await _locked(connection, row, alone=False):
                return True
            taken, passed, after = await _wanted(connection, row, selection, scanned, most)
            ended = scanned.ended and passed == len(scanned.events)
            next_at_us = await _insert(connection, row, taken, now_us)
            cursor = (0, *(after or place))
            await _advance(connection, row, cursor, next_at_us, ended=ended, counts=(passed, len(taken), 0))
        return not ended and bool(passed)

    async def _redrive(self, row: asyncpg.Record, most: int, now_us: int) -> bool:
        selection = pb.ReplaySelection.FromString(row["selection"])
        wanted = Selection.of(selection)
        where = reopening.Place(row["workspace"], row["destination"])
        async with self._pool.transaction() as connection:
            if not await _locked(connection, row, alone=True):
                return True
            cursor = (row["cursor_us"], row["cursor_sequence"], row["cursor_index"])
            if not row["scanned"]:
                cursor = (wanted.start_us, -1, -1)
            found = await connection.fetch(
                queries.failed, *where, cursor[0], wanted.end_us, *cursor[1:], *failed_filters(selection), most
            )
            kept = [one for one in found if one["event"]]
            taken = [one for one in kept if wants_stored(wanted, one["type"], one["event_name"], one["event"])]
            times, next_at_us = due_times(row["rate_per_second"], row["next_at_us"], now_us, len(taken))
            if taken:
                await reopening.reopen(connection, where, taken, times, row["number"], now_us)
            if found:
                last = found[-1]
                cursor = (last["received_at_us"], last["stream_sequence"], last["event_index"])
            counts = (len(found), len(taken), len(found) - len(kept))
            ended = len(found) < most
            await _advance(connection, row, cursor, next_at_us, ended=ended, counts=counts)
        return not ended


async def _locked(connection: Connection, row: asyncpg.Record, *, alone: bool) -> bool:
    """Lock the workspace and the replay; whether it stands where it was read."""
    await connection.execute(locks.lock_workspaces, [row["workspace"]], [alone])
    now = await connection.fetchrow(queries.lock_replay, row["workspace"], row["number"])
    same = ("state", "cursor_us", "cursor_sequence", "cursor_index", "scanned")
    return now is not None and all(now[name] == row[name] for name in same)


async def _wanted(
    connection: Connection, row: asyncpg.Record, selection: Selection, scanned: Scanned, most: int
) -> tuple[list[Kept], int, Place | None]:
    """What is taken up, at most so much; how many events that passes, and where to go on."""
    kept = [one for _, one in scanned.events if one is not None]
    where = (row["workspace"], row["destination"])
    wanted = set(await wanted_by_state(connection, *where, selection, kept, row["ended_since_us"]))
    taken: list[Kept] = []
    after = None
    for passed, (next_place, one) in enumerate(scanned.events):
        if one is not None and one in wanted:
            if len(taken) == most:
                return taken, passed, after
            taken.append(one)
        after = next_place
    return taken, len(scanned.events), after


async def _insert(connection: Connection, row: asyncpg.Record, taken: list[Kept], now_us: int) -> int:
    """Make deliveries of events; answers when the next one may be due."""
    times, next_at_us = due_times(row["rate_per_second"], row["next_at_us"], now_us, len(taken))
    if not taken:
        return next_at_us
    target = (row["workspace"], row["destination"], row["source"], row["function"])
    # The releaser goes through these.
    await connection.execute(queries.note_destination, *target)
    due: list[tuple[object, ...]] = [
        (
            one.sequence, replayed_index(row["number"], one.event_index), one.message_id, one.type, one.name,
            one.payload, due_at_us, one.traceparent,
        )
        for one, due_at_us in zip(taken, times, strict=True)
    ]  # fmt: skip
    # Received when it was taken up: its latency counts from here, and its rows lie with those of today.
    await connection.execute(queries.insert_due, *target, now_us, row["number"], *columns(due, 8))
    return next_at_us


async def _advance(
    connection: Connection,
    row: asyncpg.Record,
    cursor: tuple[int, int, int],
    next_at_us: int,
    *,
    ended: bool,
    counts: tuple[int, int, int],
) -> None:
    state = pb.REPLAY_STATE_DELIVERING if ended else pb.REPLAY_STATE_RUNNING
    key = (row["workspace"], row["number"])
    await connection.execute(queries.advance, *key, *cursor, next_at_us, state, *counts)
