"""Deliveries that were held back before anything else became of them: kept without a look, and like all others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from onward.executor.v1 import outcomes_pb2 as pb
from services.delivery.domain.schedule import DEFERRED_HORIZON_S, SECOND_US
from tests.integration.delivery_world import START_US, World, attempt, batch, running

DEFERRED = pb.RESULT_DEFERRED
LONG_AGO_US = START_US - (DEFERRED_HORIZON_S + 1) * SECOND_US
NO_EVENT = pb.AttemptDetail()

# Each is what an executor may say of an event that it holds back.
HELD: dict[str, dict[str, Any]] = {
    "short of CPU": {"reason": "cpu"},
    "over its rate": {"reason": "rate_limit", "error_type": pb.ERROR_TYPE_TOO_MANY_REQUESTS},
    "behind a breaker": {"reason": "breaker_open"},
    "waits for its batch": {"batch_events_max": 10, "batch_until_us": START_US + 7 * SECOND_US, "error_type": 0},
    "may go with few": {"reason": "api", "batch_limit": 4},
    "in a trace": {"reason": "api", "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"},
    "past its horizon": {"reason": "api", "received_at_us": LONG_AGO_US},
    "without its event": {"reason": "api", "detail": NO_EVENT},
}


@pytest.fixture
async def world(database: str, nats_url: str) -> AsyncIterator[World]:
    async with running(database, nats_url) as world:
        yield world


async def stored(world: World, table: str, destination: str) -> list[dict[str, Any]]:
    rows = await world.rows(f"SELECT * FROM {table} WHERE destination = $1 ORDER BY stream_sequence", destination)
    # Whether the releaser has seen it yet is another matter; groups of errors are a destination's own.
    apart = ("destination", "error_group", "released_at_us", "release_sequence", "doubtful")
    return [{name: value for name, value in row.items() if name not in apart} for row in rows]


def held(*, fresh: bool) -> list[pb.Attempt]:
    return [attempt(number, result=DEFERRED, fresh=fresh, **one) for number, one in enumerate(HELD.values(), 1)]


async def test_it_is_kept_as_what_is_looked_up_first(world: World) -> None:
    await world.report(
        batch(*held(fresh=False), destination="looked-up"), batch(*held(fresh=True), destination="at-once")
    )
    for table, count in (("due", len(HELD) - 2), ("attempts", 2), ("attempt_details", 2)):
        at_once = await stored(world, table, "at-once")
        assert at_once == await stored(world, table, "looked-up")
        assert len(at_once) == count, table


async def test_it_may_end_in_the_same_transaction(world: World) -> None:
    """Another executor was given the event again, and delivered it, while this one was slow to tell."""
    first, second = (attempt(number, result=DEFERRED, fresh=True) for number in (1, 2))
    await world.report(batch(first, attempt(1, 2), attempt(2, 2), second))
    assert await world.value("SELECT count(*) FROM due") == 0
    assert await world.value("SELECT count(*) FROM attempts WHERE terminal") == 2


async def test_it_may_be_told_twice(world: World) -> None:
    one = attempt(1, result=DEFERRED, fresh=True)
    await world.report(batch(one, one))
    assert await world.value("SELECT deferrals FROM due") == 1


@pytest.mark.parametrize(
    ("number", "before"),
    [(1, pb.RESULT_DELIVERED), (1, pb.RESULT_LOST), (1, pb.RESULT_FAILED), (2, pb.RESULT_DELIVERED)],
)
async def test_what_something_is_recorded_of_is_not_begun_again(world: World, number: int, before: int) -> None:
    """A NATS server that was killed delivers messages again and counts from one; or the executor was slow to tell."""
    await world.report(batch(attempt(1, number, before)))
    await world.report(batch(attempt(1, result=DEFERRED)))
    assert await world.value("SELECT count(*) FROM due") == 0
    assert await world.value("SELECT count(*) FROM attempts") == 1


@pytest.mark.parametrize("before", [pb.RESULT_DELIVERED, pb.RESULT_FAILED])
async def test_an_executor_that_is_wrong_about_it_costs_one_call_and_no_record(world: World, before: int) -> None:
    """One that was stopped for longer than its messages are left to it, say."""
    await world.report(batch(attempt(1, result=before)))
    await world.report(batch(attempt(1, result=DEFERRED, fresh=True)))
    world.advance(61)
    (due,) = await world.released(1)
    await world.report(batch(attempt(1, due.attempt)))
    assert await world.value("SELECT count(*) FROM due") == 0
    assert [row["result"] for row in await world.rows("SELECT result FROM attempts")] == [before]


@pytest.mark.parametrize(("before", "numbers"), [(pb.RESULT_DELIVERED, [1]), (pb.RESULT_LOST, [1, 2])])
async def test_a_row_does_not_ask_for_ever_for_what_is_recorded(world: World, before: int, numbers: list[int]) -> None:
    """Two trackers may store an attempt, and the row that asks for it, at the same time."""
    await world.report(batch(attempt(1, result=before)), batch(attempt(2, result=DEFERRED)))
    received = "SELECT received_at_us FROM attempts WHERE stream_sequence = 1"
    await world.rows(f"UPDATE due SET stream_sequence = 1, received_at_us = ({received})")
    for _ in range(3):
        known = len(world.due)
        world.advance(61)
        if await world.value("SELECT count(*) FROM due"):
            due = (await world.released(known + 1))[-1]
            await world.report(batch(attempt(1, due.attempt)))
    assert [one.attempt for one in world.due] == numbers
    assert await world.value("SELECT count(*) FROM due") == 0


async def test_what_has_a_row_already_is_looked_up_after_all(world: World) -> None:
    await world.report(batch(attempt(1, result=DEFERRED, fresh=True)))
    await world.report(batch(attempt(1, result=DEFERRED, fresh=True), attempt(2, result=DEFERRED, fresh=True)))
    rows = await world.rows("SELECT stream_sequence, deferrals FROM due ORDER BY 1")
    assert [tuple(row) for row in rows] == [(1, 2), (2, 1)]


async def test_what_is_left_of_a_departed_destination_waits_for_nothing(world: World) -> None:
    await world.rows("INSERT INTO departed_destinations (workspace, destination) VALUES ('acme', 'crm')")
    waits = {"batch_events_max": 10, "batch_until_us": START_US + 50 * SECOND_US}
    await world.report(batch(attempt(1, result=DEFERRED, fresh=True, **waits)))
    assert await world.value("SELECT due_at_us FROM due") == START_US


async def test_it_is_released_like_all_others(world: World) -> None:
    await world.report(batch(*[attempt(number, result=DEFERRED, fresh=True) for number in range(1, 11)]))
    world.advance(5)
    due = await world.released(10)
    assert [(one.attempt, one.retries_used, one.event) for one in due] == [(1, 0, b'{"type":"track"}')] * 10
    await world.report(batch(*[attempt(number) for number in range(1, 11)]))
    assert await world.value("SELECT count(*) FROM due") == 0
