"""The relay and a real NATS server that dies and comes back."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from kit.bus.connection import Bus, connect
from kit.bus.publish import Publisher
from kit.bus.streams import facts_stream, provision
from kit.embedded.data_folder import DataFolder
from kit.embedded.nats import EmbeddedNats
from kit.embedded.nats_users import NatsUser
from kit.eventstore.envelope import from_message
from kit.eventstore.facts import FACT_BYTES_MAX, META_BYTES_MAX, Fact, Meta
from kit.eventstore.postgres import MIGRATIONS, PostgresEventStore
from kit.eventstore.relay import Relay
from kit.postgres.migrate import migrate
from kit.postgres.pool import connect_pool
from kit.testing import servers
from kit.testing.eventually import eventually
from tests.conformance.eventstore import append, said

pytestmark = pytest.mark.integration

STREAM = "FACTS"


@pytest.fixture
async def nats(data_folder: DataFolder) -> AsyncIterator[EmbeddedNats]:
    """A server of the test's own, to be killed."""
    server = EmbeddedNats(data_folder, [NatsUser(servers.TEST_USER, data_folder.secret("nats test"))])
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def bus(nats: EmbeddedNats) -> AsyncIterator[Bus]:
    bus = await connect(nats.url(servers.TEST_USER), name="test")
    await provision(bus, [facts_stream()])
    yield bus
    await bus.close()


@pytest.fixture
async def store(database: str) -> AsyncIterator[PostgresEventStore]:
    await migrate(database, [MIGRATIONS])
    pool = await connect_pool(database, application_name="test")
    yield PostgresEventStore(pool)
    await pool.close()


@pytest.fixture
async def relay(database: str, store: PostgresEventStore, bus: Bus) -> AsyncIterator[Relay]:
    relay = Relay(
        database,
        service="registry",
        publish_many=Publisher(bus).publish_many,
        appended=store.appended,
        publish_timeout_s=1,
    )
    async with asyncio.TaskGroup() as group:
        running = group.create_task(relay.run())
        yield relay
        running.cancel()


async def stored_facts(bus: Bus) -> list[Fact]:
    client = bus.client
    last = (await bus.api(f"STREAM.INFO.{STREAM}"))["state"]["last_seq"]
    messages = [await client.jetstream().get_msg(STREAM, seq) for seq in range(1, last + 1)]
    return [from_message(message.data or b"", message.headers).fact for message in messages]


async def test_facts_arrive_on_the_stream_as_they_are_stored(relay: Relay, store: PostgresEventStore, bus: Bus) -> None:
    appended = [*await append(store, "acme", said("a"), said("b", "ü")), *await append(store, "acme", said("a"))]
    assert await relay.wait_published("acme", 3, timeout_s=10)
    assert await stored_facts(bus) == appended


async def test_the_largest_fact_with_the_largest_meta_fits_into_a_message(
    relay: Relay, store: PostgresEventStore, bus: Bus
) -> None:
    meta = Meta(principal="p" * (META_BYTES_MAX - 100))
    (fact,) = await append(store, "acme", said("s" * 512, "x" * (FACT_BYTES_MAX - 11)), meta=meta)
    assert len(fact.data) == FACT_BYTES_MAX
    assert await relay.wait_published("acme", 1, timeout_s=10)
    assert await stored_facts(bus) == [fact]


async def test_a_server_that_is_killed_loses_no_fact_and_repeats_none(
    relay: Relay, store: PostgresEventStore, bus: Bus, nats: EmbeddedNats
) -> None:
    """B3, B12."""
    appended: list[Fact] = []

    async def write(count: int) -> None:
        for _ in range(count):
            appended.extend(await append(store, "acme", said("a"), said("b")))

    await write(10)
    nats.crash()
    await nats.exited()
    await write(10)
    await eventually(lambda: relay.failing)
    await nats.start()
    await write(10)
    assert await relay.wait_published("acme", len(appended), timeout_s=20)
    assert await stored_facts(bus) == appended
