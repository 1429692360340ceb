"""Workspaces with many sources and destinations, for programs that measure what one does to others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bench.system import System
from kit.auth.tokens import parse_write_key
from kit.bus.connection import Bus, connect
from kit.bus.publish import Outgoing, Publisher
from kit.ids import uuid7
from kit.rpc.client import open_channel
from onward.registry.v1 import destination_service_pb2 as destinations
from onward.registry.v1 import destination_service_pb2_grpc as destinations_rpc
from onward.registry.v1 import function_service_pb2 as functions
from onward.registry.v1 import function_service_pb2_grpc as functions_rpc
from onward.registry.v1 import operator_service_pb2 as operator
from onward.registry.v1 import operator_service_pb2_grpc as operator_rpc
from onward.registry.v1 import source_service_pb2 as sources
from onward.registry.v1 import source_service_pb2_grpc as sources_rpc
from onward.registry.v1 import workspace_service_pb2 as workspaces
from onward.registry.v1 import workspace_service_pb2_grpc as workspaces_rpc

# Calls of the registry under way while a population is made.
MADE_AT_ONCE = 8
POLL_S = 0.02
EVENT = (
    b'{"type":"track","event":"Order Completed","userId":"u-%d","messageId":"%s",'
    b'"properties":{"total":42.5,"currency":"EUR","products":[{"sku":"a-1","quantity":2}]}}'
)


@dataclass(frozen=True, slots=True)
class Source:
    """A source, and a publisher's connection for it."""

    name: str
    subject: str
    bus: Bus
    # With which its events may be published.
    key: str


class Workspace:
    """One workspace and its owner."""

    def __init__(self, system: System, name: str, channel: Any) -> None:
        self.name = name
        self.parent = f"workspaces/{name}"
        self._system = system
        self._functions: functions_rpc.FunctionServiceAsyncStub = functions_rpc.FunctionServiceStub(channel)
        self._sources: sources_rpc.SourceServiceAsyncStub = sources_rpc.SourceServiceStub(channel)
        self._destinations: destinations_rpc.DestinationServiceAsyncStub = destinations_rpc.DestinationServiceStub(
            channel
        )
        self._buses: list[Bus] = []

    async def function(self, name: str, code: str, timeout_ms: int = 0) -> None:
        parent, full = self.parent, f"{self.parent}/functions/{name}"
        await self._functions.CreateFunction(
            functions.CreateFunctionRequest(parent=parent, function_id=name, display_name=name)
        )
        await self._functions.SaveFunction(functions.SaveFunctionRequest(name=full, code=code, timeout_ms=timeout_ms))

    async def source(self, name: str) -> Source:
        full = f"{self.parent}/sources/{name}"
        await self._sources.CreateSource(
            sources.CreateSourceRequest(parent=self.parent, source_id=name, display_name=name)
        )
        key = (await self._sources.CreateWriteKey(sources.CreateWriteKeyRequest(parent=full))).secret
        bus = await connect(self._system.client["nats_url"], parse_write_key(key).id, key, name="bench")
        self._buses.append(bus)
        return Source(name, f"events.{self.name}.{name}", bus, key)

    async def destination(self, name: str, function: str, source: str) -> None:
        request = destinations.ConnectDestinationRequest(
            source=f"{self.parent}/sources/{source}",
            function=f"{self.parent}/functions/{function}",
            destination_id=name,
            display_name=name,
        )
        await self._destinations.ConnectDestination(request)
        await self._destinations.EnableDestination(
            destinations.EnableDestinationRequest(name=f"{self.parent}/destinations/{name}")
        )

    async def disconnect(self, name: str) -> None:
        request = destinations.DisconnectDestinationRequest(name=f"{self.parent}/destinations/{name}")
        await self._destinations.DisconnectDestination(request)

    async def close(self) -> None:
        for bus in self._buses:
            await bus.close()


