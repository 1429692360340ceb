"""How long an event takes: from the acknowledgement of its publish to the row of its attempt being visible."""

from __future__ import annotations

import asyncio
import time

import asyncpg

from bench.system import WORKSPACE, System
from kit.bus.connection import Bus
from kit.bus.publish import Publisher

EVENTS_PER_S = 500
SECONDS = 20
# What a latency may be wrong by, beside the query's own time.
POLL_S = 0.002
# Until the first query has been answered, so that no event waits for its observer.
SETTLE_S = 0.5
TIMEOUT_S = 300.0


class Watch:
    """Polls the tracker's table and notes when each event's row was seen."""

    def __init__(self, count: int) -> None:
        self.seen_at: dict[str, float] = {}
        self._count = count
        # Everything up to here has been seen; rows come in any order after it.
        self._sequence = 0
        self._ahead: set[int] = set()

    async def run(self, system: System) -> None:
        connection = await system.database()
        try:
            self._sequence = await connection.fetchval("SELECT coalesce(max(stream_sequence), 0) FROM attempts")
            while len(self.seen_at) < self._count:
                await self._poll(connection)
                await asyncio.sleep(POLL_S)
        finally:
            await connection.close()

    async def _poll(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        query = "SELECT stream_sequence, message_id FROM attempts WHERE workspace = $1 AND stream_sequence > $2"
        rows = await connection.fetch(query, WORKSPACE, self._sequence)
        now = time.perf_counter()
        for row in rows:
            self.seen_at.setdefault(row["message_id"], now)
            self._ahead.add(row["stream_sequence"])
        while self._sequence + 1 in self._ahead:
            self._sequence += 1
            self._ahead.discard(self._sequence)


async def publish_steadily(bus: Bus, source: str, batch: list[tuple[str, bytes]]) -> dict[str, float]:
    """Publish one by one at the steady rate; give when each was acknowledged."""
    acked_at: dict[str, float] = {}
    publisher = Publisher(bus)
    subject = f"events.{WORKSPACE}.{source}"

    async def one(key: str, data: bytes) -> None:
        await publisher.publish(subject, data, f"{source}:{key}")
        acked_at[key] = time.perf_counter()

    async with asyncio.TaskGroup() as group:
        start = time.perf_counter()
        for number, (key, data) in enumerate(batch, 1):
            group.create_task(one(key, data))
            await asyncio.sleep(max(0.0, start + number / EVENTS_PER_S - time.perf_counter()))
    return acked_at


async def latencies_ms(system: System, bus: Bus, source: str, batch: list[tuple[str, bytes]]) -> list[float]:
    """Give the latency of each event, in order of size. A row seen before its acknowledgement counts as 0."""
    watch = Watch(len(batch))
    async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as group:
        group.create_task(watch.run(system))
        await asyncio.sleep(SETTLE_S)
        acked_at = await publish_steadily(bus, source, batch)
    return sorted(max(0.0, (watch.seen_at[key] - acked_at[key]) * 1000) for key, _ in batch)
