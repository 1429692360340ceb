"""Schedules and limits of destinations, as a running tracker keeps to them; the test owns the clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from kit.clock import FakeClock
from kit.eventstore.facts import NewFact
from kit.testing.eventually import eventually
from onward.delivery.v1 import delivery_service_pb2 as dpb
from onward.executor.v1 import outcomes_pb2 as pb
from onward.registry.v1 import facts_pb2 as facts
from onward.registry.v1.resources_pb2 import DeliveryPolicy, RetrySchedule
from tests.integration.delivery_world import World, attempt, batch, running
from tests.integration.test_delivery_ends import Log, a_log

pytestmark = pytest.mark.integration

CRM = "workspaces/acme/destinations/crm"


class Partner:
    """A tracker that knows a destination's policy, and the executor that reports of it."""

    def __init__(self, world: World, log: Log) -> None:
        self.world = world
        self.log = log
        self._marks = 1_000_000

    async def policy(self, policy: DeliveryPolicy) -> None:
        """Change the policy; returns when the tracker keeps to it."""
        fact = facts.DeliveryPolicyUpdated(destination="crm", policy=policy)
        await self.log.record(NewFact("destinations/crm", fact))
        heads = dict(await self.log.store.workspaces())

        async def followed() -> bool:
            query = "SELECT position FROM consumer_positions WHERE consumer = 'delivery' AND workspace = 'acme'"
            rows = await self.world.rows(query)
            return bool(rows) and rows[0]["position"] == heads["acme"]

        await eventually(followed)

    async def fail(self, *sequences: int) -> None:
        await self.world.report(batch(*(attempt(one, result=pb.RESULT_RETRYABLE) for one in sequences)))

    async def again(self, one: pb.DueDelivery, result: int = pb.RESULT_RETRYABLE) -> None:
        """Report of what was released."""
        fields = {"received_at_us": one.received_at_us, "retries_used": one.retries_used}
        await self.world.report(batch(attempt(one.stream_sequence, one.attempt, result, **fields)))

    async def hold(self, first: int, last: int, reason: str = "rate_limit") -> None:
        """Report events that an executor left to the tracker."""
        held = [attempt(one, result=pb.RESULT_DEFERRED, reason=reason) for one in range(first, last + 1)]
        await self.world.report(batch(*held))

    async def released(self, count: int) -> list[pb.DueDelivery]:
        """Wait until so many were released, and the releaser has looked once more."""
        found = [one for one in self.world.due if one.destination == "crm"]
        self._marks += 1
        mark = self._marks
        await self.world.report(
            batch(attempt(mark, result=pb.RESULT_DEFERRED, reason="breaker_open"), destination="marker")
        )
        await eventually(lambda: any(one.stream_sequence == mark for one in self.world.due))
        await eventually(lambda: len([one for one in self.world.due if one.destination == "crm"]) >= count)
        found = [one for one in self.world.due if one.destination == "crm"]
        assert len(found) == count
        return found

    async def state(self, sequence: int) -> dpb.Delivery:
        request = dpb.ListDeliveriesRequest(parent=CRM, message_id=f"m{sequence}")
        answer: dpb.ListDeliveriesResponse = await self.world.viewer.ListDeliveries(request)
        (found,) = answer.deliveries
        return found


@asynccontextmanager
async def a_partner(database: str, nats_url: str) -> AsyncIterator[Partner]:
    async with a_log() as (log, address), running(database, nats_url, registry_address=address) as world:
        yield Partner(world, log)


@pytest.fixture
async def crm(database: str, nats_url: str) -> AsyncIterator[Partner]:
    async with a_partner(database, nats_url) as made:
        yield made


def retries(*offsets_s: int) -> DeliveryPolicy:
    return DeliveryPolicy(retries=RetrySchedule(offsets_s=offsets_s))


async def test_a_destination_is_retried_by_its_own_schedule_and_then_exhausted(crm: Partner) -> None:
    """A12, A15."""
    await crm.policy(retries(30, 90))
    await crm.fail(1)
    crm.world.advance(20)
    await crm.released(0)
    crm.world.advance(20)
    (first,) = await crm.released(1)
    await crm.again(first)
    crm.world.advance(60)
    _, second = await crm.released(2)
    assert (second.attempt, second.retries_used) == (3, 2)
    await crm.again(second)
    found = await crm.state(1)
    assert (found.state, found.reason, found.attempts) == (dpb.DELIVERY_STATE_FAILED, "exhausted", 3)


async def test_no_retries_at_all_means_one_attempt(crm: Partner) -> None:
    await crm.policy(retries())
    await crm.fail(1)
    found = await crm.state(1)
    assert (found.state, found.reason, found.attempts) == (dpb.DELIVERY_STATE_FAILED, "exhausted", 1)


async def test_a_policy_that_changes_while_retries_wait_counts_from_the_next_decision_on(crm: Partner) -> None:
    await crm.fail(1, 2)
    await crm.policy(retries(5))
    crm.world.advance(11)
    first, second = await crm.released(2)
    await crm.again(first)
    assert (await crm.state(first.stream_sequence)).reason == "exhausted"
    await crm.policy(DeliveryPolicy())
    await crm.again(second)
    assert (await crm.state(second.stream_sequence)).state == dpb.DELIVERY_STATE_PENDING


