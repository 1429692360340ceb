"""What is checked of a service's database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from kit.clock import Clock
from kit.postgres.pool import Pool
from kit.postgres.queries import load_queries
from kit.status.check import Check, Probe, failure, ok, size, warning
from kit.status.clocks import judge_clock, outside

queries = load_queries(Path(__file__).parent / "queries.sql")

# With these off a crash of the server loses what it has committed, or damages it.
DURABLE = ("fsync", "synchronous_commit", "full_page_writes")
WELL = "is Postgres well? Its log says more"
# Another replica of each service still fits in.
CONNECTIONS_FULL = 0.8


def postgres_probes(pool: Pool, clock: Clock) -> list[Probe]:
    """The server, the database, and the server's clock."""

    async def ask() -> Sequence[Check]:
        row = await pool.fetchrow(queries.server)
        assert row is not None, "the query has one row"
        return [
            judge_server(dict(row)),
            judge_connections(row["connections"], row["connections_max"], row["size_bytes"]),
        ]

    async def ask_clock() -> Sequence[Check]:
        async with pool.acquire() as connection:
            before = clock.now()
            theirs: datetime = await connection.fetchval(queries.clock)
            return [judge_postgres_clock(outside(theirs, before, clock.now()))]

    return [Probe("postgres", ask, WELL), Probe("clock", ask_clock, WELL)]


def judge_server(row: Mapping[str, Any]) -> Check:
    """`row` has the version and the settings of DURABLE."""
    version = f"Postgres {str(row['version']).split()[0]}"
    off = [setting for setting in DURABLE if row[setting] == "off"]
    if off:
        advice = "set it to on in postgresql.conf, and restart Postgres and the services"
        return failure("postgres", f"{version} runs with {', '.join(off)} off: a crash loses data", advice)
    return ok("postgres", f"{version} keeps what it commits")


def judge_connections(used: int, most: int, size_bytes: int) -> Check:
    """`used` and `most` are the whole server's."""
    message = f"{size(size_bytes)}; {used} of Postgres' {most} connections used"
    if used > CONNECTIONS_FULL * most:
        return warning("database", message, "raise max_connections of Postgres, or run fewer replicas")
    return ok("database", message)


def judge_postgres_clock(ahead: timedelta) -> Check:
    """How far Postgres' clock is ahead of the service's."""
    return judge_clock("clock", "the clock of Postgres", "the service's", ahead)
