"""Statements that run many times a second read little of what waits, however much that is."""

from __future__ import annotations

import asyncpg
import pytest

from services.delivery.handlers.release import queries as releases
from services.delivery.handlers.replay_rows import queries as replays
from tests.integration.delivery_world import running

pytestmark = pytest.mark.integration

# Enough that reading all of them is what a bad plan does.
WAITING = 20_000
NOW_US = 10**15
SEED = """
INSERT INTO due (
    workspace, destination, stream_sequence, event_index, source, function, message_id, type, event_name,
    received_at_us, duplicate, event, attempt, retries_used, reason, error_type, error_message, first_ended_at_us,
    deferrals, losses, alone, due_at_us, traceparent, replay
)
SELECT 'acme', 'crm', n, 0, 'web', 'f', 'm' || n, 1, 'x', n, false, '', 2, 1, 1, 1, 'busy', n, 0, 0, false, n, '', n % 2
FROM generate_series(1, $1::int) n
"""


async def test_neither_releasing_nor_the_look_after_replays_reads_all_that_waits(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        await world.stop()
        connection = await asyncpg.connect(database)
        try:
            await connection.execute(SEED, WAITING)
            await connection.execute("ANALYZE due")
            claim = await plan(connection, releases.claim, ["acme"], ["crm"], [128], NOW_US)
            unended = await plan(connection, replays.unended, "acme", "crm", 1)
            unattempted = await plan(connection, replays.unattempted, "acme", "crm")
        finally:
            await connection.close()
        await world.start()
    for found in (claim, unended, unattempted):
        assert "Seq Scan on due" not in found, found


async def plan(connection: asyncpg.Connection, statement: str, *args: object) -> str:
    return "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {statement}", *args))
