"""The tracker beside another one, and without NATS or Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from kit.embedded.data_folder import DataFolder
from kit.embedded.nats import EmbeddedNats
from kit.embedded.nats_users import NatsUser
from kit.embedded.postgres import EmbeddedPostgres
from kit.testing.eventually import eventually
from kit.testing.servers import TEST_USER
from onward.executor.v1 import outcomes_pb2 as pb
from tests.integration.delivery_world import START_US, World, attempt, batch, running

pytestmark = pytest.mark.integration


@pytest.fixture
async def nats(data_folder: DataFolder) -> AsyncIterator[EmbeddedNats]:
    """A server of the test's own, to be stopped."""
    server = EmbeddedNats(data_folder, [NatsUser(TEST_USER, data_folder.secret("nats test"))])
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def test_two_trackers_count_everything_once(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world, running(database, nats_url) as other:
        batches = [
            batch(*[attempt(start + one) for one in range(20)], destination=f"d{destination}")
            for start in range(0, 400, 20)
            for destination in range(4)
        ]
        # The same attempts again, in batches of their own; and events whose messageIds are taken.
        again = [batch(*one.destinations[0].attempts, destination=one.destinations[0].destination) for one in batches]
        repeated = [batch(*[attempt(1000 + one, message_id=f"m{one}") for one in range(20)], destination="d0")]
        sequence = await world.publish(*batches[:40], *again, *batches[40:], *repeated)
        await world.wait_applied(sequence)
        assert other.app is not None
        assert world.app is not None
        assert await world.value("SELECT count(*) FROM attempts") == 1620
        assert await world.value("SELECT sum(count)::int FROM rollups") == 1620
        assert await world.value("SELECT count(*) FROM seen_events") == 400
        assert await world.value("SELECT count(*) FROM attempts WHERE duplicate AND stream_sequence >= 1000") == 20
        assert await world.value("SELECT count(*) FROM attempts WHERE duplicate AND stream_sequence < 1000") == 0


async def test_the_second_tracker_releases_when_the_first_is_gone(database: str, nats_url: str) -> None:
    """B18."""
    async with running(database, nats_url) as world:
        assert world.app is not None
        await eventually(lambda: leads(world))
        async with running(database, nats_url) as other:
            await world.report(batch(attempt(1, result=pb.RESULT_RETRYABLE)))
            assert not leads(other)
            await world.stop()
            other.advance(10)
            await eventually(lambda: len(world.due) + len(other.due) == 1, timeout_s=15)
            assert leads(other)
            # For the fixture, which stops both.
            await world.start()


def leads(world: World) -> bool:
    return world.app is not None and world.app.releasing


async def test_a_claim_is_undone_while_nats_is_down(database: str, nats: EmbeddedNats) -> None:
    async with running(database, nats.url(TEST_USER)) as world:
        await world.report(batch(attempt(1, result=pb.RESULT_RETRYABLE)))
        await nats.stop()
        world.advance(10)
        await eventually(lambda: world.value("SELECT released_at_us IS NULL AND doubtful FROM due"), timeout_s=20)
        await nats.start()
        world.advance(1)

        def look() -> int:
            world.advance(0.1)
            return len(world.due)

        await eventually(look, timeout_s=20, interval_s=0.1)
        assert len(world.due) == 1
        await world.report(batch(attempt(1, 2, retries_used=1)))


async def test_outcomes_wait_while_postgres_is_down(data_folder: DataFolder, nats_url: str) -> None:
    """B13, B14."""
    server = EmbeddedPostgres(data_folder)
    await server.start()
    try:
        await server.create_database("tracker", template="template0")
        async with running(server.dsn("tracker"), nats_url) as world:
            await world.report(batch(attempt(1)))
            await server.stop()
            sequence = await world.publish(batch(attempt(2), attempt(3, result=pb.RESULT_RETRYABLE)))
            await asyncio.sleep(0)
            await server.start()
            await eventually(lambda: world.value("SELECT count(*) = 3 FROM attempts"), timeout_s=20)
            await world.wait_applied(sequence)
            assert await world.value("SELECT due_at_us > $1 FROM due", START_US)
            await eventually(lambda: leads(world))
    finally:
        await server.stop()
