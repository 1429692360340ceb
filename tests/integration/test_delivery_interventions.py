"""Somebody tries a delivery at once, or ends it."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from kit.auth.demand import EVERYTHING, Subset
from kit.errors import NotFound, PermissionDenied, RequestIdReused, WrongState
from kit.testing.eventually import eventually
from onward.delivery.v1 import acts_pb2 as pb
from onward.delivery.v1 import delivery_service_pb2 as dpb
from onward.executor.v1 import outcomes_pb2 as opb
from services.delivery.domain.identity import delivery_id
from tests.integration.delivery_world import World, attempt, batch, running

pytestmark = pytest.mark.integration

ACME = "workspaces/acme"
EVENT = b'{"type":"track"}'


def name_of(sequence: int) -> str:
    return f"{ACME}/deliveries/{delivery_id(sequence, 0, 'crm')}"


async def fail(world: World, sequence: int, number: int = 1) -> str:
    """A delivery that waits for its retry."""
    detail = opb.AttemptDetail(event=EVENT, error_name="RetryError", error_message="busy")
    failed = attempt(
        sequence, number, opb.RESULT_RETRYABLE, error_type=opb.ERROR_TYPE_RETRY, retries_used=number - 1, detail=detail
    )
    await world.report(batch(failed))
    return name_of(sequence)


async def shown(world: World, name: str) -> dpb.GetDeliveryResponse:
    answer: dpb.GetDeliveryResponse = await world.viewer.GetDelivery(dpb.GetDeliveryRequest(name=name))
    return answer


async def facts(world: World) -> list[tuple[int, str]]:
    rows = await world.rows("SELECT position, type FROM facts WHERE workspace = 'acme' ORDER BY position")
    return [(row["position"], row["type"]) for row in rows]


async def test_a_delivery_that_is_retried_by_hand_goes_at_once_and_keeps_the_rest_of_its_schedule(
    database: str, nats_url: str
) -> None:
    async with running(database, nats_url) as world:
        name = await fail(world, 1)
        answer = await world.viewer.RetryDelivery(pb.RetryDeliveryRequest(name=name, request_id="r1"))
        (due,) = await world.released(1)
        assert (due.attempt, due.retries_used, due.event) == (2, 1, EVENT)
        assert await facts(world) == [(answer.position, "DeliveryRetried")]
        # 40 s after the first attempt, as if the first retry had been on time.
        await fail(world, 1, 2)
        delivery = (await shown(world, name)).delivery
        first_us = (await shown(world, name)).attempts[0].end_time.ToMicroseconds()
        assert delivery.next_attempt_time.ToMicroseconds() == first_us + 40_000_000


async def test_a_cancelled_delivery_ends_visibly_and_never_runs(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        name = await fail(world, 1)
        await world.viewer.CancelDelivery(pb.CancelDeliveryRequest(name=name, request_id="r1"))
        answer = await shown(world, name)
        assert (answer.delivery.state, answer.delivery.reason) == (dpb.DELIVERY_STATE_CANCELLED, "cancelled")
        assert [one.result for one in answer.attempts] == [opb.RESULT_RETRYABLE, opb.RESULT_CANCELLED]
        summary = await world.viewer.GetSummary(
            dpb.GetSummaryRequest(parent=ACME, start_time=answer.delivery.receive_time)
        )
        assert [(one.cancelled, one.pending) for one in summary.destinations] == [(1, 0)]
        world.advance(5 * 3600)
        await world.report(batch(attempt(2)))
        assert await world.value("SELECT count(*) FROM due") == 0
        assert world.due == []


async def test_what_has_ended_or_is_unknown_is_neither_retried_nor_cancelled(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        await world.report(batch(attempt(1)))
        for call, request in calls(world, name_of(1)):
            with pytest.raises(WrongState, match="has ended"):
                await call(request)
        for call, request in calls(world, name_of(99)):
            with pytest.raises(NotFound):
                await call(request)
        assert await facts(world) == []


async def test_what_is_being_attempted_is_not_tried_at_the_same_time(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        name = await fail(world, 1)
        world.advance(12)
        await world.released(1)

        async def out() -> bool:
            return bool(await world.value("SELECT released_at_us IS NOT NULL FROM due"))

        await eventually(out)
        with pytest.raises(WrongState, match="being attempted"):
            await world.viewer.RetryDelivery(pb.RetryDeliveryRequest(name=name))


async def test_a_delivery_that_is_cancelled_while_it_is_attempted_ends_with_that(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        for sequence, result, state in (
            (1, opb.RESULT_RETRYABLE, dpb.DELIVERY_STATE_CANCELLED),
            (2, opb.RESULT_DEFERRED, dpb.DELIVERY_STATE_CANCELLED),
            (3, opb.RESULT_DELIVERED, dpb.DELIVERY_STATE_DELIVERED),
        ):
            name = await fail(world, sequence)
            world.advance(12)
            due = (await world.released(sequence))[-1]
            await world.viewer.CancelDelivery(pb.CancelDeliveryRequest(name=name))
            await world.report(batch(attempt(sequence, due.attempt, result)))
            ended = (await shown(world, name)).delivery
            assert ended.state == state
            assert ended.reason == ("cancelled" if state == dpb.DELIVERY_STATE_CANCELLED else "")
        assert await world.value("SELECT count(*) FROM due") == 0


async def test_a_delivery_that_goes_out_at_the_very_moment_it_is_cancelled_ends_with_its_attempt(
    database: str, nats_url: str
) -> None:
    async with running(database, nats_url) as world:
        name = await fail(world, 1)
        connection = await asyncpg.connect(database)
        try:
            async with asyncio.TaskGroup() as tasks, connection.transaction():
                # The releaser has claimed it, and its claim is not stored yet.
                await connection.execute("UPDATE due SET released_at_us = due_at_us")
                tasks.create_task(cancelled(world, name))
                await eventually(lambda: waits_for_a_row(world))
            assert await world.value("SELECT cancelled AND released_at_us IS NOT NULL FROM due")
            await world.report(batch(attempt(1, 2, opb.RESULT_DELIVERED)))
            assert (await shown(world, name)).delivery.state == dpb.DELIVERY_STATE_DELIVERED
        finally:
            await connection.close()


async def test_what_was_cancelled_while_it_was_out_does_not_go_out_again(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        name = await fail(world, 1)
        other = await fail(world, 2)
        # As it is when JetStream did not confirm its message, and has none.
        connection = await asyncpg.connect(database)
        await connection.execute("UPDATE due SET cancelled = true, doubtful = true WHERE stream_sequence = 1")
        await connection.close()
        world.advance(12)

        async def ended() -> bool:
            return bool(await world.value("SELECT count(*) = 1 FROM due"))

        await eventually(ended)
        assert (await shown(world, name)).delivery.state == dpb.DELIVERY_STATE_CANCELLED
        assert (await shown(world, other)).delivery.state == dpb.DELIVERY_STATE_PENDING
        (due,) = await world.released(1)
        assert due.stream_sequence == 2


async def cancelled(world: World, name: str) -> None:
    await world.viewer.CancelDelivery(pb.CancelDeliveryRequest(name=name))


async def waits_for_a_row(world: World) -> bool:
    """Whether somebody waits for the test's transaction."""
    query = (
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        " AND wait_event = 'transactionid'"
    )
    return bool(await world.value(query))


