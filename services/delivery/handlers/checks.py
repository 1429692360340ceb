"""What the tracker checks of itself when the operator asks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from kit.bus.connection import Bus
from kit.clock import Clock
from kit.postgres.pool import Pool
from kit.postgres.queries import load_queries
from kit.rpc.methods import Servicer
from kit.settings import ServiceSettings
from kit.status.check import Check, Probe, counted, ok, size, warning
from kit.status.nats import Backlog, backlog_probe, nats_probes, read_backlog
from kit.status.postgres import WELL, postgres_probes
from kit.status.process import process_probes
from kit.status.servicer import status_servicer
from services.delivery.domain.schedule import SECOND_US

queries = load_queries(Path(__file__).parent / "checks.sql")

# Each has up to 500 attempts; a tracker that is well applies dozens a second.
OUTCOMES_MAX = 500
# More than destinations get at once, unless there are very many.
DUE_MAX = 10_000
# Tables that are named with their size: the others are small beside them.
STORAGE_SHOWN = 4
# A retry that is so late is no jitter.
LATE = timedelta(minutes=1)

# Of unhealthy destinations, so many are named.
PLACES_SHOWN = 3

OUTCOMES_ADVICE = "is Postgres slow? Its log and the tracker's say why"
DUE_ADVICE = "executors take them slowly: run another, and see what `onward doctor` says of them"


def delivery_status(settings: ServiceSettings, clock: Clock, pool: Pool, bus: Bus) -> Servicer:
    """The tracker's StatusService."""
    own = delivery_probes(pool, bus, clock)
    probes = [*process_probes(settings, clock), *nats_probes(settings, bus), *postgres_probes(pool, clock), *own]
    return status_servicer("delivery", probes, clock)


def delivery_probes(pool: Pool, bus: Bus, clock: Clock) -> list[Probe]:
    """Outcomes to apply, what is handed to executors, retries that are late, and outcomes that were set aside."""

    async def outcomes() -> Sequence[Backlog]:
        return [await read_backlog(bus, "OUTCOMES", "delivery")]

    async def due() -> Sequence[Backlog]:
        return [await read_backlog(bus, "DUE", "executor")]

    async def ask_retries() -> Sequence[Check]:
        return [judge_retries(await pool.fetch(queries.waiting), clock.now())]

    async def ask_storage() -> Sequence[Check]:
        return [judge_storage(await pool.fetch(queries.storage))]

    async def ask_refused() -> Sequence[Check]:
        return [judge_refused(await pool.fetchval(queries.count_refused))]

    async def ask_health() -> Sequence[Check]:
        return [judge_health(await pool.fetch(queries.unhealthy))]

    return [
        backlog_probe("outcomes", outcomes, OUTCOMES_MAX, OUTCOMES_ADVICE),
        backlog_probe("due", due, DUE_MAX, DUE_ADVICE),
        Probe("retries", ask_retries, WELL),
        Probe("refused", ask_refused, WELL),
        Probe("storage", ask_storage, WELL),
        Probe("unhealthy", ask_health, WELL),
    ]


def judge_retries(waiting: Sequence[Any], now: datetime) -> Check:
    """`waiting` has a row for each destination: its workspace, and `due_at_us` of the first that waits."""
    if not waiting:
        return ok("retries", "nothing waits, but for what limits and breakers hold back")
    first = min(waiting, key=lambda row: row["due_at_us"])
    late = timedelta(microseconds=round(now.timestamp() * SECOND_US) - first["due_at_us"])
    if late <= LATE:
        return ok("retries", f"on time for {counted(len(waiting), 'destination')}")
    message = f"{first['workspace']}/{first['destination']} is {counted(late // timedelta(minutes=1), 'minute')} late"
    advice = "its API is slow or away, or executors are: `onward deliveries list --state pending` shows errors"
    return warning("retries", message, advice)


def judge_refused(refused: int) -> Check:
    """Outcomes that Postgres did not take."""
    if not refused:
        return ok("refused", "Postgres has refused no outcome")
    advice = 'see "Outcomes that Postgres refuses" in docs/operations.md'
    return warning("refused", f"{counted(refused, 'outcome')} set aside in dead_outcomes", advice)


def judge_storage(tables: Sequence[Any]) -> Check:
    """`tables` has a row for each: `table`, its `bytes`, and the `day` of its oldest partition with rows, or None."""
    largest = sorted(tables, key=lambda row: (-row["bytes"], row["table"]))
    told = ", ".join(f"{row['table']} {size(row['bytes'])}" for row in largest[:STORAGE_SHOWN])
    days = [row["day"] for row in tables if row["table"] == "attempts" and row["day"]]
    if not days:
        return ok("storage", f"{told}; no attempt is kept")
    (day,) = days
    return ok("storage", f"{told}; attempts since {day[:4]}-{day[4:6]}-{day[6:]}")


def judge_health(unhealthy: Sequence[Any]) -> Check:
    """Destinations that fail consistently: not Onward's fault, and worth a look."""
    if not unhealthy:
        return ok("unhealthy", "no destination is unhealthy")
    places = [f"{row['workspace']}/{row['destination']}" for row in unhealthy[:PLACES_SHOWN]]
    more = ", ..." if len(unhealthy) > PLACES_SHOWN else ""
    advice = "`onward health --workspace WORKSPACE` shows since when, and with what error"
    return warning("unhealthy", f"{counted(len(unhealthy), 'destination')}: {', '.join(places)}{more}", advice)
