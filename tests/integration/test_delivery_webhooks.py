"""Webhooks on their way: receivers that are away, slow or closed, and a tracker that stops."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kit.embedded.nats import EmbeddedNats
from kit.eventstore.facts import Meta, NewFact
from kit.testing.eventually import eventually
from onward.delivery.v1 import alerts_pb2 as pb
from onward.delivery.v1 import facts_pb2 as facts
from onward.registry.v1 import facts_pb2 as registry_facts
from tests.integration import executor_world
from tests.integration.alerts_world import KEY, FakeExecutor, alerting, is_signed, subscribe, subscriptions
from tests.integration.delivery_world import World, running
from tests.integration.health_world import pass_window, recorded
from tests.integration.recording_receiver import Receiver

pytestmark = pytest.mark.integration

UNHEALTHY = pb.ALERT_KIND_UNHEALTHY
A, B = "https://a.example.com/", "https://b.example.com/"


async def raise_alert(world: World, first: int = 0, destination: str = "crm") -> None:
    """Have a destination become unhealthy."""
    for window in range(first, first + 3):
        await pass_window(world, window, failed=10, destination=destination)


async def sent(executor: FakeExecutor, url: str, count: int) -> None:
    await eventually(lambda: len([one for one in executor.sent if one.url == url]) >= count)


async def tries(world: World) -> int:
    rows = await world.rows("SELECT tries FROM webhook_due")
    return int(rows[0]["tries"]) if rows else -1


async def test_a_receiver_that_was_away_gets_the_same_webhook_later(database: str, nats_url: str) -> None:
    async with alerting(database, nats_url) as (world, executor):
        made = await subscribe(world, UNHEALTHY)
        executor.status_of = lambda _: 503
        await raise_alert(world)

        async def tried(count: int) -> None:
            async def so_often() -> bool:
                return await tries(world) == count

            await eventually(so_often)

        for count, wait_s in ((1, 5), (2, 15), (3, 60)):
            await tried(count)
            world.advance(wait_s - 2)
            assert await tries(world) == count
            world.advance(2)
        await sent(executor, executor.sent[0].url, 4)
        executor.status_of = lambda _: 204
        await tried(4)
        (shown,) = await subscriptions(world)
        assert (shown.pending, shown.last_result.http_status, shown.last_result.error) == (1, 503, "it answered 503")
        world.advance(301)
        await tried(-1)
        assert len({(one.headers["webhook-id"], one.body) for one in executor.sent}) == 1
        assert len({one.headers["webhook-timestamp"] for one in executor.sent}) == 5
        assert all(is_signed(made.secret, one.headers, one.body) for one in executor.sent)
        (shown,) = await subscriptions(world)
        assert (shown.pending, shown.last_result.http_status, shown.last_result.error) == (0, 204, "")


async def test_a_tracker_that_stops_goes_on_where_it_was(database: str, nats_url: str) -> None:
    async with alerting(database, nats_url) as (world, executor):
        await subscribe(world, UNHEALTHY)
        executor.status_of = lambda _: 0
        await raise_alert(world)
        await eventually(lambda: len(executor.sent) == 1)
        # Nobody will ever know whether the receiver had it.
        await world.stop()
        executor.status_of = lambda _: 200
        await world.start()
        await eventually(lambda: len(executor.sent) == 2)
        assert executor.sent[0].headers["webhook-id"] == executor.sent[1].headers["webhook-id"]

        async def done() -> bool:
            return await tries(world) == -1

        await eventually(done)


async def test_what_nobody_takes_for_a_day_is_given_up_for_everybody_to_see(database: str, nats_url: str) -> None:
    async with alerting(database, nats_url) as (world, executor):
        await subscribe(world, UNHEALTHY)
        executor.status_of = lambda _: 410
        await raise_alert(world)
        count = 0

        async def tried_or_gone() -> bool:
            now = await tries(world)
            return now == -1 or now > count

        for _ in range(100):
            await eventually(tried_or_gone)
            count = await tries(world)
            if count < 0:
                break
            world.advance(2200)
        (given_up,) = await recorded(world, "AlertUndelivered")
        (raised,) = await recorded(world, "AlertRaised")
        assert given_up["alert"] == raised["alert"]
        assert (given_up["httpStatus"], given_up["error"]) == (410, "it answered 410")
        assert given_up["attempts"] == len(executor.sent)
        (shown,) = await subscriptions(world)
        assert (shown.pending, shown.undelivered) == (0, 1)


async def test_a_receiver_that_hangs_holds_up_no_other_and_has_one_request_at_a_time(
    database: str, nats_url: str
) -> None:
    async with alerting(database, nats_url) as (world, executor):
        executor.status_of = lambda url: 0 if url == A else 204
        await subscribe(world, UNHEALTHY, url=A)
        await subscribe(world, UNHEALTHY, url=B)
        await raise_alert(world)
        await raise_alert(world, 3, "erp")
        await raise_alert(world, 6, "app")
        await sent(executor, B, 3)
        assert len([one for one in executor.sent if one.url == A]) == 1
        assert executor.most_at_once == {A: 1, B: 1}
        executor.status_of = lambda _: 204
        executor.hanging.set()
        world.advance(10)
        await sent(executor, A, 3)
        assert executor.most_at_once == {A: 1, B: 1}


async def test_an_executor_that_is_away_uses_up_no_try(database: str, nats_url: str) -> None:
    # Nothing listens there.
    async with running(database, nats_url, webhook_signing_key=KEY, executor_address="127.0.0.1:9") as world:
        await subscribe(world, UNHEALTHY)
        await raise_alert(world)

        async def waits() -> bool:
            return await tries(world) == 0

        await eventually(waits)
        (shown,) = await subscriptions(world)
        assert (shown.pending, shown.HasField("last_result")) == (1, False)


async def test_nothing_is_sent_to_a_subscription_that_has_ended(database: str, nats_url: str) -> None:
    async with alerting(database, nats_url) as (world, executor):
        made = await subscribe(world, UNHEALTHY)
        executor.status_of = lambda _: 500
        await raise_alert(world)
        await eventually(lambda: len(executor.sent) == 1)
        await world.viewer.DeleteSubscription(pb.DeleteSubscriptionRequest(name=made.subscription.name))
        assert await world.value("SELECT count(*) FROM webhook_due") == 0
        await raise_alert(world, 3, "erp")
        assert len(executor.sent) == 1
        assert len(await recorded(world, "AlertRaised")) == 1


@asynccontextmanager
async def real(
    database: str, nats_url: str, nats_server: EmbeddedNats
) -> AsyncIterator[tuple[World, executor_world.World, Receiver]]:
    """A tracker, an executor, and a receiver on the loopback."""
    receiver = Receiver()
    await receiver.start()
    try:
        async with executor_world.executor_world(nats_url, nats_server.monitor_url) as executors:
            assert executors.app is not None
            values: dict[str, Any] = {
                "executor_address": executors.app.address,
                "service_token": executor_world.SERVICE_TOKEN,
            }
            async with running(database, nats_url, webhook_signing_key=KEY, **values) as world:
                yield world, executors, receiver
    finally:
        await receiver.stop()


async def record_unhealthy(world: World) -> None:
    """As the tracker records it; here the executor of the test takes what outcomes there are."""
    assert world.app is not None
    store = world.app._store
    assert store is not None
    async with store.writing("acme") as unit:
        fact = facts.DestinationBecameUnhealthy(destination="crm", source="web", attempts=30, failures=30)
        await unit.append([NewFact("health/2026-03-01", fact)], Meta("service:delivery"))


async def last_result(world: World) -> pb.WebhookResult:
    async def results() -> list[pb.WebhookResult]:
        return [one.last_result for one in await subscriptions(world) if one.HasField("last_result")]

    return (await eventually(results))[0]


async def test_a_webhook_reaches_a_receiver_in_a_range_that_the_operator_opened(
    database: str, nats_url: str, nats_server: EmbeddedNats
) -> None:
    async with real(database, nats_url, nats_server) as (world, executors, receiver):
        allowed = registry_facts.EgressRangeAllowed(range="127.0.0.0/8")
        await executors.registry.record("workspace", allowed)
        made = await subscribe(world, UNHEALTHY, url=f"{receiver.url}/alerts?token=t0ken")
        await record_unhealthy(world)
        await eventually(lambda: len(receiver.requests) == 1)
        (request,) = receiver.requests
        assert (request.method, request.target) == ("POST", "/alerts?token=t0ken")
        assert is_signed(made.secret, {name.lower(): value for name, value in request.headers}, request.body)
        assert request.header("content-type") == "application/json"
        assert request.header("user-agent") == "Onward-Webhooks/1.0"
        assert (await last_result(world)).http_status == 200


async def test_a_private_address_that_nobody_opened_is_never_reached(
    database: str, nats_url: str, nats_server: EmbeddedNats
) -> None:
    async with real(database, nats_url, nats_server) as (world, executors, receiver):
        closed = registry_facts.EgressRangeDisallowed(range="127.0.0.0/8")
        await executors.registry.record("workspace", closed)
        await subscribe(world, UNHEALTHY, url=f"{receiver.url}/alerts")
        await record_unhealthy(world)
        result = await last_result(world)
        assert (result.http_status, result.error) == (0, "EGRESS_DENIED")
        assert receiver.requests == []


async def test_onwards_own_services_are_never_reached_and_redirects_not_followed(
    database: str, nats_url: str, nats_server: EmbeddedNats
) -> None:
    async with real(database, nats_url, nats_server) as (world, executors, receiver):
        await executors.registry.record("workspace", registry_facts.EgressRangeAllowed(range="127.0.0.0/8"))
        own = await subscribe(world, UNHEALTHY, url=f"http://{executors.settings.registry_address}/")
        await record_unhealthy(world)
        assert (await last_result(world)).error == "EGRESS_DENIED"
        await world.viewer.DeleteSubscription(pb.DeleteSubscriptionRequest(name=own.subscription.name))
        moved = base64.urlsafe_b64encode(
            b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{port}/elsewhere\r\ncontent-length: 0\r\n\r\n"
        ).decode()
        await subscribe(world, UNHEALTHY, url=f"{receiver.url}/reply?b={moved}")
        await record_unhealthy(world)
        result = await last_result(world)
        assert (result.http_status, result.error) == (302, "it answered 302")
        assert [one.target.partition("?")[0] for one in receiver.requests] == ["/reply"]
