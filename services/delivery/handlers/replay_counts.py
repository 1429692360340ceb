"""What a replay would take up: counted where that is quick, else estimated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import asyncpg

from kit.clock import Clock
from kit.postgres.pool import Pool
from onward.delivery.v1 import replays_pb2 as pb
from services.delivery.domain.replays import Selection, group_numbers
from services.delivery.handlers.replay_events import Kept, KeptEvents, Place, wants_stored
from services.delivery.handlers.replay_rows import queries, wanted_by_state

# Rows that are counted one by one: a tenth of a second.
COUNT_MAX = 100_000
# For how long a stream, or what failed, is read for a count; what is left is estimated by what was read.
READ_S = 1.5
# Failed deliveries are read with their events.
FAILED_READ_MAX = 500


class Target(NamedTuple):
    """A destination, and what it connects."""

    workspace: str
    destination: str
    source: str
    function: str


class ReplayCounts:
    """Counts what selections take up, each within about two seconds."""

    def __init__(self, pool: Pool, kept: KeptEvents, clock: Clock) -> None:
        self._pool = pool
        self._kept = kept
        self._clock = clock

    async def preview(self, target: Target, selection: pb.ReplaySelection, kind: int) -> pb.ReplayPreview:
        """Raises Unavailable where the stream can't be read."""
        wanted = Selection.of(selection)
        if kind == pb.REPLAY_KIND_REDRIVE:
            return await self._failed(target, selection, wanted)
        if wanted.states and wanted.condition is None:
            return await self._ended(target, selection, wanted)
        return await self._events(target, wanted)

    async def _ended(self, target: Target, selection: pb.ReplaySelection, wanted: Selection) -> pb.ReplayPreview:
        """Events whose deliveries ended in some states; those that the stream has kept."""
        first = await self._kept.scan(target.workspace, target.source, wanted, Place())
        if not first.first_us or first.first_us >= wanted.end_us:
            return pb.ReplayPreview()
        row = await self._pool.fetchrow(
            queries.count_ended, *target[:2], sorted(wanted.states), max(wanted.start_us, first.first_us),
            wanted.end_us, list(selection.types), list(selection.event_names), COUNT_MAX,
        )  # fmt: skip
        assert row is not None
        return _counted(row, COUNT_MAX)

    async def _failed(self, target: Target, selection: pb.ReplaySelection, wanted: Selection) -> pb.ReplayPreview:
        filters = failed_filters(selection)
        span = (wanted.start_us, wanted.end_us)
        row = await self._pool.fetchrow(queries.count_failed, *target[:2], *span, *filters, COUNT_MAX)
        assert row is not None
        counted = _counted(row, COUNT_MAX)
        if wanted.condition is None or not counted.count:
            return counted
        return await self._failed_by_condition(target, selection, wanted, counted)

    async def _failed_by_condition(
        self, target: Target, selection: pb.ReplaySelection, wanted: Selection, all_: pb.ReplayPreview
    ) -> pb.ReplayPreview:
        rows = await self._pool.fetch(
            queries.failed, *target[:2], wanted.start_us, wanted.end_us, -1, -1, *failed_filters(selection),
            FAILED_READ_MAX,
        )  # fmt: skip
        matched = sum(bool(row["event"]) and wants_stored(wanted, row["type"], row["event_name"], row["event"])
                      for row in rows)  # fmt: skip
        return _estimated(matched, len(rows), max(0, all_.count - len(rows)), all_)

    async def _events(self, target: Target, wanted: Selection) -> pb.ReplayPreview:
        deadline = self._clock.monotonic() + READ_S
        place, matched, scanned, first_us = Place(), 0, 0, 0
        while True:
            found = await self._kept.scan(target.workspace, target.source, wanted, place)
            first_us = first_us or found.first_us
            kept = [one for _, one in found.events if one is not None]
            matched += len(await self._of_states(target, wanted, kept))
            scanned += len(found.events)
            left = 0 if found.ended else found.pending
            if not left or self._clock.monotonic() >= deadline:
                break
            place = found.events[-1][0]
        first = pb.ReplayPreview()
        if scanned:
            first.first_time.FromMicroseconds(first_us)
        return _estimated(matched, scanned, left, first)

    async def _of_states(self, target: Target, wanted: Selection, kept: Sequence[Kept]) -> Sequence[Kept]:
        return await wanted_by_state(self._pool, target.workspace, target.destination, wanted, kept)


def failed_filters(selection: pb.ReplaySelection) -> tuple[list[int], list[str], list[int], list[int], list[int]]:
    """What a redrive selects by, as its queries take it."""
    return (
        list(selection.types), list(selection.event_names), list(selection.error_types),
        group_numbers(selection.error_groups), list(selection.http_statuses),
    )  # fmt: skip


def _counted(row: asyncpg.Record, most: int) -> pb.ReplayPreview:
    preview = pb.ReplayPreview(count=row["count"], scanned=row["count"], is_estimate=row["count"] >= most)
    if row["first_us"] is not None:
        preview.first_time.FromMicroseconds(row["first_us"])
    return preview


def _estimated(matched: int, scanned: int, left: int, first: pb.ReplayPreview) -> pb.ReplayPreview:
    """What is left is taken to be as what was read."""
    more = round(left * matched / scanned) if scanned else 0
    preview = pb.ReplayPreview(count=matched + more, scanned=scanned, is_estimate=left > 0)
    if first.HasField("first_time"):
        preview.first_time.CopyFrom(first.first_time)
    return preview
