"""Attempts counted by destination and the minute of their end."""

from __future__ import annotations

import pytest

from onward.executor.v1 import outcomes_pb2 as pb
from tests.integration.delivery_world import START_US, World, attempt, batch, running

pytestmark = pytest.mark.integration

MINUTE_US = 60_000_000
MINUTE = START_US // MINUTE_US


async def sums(world: World) -> list[tuple[int, ...]]:
    """(minute from the start, error type, attempts, first attempts, with an HTTP error, exhausted)"""
    rows = await world.rows(
        "SELECT minute, error_type, attempts, first_attempts, http_errors, exhausted FROM attempt_rollups ORDER BY 1, 2"
    )
    return [(row[0] - MINUTE, *tuple(row)[1:]) for row in rows]


def at(minute: int) -> dict[str, int]:
    return {"ended_at_us": START_US + minute * MINUTE_US}


async def test_attempts_count_in_the_minute_in_which_they_ended_whenever_their_event_came(
    database: str, nats_url: str
) -> None:
    async with running(database, nats_url) as world:
        ended = [attempt(1, **at(0)), attempt(2, http_error=True, **at(0)), attempt(3, **at(2))]
        await world.report(batch(*ended, attempt(4, result=pb.RESULT_FAILED, **at(2))))
        assert await sums(world) == [(0, 0, 2, 2, 1, 0), (2, 0, 1, 1, 0, 0), (2, pb.ERROR_TYPE_RETRY, 1, 1, 0, 0)]


async def test_what_ran_nothing_is_no_attempt(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        idle = (pb.RESULT_FILTERED, pb.RESULT_SKIPPED, pb.RESULT_DEFERRED)
        await world.report(batch(*(attempt(number, result=result) for number, result in enumerate(idle, 1))))
        assert await sums(world) == []


async def test_each_retry_is_an_attempt_and_the_last_one_exhausts_its_delivery(database: str, nats_url: str) -> None:
    async with running(database, nats_url, retry_offsets_s="10") as world:
        await world.report(batch(attempt(1, result=pb.RESULT_RETRYABLE, **at(0))))
        await world.report(batch(attempt(1, 2, result=pb.RESULT_RETRYABLE, retries_used=1, **at(1))))
        assert await sums(world) == [(0, pb.ERROR_TYPE_RETRY, 1, 1, 0, 0), (1, pb.ERROR_TYPE_RETRY, 1, 0, 0, 1)]


async def test_a_batch_that_comes_twice_counts_once(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        one = batch(attempt(1, **at(0)), attempt(2, **at(0)))
        again = batch(attempt(1, **at(0)), attempt(2, **at(0)))
        await world.report(one, one)
        await world.report(again)
        assert await sums(world) == [(0, 0, 2, 2, 0, 0)]
