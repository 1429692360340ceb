"""Which executors know of a deployment: a real registry, real executors, the same Postgres and NATS."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest
from pydantic import SecretStr

from kit.bus.acks import ack
from kit.bus.connection import connect as connect_bus
from kit.bus.message import Message
from kit.bus.publish import Publisher
from kit.bus.puller import Puller
from kit.bus.streams import OUTCOMES, provision
from kit.clock import SystemClock
from kit.embedded.nats import EmbeddedNats
from kit.embedded.postgres import EmbeddedPostgres
from kit.errors import NotFound
from kit.testing.eventually import eventually
from onward.delivery.v1 import delivery_service_pb2 as tracker_pb
from onward.executor.v1 import outcomes_pb2 as pb
from onward.registry.v1 import destination_service_pb2 as dpb
from onward.registry.v1 import function_service_pb2 as fpb
from onward.registry.v1 import internal_service_pb2 as ipb
from onward.registry.v1 import resources_pb2
from services.executor.app import App, build
from services.executor.settings import Settings
from tests.integration.delivery_world import World as Tracker
from tests.integration.registry_world import (
    KEY,
    SERVICE_TOKEN,
    Stubs,
    World,
    a_function,
    a_source,
    connect,
    running,
    save,
)

pytestmark = pytest.mark.integration

CRM = fpb.GetDeploymentRequest(name="workspaces/acme/functions/crm")
EVERYWHERE = fpb.DeploymentTarget(all=True)
BUSY = "async function onTrack() { const e = new Error('busy'); e.status = 503; throw e }"


@asynccontextmanager
async def an_executor(
    world: World, nats: EmbeddedNats, nats_url: str, delivery_address: str = "127.0.0.1:1"
) -> AsyncIterator[App]:
    """An executor of this registry. Mostly there is no tracker: fresh events need none."""
    app = await build(
        Settings(
            nats_url=nats_url,
            nats_monitoring_url=nats.monitor_url,
            registry_address=world.app.address,
            delivery_address=delivery_address,
            service_token=SecretStr(SERVICE_TOKEN),
            key_encryption_key=SecretStr(KEY),
            drain_seconds=5,
        )
    )
    await app.start()
    work = asyncio.ensure_future(app.run())
    try:
        yield app
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await app.stop()


async def a_destination(world: World) -> Stubs:
    owner = await world.workspace()
    await a_function(owner, [])
    await a_source(owner)
    await connect(owner, "crm-eu")
    await owner.destinations.EnableDestination(dpb.EnableDestinationRequest(name="workspaces/acme/destinations/crm-eu"))
    return owner


async def all_current(owner: Stubs, count: int) -> fpb.GetDeploymentResponse:
    """Wait until so many executors have applied the last change."""

    async def answered() -> fpb.GetDeploymentResponse | None:
        answer: fpb.GetDeploymentResponse = await owner.functions.GetDeployment(CRM)
        return answer if [one.current for one in answer.executors] == [True] * count else None

    found = await eventually(answered)
    assert found is not None
    return found


async def test_a_deployment_is_seen_to_reach_every_executor(
    database: str, nats_url: str, nats_server: EmbeddedNats
) -> None:
    async with running(database, nats_url) as world, an_executor(world, nats_server, nats_url):
        owner = await a_destination(world)
        saved = await save(owner, [], deploy_to=EVERYWHERE)
        answer = await all_current(owner, 1)
        assert [(one.destination, one.version, one.enabled) for one in answer.destinations] == [
            ("workspaces/acme/destinations/crm-eu", saved.version.number, True)
        ]
        assert answer.executors[0].position >= saved.position
        assert answer.position >= saved.position
        async with an_executor(world, nats_server, nats_url):
            assert len({one.executor for one in (await all_current(owner, 2)).executors}) == 2
        # One that stops says so.
        await all_current(owner, 1)


async def test_an_executor_that_has_not_applied_the_last_change_is_not_current(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        owner = await a_destination(world)
        deployed = await save(owner, [], deploy_to=EVERYWHERE)

        async def report(position: int) -> bool:
            request = ipb.ReportExecutorRequest(executor="one", positions={"acme": position}, complete=True)
            await world.service.internal.ReportExecutor(request)
            (one,) = (await owner.functions.GetDeployment(CRM)).executors
            assert one.position == position
            return bool(one.current)

        assert not await report(deployed.position - 1)
        assert await report(deployed.position)
        # Other people's changes do not concern it; a filter, a new address range and its own switch do.
        await a_source(owner, "other")
        assert await report(deployed.position)
        disable = dpb.DisableDestinationRequest(name="workspaces/acme/destinations/crm-eu")
        disabled = await owner.destinations.DisableDestination(disable)
        assert not await report(deployed.position)
        assert await report(disabled.position)


async def test_an_executor_that_is_silent_is_forgotten_and_reports_all_of_it_anew(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        owner = await a_destination(world)

        async def report(executor: str, *, complete: bool = False, leaving: bool = False) -> bool:
            request = ipb.ReportExecutorRequest(
                executor=executor, positions={"acme": 1}, complete=complete, leaving=leaving
            )
            return bool((await world.service.internal.ReportExecutor(request)).want_complete)

        async def known() -> list[str]:
            return [one.executor for one in (await owner.functions.GetDeployment(CRM)).executors]

        assert await report("one")
        assert await known() == []
        assert not await report("one", complete=True)
        assert not await report("one")
        assert not await report("two", complete=True)
        assert await known() == ["one", "two"]
        await world.rows("UPDATE executors SET seen_at = seen_at - interval '16 seconds' WHERE executor = 'one'")
        assert await known() == ["two"]
        assert not await report("two")
        assert await report("one")
        assert not await report("two", leaving=True)
        assert await known() == []


async def test_who_asks_for_a_function_that_is_not_there_is_told(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        owner = await world.workspace()
        with pytest.raises(NotFound):
            await owner.functions.GetDeployment(CRM)


async def test_a_policy_that_was_changed_judges_the_next_attempt(
    database: str, nats_url: str, nats_server: EmbeddedNats
) -> None:
    seen: list[pb.Attempt] = []
    bus = await connect_bus(nats_url, name="test")
    await provision(bus, [OUTCOMES])

    def on_outcomes(messages: list[Message]) -> None:
        for message in messages:
            for group in pb.OutcomeBatch.FromString(message.data).destinations:
                seen.extend(group.attempts)
        ack(bus, messages)

    puller = Puller(bus, "OUTCOMES", "delivery", batch=64, on_batch=on_outcomes)
    async with running(database, nats_url) as world, asyncio.TaskGroup() as group:
        group.create_task(puller.run())
        async with an_executor(world, nats_server, nats_url):
            owner = await a_destination(world)
            await save(owner, [], code=BUSY, deploy_to=EVERYWHERE)

            async def publish(message_id: str) -> None:
                event = {"type": "track", "event": "Order", "userId": "u", "messageId": message_id}
                await Publisher(bus).publish("events.acme.web", orjson.dumps(event))

            await publish("m1")
            await eventually(lambda: [one.result for one in seen] == [pb.RESULT_RETRYABLE])
            policy = resources_pb2.DeliveryPolicy(retry_only_explicit=True)
            name = "workspaces/acme/destinations/crm-eu"
            request = dpb.UpdateDeliveryPolicyRequest(name=name, policy=policy)
            await owner.destinations.UpdateDeliveryPolicy(request)
            await publish("m2")
            await eventually(lambda: [one.result for one in seen[1:]] == [pb.RESULT_FAILED])
        await puller.stop()
    await bus.close()


@pytest.fixture
async def tracker_database(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    """The registry and the tracker never share one."""
    name = f"test_{uuid.uuid4().hex}"
    await postgres_server.create_database(name)
    try:
        yield postgres_server.dsn(name)
    finally:
        await postgres_server.drop_database(name)


@asynccontextmanager
async def a_tracker(world: World, database: str, nats_url: str) -> AsyncIterator[Tracker]:
    """A tracker of this registry, whose deliveries `viewer` sees."""
    bus = await connect_bus(nats_url, name="test")
    changes = {"registry_address": world.app.address, "service_token": SERVICE_TOKEN}
    tracker = Tracker(database, nats_url, bus, SystemClock(), changes)
    await tracker.start()
    try:
        yield tracker
    finally:
        await tracker.stop()
        await bus.close()


async def test_what_is_pending_for_a_deleted_function_ends_soon_and_says_why(
    database: str, tracker_database: str, nats_url: str, nats_server: EmbeddedNats
) -> None:
    """Fault A25."""
    async with (
        running(database, nats_url) as world,
        a_tracker(world, tracker_database, nats_url) as tracker,
        an_executor(world, nats_server, nats_url, tracker.address),
    ):
        owner = await a_destination(world)
        await save(owner, [], code=BUSY, deploy_to=EVERYWHERE)
        event = {"type": "track", "event": "Order", "userId": "u", "messageId": "m1"}
        await tracker.publisher.publish("events.acme.web", orjson.dumps(event))

        async def found(state: tracker_pb.DeliveryState.ValueType) -> list[tracker_pb.Delivery]:
            request = tracker_pb.ListDeliveriesRequest(parent="workspaces/acme", state=state)
            return list((await tracker.viewer.ListDeliveries(request)).deliveries)

        assert await eventually(lambda: found(tracker_pb.DELIVERY_STATE_PENDING))
        await owner.functions.DeleteFunction(fpb.DeleteFunctionRequest(name=CRM.name, disconnect=True))
        (ended,) = await eventually(lambda: found(tracker_pb.DELIVERY_STATE_CANCELLED))
        assert (ended.reason, ended.attempts) == ("function_deleted", 2)
