"""What the trail's reads cost in a workspace that Postgres' statistics know nothing of yet."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from bench.audit_seed import fill, seed
from kit.eventstore.postgres import MIGRATIONS as EVENT_LOG_MIGRATIONS
from kit.postgres.migrate import migrate
from services.audit import queries as reads
from services.audit.app import MIGRATIONS
from services.audit.handlers import listing
from services.audit.handlers.trees import RECORD_BYTES_MAX, queries

pytestmark = pytest.mark.integration

NEW = "new"
COUNT = 3_000
# A lookup reads the levels of an index and a row, of two tables; what looks through all rows for each reads hundreds.
BLOCKS_A_ROW = 20


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    await migrate(database, [EVENT_LOG_MIGRATIONS, MIGRATIONS])
    connection = await asyncpg.connect(database)
    await seed(connection, {"large": 20_000})
    await connection.execute("ALTER TABLE audit_events SET (autovacuum_enabled = false)")
    await connection.execute("ALTER TABLE audit_facts SET (autovacuum_enabled = false)")
    await fill(connection, NEW, COUNT)
    yield connection
    await connection.close()


async def blocks(connection: asyncpg.Connection[asyncpg.Record], statement: str, *values: Any) -> tuple[int, int]:
    """How many blocks a statement reads, and how many rows it answers."""
    plan = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", *values)
    top = json.loads(plan)[0]["Plan"]
    return top["Shared Hit Blocks"] + top["Shared Read Blocks"], top["Actual Rows"]


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_reading_records_costs_the_same_for_each(
    connection: asyncpg.Connection[asyncpg.Record], mode: str
) -> None:
    await connection.execute(f"SET plan_cache_mode = {mode}")
    for statement, values in (
        (queries.records, (NEW, 1_000, 500, RECORD_BYTES_MAX)),
        (reads.queries.events_after, (NEW, 1_000, 500, RECORD_BYTES_MAX)),
        (reads.queries.event, (NEW, 2_000)),
        (queries.record, (NEW, 2_000)),
    ):
        read, rows = await blocks(connection, statement, *values)
        assert rows > 0
        assert read <= BLOCKS_A_ROW * rows


@pytest.mark.parametrize("condition", ["true", "action = $6", "principal = $5"])
async def test_a_page_costs_the_same_for_each_candidate(
    connection: asyncpg.Connection[asyncpg.Record], condition: str
) -> None:
    await connection.execute("SET plan_cache_mode = force_custom_plan")
    statement = listing._statement([condition], "", timed=True, oldest_first=False)
    wanted = ("member:m0", "VersionDeployed", None, None, None, None, None, None)
    read, _ = await blocks(
        connection, statement, NEW, 1, COUNT, 200, *wanted, 51, RECORD_BYTES_MAX, COUNT + 1, COUNT, 1, 0
    )
    assert read <= 2 * BLOCKS_A_ROW * 200
