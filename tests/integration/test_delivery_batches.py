"""Events that wait for their batch, with the tracker's real Postgres and NATS."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from kit.eventstore.postgres import MIGRATIONS
from kit.postgres.migrate import migrate
from kit.testing.eventually import eventually
from onward.delivery.v1 import delivery_service_pb2 as dpb
from onward.executor.v1 import outcomes_pb2 as pb
from services.delivery.handlers import release
from tests.integration.delivery_world import START_US, World, attempt, batch, running

pytestmark = pytest.mark.integration

DELIVERY_MIGRATIONS = Path(release.__file__).parent.parent / "migrations"
SECOND = 1_000_000
OUT = "SELECT count(*) FROM due WHERE released_at_us IS NOT NULL"


@pytest.fixture
async def world(database: str, nats_url: str) -> AsyncIterator[World]:
    async with running(database, nats_url) as world:
        yield world


def waiting(sequence: int, events_max: int = 3, seconds: float = 10, **fields: Any) -> pb.Attempt:
    """What an executor says of an event that waits for others."""
    return attempt(
        sequence,
        result=pb.RESULT_DEFERRED,
        error_type=pb.ERROR_TYPE_UNSPECIFIED,
        detail=pb.AttemptDetail(event=b'{"type":"track"}'),
        batch_events_max=events_max,
        batch_until_us=START_US + round(seconds * SECOND),
        **fields,
    )


def sequences(world: World) -> set[int]:
    return {one.stream_sequence for one in world.due}


async def test_a_full_batch_goes_at_once_and_bears_no_attempt(world: World) -> None:
    await world.report(batch(waiting(1), waiting(2)))
    await world.report(batch(waiting(3)))
    for due in await world.released(3):
        assert (due.gathered, due.attempt, due.retries_used, due.event) == (True, 1, 0, b'{"type":"track"}')
    assert sequences(world) == {1, 2, 3}
    assert await world.value("SELECT count(*) FROM attempts") == 0


async def test_what_is_beyond_full_batches_waits_on(world: World) -> None:
    await world.report(batch(*[waiting(number, seconds=number) for number in range(1, 8)]))
    await world.released(6)
    assert sequences(world) == {1, 2, 3, 4, 5, 6}
    world.advance(6.9)
    await world.report(batch(attempt(99)))
    assert len(world.due) == 6
    world.advance(0.2)
    assert {one.stream_sequence for one in (await world.released(7))[6:]} == {7}


async def test_when_the_oldest_has_waited_the_others_go_with_it(world: World) -> None:
    await world.report(batch(waiting(1, seconds=10), waiting(2, seconds=60)))
    world.advance(9.9)
    await world.report(batch(attempt(99)))
    assert world.due == []
    world.advance(0.2)
    await world.released(2)


async def test_what_waits_is_shown_as_pending_with_its_time(world: World) -> None:
    await world.report(batch(waiting(1)))
    answer = await world.viewer.ListDeliveries(dpb.ListDeliveriesRequest(parent="workspaces/acme"))
    (one,) = answer.deliveries
    assert (one.state, one.attempts, one.error_type) == (dpb.DELIVERY_STATE_PENDING, 0, pb.ERROR_TYPE_UNSPECIFIED)
    assert one.next_attempt_time.ToMicroseconds() == START_US + 10 * SECOND


async def test_a_restart_changes_nothing_for_those_that_wait(world: World) -> None:
    """A8: neither when they go nor with whom; none is lost or released twice."""
    await world.report(batch(waiting(1), waiting(2)))
    await world.stop()
    await world.start()
    assert world.due == []
    await world.report(batch(waiting(3)))
    await world.released(3)
    await world.report(batch(waiting(4)))
    await world.stop()
    world.advance_stopped(11)
    await world.start()
    await world.released(4)
    await world.report(batch(*[attempt(number, batch_events=4) for number in range(1, 5)]))
    assert await world.value("SELECT count(*) FROM due") == 0
    assert await world.value("SELECT count(*) FROM attempts WHERE terminal AND batch_events = 4") == 4


async def test_a_batch_reported_again_waits_once(world: World) -> None:
    one = batch(waiting(1), waiting(2))
    await world.report(one, one)
    await world.report(batch(waiting(1), waiting(2)))
    assert await world.value("SELECT count(*) FROM due") == 2
    assert world.due == []


async def test_a_batch_is_released_whole_though_the_credit_is_less(world: World) -> None:
    await world.report(batch(*[waiting(number, events_max=100) for number in range(1, 301)]))
    await eventually(lambda: len(world.due) >= 100)
    await world.report(batch(attempt(999)))
    # One batch is out; the others wait for answers.
    assert len(world.due) == await world.value(OUT) == 100
    assert sequences(world) == set(range(1, 101))


async def test_waiting_for_others_costs_no_credit(world: World) -> None:
    await world.report(batch(*[attempt(number, result=pb.RESULT_DEFERRED) for number in range(1, 41)]))
    world.advance(1)
    await world.released(40)
    await world.report(batch(*[waiting(number, events_max=500) for number in range(1, 41)]))
    assert world.app is not None
    assert world.app.credits.of(("acme", "crm")) == 64


async def test_events_that_failed_as_one_batch_come_back_as_one(world: World) -> None:
    failed = [attempt(number, result=pb.RESULT_RETRYABLE, batch_events=5, batch_limit=2) for number in range(1, 6)]
    await world.report(batch(*failed))
    assert len(await world.rows("SELECT DISTINCT due_at_us FROM due")) == 1
    world.advance(12)
    for due in await world.released(5):
        assert (due.gathered, due.attempt, due.retries_used, due.batch_limit) == (True, 2, 1, 2)


async def test_a_released_retry_that_waits_for_others_is_released_again(world: World) -> None:
    await world.report(batch(attempt(1, result=pb.RESULT_RETRYABLE)))
    world.advance(10)
    await world.released(1)
    await world.report(batch(waiting(1, attempt=2, retries_used=1, seconds=20)))
    world.advance(11)
    due = (await world.released(2))[1]
    assert (due.attempt, due.retries_used, due.gathered) == (2, 1, True)


async def test_what_was_released_and_waits_again_counts_among_those_that_wait(world: World) -> None:
    await world.report(batch(waiting(1, seconds=1, batch_limit=2)))
    world.advance(1.1)
    assert (await world.released(1))[0].batch_limit == 2
    await world.report(batch(waiting(1, seconds=60), waiting(2, seconds=60)))
    assert len(world.due) == 1
    await world.report(batch(waiting(3, seconds=60)))
    again = (await world.released(4))[1:]
    assert {(one.stream_sequence, one.batch_limit) for one in again} == {(1, 0), (2, 0), (3, 0)}


async def test_an_update_keeps_the_deliveries_that_wait(database: str, nats_url: str, tmp_path: Path) -> None:
    before = tmp_path / "delivery" / "migrations"
    before.mkdir(parents=True)
    for number in ("0001", "0002", "0003"):
        (file,) = DELIVERY_MIGRATIONS.glob(f"{number}_*.sql")
        shutil.copy(file, before)
    await migrate(database, [MIGRATIONS, before])
    connection = await asyncpg.connect(database)
    await connection.execute("INSERT INTO destinations VALUES ('acme', 'crm', 'web', 'to-crm')")
    await connection.execute(
        """INSERT INTO due VALUES ('acme', 'crm', 1, 0, 'web', 'to-crm', 'm1', 1, 'Order', $1, false, '{}', 2, 1, 1, 5,
           'it broke', $1, 0, 0, false, $1)""",
        START_US - SECOND,
    )
    await connection.close()
    async with running(database, nats_url) as world:
        (due,) = await world.released(1)
        assert (due.stream_sequence, due.attempt, due.gathered, due.batch_limit) == (1, 2, False, 0)


async def test_a_retry_goes_on_in_the_trace_of_its_event(world: World) -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    await world.report(batch(attempt(1, result=pb.RESULT_RETRYABLE, traceparent=trace)))
    await world.report(batch(attempt(2, result=pb.RESULT_RETRYABLE)))
    world.advance(12)
    traces = {due.stream_sequence: due.traceparent for due in await world.released(2)}
    assert traces == {1: trace, 2: ""}
    # An executor that was lost has told of none: what is known stays.
    again = attempt(1, 2, result=pb.RESULT_RETRYABLE, retries_used=1)
    await world.report(batch(again, attempt(2, 2, retries_used=1)))
    world.advance(50)
    assert (await world.released(3))[2].traceparent == trace
