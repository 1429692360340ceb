"""Makes tomorrow's partitions and drops those past retention.

Works as the owner of the tables: the service's own role may neither make nor drop them.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import structlog

from kit.clock import Clock
from kit.errors import Unavailable
from kit.postgres.failures import translating
from kit.postgres.pool import CONNECT_TIMEOUT_S, Connection, connect
from kit.postgres.queries import load_queries
from services.delivery.domain.schedule import DAY_US
from services.delivery.domain.windows import DAY_MINUTES, SLOT_MINUTES

log = structlog.get_logger(__name__)

queries = load_queries(Path(__file__).parent / "handlers.sql")

# A stopped service has two days before rows fall into the default partition, from which they are deleted one by one.
DAYS_AHEAD = 2
# Events wait in their stream for at most a week, so that is how old an attempt's event can be.
DAYS_BEHIND = 7
INTERVAL_S = 3600.0
RETRY_S = 30.0
# OUTCOMES may bring a batch again after a lost acknowledgement or a restart, hardly after a day.
BATCHES_KEPT_US = DAY_US
# Rows that one statement deletes, so that none takes long.
DELETED_MAX = 20_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Parent table, and what one day is in the unit of its partition key.
_PARTITIONED = (("attempts", "received_at_us", DAY_US), ("attempt_details", "received_at_us", DAY_US),
                ("seen_events", "day", 1))  # fmt: skip
_DAY_HOURS, _DAY_SLOTS = 24, DAY_MINUTES // SLOT_MINUTES
# Tables of numbers, which go by destination: their column of time and what one day is in its unit.
_SUMS = (
    ("rollups", "minute", DAY_MINUTES), ("hour_rollups", "hour", _DAY_HOURS),
    ("latency_rollups", "minute", DAY_MINUTES), ("hour_latency_rollups", "hour", _DAY_HOURS),
    ("reason_rollups", "minute", DAY_MINUTES), ("hour_reason_rollups", "hour", _DAY_HOURS),
    ("attempt_rollups", "minute", DAY_MINUTES), ("error_rollups", "minute", DAY_MINUTES),
    ("error_groups", "last_seen_us", DAY_US), ("usage_rollups", "day", 1),
    ("host_rollups", "slot", _DAY_SLOTS), ("host_latency_rollups", "slot", _DAY_SLOTS),
)  # fmt: skip
# Other tables that are not partitioned.
_PRUNED = (
    ("ingest_rollups", "minute", DAY_MINUTES), ("ingest_failures", "received_at_us", DAY_US),
    ("unmatched_integrations", "last_received_at_us", DAY_US), ("duplicate_events", "received_at_us", DAY_US),
    ("dead_outcomes", "recorded_at_us", DAY_US), ("replays", "finished_at_us", DAY_US),
)  # fmt: skip


class Maintenance:
    """Keeps the tables in shape; `run` it once in each replica, they take turns by the locks of Postgres."""

    def __init__(self, dsn: str, clock: Clock, retention_days: int) -> None:
        self._dsn = dsn
        self._clock = clock
        self._retention_days = retention_days

    async def run(self) -> None:
        """Maintain hourly until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            while not await self._tried():
                await asyncio.sleep(RETRY_S)

    async def _tried(self) -> bool:
        try:
            await self.maintain()
        except (Unavailable, asyncpg.PostgresError) as failure:
            log.warning("maintenance_failed", failure=repr(failure), retry_in_s=RETRY_S)
            return False
        return True

    async def maintain(self) -> None:
        """Make and drop partitions, delete old rows."""
        connection = await connect(self._dsn, application_name="onward-delivery-maintenance", role=None)
        try:
            with translating():
                today = (self._clock.now() - _EPOCH).days
                for parent, column, day in _PARTITIONED:
                    await self._partition(connection, parent, column, day, today)
                await _delete(connection, "applied_batches", "applied_at_us", today * DAY_US - BATCHES_KEPT_US)
                for table, column, day in _PRUNED:
                    await _delete(connection, table, column, (today - self._retention_days) * day)
                for table, column, day in _SUMS:
                    await _delete_by_destination(connection, table, column, (today - self._retention_days) * day)
        finally:
            await connection.close(timeout=CONNECT_TIMEOUT_S)

    async def _partition(self, connection: Connection, parent: str, column: str, day: int, today: int) -> None:
        existing = {row["relname"] for row in await connection.fetch(queries.partitions, parent)}
        for number in range(today - DAYS_BEHIND, today + DAYS_AHEAD + 1):
            if _partition_name(parent, number) not in existing:
                await _make(connection, parent, number, day)
        oldest = _partition_name(parent, today - self._retention_days)
        for name in sorted(existing - {f"{parent}_default"}):
            if name < oldest:
                await connection.execute(f"DROP TABLE IF EXISTS {name}")
                log.info("partition_dropped", name=name)
        await _delete(connection, f"{parent}_default", column, (today - self._retention_days) * day)


def _partition_name(parent: str, day: int) -> str:
    return f"{parent}_{_EPOCH + timedelta(days=day):%Y%m%d}"


async def _make(connection: Connection, parent: str, number: int, day: int) -> None:
    name = _partition_name(parent, number)
    try:
        await connection.execute(
            f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF {parent} "
            f"FOR VALUES FROM ({number * day}) TO ({(number + 1) * day})"
        )
    except asyncpg.CheckViolationError:
        # The default partition has rows of that day; they are found and kept there as well.
        log.warning("partition_not_made", name=name)
    except (asyncpg.DuplicateTableError, asyncpg.UniqueViolationError):
        # Another replica made it meanwhile.
        return


async def _delete(connection: Connection, table: str, column: str, below: int) -> None:
    """Delete rows that are older, in parts."""
    # Names are ours, from the tables above.
    old = f"SELECT ctid FROM {table} WHERE {column} < $1 LIMIT {DELETED_MAX}"  # noqa: S608
    await _delete_all(connection, table, old, below)


async def _delete_by_destination(connection: Connection, table: str, column: str, below: int) -> None:
    """The same, found by the primary key: these tables have no index of their time alone."""
    # The limit within keeps the plan from reading the whole table at once.
    old = (
        "SELECT r.ctid FROM (SELECT DISTINCT workspace, destination FROM destinations) AS d CROSS JOIN LATERAL ("  # noqa: S608
        f"SELECT ctid FROM {table} AS t WHERE t.workspace = d.workspace AND t.destination = d.destination"
        f" AND t.{column} < $1 LIMIT {DELETED_MAX}) AS r LIMIT {DELETED_MAX}"
    )
    await _delete_all(connection, table, old, below)


async def _delete_all(connection: Connection, table: str, old: str, below: int) -> None:
    statement = f"DELETE FROM {table} WHERE ctid = ANY(ARRAY({old}))"  # noqa: S608
    while (await connection.execute(statement, below)) == f"DELETE {DELETED_MAX}":
        await asyncio.sleep(0)
