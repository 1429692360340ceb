"""Alerts: who is told what, as facts and as signed webhooks."""

from __future__ import annotations

from typing import Any

import pytest

from kit.auth.demand import Subset
from kit.errors import InvalidArgument, LimitReached, PermissionDenied, WrongState
from kit.eventstore.facts import Fact, Meta, serialize
from kit.testing.eventually import eventually
from onward.delivery.v1 import alerts_pb2 as pb
from onward.delivery.v1 import breakers_pb2
from onward.executor.v1 import outcomes_pb2
from onward.registry.v1 import facts_pb2 as registry_facts
from tests.integration.alerts_world import (
    ACME,
    KEY,
    URL,
    alerting,
    all_announced,
    all_sent,
    is_signed,
    subscribe,
    subscriptions,
)
from tests.integration.delivery_world import START, START_US, batch, running
from tests.integration.health_world import WINDOW_US, attempts, end_window, pass_window, recorded

pytestmark = pytest.mark.integration

UNHEALTHY, HEALTHY = pb.ALERT_KIND_UNHEALTHY, pb.ALERT_KIND_HEALTHY


async def test_a_subscriber_is_told_that_a_destination_fails_and_that_it_works_again(
    database: str, nats_url: str
) -> None:
    async with alerting(database, nats_url) as (world, executor):
        made = await subscribe(world, UNHEALTHY, HEALTHY)
        for window in range(3):
            await pass_window(world, window, delivered=2, failed=10)
        for window in (3, 4):
            await pass_window(world, window, delivered=10)
        await eventually(lambda: len(executor.sent) >= 2)
        first, second = executor.bodies()
        assert (first["type"], second["type"]) == ("destination.unhealthy", "destination.healthy")
        sample = first["data"].pop("sample")
        assert first["data"] == {
            "workspace": ACME,
            "subscription": made.subscription.name,
            "destination": f"{ACME}/destinations/crm",
            "source": f"{ACME}/sources/web",
            "start_time": "2026-03-01T12:00:00Z",
            "end_time": "2026-03-01T12:15:00Z",
            "attempts": 36,
            "failures": 30,
            "success_rate": 0.1667,
            "error": {"type": "BAD_REQUEST", "message": "no such user: <email> <number>"},
        }
        assert sample.startswith(f"{ACME}/deliveries/d")
        raised = await recorded(world, "AlertRaised")
        assert [one["alert"] for one in raised] == [one.headers["webhook-id"] for one in executor.sent]


