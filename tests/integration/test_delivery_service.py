"""The tracker with real Postgres and NATS."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from onward.delivery.v1 import delivery_service_pb2 as dpb
from onward.executor.v1 import outcomes_pb2 as pb
from tests.integration.delivery_world import World, attempt, batch, running

pytestmark = pytest.mark.integration


@pytest.fixture
async def world(database: str, nats_url: str) -> AsyncIterator[World]:
    async with running(database, nats_url) as world:
        yield world


async def test_a_batch_applied_twice_counts_once(world: World) -> None:
    one = batch(attempt(1), attempt(2))
    await world.report(one, one)
    summary = (await world.viewer.GetSummary(dpb.GetSummaryRequest(parent="workspaces/acme"))).destinations[0]
    assert summary.destination == "workspaces/acme/destinations/crm"
    assert summary.delivered == 2
    assert await world.value("SELECT count(*) FROM attempts") == 2


async def test_a_retry_is_released_at_its_time(world: World) -> None:
    await world.report(batch(attempt(1, result=pb.RESULT_RETRYABLE)))
    world.advance(8)
    assert world.due == []
    world.advance(2)
    (due,) = await world.released(1)
    assert (due.stream_sequence, due.attempt, due.retries_used, due.event) == (1, 2, 1, b'{"type":"track"}')
