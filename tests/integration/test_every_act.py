"""Every call of the tracker that changes something leaves its facts, and each fact one record that names who did it."""

from __future__ import annotations

import base64
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from google.protobuf.descriptor import FileDescriptor

from kit.bus.streams import events_stream, provision
from kit.embedded.postgres import EmbeddedPostgres
from kit.eventstore.facts import fact_types
from kit.rpc.access import declared_access
from kit.testing.eventually import eventually
from onward.audit.v1 import audit_service_pb2 as apb
from onward.common.v1 import access_pb2
from onward.delivery.v1 import acts_pb2 as pb
from onward.delivery.v1 import alerts_pb2, breakers_pb2, delivery_service_pb2, facts_pb2, replay_service_pb2
from onward.executor.v1 import outcomes_pb2
from services.delivery.domain.identity import delivery_id
from tests.integration import audit_world, delivery_world
from tests.integration.delivery_world import World, attempt, batch

pytestmark = pytest.mark.integration

ACME = "workspaces/acme"
KEY = base64.b64encode(b"w" * 32).decode()
FILES: list[FileDescriptor] = [delivery_service_pb2.DESCRIPTOR, replay_service_pb2.DESCRIPTOR]
# Facts that nobody asks for.
BY_ITSELF = {
    "BreakerOpened",
    "BreakerClosed",
    "DestinationBecameUnhealthy",
    "DestinationBecameHealthy",
    "AlertRaised",
    "AlertUndelivered",
    "ReplayFinished",
}


@dataclass(frozen=True)
class Step:
    """A call, and the types of the facts that it leaves, in order."""

    call: str
    request: Callable[[World], Awaitable[Any]]
    facts: tuple[str, ...]


async def waiting(world: World, sequence: int) -> str:
    """The name of a delivery that waits."""
    failed = attempt(sequence, result=outcomes_pb2.RESULT_RETRYABLE, detail=outcomes_pb2.AttemptDetail(event=b"{}"))
    await world.report(batch(failed))
    return f"{ACME}/deliveries/{delivery_id(sequence, 0, 'crm')}"


async def retry(world: World) -> pb.RetryDeliveryRequest:
    return pb.RetryDeliveryRequest(name=await waiting(world, 1))


async def cancel(world: World) -> pb.CancelDeliveryRequest:
    return pb.CancelDeliveryRequest(name=await waiting(world, 2))


async def reset(world: World) -> breakers_pb2.ResetBreakerRequest:
    failed = [attempt(number, result=outcomes_pb2.RESULT_RETRYABLE) for number in range(10, 40)]
    await world.report(batch(*failed, destination="broken"))
    world.advance(1)
    return breakers_pb2.ResetBreakerRequest(name=f"{ACME}/destinations/broken")


async def subscribe(world: World) -> alerts_pb2.CreateSubscriptionRequest:
    wanted = alerts_pb2.Subscription(url="https://hooks.example.com/a", kinds=[alerts_pb2.ALERT_KIND_UNHEALTHY])
    return alerts_pb2.CreateSubscriptionRequest(parent=ACME, subscription=wanted)


async def unsubscribe(world: World) -> alerts_pb2.DeleteSubscriptionRequest:
    listed = await world.viewer.ListSubscriptions(alerts_pb2.ListSubscriptionsRequest(parent=ACME))
    return alerts_pb2.DeleteSubscriptionRequest(name=listed.subscriptions[0].name)


async def connected(world: World) -> str:
    """A destination that may be replayed to, with an event of its source."""
    await provision(world.bus, [events_stream("acme")])
    await world.rows(
        "INSERT INTO connections (workspace, destination, source, function, enabled, disabled_at_us)"
        " VALUES ('acme', 'crm', 'web', 'to-crm', true, 0) ON CONFLICT DO NOTHING"
    )
    return f"{ACME}/destinations/crm"


async def replay(world: World) -> replay_service_pb2.CreateReplayRequest:
    return replay_service_pb2.CreateReplayRequest(destination=await connected(world))


async def redrive(world: World) -> replay_service_pb2.RedriveDeliveriesRequest:
    failed = [attempt(number, result=outcomes_pb2.RESULT_FAILED) for number in range(50, 70)]
    await world.report(batch(*failed))
    return replay_service_pb2.RedriveDeliveriesRequest(destination=await connected(world), rate_per_second=1)


async def cancel_replay(world: World) -> replay_service_pb2.CancelReplayRequest:
    return replay_service_pb2.CancelReplayRequest(name=f"{ACME}/replays/r2")


# In an order in which each can be done.
STEPS: tuple[Step, ...] = (
    Step("RetryDelivery", retry, ("DeliveryRetried",)),
    Step("CancelDelivery", cancel, ("DeliveryCancelled",)),
    Step("ResetBreaker", reset, ("BreakerReset",)),
    Step("CreateSubscription", subscribe, ("SubscriptionCreated",)),
    Step("DeleteSubscription", unsubscribe, ("SubscriptionDeleted",)),
    Step("CreateReplay", replay, ("ReplayCreated",)),
    Step("RedriveDeliveries", redrive, ("ReplayCreated",)),
    Step("CancelReplay", cancel_replay, ("ReplayCancelled",)),
)


def changing() -> Iterator[str]:
    """The names of all calls that change something and are not between services."""
    for file in FILES:
        for service in file.services_by_name.values():
            for method in service.methods:
                access = declared_access(method)
                if not access.read_only and access.permission != access_pb2.PERMISSION_SERVICE:
                    yield method.name


def test_every_call_that_changes_something_is_tried_here() -> None:
    """D1: whoever adds one says which facts it leaves."""
    assert {step.call for step in STEPS} == set(changing())


def test_every_type_of_fact_is_left_by_one_of_them() -> None:
    """D1."""
    assert {one for step in STEPS for one in step.facts} | BY_ITSELF == set(fact_types(facts_pb2))


@asynccontextmanager
async def trail_of(world: World, postgres_server: EmbeddedPostgres, nats_url: str) -> AsyncIterator[audit_world.World]:
    """The audit service, following the tracker and a registry in which nothing happened."""
    name = f"test_{uuid.uuid4().hex}"
    await postgres_server.create_database(name, template="template0")
    try:
        async with (
            audit_world.owning(nats_url) as owner,
            audit_world.running(
                postgres_server.dsn(name), nats_url, owner.address, delivery_address=world.address
            ) as audit,
        ):
            yield audit
    finally:
        await postgres_server.drop_database(name)


async def test_each_act_leaves_its_facts_and_each_fact_one_record_with_who_did_it(
    database: str, postgres_server: EmbeddedPostgres, nats_url: str
) -> None:
    """D1."""
    async with (
        delivery_world.running(database, nats_url, webhook_signing_key=KEY) as world,
        trail_of(world, postgres_server, nats_url) as audit,
    ):
        for number, step in enumerate(STEPS):
            request = await step.request(world)
            request.request_id = f"r{number}"
            stub = world.viewer if hasattr(world.viewer, step.call) else world.replays
            await getattr(stub, step.call)(request)
        expected = [(fact, f"r{number}") for number, step in enumerate(STEPS) for fact in step.facts]

        async def complete() -> list[apb.AuditEvent]:
            events = [one for one in await audit.events() if one.action not in BY_ITSELF]
            return events if len(events) >= len(expected) else []

        events = await eventually(complete)
        assert [(one.action, one.request_id) for one in events] == expected
        assert {(one.service, one.principal) for one in events} == {("delivery", "token:viewer")}
        assert [one.action for one in events if not one.changes] == []
