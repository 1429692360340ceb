"""A running audit service with real Postgres and NATS, and a registry whose log is in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kit.auth.caller import Caller
from kit.auth.demand import Demand
from kit.auth.denials import Refusal
from kit.auth.gate import Gate
from kit.bus.connection import Bus
from kit.bus.connection import connect as connect_bus
from kit.bus.publish import Publisher
from kit.errors import InvalidToken, NotFound, OnwardError, PermissionDenied
from kit.eventstore import envelope
from kit.eventstore.facts import Fact, Meta, NewFact
from kit.eventstore.memory import MemoryEventStore
from kit.rpc.client import open_channel
from kit.rpc.server import RpcServer
from kit.testing.eventually import eventually
from kit.testing.tracker_log import a_tracker_log
from onward.audit.v1 import audit_service_pb2 as pb
from onward.audit.v1 import audit_service_pb2_grpc
from onward.common.v1 import access_pb2
from onward.registry.v1.internal_service_pb2_grpc import add_InternalServiceServicer_to_server
from services.audit.app import AuditApp, build
from services.audit.settings import Settings
from services.registry.rpc.internal import InternalServicer

SERVICE_TOKEN = "service-token-for-tests"
ACME_TOKEN = "onw_acme_0123456789abcdef"
OTHER_TOKEN = "onw_other_0123456789abcdef"
OPERATOR_TOKEN = "onw_operator_0123456789abcdef"
TOKENS = {ACME_TOKEN: "acme", OTHER_TOKEN: "other"}
META = Meta("token:a", "r1", "c1", "k1", "00-" + "a" * 32 + "-" + "b" * 16 + "-01", commitments={"z": "1", "a": "2"})
# Longer than any test: what it would heal must be healed otherwise.
NEVER_S = 600.0


class Tokens:
    """Each token opens the workspace that it is of, and the operator's what belongs to none."""

    async def authorize(self, token: str, demand: Demand) -> Caller:
        if demand.permission == access_pb2.PERMISSION_OPERATE:
            if token != OPERATOR_TOKEN:
                raise PermissionDenied("Only the operator may call this.")
            return Caller("operator", "")
        if token not in TOKENS:
            raise InvalidToken("The token is not known.")
        if demand.workspace != TOKENS[token]:
            raise NotFound(f"{demand.resource} does not exist.")
        return Caller(f"token:{TOKENS[token]}", TOKENS[token])