async def test_a_retry_after_is_honoured_within_the_horizon(crm: Partner) -> None:
    await crm.policy(retries(10, 100))
    await crm.world.report(batch(attempt(1, result=pb.RESULT_RETRYABLE, retry_after_ms=60_000)))
    await crm.world.report(batch(attempt(2, result=pb.RESULT_RETRYABLE, retry_after_ms=3_600_000)))
    crm.world.advance(59)
    await crm.released(0)
    crm.world.advance(1)
    assert [one.stream_sequence for one in await crm.released(1)] == [1]
    # Not in an hour, when nothing may be retried any more.
    crm.world.advance(40)
    assert [one.stream_sequence for one in await crm.released(2)] == [1, 2]


async def test_retries_and_events_alike_go_at_the_rate_of_the_policy(crm: Partner) -> None:
    await crm.policy(DeliveryPolicy(max_per_second=2))
    await crm.fail(*range(1, 5))
    await crm.hold(5, 8)
    crm.world.advance(30)
    await crm.released(1)
    for count in range(2, 9):
        crm.world.advance(0.5)
        await crm.released(count)


async def test_what_waits_for_its_turn_says_so(crm: Partner) -> None:
    await crm.policy(DeliveryPolicy(max_per_second=2))
    await crm.hold(1, 3)
    await crm.released(0)
    assert {(await crm.state(one)).reason for one in (1, 2, 3)} == {"rate_limit"}
    await crm.policy(DeliveryPolicy(max_in_flight=1))
    await crm.released(1)
    assert [(await crm.state(one)).reason for one in (1, 2, 3)] == ["", "concurrency_limit", "concurrency_limit"]


async def test_only_so_many_are_out_as_the_policy_allows(crm: Partner) -> None:
    await crm.policy(DeliveryPolicy(max_in_flight=3))
    await crm.hold(1, 10, "concurrency_limit")
    released = await crm.released(3)
    await crm.again(released[0], pb.RESULT_DELIVERED)
    released = await crm.released(4)
    await crm.world.stop()
    await crm.world.start()
    await crm.released(4)


async def test_a_limit_that_the_tracker_has_not_heard_of_yet_holds_nevertheless(crm: Partner) -> None:
    """The executor hears of a policy at once; what it leaves to the tracker must not go out in one heap until then."""
    await crm.hold(1, 50)
    await crm.released(0)
    await crm.policy(DeliveryPolicy(max_per_second=1))
    crm.world.advance(6)
    await crm.released(1)


async def test_what_waits_for_its_turn_beyond_its_horizon_ends(crm: Partner) -> None:
    """A16."""
    await crm.policy(DeliveryPolicy(max_per_second=0.01, retries=RetrySchedule(offsets_s=[10, 300])))
    await crm.fail(*range(1, 8))
    crm.world.advance(20)
    await crm.released(0)
    crm.world.advance(300)
    query = "SELECT count(*) FROM attempts WHERE terminal AND reason = 'exhausted' AND result = $1"
    await eventually(lambda: exhausted(crm, query, 6))


async def test_a_last_retry_that_is_due_at_the_horizon_itself_is_made(crm: Partner) -> None:
    """A16: nothing ends for being held back that was not."""
    await crm.policy(DeliveryPolicy(max_in_flight=10, retries=RetrySchedule(offsets_s=[300])))
    await crm.world.report(batch(attempt(1, result=pb.RESULT_RETRYABLE, retry_after_ms=300_000)))
    assert await crm.world.value("SELECT due_at_us = first_ended_at_us + 300000000 FROM due")
    # Of what is due, and what is past its horizon, is looked in one round.
    crm.world.advance(301)
    (last,) = await crm.released(1)
    assert (last.attempt, last.retries_used) == (2, 1)


async def exhausted(crm: Partner, query: str, least: int) -> bool:
    return bool(await crm.world.value(query, pb.RESULT_DEFERRED) >= least)


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_clock_that_jumps_neither_storms_nor_waits(crm: Partner, hours: int) -> None:
    """A23: what is due in ten seconds goes in about ten, whatever the machine's clock says meanwhile."""
    await crm.fail(1, 2, 3)
    clock = crm.world.clock
    assert isinstance(clock, FakeClock)
    clock.set_now(clock.now() + timedelta(hours=hours))
    crm.world.advance(8)
    await crm.released(0)
    crm.world.advance(4)
    await crm.released(3)


async def test_policies_are_known_again_when_the_tracker_starts_with_nothing_followed(
    database: str, nats_url: str
) -> None:
    async with a_log() as (log, address):
        policy = facts.DeliveryPolicyUpdated(destination="crm", policy=DeliveryPolicy(max_in_flight=1))
        await log.record(NewFact("destinations/crm", policy))
        async with running(database, nats_url, registry_address=address) as world:
            crm = Partner(world, log)
            await eventually(lambda: world.value("SELECT count(*) = 1 FROM delivery_policies"))
            await crm.hold(1, 5, "concurrency_limit")
            await crm.released(1)
            await log.record(NewFact("destinations/crm", facts.DestinationDisconnected(destination="crm")))
            await eventually(lambda: world.value("SELECT count(*) = 0 FROM delivery_policies"))
            await crm.released(5)
