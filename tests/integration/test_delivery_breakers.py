"""Breakers of a running tracker: what they hold back, what they let out, and who is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.message import Message

from kit.auth.demand import Subset
from kit.errors import PermissionDenied
from kit.eventstore.facts import NewFact
from kit.testing.eventually import eventually
from onward.delivery.v1 import breakers_pb2 as bpb
from onward.delivery.v1 import delivery_service_pb2 as dpb
from onward.executor.v1 import outcomes_pb2 as pb
from onward.registry.v1 import facts_pb2 as facts
from onward.registry.v1.resources_pb2 import DeliveryPolicy
from services.delivery.domain.breaker import ATTEMPTS_MIN, OPEN_MIN_US, PROBES_MAX
from tests.integration.delivery_world import START, World, attempt, batch, running
from tests.integration.test_delivery_ends import a_log

pytestmark = pytest.mark.integration

CRM = "workspaces/acme/destinations/crm"
HORIZON_S = 4 * 3600
OPEN_MIN_S = OPEN_MIN_US // 1_000_000


def failed(sequence: int, number: int = 1, **fields: int) -> pb.Attempt:
    return attempt(sequence, number, pb.RESULT_RETRYABLE, **fields)


async def dead(world: World, count: int = ATTEMPTS_MIN) -> None:
    """Have so many first attempts fail, at once."""
    await world.report(batch(*(failed(number) for number in range(1, count + 1))))


def answered(one: pb.DueDelivery, result: int = pb.RESULT_DELIVERED) -> pb.Attempt:
    """The outcome of what was released."""
    ended = {"received_at_us": one.received_at_us, "retries_used": one.retries_used}
    return attempt(one.stream_sequence, one.attempt, result, **ended)


async def released(world: World, count: int = 0) -> list[pb.DueDelivery]:
    """Wait until so many were released in all, and the releaser has looked once more.

    It has when it released what is sent here, which is delivered then: else it would be released again and again.
    """
    await eventually(lambda: len(_of_crm(world)) >= count)
    mark = len(world.due) + 1000
    late = attempt(mark, result=pb.RESULT_DEFERRED, reason="breaker_open")
    await world.report(batch(late, destination="marker"))
    (out,) = await eventually(lambda: [one for one in world.due if one.stream_sequence == mark])
    await world.report(batch(answered(out), destination="marker"))
    assert len(_of_crm(world)) == count
    return _of_crm(world)


def _of_crm(world: World) -> list[pb.DueDelivery]:
    return [one for one in world.due if one.destination == "crm"]


async def breaker(world: World) -> dpb.DestinationSummary:
    request = dpb.GetSummaryRequest(parent="workspaces/acme")
    request.start_time.FromDatetime(START.replace(hour=0))
    request.end_time.FromDatetime(START.replace(day=START.day + 2))
    found: dpb.GetSummaryResponse = await world.viewer.GetSummary(request)
    return next(one for one in found.destinations if one.destination == CRM)


async def state(world: World) -> int:
    return (await breaker(world)).breaker.state


async def log(world: World) -> list[str]:
    rows = await world.rows("SELECT type FROM facts WHERE workspace = 'acme' ORDER BY position")
    return [row["type"] for row in rows]


@pytest.fixture
async def world(database: str, nats_url: str) -> AsyncIterator[World]:
    async with running(database, nats_url) as world:
        yield world


async def test_a_destination_that_fails_is_left_alone_and_probed_and_gets_everything_when_it_is_back(
    world: World,
) -> None:
    """A17."""
    await dead(world, 20)
    assert await state(world) == bpb.BREAKER_STATE_OPEN
    # Their time has come, and the breaker's has not.
    world.advance(OPEN_MIN_S - 1)
    assert not await released(world)
    world.advance(5)
    probes = await released(world, PROBES_MAX)
    assert await state(world) == bpb.BREAKER_STATE_HALF_OPEN
    await world.report(batch(*(answered(one, pb.RESULT_RETRYABLE) for one in probes)))
    assert await state(world) == bpb.BREAKER_STATE_OPEN
    world.advance(2 * OPEN_MIN_S)
    probes = (await released(world, 2 * PROBES_MAX))[PROBES_MAX:]
    await world.report(batch(answered(probes[0])))
    assert await state(world) == bpb.BREAKER_STATE_UNSPECIFIED
    world.advance(120)
    await eventually(lambda: {one.stream_sequence for one in _of_crm(world)} == set(range(1, 21)))
    await eventually(lambda: log_is(world, ["BreakerOpened", "BreakerClosed"]))


async def log_is(world: World, types: list[str]) -> bool:
    return await log(world) == types


async def test_what_was_out_before_it_opened_is_no_probe(world: World) -> None:
    """A17: an answer to an old attempt says nothing of how the destination is now."""
    ours = [attempt(n, result=pb.RESULT_RETRYABLE, error_type=pb.ERROR_TYPE_INTERNAL) for n in range(101, 121)]
    await world.report(batch(*ours))
    world.advance(12)
    before = list(await released(world, 20))
    await dead(world)
    world.advance(OPEN_MIN_S + 1)
    out = await released(world, 20 + PROBES_MAX)
    await world.report(batch(answered(before[0]), answered(before[1], pb.RESULT_RETRYABLE)))
    assert await state(world) == bpb.BREAKER_STATE_HALF_OPEN
    await world.report(batch(answered(out[-1])))
    assert await state(world) == bpb.BREAKER_STATE_UNSPECIFIED


async def test_holding_back_uses_up_no_retry(world: World) -> None:
    """A16, A17."""
    await dead(world)
    world.advance(OPEN_MIN_S + 1)
    probes = await released(world, PROBES_MAX)
    assert {(one.attempt, one.retries_used) for one in probes} == {(2, 1)}


async def test_a_tracker_that_starts_again_finds_breakers_and_deadlines_as_they_were(
    database: str, nats_url: str
) -> None:
    """A8, A17."""
    async with running(database, nats_url) as world:
        await dead(world)
        before = await breaker(world)
        await world.stop()
        world.advance_stopped(OPEN_MIN_S - 2)
        await world.start()
        assert (await breaker(world)).breaker == before.breaker
        world.advance(1)
        assert not await released(world)
        world.advance(5)
        await released(world, PROBES_MAX)


async def test_what_is_past_its_horizon_ends_while_the_breaker_is_open(world: World) -> None:
    """A16: dead, and everybody can see it; what was held back used up no attempt."""
    await dead(world)
    # Nobody answers its probes: it stays open for as long as it may, again and again.
    for _ in range(HORIZON_S // 299):
        # A round that is under way had read when it was to end before.
        assert not await released(world)
        await stay_open(world)
    assert not await released(world)
    assert (await breaker(world)).failed == 0
    await stay_open(world)
    await eventually(lambda: all_failed(world, ATTEMPTS_MIN))
    summary = await breaker(world)
    assert (summary.failed, summary.exhausted, summary.pending) == (ATTEMPTS_MIN, ATTEMPTS_MIN, 0)
    listed = await world.viewer.ListDeliveries(dpb.ListDeliveriesRequest(parent=CRM, reason="exhausted"))
    assert {(one.reason, one.error_type, one.state) for one in listed.deliveries} == {
        ("exhausted", pb.ERROR_TYPE_RETRY, dpb.DELIVERY_STATE_FAILED)
    }
    attempts = [await world.viewer.GetDelivery(dpb.GetDeliveryRequest(name=one.name)) for one in listed.deliveries]
    assert {[a.result for a in one.attempts].count(pb.RESULT_RETRYABLE) for one in attempts} == {1}
    assert not await released(world)


async def stay_open(world: World) -> None:
    until_us = int((world.clock.now().timestamp() + 300) * 1_000_000)
    await world.rows("UPDATE breakers SET until_us = $1 RETURNING 1", until_us)
    world.advance(299)


async def all_failed(world: World, count: int) -> bool:
    return (await breaker(world)).failed == count


async def test_what_arrives_while_it_is_open_waits_and_says_why(world: World) -> None:
    await dead(world)
    held = attempt(50, result=pb.RESULT_DEFERRED, reason="breaker_open", error_type=pb.ERROR_TYPE_TOO_MANY_REQUESTS)
    await world.report(batch(held))
    assert not await released(world)
    request = dpb.ListDeliveriesRequest(parent=CRM, state=dpb.DELIVERY_STATE_PENDING)
    listed = await world.viewer.ListDeliveries(request)
    assert {one.reason for one in listed.deliveries} == {"breaker_open"}
    assert len(listed.deliveries) == ATTEMPTS_MIN + 1


async def test_executors_are_told_of_all_that_is_open_and_then_of_each_change(world: World) -> None:
    crm = bpb.BreakerPlace(workspace="acme", destination="crm")
    early = aiter(world.internal.WatchBreakers(bpb.WatchBreakersRequest()))
    assert await anext(early) == bpb.WatchBreakersResponse(complete=True)
    await dead(world)
    assert await anext(early) == bpb.WatchBreakersResponse(opened=[crm])
    late = aiter(world.internal.WatchBreakers(bpb.WatchBreakersRequest()))
    assert await anext(late) == bpb.WatchBreakersResponse(complete=True, opened=[crm])
    await world.viewer.ResetBreaker(bpb.ResetBreakerRequest(name=CRM))
    for watching in (early, late):
        assert await anext(watching) == bpb.WatchBreakersResponse(closed=[crm])


async def test_a_breaker_that_is_reset_lets_everything_go_and_the_log_says_who_did_it(world: World) -> None:
    """A3."""
    await dead(world)
    request = bpb.ResetBreakerRequest(name=CRM, request_id="r1")
    answer = await world.viewer.ResetBreaker(request)
    assert await world.viewer.ResetBreaker(request) == answer
    assert await state(world) == bpb.BREAKER_STATE_UNSPECIFIED
    world.advance(12)
    await released(world, ATTEMPTS_MIN)
    await eventually(lambda: world.value("SELECT count(*) = 2 FROM facts WHERE workspace = 'acme'"))
    assert sorted(await log(world)) == ["BreakerOpened", "BreakerReset"]
    # What is closed already is left as it is.
    await world.viewer.ResetBreaker(bpb.ResetBreakerRequest(name=CRM))
    assert len(await log(world)) == 2


async def test_one_failure_among_many_successes_opens_nothing(world: World) -> None:
    """What succeeded just before is remembered though nothing is stored of it."""
    await world.report(batch(*(attempt(number) for number in range(1, 40))))
    await world.report(batch(*(failed(number) for number in range(40, 50))))
    assert await state(world) == bpb.BREAKER_STATE_UNSPECIFIED
    await world.report(batch(*(failed(number) for number in range(50, 150))))
    assert await state(world) == bpb.BREAKER_STATE_OPEN


async def test_an_api_that_refuses_events_is_not_broken(world: World) -> None:
    """A13."""
    refused = pb.AttemptDetail(event=b"{}", http_status=422)
    fields: dict[str, Any] = {"error_type": pb.ERROR_TYPE_BAD_REQUEST, "detail": refused}
    await world.report(batch(*(attempt(number, result=pb.RESULT_FAILED, **fields) for number in range(1, 30))))
    assert await state(world) == bpb.BREAKER_STATE_UNSPECIFIED
    assert await world.value("SELECT count(*) FROM breakers") == 0


async def test_what_waits_for_a_destination_that_goes_is_cancelled_and_not_held_back(
    database: str, nats_url: str
) -> None:
    """A25."""
    async with a_log() as (log_, address), running(database, nats_url, registry_address=address) as world:
        await dead(world)
        await log_.record(NewFact("destinations/crm", facts.DestinationDisconnected(destination="crm")))
        await eventually(lambda: len(_of_crm(world)) == ATTEMPTS_MIN)
        await world.report(batch(*(answered(one, pb.RESULT_CANCELLED) for one in _of_crm(world))))
        assert await world.value("SELECT count(*) FROM breakers") == 0
        await eventually(lambda: log_is(world, ["BreakerOpened", "BreakerClosed"]))


@pytest.mark.parametrize(
    "fact",
    [
        facts.DestinationDisabled(destination="crm"),
        facts.DeliveryPolicyUpdated(destination="crm", policy=DeliveryPolicy(breaker_disabled=True)),
    ],
)
async def test_a_destination_that_is_to_have_no_breaker_has_none(database: str, nats_url: str, fact: Message) -> None:
    async with a_log() as (log_, address), running(database, nats_url, registry_address=address) as world:
        await dead(world)
        await log_.record(NewFact("destinations/crm", fact))
        await eventually(lambda: world.value("SELECT count(*) = 0 FROM breakers"))
        watching = aiter(world.internal.WatchBreakers(bpb.WatchBreakersRequest()))
        told = await anext(watching)
        while told.opened:
            told = await anext(watching)
            assert [one.destination for one in told.closed] == ["crm"]
        world.advance(12)
        await released(world, ATTEMPTS_MIN)


async def test_who_may_not_operate_a_destination_resets_no_breaker(world: World) -> None:
    await dead(world)
    request = bpb.ResetBreakerRequest(name=CRM)
    theirs = world.partial_viewer(functions=Subset.of(["to-crm"]), sources=Subset.of(["web"]))
    for stranger in (
        world.partial_viewer(functions=Subset.of(["to-crm"])),
        world.partial_viewer(functions=Subset.of(["other"]), sources=Subset.of(["web"])),
    ):
        with pytest.raises(PermissionDenied):
            await stranger.ResetBreaker(request)
    with pytest.raises(PermissionDenied):
        await theirs.ResetBreaker(bpb.ResetBreakerRequest(name="workspaces/acme/destinations/none"))
    assert await state(world) == bpb.BREAKER_STATE_OPEN
    await theirs.ResetBreaker(request)
    assert await state(world) == bpb.BREAKER_STATE_UNSPECIFIED
