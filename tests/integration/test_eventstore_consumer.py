"""Applying facts to tables: effect and position commit together."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import asyncpg
import pytest

from kit.eventstore.consumer import PostgresFactApplier, each
from kit.eventstore.facts import Fact
from kit.eventstore.memory import MemoryEventStore
from kit.eventstore.postgres import MIGRATIONS
from kit.postgres.migrate import migrate
from kit.postgres.pool import Connection, Pool, connect_pool
from tests.conformance.eventstore import append, said

pytestmark = pytest.mark.integration


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    await migrate(database, [MIGRATIONS])
    owner = await asyncpg.connect(database)
    # No key: a fact that is applied twice shows.
    await owner.execute("CREATE TABLE applied (place bigint GENERATED ALWAYS AS IDENTITY, position bigint)")
    await owner.close()
    pool = await connect_pool(database, application_name="test")
    yield pool
    await pool.close()


@pytest.fixture
async def owner() -> MemoryEventStore:
    """The log that the facts come from."""
    store = MemoryEventStore()
    await append(store, "acme", *[said("a") for _ in range(20)])
    return store


async def insert(connection: Connection, fact: Fact) -> None:
    await connection.execute("INSERT INTO applied (position) VALUES ($1)", fact.position)


def applier(
    pool: Pool, owner: MemoryEventStore, apply: object = insert, consumer: str = "audit"
) -> PostgresFactApplier:
    async def read_facts(service: str, workspace: str, after_position: int, limit: int) -> Sequence[Fact]:
        return await owner.read(workspace, after_position, limit)

    return PostgresFactApplier(pool, consumer=consumer, service="registry", apply=each(apply), read_facts=read_facts)  # type: ignore[arg-type]  # any callable


async def applied(pool: Pool) -> list[int]:
    return [row["position"] for row in await pool.fetch("SELECT position FROM applied ORDER BY place")]


async def test_facts_are_applied_once_in_order_and_gaps_are_filled(pool: Pool, owner: MemoryEventStore) -> None:
    facts = await owner.read("acme", 0)
    consumer = applier(pool, owner)
    await consumer.deliver([facts[1], facts[0], facts[5]])
    await consumer.deliver([facts[5], facts[2], facts[9]])
    assert await applied(pool) == list(range(1, 11))
    assert await consumer.position("acme") == 10


async def test_a_crash_in_the_middle_of_a_batch_keeps_neither_its_rows_nor_its_position(
    pool: Pool, owner: MemoryEventStore
) -> None:
    """C7."""
    facts = await owner.read("acme", 0)

    async def crash_at_five(connection: Connection, fact: Fact) -> None:
        await insert(connection, fact)
        if fact.position == 5:
            raise KeyError("crash")

    with pytest.raises(KeyError):
        await applier(pool, owner, crash_at_five).deliver(facts)
    assert await applied(pool) == []
    await applier(pool, owner).deliver(facts)
    assert await applied(pool) == list(range(1, 21))


async def test_replicas_that_get_the_same_facts_apply_them_once(pool: Pool, owner: MemoryEventStore) -> None:
    facts = await owner.read("acme", 0)
    async with asyncio.TaskGroup() as group:
        for n in range(6):
            group.create_task(applier(pool, owner).deliver(facts[n:]))
    assert await applied(pool) == list(range(1, 21))


async def test_a_new_consumer_catches_up_from_zero_and_others_keep_their_place(
    pool: Pool, owner: MemoryEventStore
) -> None:
    """C3."""
    assert await applier(pool, owner, consumer="one").catch_up("acme") == 20
    assert await applier(pool, owner, consumer="two").position("acme") == 0
    assert await applier(pool, owner, consumer="two").catch_up("acme") == 20
    assert await applied(pool) == [*range(1, 21), *range(1, 21)]