async def test_webhooks_are_signed_with_the_secret_that_was_shown_once(database: str, nats_url: str) -> None:
    async with alerting(database, nats_url) as (world, executor):
        made, other = await subscribe(world, UNHEALTHY), await subscribe(world, UNHEALTHY)
        for window in range(3):
            await pass_window(world, window, failed=10)
        await eventually(lambda: len(executor.sent) == 2)
        assert made.secret.startswith("whsec_")
        assert made.secret != other.secret
        by_name = {
            body["data"]["subscription"]: one for body, one in zip(executor.bodies(), executor.sent, strict=True)
        }
        for one in (made, other):
            sent = by_name[one.subscription.name]
            assert is_signed(one.secret, sent.headers, sent.body)
            assert not is_signed(one.secret, sent.headers, sent.body + b" ")
            assert sent.headers["webhook-timestamp"] == str((START_US + 3 * WINDOW_US) // 1_000_000 + 10)
        assert not is_signed(
            made.secret, by_name[other.subscription.name].headers, by_name[other.subscription.name].body
        )


async def test_a_repeated_request_makes_no_second_one_and_shows_no_secret(database: str, nats_url: str) -> None:
    async with alerting(database, nats_url) as (world, _):
        wanted = pb.Subscription(url=URL, kinds=[UNHEALTHY])
        request = pb.CreateSubscriptionRequest(parent=ACME, subscription=wanted, request_id="r1")
        first = await world.viewer.CreateSubscription(request)
        again = await world.viewer.CreateSubscription(request)
        assert (again.subscription, again.position, again.secret) == (first.subscription, first.position, "")
        assert [one.name for one in await subscriptions(world)] == [first.subscription.name]


async def test_neither_a_secret_nor_the_url_is_in_the_log(database: str, nats_url: str) -> None:
    async with alerting(database, nats_url) as (world, executor):
        made = await subscribe(world, UNHEALTHY)
        for window in range(3):
            await pass_window(world, window, failed=10)
        await all_sent(world)
        assert executor.sent
        everything = str([tuple(row) for row in await world.rows("SELECT data, meta FROM facts")])
        assert "https://hooks.example.com" in everything
        assert "t0ken" not in everything
        tables = [row[0] for row in await world.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        kept = "".join([str([tuple(row) for row in await world.rows(f"SELECT * FROM {one}")]) for one in tables])
        assert made.secret.removeprefix("whsec_") not in kept
        assert "ada@example.com" not in executor.sent[0].body.decode()


async def test_too_few_successes_are_told_once_until_enough_succeeded_again(database: str, nats_url: str) -> None:
    async with alerting(database, nats_url) as (world, executor):
        await subscribe(world, pb.ALERT_KIND_SUCCESS_RATE, thresholds={"success_rate_min": 0.8})
        for window, (delivered, failed) in enumerate([(9, 1), (7, 3), (5, 5), (4, 0), (9, 1), (1, 9)]):
            await pass_window(world, window, delivered=delivered, failed=failed)
        await all_sent(world)
        told = [(one["data"]["start_time"], one["data"]["success_rate"]) for one in executor.bodies()]
        assert told == [("2026-03-01T12:05:00Z", 0.7), ("2026-03-01T12:25:00Z", 0.1)]


async def test_a_volume_is_compared_with_the_window_before_and_never_with_the_first_one(
    database: str, nats_url: str
) -> None:
    async with alerting(database, nats_url) as (world, executor):
        await subscribe(world, pb.ALERT_KIND_VOLUME, thresholds={"volume_change_max": 0.5})
        # From nothing to 20 in the first window ever, and from there to 100 in the first whole one.
        for window, delivered in enumerate([0, 20, 100, 120, 50, 0]):
            await pass_window(world, window, delivered=delivered)
        await all_sent(world)
        told = [(one["data"]["count_before"], one["data"]["count"]) for one in executor.bodies()]
        assert told == [(120, 50), (50, 0)]
        assert {one["type"] for one in executor.bodies()} == {"destination.volume"}


async def test_no_volume_is_compared_across_a_jump_of_the_clock(database: str, nats_url: str) -> None:
    async with alerting(database, nats_url) as (world, executor):
        await subscribe(world, pb.ALERT_KIND_VOLUME)
        for window in range(3):
            await pass_window(world, window, delivered=50)
        await end_window(world, 40)
        for window in (41, 42, 43):
            await pass_window(world, window, delivered=50)
        await all_sent(world)
        assert executor.sent == []


async def test_windows_are_as_long_as_the_subscriber_wants(database: str, nats_url: str) -> None:
    async with alerting(database, nats_url) as (world, executor):
        await subscribe(world, pb.ALERT_KIND_SUCCESS_RATE, thresholds={"window_minutes": 15})
        for window in range(6):
            await pass_window(world, window, delivered=4, failed=4)
        await all_sent(world)
        (told,) = executor.bodies()
        assert (told["data"]["start_time"], told["data"]["end_time"]) == (
            "2026-03-01T12:00:00Z",
            "2026-03-01T12:15:00Z",
        )
        assert told["data"]["attempts"] == 24


async def test_exhausted_deliveries_and_refused_events_are_counted_and_none_is_left_out(
    database: str, nats_url: str
) -> None:
    async with alerting(database, nats_url, retry_offsets_s="10") as (world, executor):
        await subscribe(world, pb.ALERT_KIND_EXHAUSTED, pb.ALERT_KIND_INGEST_FAILURES)
        tried = attempts(0, failed=3, result=outcomes_pb2.RESULT_RETRYABLE, retries_used=1, attempt=2)
        refused = outcomes_pb2.IngestFailure(
            stream_sequence=1, source="web", reason="invalid_json", message="?", received_at_us=START_US + 1
        )
        await world.report(batch(*tried, ingest_failures=[refused]))
        await world.stop()
        world.advance_stopped(1500)
        await world.start()
        await end_window(world, 5)
        await all_sent(world)
        told = {one["type"]: one["data"] for one in executor.bodies()}
        assert told["deliveries.exhausted"]["count"] == 3
        assert told["deliveries.exhausted"]["error"]["type"] == "BAD_REQUEST"
        assert told["events.refused"]["count"] == 1
        assert told["events.refused"]["source"] == f"{ACME}/sources/web"
        assert told["events.refused"]["error"]["message"] == "invalid_json"
        assert len(executor.sent) == 2


async def test_a_subscription_hears_of_nothing_that_its_creator_may_not_see(database: str, nats_url: str) -> None:
    async with alerting(database, nats_url) as (world, executor):
        ios = world.partial_viewer(sources=Subset.of(["ios"]))
        made = await subscribe(world, UNHEALTHY, pb.ALERT_KIND_INGEST_FAILURES, viewer=ios)
        everything = await subscribe(world, UNHEALTHY)
        assert not made.subscription.all_sources
        assert made.subscription.sources == [f"{ACME}/sources/ios"]
        refused = outcomes_pb2.IngestFailure(
            stream_sequence=1, source="web", reason="invalid_json", received_at_us=START_US + 1
        )
        await world.report(batch(ingest_failures=[refused]))
        for window in range(3):
            await pass_window(world, window, failed=10)
        await all_sent(world)
        assert [one["data"]["subscription"] for one in executor.bodies()] == [everything.subscription.name]
        for window in range(3, 6):
            await pass_window(world, window, failed=10, destination="app", source="ios")
        await all_sent(world)
        told = [one["data"]["subscription"] for one in executor.bodies()[1:]]
        assert sorted(told) == sorted([made.subscription.name, everything.subscription.name])


async def test_only_those_who_see_all_that_it_covers_see_and_end_a_subscription(database: str, nats_url: str) -> None:
    async with alerting(database, nats_url) as (world, _):
        whole = await subscribe(world, UNHEALTHY)
        ios, web = (world.partial_viewer(sources=Subset.of([one])) for one in ("ios", "web"))
        # StillAuthorizer calls them all by one name, and a creator may always see what is his.
        await world.rows("UPDATE subscriptions SET creator = 'member:somebody'")
        part = await subscribe(world, UNHEALTHY, viewer=ios)
        await world.rows("UPDATE subscriptions SET creator = 'member:somebody'")
        assert await subscriptions(world, web) == []
        assert [one.name for one in await subscriptions(world, ios)] == [part.subscription.name]
        assert len(await subscriptions(world)) == 2
        for name in (whole.subscription.name, part.subscription.name, f"{ACME}/subscriptions/none"):
            with pytest.raises(PermissionDenied, match="covers more than your sources"):
                await web.DeleteSubscription(pb.DeleteSubscriptionRequest(name=name))
        await ios.DeleteSubscription(pb.DeleteSubscriptionRequest(name=part.subscription.name))
        assert [one.name for one in await subscriptions(world)] == [whole.subscription.name]
        with pytest.raises(PermissionDenied, match="not one of your sources"):
            await subscribe(world, UNHEALTHY, viewer=web, source=f"{ACME}/sources/ios")


async def test_a_subscription_may_be_for_one_destination_or_one_source(database: str, nats_url: str) -> None:
    async with alerting(database, nats_url) as (world, executor):
        one = await subscribe(world, UNHEALTHY, destination=f"{ACME}/destinations/crm")
        await subscribe(world, UNHEALTHY, destination=f"{ACME}/destinations/erp")
        await subscribe(world, UNHEALTHY, source=f"{ACME}/sources/ios")
        for window in range(3):
            await pass_window(world, window, failed=10)
        await all_sent(world)
        assert [body["data"]["subscription"] for body in executor.bodies()] == [one.subscription.name]


async def test_a_breaker_that_opens_and_one_that_is_closed_by_hand_are_told(database: str, nats_url: str) -> None:
    async with alerting(database, nats_url) as (world, executor):
        await subscribe(world, pb.ALERT_KIND_BREAKER_OPENED, pb.ALERT_KIND_BREAKER_CLOSED)
        await subscribe(world, pb.ALERT_KIND_BREAKER_OPENED, source=f"{ACME}/sources/ios")
        down: dict[str, Any] = {"result": outcomes_pb2.RESULT_RETRYABLE, "error_type": outcomes_pb2.ERROR_TYPE_RETRY}
        await world.report(batch(*attempts(0, failed=30, **down)))
        await eventually(lambda: len(executor.sent) == 1)
        await world.viewer.ResetBreaker(breakers_pb2.ResetBreakerRequest(name=f"{ACME}/destinations/crm"))
        await eventually(lambda: len(executor.sent) == 2)
        opened, closed = executor.bodies()
        assert (opened["type"], closed["type"]) == ("breaker.opened", "breaker.closed")
        assert (opened["data"]["failures"], opened["data"]["source"]) == (30, f"{ACME}/sources/web")


@pytest.mark.parametrize(
    "url",
    ["ftp://example.com/a", "https://user:word@example.com/", "/a", "https://", "https://a b.example/", "http://h:0/"],
)
async def test_what_is_no_address_of_a_receiver_is_refused(database: str, nats_url: str, url: str) -> None:
    async with alerting(database, nats_url) as (world, _):
        with pytest.raises(InvalidArgument, match=r"subscription\.url"):
            await subscribe(world, UNHEALTHY, url=url)


async def test_windows_that_are_no_multiple_of_five_minutes_are_refused(database: str, nats_url: str) -> None:
    async with alerting(database, nats_url) as (world, _):
        with pytest.raises(InvalidArgument, match="multiple of 5"):
            await subscribe(world, UNHEALTHY, thresholds={"window_minutes": 7})
        with pytest.raises(InvalidArgument, match="kinds"):
            await subscribe(world)


async def test_a_workspace_has_a_hundred_subscriptions_at_most(database: str, nats_url: str) -> None:
    async with alerting(database, nats_url) as (world, _):
        await subscribe(world, UNHEALTHY)
        await world.rows(
            "INSERT INTO subscriptions"
            " SELECT (jsonb_populate_record(s, jsonb_build_object('subscription', 's' || n))).*"
            " FROM subscriptions s, generate_series(1, 99) n"
        )
        with pytest.raises(LimitReached, match="100 subscriptions"):
            await subscribe(world, UNHEALTHY)


async def test_without_a_key_nobody_subscribes(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        with pytest.raises(WrongState, match="ONWARD_WEBHOOK_SIGNING_KEY"):
            await subscribe(world, UNHEALTHY)


async def test_each_fact_is_told_once_whenever_the_tracker_stops(database: str, nats_url: str) -> None:
    async with alerting(database, nats_url) as (world, executor):
        await subscribe(world, UNHEALTHY)
        for window in range(3):
            await pass_window(world, window, failed=10)
        await world.stop()
        await world.start()
        await all_announced(world)
        await world.stop()
        await world.start()
        await all_sent(world)
        assert len(await recorded(world, "AlertRaised")) == 1
        assert len({one.headers["webhook-id"] for one in executor.sent}) == 1
        assert KEY not in str(executor.sent)


async def test_a_subscription_ends_when_its_creator_is_no_member_any_more(database: str, nats_url: str) -> None:
    async with alerting(database, nats_url) as (world, executor):
        gone, kept = await subscribe(world, UNHEALTHY), await subscribe(world, UNHEALTHY)
        name = gone.subscription.name.rpartition("/")[2]
        await world.rows("UPDATE subscriptions SET creator = 'member:ada' WHERE subscription = $1", name)
        removed = serialize(registry_facts.MemberRemoved(member="ada"))
        fact = Fact("acme", 7, "members/ada", 2, "MemberRemoved", removed, "f1", Meta("operator"), START)
        assert world.app is not None
        assert world.app._follower is not None
        assert world.app._pool is not None
        async with world.app._pool.transaction() as connection:
            await world.app._follower._apply(connection, fact)
        world.advance(1)

        async def ended() -> bool:
            return bool(await recorded(world, "SubscriptionDeleted"))

        await eventually(ended)
        assert [one.name for one in await subscriptions(world)] == [kept.subscription.name]
        for window in range(3):
            await pass_window(world, window, failed=10)
        await all_sent(world)
        assert [one["data"]["subscription"] for one in executor.bodies()] == [kept.subscription.name]