@asynccontextmanager
async def workspace(system: System, name: str) -> AsyncIterator[Workspace]:
    """A new workspace, whose functions may call loopback."""
    address, credentials = system.client["addresses"]["registry"], system.credentials()
    async with open_channel(address, system.client["operator_token"], credentials=credentials) as channel:
        stub: workspaces_rpc.WorkspaceServiceAsyncStub = workspaces_rpc.WorkspaceServiceStub(channel)
        made = await stub.CreateWorkspace(workspaces.CreateWorkspaceRequest(workspace_id=name, display_name=name))
        rights: operator_rpc.OperatorServiceAsyncStub = operator_rpc.OperatorServiceStub(channel)
        await rights.AllowEgressRange(
            operator.AllowEgressRangeRequest(name=f"workspaces/{name}", range="127.0.0.0/8", request_id=uuid7())
        )
    async with open_channel(address, made.owner_token, credentials=credentials) as channel:
        one = Workspace(system, name, channel)
        try:
            yield one
        finally:
            await one.close()


async def together(calls: Sequence[Any]) -> list[Any]:
    """Await many calls, MADE_AT_ONCE at a time; answers in their order."""
    limit = asyncio.Semaphore(MADE_AT_ONCE)

    async def limited(call: Any) -> Any:
        async with limit:
            return await call

    return await asyncio.gather(*map(limited, calls))


def outgoing(source: Source, count: int) -> list[Outgoing]:
    """So many events of a source, each with a messageId of its own."""
    made = []
    for number in range(count):
        message_id = uuid7()
        made.append(Outgoing(source.subject, EVENT % (number, message_id.encode()), f"{source.name}:{message_id}"))
    return made


async def publish_all(shares: Sequence[tuple[Source, int]], batch: int = 500) -> None:
    """Make and publish each source's events, a batch of one after a batch of another."""
    await publish_made([(source.bus, outgoing(source, count)) for source, count in shares], batch)


async def publish_made(shares: Sequence[tuple[Bus, list[Outgoing]]], batch: int = 500) -> None:
    """As `publish_all`, of events that were made before."""
    publishers = [(Publisher(bus), events) for bus, events in shares]
    for start in range(0, max((len(events) for _, events in publishers), default=0), batch):
        parts = [(publisher, events[start : start + batch]) for publisher, events in publishers]
        await together([publisher.publish_many(part) for publisher, part in parts if part])


async def publish_steadily(sources_: Sequence[Source], per_s: float, seconds: float) -> None:
    """Publish one event after the other at a fixed rate, in turn to each source."""
    publishers = [Publisher(source.bus) for source in sources_]
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(round(per_s * seconds)):
            which = number % len(publishers)
            (event,) = outgoing(sources_[which], 1)
            group.create_task(publishers[which].publish(event.subject, event.data, event.msg_id))
            await asyncio.sleep(max(0.0, began + (number + 1) / per_s - time.perf_counter()))


async def ended(system: System, workspace_name: str, names: Sequence[str]) -> int:
    """Deliveries of these destinations that ended, as Postgres has them."""
    connection = await system.database()
    try:
        query = "SELECT coalesce(sum(count), 0) FROM rollups WHERE workspace = $1 AND destination = ANY($2)"
        return int(await connection.fetchval(query, workspace_name, list(names)))
    finally:
        await connection.close()


async def until_ended(system: System, workspace_name: str, names: Sequence[str], count: int, timeout_s: float) -> None:
    async with asyncio.timeout(timeout_s):
        while await ended(system, workspace_name, names) < count:
            await asyncio.sleep(POLL_S)


async def latency_ms(system: System, workspace_name: str, names: Sequence[str], since_us: int, share: float) -> float:
    """A percentile of the time from an event's receipt to its delivery's end, of events received since then."""
    connection = await system.database()
    try:
        query = """
            SELECT percentile_disc($4) WITHIN GROUP (ORDER BY ended_at_us - received_at_us) FROM attempts
            WHERE workspace = $1 AND destination = ANY($2) AND received_at_us >= $3 AND terminal
        """
        return float(await connection.fetchval(query, workspace_name, list(names), since_us, share)) / 1000
    finally:
        await connection.close()
