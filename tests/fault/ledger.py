"""What the tracker and the trail hold, and what must be true of it after any fault."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import asyncpg

from kit.testing.eventually import eventually
from onward.audit.v1 import audit_service_pb2 as audit_pb
from onward.delivery.v1 import delivery_service_pb2 as pb
from onward.executor.v1 import outcomes_pb2
from tests.fault.system import WORKSPACE, Route, System, answered

DELIVERED = int(pb.DELIVERY_STATE_DELIVERED)
LOST = int(outcomes_pb2.RESULT_LOST)
INTERNAL = int(outcomes_pb2.ERROR_TYPE_INTERNAL)
CONNECT_TIMEOUT_S = 5.0
# Redeliveries come after ack_wait (10 s), and a busy machine takes its time.
SETTLE_TIMEOUT_S = 60.0
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Attempt:
    """A row of the tracker's attempts."""

    message_id: str
    attempt: int
    result: int
    error_type: int
    retries_used: int
    terminal: bool
    state: int
    begun_at_us: int
    duplicate: bool


async def query(system: System, sql: str, *arguments: Any, database: str = "delivery") -> list[asyncpg.Record]:
    """Ask a service's database, on a connection of its own: Postgres may have been killed since the last one."""
    connection = await asyncpg.connect(system.ends.postgres_dsns[database], timeout=CONNECT_TIMEOUT_S)
    try:
        rows: list[asyncpg.Record] = await connection.fetch(sql, *arguments)
        return rows
    finally:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await connection.close(timeout=CONNECT_TIMEOUT_S)


async def ended(system: System, route: Route) -> int:
    rows = await query(
        system,
        "SELECT count(*) AS n FROM attempts WHERE workspace = $1 AND destination = $2 AND terminal",
        WORKSPACE, route.destination,
    )  # fmt: skip
    return int(rows[0]["n"])


async def attempts(system: System, route: Route) -> list[Attempt]:
    rows = await query(
        system,
        """SELECT message_id, attempt, result, error_type, retries_used, terminal, state, duplicate,
            ended_at_us - wall_us AS begun
        FROM attempts WHERE workspace = $1 AND destination = $2 ORDER BY message_id, attempt""",
        WORKSPACE, route.destination,
    )  # fmt: skip
    return [
        Attempt(
            row["message_id"], row["attempt"], row["result"], row["error_type"], row["retries_used"], row["terminal"],
            row["state"], row["begun"], row["duplicate"],
        )
        for row in rows
    ]  # fmt: skip


async def settled(system: System, route: Route, count: int, timeout_s: float = SETTLE_TIMEOUT_S) -> None:
    """Wait until so many deliveries have ended; Postgres may be away meanwhile."""

    async def enough() -> bool:
        try:
            found = await ended(system, route)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
            raise AssertionError(f"Postgres is away: {error!r}") from error
        assert found >= count, f"{found} of {count} deliveries have ended"
        return True

    await eventually(enough, timeout_s=timeout_s, interval_s=0.2)


async def check_deliveries(system: System, route: Route, message_ids: Iterable[str]) -> list[Attempt]:
    """Check that each event has exactly one terminal row, delivered, and that all other numbers agree."""
    wanted = set(message_ids)
    await settled(system, route, len(wanted))
    rows = await attempts(system, route)
    terminal = [row for row in rows if row.terminal]
    ids = [row.message_id for row in terminal]
    assert len(ids) == len(set(ids)), f"{len(ids) - len(set(ids))} deliveries have ended twice"
    assert set(ids) == wanted, f"missing: {sorted(wanted - set(ids))[:5]}, unknown: {sorted(set(ids) - wanted)[:5]}"
    undelivered = [row for row in terminal if row.state != DELIVERED]
    assert not undelivered, f"{len(undelivered)} are not delivered: {undelivered[:3]}"
    duplicates = [row for row in rows if row.duplicate]
    assert not duplicates, f"{len(duplicates)} events were stored twice: {duplicates[:3]}"
    await _check_nothing_left(system, route)
    await _check_counts(system, route, len(wanted))
    return rows


async def _check_nothing_left(system: System, route: Route) -> None:
    due = await query(
        system, "SELECT message_id FROM due WHERE workspace = $1 AND destination = $2", WORKSPACE, route.destination
    )
    assert not due, f"{len(due)} deliveries that have ended are still to be made: {due[:3]}"
    refused = await query(
        system, "SELECT reason FROM ingest_failures WHERE workspace = $1 AND source = $2", WORKSPACE, route.source
    )
    assert not refused, f"{len(refused)} events were refused: {refused[:3]}"


async def _check_counts(system: System, route: Route, count: int) -> None:
    """What callers are told must be what is stored."""
    rows = await query(
        system,
        "SELECT coalesce(sum(count), 0) AS n FROM rollups WHERE workspace = $1 AND destination = $2 AND state = $3",
        WORKSPACE, route.destination, DELIVERED,
    )  # fmt: skip
    assert int(rows[0]["n"]) == count, f"the roll-ups count {rows[0]['n']} deliveries of {count}"
    request = pb.GetSummaryRequest(parent=f"workspaces/{WORKSPACE}/destinations/{route.destination}")
    summary = (await answered(lambda: system.deliveries.GetSummary(request))).destinations[0]
    assert (summary.delivered, summary.failed, summary.pending) == (count, 0, 0), summary


async def check_trail(system: System) -> None:
    """Check that the audit trail holds every fact of the registry, once and in order."""

    async def complete() -> bool:
        rows = await query(
            system, "SELECT position FROM workspace_heads WHERE workspace = $1", WORKSPACE, database="registry"
        )
        head = int(rows[0]["position"])
        found = [event.position for event in await trail(system) if event.service == "registry"]
        assert sorted(found) == list(range(1, head + 1)), f"{len(found)} entries for {head} facts"
        assert found == sorted(found), "entries are out of order"
        return True

    await eventually(complete, timeout_s=SETTLE_TIMEOUT_S, interval_s=0.2)


async def trail(system: System) -> list[audit_pb.AuditEvent]:
    """Everything on the workspace's trail, oldest first."""
    found: list[audit_pb.AuditEvent] = []
    token = ""
    while True:
        request = audit_pb.ListAuditEventsRequest(parent=f"workspaces/{WORKSPACE}", page_size=PAGE, page_token=token)
        answer = await answered(partial(system.audit.ListAuditEvents, request))
        found += answer.audit_events
        token = answer.next_page_token
        if not token:
            return sorted(found, key=lambda event: event.index)
