"""Crashes at the worst moment of one delivery, seen from the API that it goes to."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from cli.stack import SERVICES
from kit.testing.eventually import eventually
from onward.delivery.v1 import delivery_service_pb2 as pb
from tests.fault.events import PLAIN, ids, make_events
from tests.fault.ledger import INTERNAL, LOST, Attempt, check_deliveries, query
from tests.fault.receiver import POST, Receiver
from tests.fault.system import WORKSPACE, Route, System, answered

pytestmark = [pytest.mark.fault, pytest.mark.asyncio(loop_scope="module")]

# Few enough that all of them are in flight at once: a worker is given up to 256.
IN_FLIGHT = 100


async def _published(system: System, route: Route, count: int) -> list[str]:
    events = make_events(route, count)
    said = await (await system.publish(route, events)).acknowledged()
    assert said["published"] == count
    return ids(events)


def _of(rows: list[Attempt], message_id: str) -> list[Attempt]:
    return [row for row in rows if row.message_id == message_id]


# --- the publisher


async def test_events_of_a_killed_publisher_that_are_published_again_count_once(system: System) -> None:
    """A1: the second publisher cannot know what the first one's last acknowledgements were."""
    route = await system.route(PLAIN)
    events = make_events(route, 10_000)
    first = await system.publish(route, events, rate=8_000)
    await system.reached(route, 3_000)
    await first.killed()
    said = await (await system.publish(route, events)).acknowledged()
    assert said["duplicates"] >= 3_000
    assert said["published"] + said["duplicates"] == len(events)
    await check_deliveries(system, route, ids(events))


async def test_a_message_id_that_is_published_again_is_delivered_once(system: System) -> None:
    """A2: with the same body, and with another one."""
    async with Receiver() as receiver:
        route = await system.route(POST, endpoint=receiver.address)
        (event,) = make_events(route, 1, "First")
        for again in (event, event, event | {"event": "Second"}):
            await (await system.publish(route, [again])).acknowledged()
        await check_deliveries(system, route, [event["messageId"]])
        assert receiver.received[event["messageId"]].events == ["First"]
    assert await system.stored(route) == 1


# --- the executor and its workers


async def test_kill_9_of_the_executor_in_mid_function_uses_up_no_retry(system: System) -> None:
    """A6: each event had sent its request and had no answer yet."""
    async with Receiver() as receiver:
        route = await system.route(POST, endpoint=receiver.address)
        receiver.answers.clear()
        message_ids = await _published(system, route, IN_FLIGHT)
        await eventually(lambda: receiver.requests > 0)
        await system.kill_and_wait("executor")
        receiver.answers.set()
        rows = await check_deliveries(system, route, message_ids)
        begun = [message_id for message_id, one in receiver.received.items() if sum(one.keys.values()) > 1]
        assert begun, "nothing was in flight"
        for message_id in begun:
            assert len(receiver.received[message_id].keys) == 1, "another attempt bore another Idempotency-Key"
            assert [row.result == LOST for row in _of(rows, message_id)] == [True, False]
    assert not any(row.retries_used for row in rows)


async def test_kill_9_of_a_worker_in_mid_function_blames_nobody(system: System) -> None:
    """A6: each event had sent its request and had no answer yet."""
    async with Receiver() as receiver:
        route = await system.route(POST, endpoint=receiver.address)
        receiver.answers.clear()
        message_ids = await _published(system, route, IN_FLIGHT)
        await eventually(lambda: receiver.requests > 0)
        for worker in system.workers():
            os.kill(worker, signal.SIGKILL)
        receiver.answers.set()
        rows = await check_deliveries(system, route, message_ids)
        assert all(len(one.keys) == 1 for one in receiver.received.values())
    assert [row for row in rows if row.error_type == INTERNAL], "nothing was in flight"
    assert not any(row.retries_used for row in rows)


async def test_kill_9_of_the_executor_after_the_answer_shows_both_attempts(system: System) -> None:
    """A7: the destination has answered 200 and nobody knows of it."""
    executor = system.pid("executor")

    def freeze(_message_id: str, seen: int) -> None:
        # From here on it can take no answer, so that it is surely killed before the outcome is stored.
        if not seen:
            os.kill(executor, signal.SIGSTOP)

    async with Receiver(before_answer=freeze) as receiver:
        route = await system.route(POST, endpoint=receiver.address)
        (message_id,) = await _published(system, route, 1)
        await eventually(lambda: receiver.answered == 1)
        await system.kill_and_wait("executor")
        rows = await check_deliveries(system, route, [message_id])
        # One key, twice.
        assert list(receiver.received[message_id].keys.values()) == [2]
    assert [(row.attempt, row.result == LOST, row.terminal) for row in rows] == [(1, True, False), (2, False, True)]
    listed = pb.ListDeliveriesRequest(parent=f"workspaces/{WORKSPACE}", message_id=message_id)
    (delivery,) = (await answered(lambda: system.deliveries.ListDeliveries(listed))).deliveries
    shown = await answered(lambda: system.deliveries.GetDelivery(pb.GetDeliveryRequest(name=delivery.name)))
    assert [(one.number, one.result == LOST) for one in shown.attempts] == [(1, True), (2, False)]


# --- the tracker


async def test_a_retry_outlives_kill_9_of_the_tracker_and_comes_at_its_stored_time(system: System) -> None:
    """A8: neither early nor lost."""
    async with Receiver(status=lambda _id, seen: 200 if seen else 503) as receiver:
        route = await system.route(POST, endpoint=receiver.address)
        message_ids = await _published(system, route, IN_FLIGHT)

        async def waiting() -> dict[str, int]:
            sql = "SELECT message_id, due_at_us FROM due WHERE workspace = $1 AND destination = $2 AND reason = 1"
            rows = await query(system, sql, WORKSPACE, route.destination)
            return {row["message_id"]: row["due_at_us"] for row in rows}

        async def all_waiting() -> dict[str, int]:
            found = await waiting()
            return found if len(found) == IN_FLIGHT else {}

        due_at_us = await eventually(all_waiting)
        await system.kill_and_wait("delivery")
        for message_id, still_due_at_us in (await waiting()).items():
            assert still_due_at_us == due_at_us[message_id]
        rows = await check_deliveries(system, route, message_ids)
        assert all(sum(one.keys.values()) == 2 for one in receiver.received.values())
    for row in rows:
        assert (row.attempt, row.retries_used) in {(1, 0), (2, 1)}
        assert row.attempt == 1 or row.begun_at_us >= due_at_us[row.message_id], "a retry came early"


# --- everything, again and again


async def test_restarts_of_everything_under_load_lose_nothing_and_use_up_no_retry(system: System) -> None:
    """A9, in a small form: kill -9 of all services, and of NATS and Postgres, while events come."""
    route = await system.route(PLAIN)
    events = make_events(route, 10_000)
    publishing = await system.publish(route, events, rate=1_500)
    rounds = (SERVICES, (*SERVICES, "nats"), (*SERVICES, "postgres"))
    for number, parts in enumerate(rounds, 1):
        await system.reached(route, number * 2_000)
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(system.kill_and_wait(part))
    said = await publishing.acknowledged()
    assert said["published"] + said["duplicates"] == len(events)
    rows = await check_deliveries(system, route, ids(events))
    assert not any(row.retries_used for row in rows)
