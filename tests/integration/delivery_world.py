"""A running tracker with real Postgres and NATS, and the executor's part of the talk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import asyncpg
import grpc.aio

from kit.auth.caller import Caller
from kit.auth.demand import EVERYTHING, NOTHING, Demand, Subset
from kit.bus.acks import ack
from kit.bus.connection import Bus, connect
from kit.bus.message import Message
from kit.bus.publish import Publisher
from kit.bus.puller import Puller
from kit.clock import Clock, FakeClock
from kit.errors import InvalidToken, PermissionDenied
from kit.ids import uuid7
from kit.rpc.client import open_channel
from kit.testing.eventually import eventually
from onward.delivery.v1 import (
    delivery_service_pb2_grpc,
    internal_service_pb2,
    internal_service_pb2_grpc,
    replay_service_pb2_grpc,
)
from onward.executor.v1 import outcomes_pb2 as pb
from services.delivery.app import DeliveryApp, build
from services.delivery.projections.standing import queries
from services.delivery.settings import Settings

SERVICE_TOKEN = "service-token-for-tests"
VIEWER_TOKEN = "onw_viewer_0123456789abcdef0123456789abcdef"
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
START_US = int(START.timestamp() * 1_000_000)


class StillAuthorizer:
    """Knows one token, which may view the deliveries of `acme`, and those that tests add for a part of them."""

    def __init__(self) -> None:
        # Token -> functions and sources.
        self.callers: dict[str, tuple[Subset, Subset]] = {VIEWER_TOKEN: (EVERYTHING, EVERYTHING)}

    async def authorize(self, token: str, demand: Demand) -> Caller:
        if token not in self.callers:
            raise InvalidToken("unknown")
        if not (demand.resource + "/").startswith("workspaces/acme/"):
            raise PermissionDenied("not yours")
        functions, sources = self.callers[token]
        return Caller("token:viewer", "acme", frozenset({demand.permission}), functions=functions, sources=sources)


def settings(database: str, nats_url: str, **changes: Any) -> Settings:
    """Settings as the environment would give them."""
    values: dict[str, Any] = {
        "postgres_dsn": database,
        "nats_url": nats_url,
        # Tests that are about durability name the monitoring address.
        "durability": "relaxed",
        "listen": "127.0.0.1:0",
        "service_token": SERVICE_TOKEN,
        "drain_seconds": 2,
    }
    return Settings(**{**values, **changes})


def attempt(sequence: int = 1, number: int = 1, result: int = pb.RESULT_DELIVERED, **fields: Any) -> pb.Attempt:
    """An attempt as the executor reports it; failures and deferrals bring their event along."""
    values: dict[str, Any] = {
        "stream_sequence": sequence,
        "attempt": number,
        "message_id": f"m{sequence}",
        "type": pb.EVENT_TYPE_TRACK,
        "event_name": "Order Completed",
        "received_at_us": START_US - 1_000_000 + sequence * 1000,
        "ended_at_us": START_US - 500_000 + sequence * 1000,
        "wall_us": 100,
        "cpu_us": 50,
        "result": result,
    }
    if result in (pb.RESULT_RETRYABLE, pb.RESULT_DEFERRED, pb.RESULT_FAILED):
        values["detail"] = pb.AttemptDetail(event=b'{"type":"track"}', error_message="it broke")
        values["error_type"] = pb.ERROR_TYPE_RETRY
    return pb.Attempt(**{**values, **fields})


def batch(
    *attempts: pb.Attempt, destination: str = "crm", source: str = "web", function: str = "to-crm", **fields: Any
) -> pb.OutcomeBatch:
    """One destination's attempts."""
    header = pb.DestinationOutcomes(
        destination=destination,
        source=source,
        function=function,
        version=3,
        settings_revision=7,
        filter_revision=5,
        attempts=attempts,
    )
    values: dict[str, Any] = {"batch_id": uuid7(), "workspace": "acme", "destinations": [header] if attempts else []}
    return pb.OutcomeBatch(**{**values, **fields})