async def test_an_attempt_that_failed_counts_as_failed_though_its_delivery_was_cancelled(
    database: str, nats_url: str
) -> None:
    async with running(database, nats_url) as world:
        name = await fail(world, 1)
        world.advance(12)
        (due,) = await world.released(1)
        await world.viewer.CancelDelivery(pb.CancelDeliveryRequest(name=name))
        await world.report(batch(attempt(1, due.attempt, opb.RESULT_RETRYABLE, error_type=opb.ERROR_TYPE_RETRY)))
        assert (await shown(world, name)).delivery.state == dpb.DELIVERY_STATE_CANCELLED
        query = "SELECT error_type, sum(attempts)::int AS attempts FROM attempt_rollups GROUP BY 1"
        assert [tuple(row) for row in await world.rows(query)] == [(opb.ERROR_TYPE_RETRY, 2)]


async def test_a_repeated_request_gets_the_first_answer_and_does_nothing_twice(database: str, nats_url: str) -> None:
    """A3"""
    async with running(database, nats_url) as world:
        one, other = await fail(world, 1), await fail(world, 2)
        request = pb.CancelDeliveryRequest(name=one, request_id="r1")
        first = await world.viewer.CancelDelivery(request)
        assert await world.viewer.CancelDelivery(request) == first
        with pytest.raises(RequestIdReused):
            await world.viewer.CancelDelivery(pb.CancelDeliveryRequest(name=other, request_id="r1"))
        assert await facts(world) == [(1, "DeliveryCancelled")]


@pytest.mark.parametrize(
    ("functions", "sources"),
    [(Subset.of(["other"]), EVERYTHING), (EVERYTHING, Subset.of(["other"])), (EVERYTHING, Subset.of([]))],
)
async def test_whoever_has_not_both_roles_is_refused_and_told_nothing(
    database: str, nats_url: str, functions: Subset, sources: Subset
) -> None:
    """H1"""
    async with running(database, nats_url) as world:
        name = await fail(world, 1)
        somebody = world.partial_viewer(functions=functions, sources=sources)
        for request in (pb.RetryDeliveryRequest(name=name), pb.CancelDeliveryRequest(name=name)):
            call = somebody.RetryDelivery if isinstance(request, pb.RetryDeliveryRequest) else somebody.CancelDelivery
            with pytest.raises(PermissionDenied):
                await call(request)
        assert await facts(world) == []


def calls(world: World, name: str) -> list[tuple[Any, Any]]:
    return [
        (world.viewer.RetryDelivery, pb.RetryDeliveryRequest(name=name)),
        (world.viewer.CancelDelivery, pb.CancelDeliveryRequest(name=name)),
    ]
