"""The provisioner: every workspace in the log gets its stream, whatever the server thinks of others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from kit.bus.streams import StreamDeclaration
from kit.clock import FakeClock
from kit.errors import LimitReached, OnwardError, Unavailable
from kit.eventstore.facts import Meta, NewFact
from kit.eventstore.memory import MemoryEventStore
from onward.registry.v1 import facts_pb2
from services.registry.consumers.provisioning import REVIEW_INTERVAL_S, StreamProvisioner

WAIT_S = 5.0


class FakeServer:
    """Streams that were provisioned, in order; refuses and is away as a test says."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.errors: dict[str, OnwardError] = {}

    async def provision(self, declarations: Sequence[StreamDeclaration]) -> None:
        for declaration in declarations:
            if error := self.errors.get(declaration.name):
                raise error
            self.made.append(declaration.name)


async def a_store(*workspaces: str) -> MemoryEventStore:
    store = MemoryEventStore()
    for workspace in workspaces:
        async with store.writing(workspace) as unit:
            await unit.append([NewFact("workspace", facts_pb2.LimitsSet(functions_max=1))], Meta("test"))
    return store


@asynccontextmanager
async def running(provisioner: StreamProvisioner) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(provisioner.run())
        yield
        work.cancel()


async def test_facts_and_every_workspace_get_their_stream() -> None:
    server = FakeServer()
    provisioner = StreamProvisioner(await a_store("acme", "system", "beta"), server.provision, FakeClock())
    async with running(provisioner):
        assert await provisioner.wait_provisioned("beta", WAIT_S)
    assert server.made == ["FACTS", "EVENTS_acme", "EVENTS_beta"]


async def test_a_stream_that_is_refused_holds_up_no_other() -> None:
    server = FakeServer()
    server.errors["EVENTS_acme"] = LimitReached("no storage left")
    provisioner = StreamProvisioner(await a_store("acme", "beta"), server.provision, FakeClock())
    async with running(provisioner):
        assert await provisioner.wait_provisioned("beta", WAIT_S)
        assert not await provisioner.wait_provisioned("acme", 0)
        server.errors.clear()
        assert await provisioner.wait_provisioned("acme", WAIT_S)


async def test_a_server_that_is_away_is_tried_again() -> None:
    server = FakeServer()
    server.errors["FACTS"] = Unavailable("away")
    provisioner = StreamProvisioner(await a_store("acme"), server.provision, FakeClock())
    async with running(provisioner):
        assert not await provisioner.wait_provisioned("acme", 0)
        server.errors.clear()
        assert await provisioner.wait_provisioned("acme", WAIT_S)


async def test_what_was_provisioned_long_ago_is_looked_at_again() -> None:
    """B7."""
    server, clock = FakeServer(), FakeClock()
    store = await a_store("acme")
    provisioner = StreamProvisioner(store, server.provision, clock)
    async with running(provisioner):
        assert await provisioner.wait_provisioned("acme", WAIT_S)
        clock.advance(REVIEW_INTERVAL_S)
        async with store.writing("beta") as unit:
            await unit.append([NewFact("workspace", facts_pb2.LimitsSet(functions_max=1))], Meta("test"))
        assert await provisioner.wait_provisioned("beta", WAIT_S)
    assert server.made == ["FACTS", "EVENTS_acme", "FACTS", "EVENTS_acme", "EVENTS_beta"]
