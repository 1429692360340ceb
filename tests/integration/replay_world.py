"""A tracker whose stream has events, and a destination to replay them to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import orjson

from kit.auth.demand import EVERYTHING, Subset
from kit.bus.publish import Outgoing
from kit.bus.stored import next_page
from kit.bus.streams import events_stream, provision
from kit.clock import FakeClock
from kit.testing.eventually import eventually
from onward.delivery.v1 import delivery_service_pb2 as dpb
from onward.delivery.v1 import replay_service_pb2 as pb
from onward.delivery.v1 import replay_service_pb2_grpc, replays_pb2
from onward.executor.v1 import outcomes_pb2 as opb
from services.delivery.domain.identity import delivery_id
from tests.integration import delivery_world
from tests.integration.delivery_world import VIEWER_TOKEN, World, batch

ACME = "workspaces/acme"
CRM = f"{ACME}/destinations/crm"
RUNNING, DELIVERING, CANCELLING, FINISHED, CANCELLED = (
    replays_pb2.REPLAY_STATE_RUNNING,
    replays_pb2.REPLAY_STATE_DELIVERING,
    replays_pb2.REPLAY_STATE_CANCELLING,
    replays_pb2.REPLAY_STATE_FINISHED,
    replays_pb2.REPLAY_STATE_CANCELLED,
)
Selection = replays_pb2.ReplaySelection


class ReplayWorld:
    """The tracker, with what these tests do."""

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def stub(self) -> Any:
        return replay_service_pb2_grpc.ReplayServiceStub(self.world.channel(VIEWER_TOKEN))

    def partial(self, functions: Subset = EVERYTHING, sources: Subset = EVERYTHING) -> Any:
        self.world.partial_viewer(functions=functions, sources=sources)
        return replay_service_pb2_grpc.ReplayServiceStub(self.world.channel(self.world.last_token))

    @property
    def now_us(self) -> int:
        return int(self.world.clock.now().timestamp() * 1_000_000)

    async def connect(self, destination: str = "crm", *, enabled: bool = True) -> None:
        await self.execute(
            "INSERT INTO connections (workspace, destination, source, function, enabled, disabled_at_us)"
            " VALUES ('acme', $1, 'web', 'to-crm', $2, 0) ON CONFLICT (workspace, destination)"
            " DO UPDATE SET enabled = excluded.enabled", destination, enabled,
        )  # fmt: skip

    async def execute(self, statement: str, *args: Any) -> None:
        connection = await asyncpg.connect(self.world.database)
        try:
            await connection.execute(statement, *args)
        finally:
            await connection.close()

    async def publish(self, *documents: dict[str, Any], source: str = "web") -> None:
        """Store messages in the stream."""
        await self.world.publisher.publish_many(
            [Outgoing(f"events.acme.{source}", orjson.dumps(document)) for document in documents]
        )

    async def stored(self, source: str = "web") -> list[int]:
        """When the source's messages were stored, microseconds since 1970."""
        page = await next_page(
            self.world.bus, "EVENTS_acme", f"events.acme.{source}", messages_max=1000, bytes_max=1_000_000
        )
        return [one.timestamp_ns // 1000 for one in page.messages]

    async def report_failed(self, *sequences: int, number: int = 1, **fields: Any) -> None:
        # An error of the code's own, which no breaker opens for.
        values = {"error_type": opb.ERROR_TYPE_BAD_REQUEST, **fields}
        await self.report(opb.RESULT_FAILED, *sequences, number=number, **values)

    async def report(self, result: int, *sequences: int, number: int = 1, **fields: Any) -> None:
        """First attempts of events, or later ones."""
        await self.world.report(batch(*(self.attempt(one, number, result, **fields) for one in sequences)))

    def attempt(self, sequence: int, number: int, result: int, **fields: Any) -> opb.Attempt:
        received_at_us = self.now_us - 60_000_000 + sequence * 1000
        times = {"received_at_us": received_at_us, "ended_at_us": received_at_us + 5000}
        return delivery_world.attempt(sequence, number, result, **{**times, **fields})

    async def answer(self, due: opb.DueDelivery, result: int = opb.RESULT_DELIVERED, **fields: Any) -> None:
        """Report an attempt of what was released."""
        await self.world.report(batch(self.answered(due, result, **fields)))

    def answered(self, due: opb.DueDelivery, result: int = opb.RESULT_DELIVERED, **fields: Any) -> opb.Attempt:
        values = {
            "index": due.index, "message_id": due.message_id, "received_at_us": due.received_at_us,
            "retries_used": due.retries_used, "ended_at_us": self.now_us,
        }  # fmt: skip
        return delivery_world.attempt(due.stream_sequence, due.attempt, result, **{**values, **fields})

    async def answer_all(self, due: Sequence[opb.DueDelivery], result: int = opb.RESULT_DELIVERED) -> None:
        await self.world.report(batch(*(self.answered(one, result) for one in due)))

    async def create(self, selection: Any = None, **fields: Any) -> pb.CreateReplayResponse:
        request = pb.CreateReplayRequest(destination=CRM, selection=selection or Selection(), **fields)
        answer: pb.CreateReplayResponse = await self.stub.CreateReplay(request)
        return answer

    async def redrive(self, selection: Any = None, **fields: Any) -> pb.RedriveDeliveriesResponse:
        request = pb.RedriveDeliveriesRequest(destination=CRM, selection=selection or Selection(), **fields)
        answer: pb.RedriveDeliveriesResponse = await self.stub.RedriveDeliveries(request)
        return answer

    async def get(self, replay: replays_pb2.Replay) -> replays_pb2.Replay:
        found = await self.stub.GetReplay(pb.GetReplayRequest(name=replay.name))
        return replays_pb2.Replay.FromString(found.replay.SerializeToString())

    async def reached(self, replay: replays_pb2.Replay, *states: int) -> replays_pb2.Replay:
        """The replay once it is in one of these states."""

        async def there() -> replays_pb2.Replay:
            found = await self.get(replay)
            assert found.state in states, found
            return found

        return await eventually(there)

    async def released_in_time(self, count: int) -> list[opb.DueDelivery]:
        """Move the clock until so many were released in all."""

        async def are_out() -> bool:
            self.world.advance(0.5)
            return len(self.world.due) >= count

        await eventually(are_out)
        assert len(self.world.due) == count
        return self.world.due

    async def delivery(self, sequence: int, index: int = 0) -> dpb.GetDeliveryResponse:
        name = f"{ACME}/deliveries/{delivery_id(sequence, index, 'crm')}"
        answer: dpb.GetDeliveryResponse = await self.world.viewer.GetDelivery(dpb.GetDeliveryRequest(name=name))
        return answer

    async def facts(self) -> list[str]:
        rows = await self.world.rows("SELECT type FROM facts WHERE workspace = 'acme' ORDER BY position")
        return [row["type"] for row in rows]


@asynccontextmanager
async def replaying(database: str, nats_url: str) -> AsyncIterator[ReplayWorld]:
    """A tracker by a clock that stands a little after now, as the stream's messages bear the server's time."""
    clock = FakeClock(datetime.now(UTC) + timedelta(minutes=1))
    async with delivery_world.running(database, nats_url, clock) as world:
        await provision(world.bus, [events_stream("acme")])
        ours = ReplayWorld(world)
        await ours.connect()
        yield ours


def track(number: int, **fields: Any) -> dict[str, Any]:
    values = {"type": "track", "event": "Order Completed", "userId": "u", "messageId": f"m{number}"}
    return {**values, "properties": {"number": number}, **fields}


async def totals_match_rows(world: World) -> None:
    """Sums of failures by minute, hour, reason and error group are what the rows say."""
    for table, column, unit_us in (("rollups", "minute", 60_000_000), ("hour_rollups", "hour", 3_600_000_000)):
        sums = await world.rows(
            f"SELECT destination, {column}, state, error_type, type, sum(count)::int, sum(duplicates)::int FROM {table}"
            " GROUP BY 1, 2, 3, 4, 5 HAVING sum(count) <> 0 ORDER BY 1, 2, 3, 4, 5"
        )
        rows = await world.rows(
            "SELECT destination, (received_at_us / $1)::int, state, error_type, type, count(*)::int,"
            " sum(duplicate::int)::int FROM attempts WHERE terminal GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5",
            unit_us,
        )
        assert [tuple(row) for row in sums] == [tuple(row) for row in rows], table
    for table, column, unit_us in (
        ("reason_rollups", "minute", 60_000_000),
        ("hour_reason_rollups", "hour", 3_600_000_000),
    ):
        sums = await world.rows(
            f"SELECT destination, {column}, state, reason, count::int FROM {table} WHERE count <> 0 ORDER BY 1, 2, 3, 4"
        )
        rows = await world.rows(
            "SELECT destination, (received_at_us / $1)::int, state, reason, count(*)::int FROM attempts"
            " WHERE terminal AND reason <> '' GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
            unit_us,
        )
        assert [tuple(row) for row in sums] == [tuple(row) for row in rows], table
    groups = await world.rows(
        "SELECT destination, minute, error_group, attempts::int, failed::int FROM error_rollups ORDER BY 1, 2, 3"
    )
    attempts = await world.rows(
        "SELECT destination, (received_at_us / 60000000)::int, error_group, count(*)::int, sum(terminal::int)::int"
        " FROM attempts WHERE error_group <> 0 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )
    assert [tuple(row) for row in groups] == [tuple(row) for row in attempts]
    twice = await world.rows(
        "SELECT 1 FROM attempts WHERE terminal GROUP BY workspace, stream_sequence, event_index, destination"
        " HAVING count(*) > 1"
    )
    assert twice == []
