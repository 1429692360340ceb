"""What the trail answers: events by index, pages of them, and its growth."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import asyncpg
import orjson
import structlog
from google.protobuf.timestamp_pb2 import Timestamp

from kit.errors import Unavailable
from kit.eventstore.progress import PublishedPositions
from kit.postgres.pool import Pool
from kit.postgres.queries import load_queries
from kit.rpc.names import AUDIT_EVENT
from kit.waiting import is_set_within
from onward.audit.v1 import audit_service_pb2 as pb
from services.audit.errors import Missing

log = structlog.get_logger(__name__)

queries = load_queries(Path(__file__).parent / "queries.sql")

# Above every index: where a list that goes down begins.
INDEX_ABOVE_ALL = 2**63 - 1
# One answer stays below gRPC's 4 MiB a message, also when its last event alone takes two.
PAGE_BYTES_MAX = 1024 * 1024
# Another replica's events are seen within this time; this one's at once.
POLL_S = 1.0


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events are wanted; None admits any."""

    start_time: datetime | None = None
    end_time: datetime | None = None
    principal: str | None = None
    action: str | None = None
    target_type: str | None = None
    target_id: str | None = None
    outcome: int | None = None


async def get_event(pool: Pool, workspace: str, index: int) -> pb.AuditEvent:
    """One event; raises Missing."""
    row = await pool.fetchrow(queries.event, workspace, index)
    if row is None:
        raise Missing(AUDIT_EVENT.format(workspace, index))
    return read_event(row)


async def events_after(pool: Pool, workspace: str, index: int, limit: int) -> Sequence[pb.AuditEvent]:
    """Events after an index, in order; empty only where there are none."""
    rows = await pool.fetch(queries.events_after, workspace, index, limit, PAGE_BYTES_MAX)
    return [read_event(row) for row in rows]


async def head(pool: Pool, workspace: str) -> int:
    """The last index; 0 where nothing is recorded."""
    return await pool.fetchval(queries.head, workspace) or 0


async def applied_positions(pool: Pool, consumer: str, service: str) -> dict[str, int]:
    """How far a consumer has applied each workspace of a service."""
    rows = await pool.fetch(queries.applied_positions, consumer, service)
    return {row["workspace"]: row["position"] for row in rows}


class Growth:
    """Lets watchers wait for their workspace's trail to grow. One look at the heads serves all of them."""

    def __init__(self, pool: Pool, poll_s: float = POLL_S) -> None:
        self._pool = pool
        self._poll_s = poll_s
        self._heads = PublishedPositions()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look now: something was committed here."""
        self._woken.set()

    async def wait(self, workspace: str, index: int, timeout_s: float) -> bool:
        """Wait until an index is recorded; False where that takes longer."""
        # It may have been, between the caller's look and now.
        self.wake()
        return await self._heads.wait(workspace, index, timeout_s)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await is_set_within(self._woken, self._poll_s)
            self._woken.clear()
            try:
                await self._look()
            except Unavailable:
                log.warning("trail_unreadable", retry_in_s=self._poll_s)
                await asyncio.sleep(self._poll_s)

    async def _look(self) -> None:
        if awaited := self._heads.awaited:
            for row in await self._pool.fetch(queries.heads, awaited):
                self._heads.reach(row["workspace"], row["index"])


def read_event(row: asyncpg.Record) -> pb.AuditEvent:
    """An event of a row of audit_events."""
    return pb.AuditEvent(
        name=AUDIT_EVENT.format(row["workspace"], row["index"]),
        index=row["index"],
        fact_id=str(row["fact_id"]),
        occur_time=_time(row["occur_time"]),
        record_time=_time(row["record_time"]),
        principal=row["principal"],
        action=row["action"],
        target_type=row["target_type"],
        target_id=row["target_id"],
        target_display_name=row["target_display_name"],
        outcome=row["outcome"],
        changes=[pb.FieldChange(**change) for change in orjson.loads(row["changes"])],
        request_id=row["request_id"],
        trace_id=row["trace_id"],
        service=row["service"],
        position=row["position"],
        credential=row["credential"],
    )


def _time(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