class World:
    """The tracker, its callers, and an executor that takes what is due."""

    def __init__(self, database: str, nats_url: str, bus: Bus, clock: Clock, changes: dict[str, Any]) -> None:
        self.database = database
        self.nats_url = nats_url
        self.bus = bus
        self.clock = clock
        self.publisher = Publisher(bus)
        self.due: list[pb.DueDelivery] = []
        self.due_sequences: list[int] = []
        self.unacknowledged: list[Message] = []
        self.acknowledging = True
        # Of the last partial viewer.
        self.last_token = ""
        self.unanswered_after_s = 60.0
        self._changes = changes
        self._authorizer = StillAuthorizer()
        self._channels: list[grpc.aio.Channel] = []
        self._running: asyncio.Task[None] | None = None
        self.app: DeliveryApp | None = None

    # --- the tracker's life

    async def start(self) -> None:
        self.app = await build(
            settings(self.database, self.nats_url, **self._changes),
            authorizer=self._authorizer,
            clock=self.clock,
            jitter=lambda: 0.5,
            unanswered_after_s=self.unanswered_after_s,
        )
        await self.app.start()
        self._running = asyncio.create_task(self.app.run())

    async def stop(self) -> None:
        """End the tracker without a word, as far as one process can: nothing is drained into Postgres but by it."""
        assert self.app is not None
        assert self._running is not None
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running
        for channel in self._channels:
            await channel.close()
        self._channels.clear()
        await self.app.stop()

    @property
    def address(self) -> str:
        assert self.app is not None
        return self.app.address

    @property
    def viewer(self) -> Any:
        return delivery_service_pb2_grpc.DeliveryServiceStub(self.channel(VIEWER_TOKEN))

    @property
    def replays(self) -> Any:
        return replay_service_pb2_grpc.ReplayServiceStub(self.channel(VIEWER_TOKEN))

    def partial_viewer(self, *, functions: Subset = NOTHING, sources: Subset = NOTHING) -> Any:
        """Somebody who may view these functions and administers these sources."""
        token = f"onw_part{len(self._authorizer.callers)}_0123456789abcdef0123456789abcdef"
        self._authorizer.callers[token] = (functions, sources)
        self.last_token = token
        return delivery_service_pb2_grpc.DeliveryServiceStub(self.channel(token))

    @property
    def internal(self) -> Any:
        return internal_service_pb2_grpc.InternalServiceStub(self.channel(SERVICE_TOKEN, "executor"))

    def channel(self, token: str, service: str = "") -> grpc.aio.Channel:
        assert self.app is not None
        channel = open_channel(self.app.address, token, service=service)
        self._channels.append(channel)
        return channel

    # --- the executor's part

    async def report(self, *batches: pb.OutcomeBatch) -> None:
        """Publish batches; returns when they are applied."""
        await self.wait_applied(await self.publish(*batches))

    async def publish(self, *batches: pb.OutcomeBatch) -> int:
        """Publish batches; answers the sequence of the last."""
        sequence = 0
        for one in batches:
            stored = await self.publisher.publish(f"outcomes.{one.workspace}", one.SerializeToString())
            sequence = stored.seq
        return sequence

    async def wait_applied(self, sequence: int) -> None:
        request = internal_service_pb2.LookupOutcomesRequest(workspace="acme", outcomes_sequence=sequence)
        await self.internal.LookupOutcomes(request)

    async def take_due(self, messages: list[Message]) -> None:
        for message in messages:
            self.due.append(pb.DueDelivery.FromString(message.data))
            self.due_sequences.append(message.stream_seq)
        if self.acknowledging:
            ack(self.bus, messages)
        else:
            self.unacknowledged += messages

    async def released(self, count: int) -> list[pb.DueDelivery]:
        """Wait until so many were released in all."""
        await eventually(lambda: len(self.due) >= count)
        assert len(self.due) == count
        return self.due

    # --- looking and waiting

    async def rows(self, query: str, *args: Any) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.database)
        try:
            return await connection.fetch(query, *args)
        finally:
            await connection.close()

    async def value(self, query: str, *args: Any) -> Any:
        return (await self.rows(query, *args))[0][0]

    async def hold_workspace(self, workspace: str) -> asyncpg.Connection[asyncpg.Record]:
        """Keep outcomes of a workspace from being applied until the answer is closed."""
        connection = await asyncpg.connect(self.database)
        await connection.execute(queries.lock_workspaces.replace("xact_", ""), [workspace], [True])
        return connection

    def advance_stopped(self, seconds: float) -> None:
        """Move the clock while no tracker runs."""
        assert isinstance(self.clock, FakeClock)
        self.clock.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move the tracker's clock, and make it look at it."""
        assert isinstance(self.clock, FakeClock)
        assert self.app is not None
        self.clock.advance(seconds)
        self.app.look()


@asynccontextmanager
async def running(
    database: str, nats_url: str, clock: Clock | None = None, *, unanswered_after_s: float = 60.0, **changes: Any
) -> AsyncIterator[World]:
    """A started tracker, and an executor that acknowledges what is due."""
    bus = await connect(nats_url, name="test")
    world = World(database, nats_url, bus, clock or FakeClock(START), changes)
    world.unanswered_after_s = unanswered_after_s
    await world.start()
    puller = Puller(bus, "DUE", "executor", batch=100, on_batch=world.take_due)
    pulling = asyncio.create_task(puller.run())
    try:
        yield world
    finally:
        await puller.stop()
        await pulling
        await world.stop()
        await bus.close()
