"""How punctual retries are while very many wait: `python -m bench.retries [--pending 100000] [--json FILE]`.

The tracker runs on servers of its own, with so many deliveries in `due` of which a part becomes due every second. A
reader takes DUE as executors do, notes how late each message was stored after its time, and reports success.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path

import psutil
import uvloop
from pydantic import SecretStr

from bench.own_servers import DATABASE, own_servers
from kit.bus.acks import ack
from kit.bus.connection import Bus, connect
from kit.bus.message import Message
from kit.bus.publish import Publisher
from kit.bus.puller import Puller
from kit.bus.streams import DUE, OUTCOMES, provision
from kit.ids import uuid7
from kit.postgres.pool import Pool, connect_pool
from kit.testing import servers
from onward.executor.v1 import outcomes_pb2 as pb
from services.delivery.app import build
from services.delivery.domain.decisions import RETRY
from services.delivery.projections.rows import DUE_COLUMNS
from services.delivery.settings import Settings

PENDING = 100_000
DESTINATIONS = 100
# Of those that wait, so many become due a second while it is measured.
DUE_PER_S = 200
SECONDS = 20
# Until the first is due: time for the tracker to start.
HEAD_START_S = 4.0
COUNT_POLL_S = 0.1
TIMEOUT_S = 60.0
EVENT = b'{"type":"track","event":"Order Completed","userId":"u-1","properties":{"total":42.5}}' * 8


def now_us() -> int:
    return time.time_ns() // 1000


async def seed(pool: Pool, count: int, first_us: int) -> None:
    """Deliveries that wait for their first retry, one after the other."""
    values = {
        "workspace": "bench", "source": "web", "function": "to-crm", "type": pb.EVENT_TYPE_TRACK,
        "event_name": "Order Completed", "received_at_us": first_us - 60_000_000, "duplicate": False, "event": EVENT,
        "attempt": 2, "retries_used": 1, "reason": RETRY, "error_type": pb.ERROR_TYPE_RETRY, "error_message": "busy",
        "first_ended_at_us": first_us - 10_000_000, "deferrals": 0, "losses": 0, "alone": False,
        "batch_events_max": 0, "gathered": False, "batch_limit": 0, "traceparent": "",
    }  # fmt: skip
    columns = [one for one in DUE_COLUMNS if one in values or one in _NUMBERED]
    rows = []
    for number in range(count):
        own = {
            "destination": f"d-{number % DESTINATIONS}",
            "stream_sequence": number,
            "event_index": 0,
            "message_id": f"m-{number}",
            "due_at_us": first_us + number * 1_000_000 // DUE_PER_S,
        }
        rows.append(tuple((values | own)[name] for name in columns))
    async with pool.acquire() as connection:
        await connection.copy_records_to_table("due", records=rows, columns=columns)
        await connection.executemany(
            "INSERT INTO destinations (workspace, destination, source, function) VALUES ('bench', $1, 'web', 'to-crm')",
            [(f"d-{number}",) for number in range(DESTINATIONS)],
        )
        await connection.execute("ANALYZE due")


_NUMBERED = ("destination", "stream_sequence", "event_index", "message_id", "due_at_us")


class Executor:
    """Takes what is due, and reports that it was delivered."""

    def __init__(self, bus: Bus, first_us: int) -> None:
        self._bus = bus
        self._publisher = Publisher(bus)
        self._first_us = first_us
        self.late_ms: list[float] = []

    async def take(self, messages: list[Message]) -> None:
        batches = []
        for message in messages:
            due = pb.DueDelivery.FromString(message.data)
            due_at_us = self._first_us + due.stream_sequence * 1_000_000 // DUE_PER_S
            # When JetStream stored it: no executor can have it sooner.
            self.late_ms.append(message.timestamp_ns / 1e6 - due_at_us / 1e3)
            batches.append(_delivered(due))
        for batch in batches:
            await self._publisher.publish("outcomes.bench", batch.SerializeToString())
        ack(self._bus, messages)


def _delivered(due: pb.DueDelivery) -> pb.OutcomeBatch:
    attempt = pb.Attempt(
        stream_sequence=due.stream_sequence, index=due.index, attempt=due.attempt, retries_used=due.retries_used,
        message_id=due.message_id, type=due.type, event_name=due.event_name, received_at_us=due.received_at_us,
        ended_at_us=now_us(), result=pb.RESULT_DELIVERED,
    )  # fmt: skip
    group = pb.DestinationOutcomes(destination=due.destination, source="web", function="to-crm", attempts=[attempt])
    return pb.OutcomeBatch(batch_id=uuid7(), workspace=due.workspace, destinations=[group])


async def measure_retries(pending: int = PENDING) -> dict[str, float]:
    """How late retries were, and the tracker's memory before and after."""
    async with own_servers() as (postgres, nats):
        url = nats.url(servers.TEST_USER)
        settings = Settings(
            postgres_dsn=SecretStr(postgres.dsn(DATABASE)),
            nats_url=url,
            nats_monitoring_url=nats.monitor_url,
            service_token=SecretStr("x" * 16),
        )
        bus = await connect(url, name="bench")
        await provision(bus, [OUTCOMES, DUE])
        app = await build(settings)
        await app.start()
        pool = await connect_pool(postgres.dsn(DATABASE), application_name="bench")
        seeding_us = now_us()
        first_us = seeding_us + round((HEAD_START_S + pending / 8_000) * 1e6)
        await seed(pool, pending, first_us)
        executor = Executor(bus, first_us)
        puller = Puller(bus, "DUE", "executor", batch=200, on_batch=executor.take)
        tasks = [asyncio.create_task(app.run()), asyncio.create_task(puller.run())]
        before = psutil.Process().memory_info().rss
        assert now_us() < first_us, "seeding took too long"
        async with asyncio.timeout(TIMEOUT_S):
            while len(executor.late_ms) < DUE_PER_S * SECONDS:
                await asyncio.sleep(COUNT_POLL_S)
        after = psutil.Process().memory_info().rss
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await app.stop()
        await pool.close()
        await bus.close()
    late = sorted(executor.late_ms)
    return {
        "retries_pending": pending,
        "retry_lateness_ms_p50": late[len(late) // 2],
        "retry_lateness_ms_p99": late[int(len(late) * 0.99)],
        "retry_lateness_ms_max": late[-1],
        "retries_early": sum(one < 0 for one in late),
        "retries_memory_mb": (after - before) / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how punctual retries are.")
    parser.add_argument("--pending", type=int, default=PENDING, help="deliveries that wait (default 100,000)")
    parser.add_argument("--json", type=Path, help="write the figures there as one flat object")
    arguments = parser.parse_args()
    figures = uvloop.run(measure_retries(arguments.pending))
    print(text := json.dumps({name: round(value, 2) for name, value in figures.items()}, indent=2))
    if arguments.json:
        arguments.json.write_text(text)


if __name__ == "__main__":
    main()