class Owner:
    """A registry: its log answers ReadFacts, and its facts reach the bus when a test says so."""

    def __init__(self, bus: Bus) -> None:
        self.store = MemoryEventStore()
        self.bus = bus
        self._publisher = Publisher(bus)
        self._server: RpcServer | None = None
        self.address = "127.0.0.1:0"
        self.refusals: list[Refusal] = []

    async def start(self) -> None:
        unused: Any = None  # nobody asks for what would need it
        servicer = InternalServicer(unused, self.store, Tokens(), self._record, unused)
        self._server = RpcServer(
            self.address, [(add_InternalServiceServicer_to_server, servicer)], Gate(Tokens(), SERVICE_TOKEN)
        )
        await self._server.start()
        self.address = self._server.address

    async def _record(self, service: str, refusals: Sequence[Refusal]) -> None:
        self.refusals += refusals

    async def stop(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop(0.1)

    async def append(self, *facts: NewFact, workspace: str = "acme", meta: Meta = META) -> list[Fact]:
        async with self.store.writing(workspace) as unit:
            return await unit.append(facts, meta)

    async def publish(self, facts: Sequence[Fact], msg_id: str | None = None) -> None:
        """As a relay does; without ids unless one is given, so that repetitions are not dropped."""
        for fact in facts:
            message = envelope.to_message("registry", fact)
            await self._publisher.publish(message.subject, message.data, msg_id, message.headers)

    async def happen(self, *facts: NewFact, workspace: str = "acme", meta: Meta = META) -> list[Fact]:
        """Both: the way it normally goes."""
        happened = await self.append(*facts, workspace=workspace, meta=meta)
        await self.publish(happened)
        return happened


class World:
    """An audit service and those who use it."""

    def __init__(self, app: AuditApp, database: str) -> None:
        self.app = app
        self.database = database
        self._channels: list[grpc.aio.Channel] = []

    def caller(self, token: str = ACME_TOKEN) -> Any:
        channel = open_channel(self.app.address, token)
        self._channels.append(channel)
        return audit_service_pb2_grpc.AuditServiceStub(channel)

    async def events(self, workspace: str = "acme") -> list[pb.AuditEvent]:
        """All of a workspace's events, oldest first."""
        request = pb.ListAuditEventsRequest(parent=f"workspaces/{workspace}", page_size=1000)
        token = next(token for token, opens in TOKENS.items() if opens == workspace)
        answer = await self.caller(token).ListAuditEvents(request)
        assert not answer.next_page_token
        return list(reversed(answer.audit_events))

    async def recorded(self, position: int, workspace: str = "acme") -> None:
        """Wait until the trail has the fact at a position."""

        async def reached() -> bool:
            query = "SELECT max(position) FROM audit_events WHERE workspace = $1"
            return bool((await self.rows(query, workspace))[0]["max"] == position)

        await eventually(reached)

    async def rows(self, query: str, *args: Any) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.database)
        try:
            return await connection.fetch(query, *args)
        finally:
            await connection.close()

    async def serving(self) -> bool:
        async with grpc.aio.insecure_channel(self.app.address, options=[("grpc.enable_http_proxy", 0)]) as channel:
            stub = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]  # the package ships no types
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()


def settings(database: str, nats_url: str, registry_address: str, **more: Any) -> Settings:
    """Settings as the environment would give them."""
    values: dict[str, Any] = {
        "postgres_dsn": database,
        "nats_url": nats_url,
        # Tests that are about durability name the monitoring address.
        "durability": "relaxed",
        "listen": "127.0.0.1:0",
        "registry_address": registry_address,
        "service_token": SERVICE_TOKEN,
        "drain_seconds": 2,
    }
    return Settings(**values | more)


@asynccontextmanager
async def owning(nats_url: str) -> AsyncIterator[Owner]:
    """A registry from start to stop."""
    bus = await connect_bus(nats_url, name="test-owner")
    owner = Owner(bus)
    await owner.start()
    try:
        yield owner
    finally:
        await owner.stop()
        await bus.close()


@asynccontextmanager
async def running(
    database: str,
    nats_url: str,
    registry_address: str,
    compare_interval_s: float = NEVER_S,
    *,
    ready: bool = True,
    **more: Any,
) -> AsyncIterator[World]:
    """An audit service from start to stop, ready unless that is not to be waited for; `more` are further settings."""
    async with _tracker(more.pop("delivery_address", "")) as delivery_address:
        own = settings(database, nats_url, registry_address, delivery_address=delivery_address, **more)
        app = await build(own, compare_interval_s=compare_interval_s)
        world = World(app, database)
        try:
            await app.start()
            async with asyncio.TaskGroup() as group:
                work = group.create_task(app.run())
                if ready:
                    await eventually(world.serving)
                yield world
                work.cancel()
        finally:
            await world.close()
            await app.stop()


@asynccontextmanager
async def _tracker(address: str) -> AsyncIterator[str]:
    """The address of a tracker; of one in which nothing happened where there is none."""
    if address:
        yield address
        return
    async with a_tracker_log(SERVICE_TOKEN) as log:
        yield log.address


async def refusal(call: Callable[[], Any]) -> tuple[str, str]:
    """The code and reason with which a call fails."""
    try:
        await call()
    except OnwardError as error:
        return error.code, error.reason
    raise AssertionError("it was not refused")
