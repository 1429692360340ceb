"""Names in `integrations` that are no destination's, counted by source."""

from __future__ import annotations

from collections.abc import Sequence

from kit.postgres.pool import Connection
from onward.executor.v1 import outcomes_pb2 as pb
from services.delivery.projections.rollups import columns
from services.delivery.projections.standing import queries

# Of a source: whoever makes names up, by an id for instance, fills no table with them.
NAMES_MAX = 1000


async def write_unmatched(connection: Connection, batches: Sequence[pb.OutcomeBatch]) -> None:
    """Add what batches have counted."""
    sums: dict[tuple[str, str, str], tuple[int, int, int]] = {}
    for batch in batches:
        for one in batch.unmatched_integrations:
            key = (batch.workspace, one.source, one.name)
            events, first, last = sums.get(key, (0, one.first_received_at_us, 0))
            first, last = min(first, one.first_received_at_us), max(last, one.last_received_at_us)
            sums[key] = (events + one.events, first, last)
    if sums:
        rows: list[tuple[object, ...]] = [(*key, *sums[key]) for key in sorted(sums)]
        await connection.execute(queries.add_unmatched_integrations, *columns(rows, 6), NAMES_MAX)
