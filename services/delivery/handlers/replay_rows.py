"""Rows of replays: as callers see them, and what is asked of the database about them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import asyncpg

from kit.postgres.queries import load_queries
from kit.rpc import names
from onward.delivery.v1 import replays_pb2 as pb
from services.delivery.domain.replays import Selection, replay_id
from services.delivery.handlers.replay_events import Kept
from services.delivery.queries import Reader

queries = load_queries(Path(__file__).parent / "replays.sql")

_COUNTS = (
    "scanned", "taken_up", "delivered", "failed", "filtered", "skipped", "cancelled", "without_event", "given_back",
)  # fmt: skip


def replay_of(row: asyncpg.Record) -> pb.Replay:
    """A row of `replays`."""
    workspace = row["workspace"]
    replay = pb.Replay(
        name=names.REPLAY.format(workspace, replay_id(row["number"])),
        kind=row["kind"],
        state=row["state"],
        destination=names.DESTINATION.format(workspace, row["destination"]),
        source=names.SOURCE.format(workspace, row["source"]),
        selection=pb.ReplaySelection.FromString(row["selection"]),
        rate_per_second=row["rate_per_second"],
        principal=row["principal"],
        total=row["total"],
        total_is_estimate=row["total_is_estimate"],
        reason=row["reason"],
        **{name: row[name] for name in _COUNTS},
    )
    replay.create_time.FromMicroseconds(row["created_at_us"])
    if row["finished_at_us"] is not None:
        replay.finish_time.FromMicroseconds(row["finished_at_us"])
    return replay


async def wanted_by_state(
    reader: Reader, workspace: str, destination: str, selection: Selection, kept: Sequence[Kept],
    ended_since_us: int = 0,
) -> Sequence[Kept]:  # fmt: skip
    """Those whose delivery to the destination ended in a state that the selection names, if it names any."""
    if not selection.states or not kept:
        return kept
    times = [one.received_at_us for one in kept]
    rows = await reader.fetch(
        queries.states_of, workspace, destination, [one.sequence for one in kept], [one.event_index for one in kept],
        min(times), max(times), ended_since_us,
    )  # fmt: skip
    states = {(row["stream_sequence"], row["event_index"]): row["state"] for row in rows}
    return [one for one in kept if states.get((one.sequence, one.event_index)) in selection.states]
