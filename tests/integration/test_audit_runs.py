"""Facts that are recorded together leave what they would leave one after the other."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from functools import partial

import asyncpg
import pytest

from kit.eventstore.consumer import PostgresFactApplier, each
from kit.eventstore.facts import Fact, NewFact
from kit.eventstore.memory import MemoryEventStore
from kit.eventstore.postgres import MIGRATIONS as EVENT_LOG_MIGRATIONS
from kit.postgres.migrate import migrate
from kit.postgres.pool import Connection, Pool, connect_pool
from onward.registry.v1 import facts_pb2, resources_pb2
from services.audit.app import MIGRATIONS
from services.audit.projections import record
from tests.integration.audit_world import META

pytestmark = pytest.mark.integration

COUNT = 200
# What two databases, or two moments, differ in.
COMPARED = (
    "SELECT to_jsonb(t) - 'record_time' FROM audit_events t ORDER BY workspace, index",
    "SELECT to_jsonb(t) FROM audit_facts t ORDER BY workspace, index",
    "SELECT workspace, service, stream, state::text FROM audit_targets ORDER BY 1, 2, 3",
    "SELECT workspace, index FROM audit_heads ORDER BY 1",
    "SELECT * FROM consumer_positions ORDER BY 1, 2, 3",
)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    await migrate(database, [EVENT_LOG_MIGRATIONS, MIGRATIONS])
    pool = await connect_pool(database, application_name="test")
    yield pool
    await pool.close()


def some_fact(chance: random.Random) -> NewFact:
    """Of few targets, so that most facts change what an earlier one of the same run has left."""
    name = f"d{chance.randrange(4)}"
    text = resources_pb2.SettingValue(string_value=f"v{chance.randrange(5)}")
    change = facts_pb2.SettingChange(name="endpoint", value=text)
    made = [
        NewFact(f"destinations/{name}", facts_pb2.DestinationConnected(destination=name, display_name=name.upper())),
        NewFact(f"destinations/{name}", facts_pb2.DestinationEnabled(destination=name)),
        NewFact(f"destinations/{name}", facts_pb2.SettingsChanged(destination=name, changes=[change])),
        NewFact(f"destinations/{name}", facts_pb2.DestinationDisconnected(destination=name)),
        NewFact(
            "functions/crm",
            facts_pb2.VersionDeployed(function="crm", number=chance.randrange(9), destinations=["d0", "d1", name]),
        ),
        NewFact("functions/crm", facts_pb2.FunctionUpdated(function="crm", display_name=f"C\0{chance.random()}")),
        NewFact(
            "denials",
            facts_pb2.AccessDenied(resource=f"workspaces/acme/destinations/{name}", method="/x", count=2),
        ),
    ]
    return chance.choice(made)


@pytest.fixture
async def facts() -> Sequence[Fact]:
    chance = random.Random(6)
    store = MemoryEventStore()
    for _ in range(COUNT):
        async with store.writing("acme") as unit:
            await unit.append([some_fact(chance)], META)
    return await store.read("acme", 0)


def applier(pool: Pool, *, together: bool) -> PostgresFactApplier:
    async def nothing(service: str, workspace: str, after_position: int, limit: int) -> Sequence[Fact]:
        return []

    async def one(connection: Connection, fact: Fact) -> None:
        await record("registry", connection, [fact])

    apply = partial(record, "registry") if together else each(one)
    return PostgresFactApplier(pool, consumer="audit", service="registry", apply=apply, read_facts=nothing)


async def left(pool: Pool) -> list[list[tuple[object, ...]]]:
    return [[tuple(row) for row in await pool.fetch(query)] for query in COMPARED]


async def emptied(pool: Pool, database: str) -> None:
    """Take back what was recorded, as no service may."""
    connection = await asyncpg.connect(database)
    for table in ("audit_facts", "audit_events", "audit_targets", "audit_heads", "consumer_positions"):
        await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        await connection.execute(f"DELETE FROM {table}")
    await connection.close()


async def test_a_run_leaves_what_its_facts_leave_one_by_one(pool: Pool, database: str, facts: Sequence[Fact]) -> None:
    """C3"""
    await applier(pool, together=False).deliver(facts)
    expected = await left(pool)
    assert len(expected[0]) == COUNT
    for size in (COUNT, 7):
        await emptied(pool, database)
        for start in range(0, COUNT, size):
            await applier(pool, together=True).deliver(facts[start : start + size])
        assert await left(pool) == expected
    times = [row["record_time"] for row in await pool.fetch("SELECT record_time FROM audit_events ORDER BY index")]
    assert times == sorted(times)


async def test_a_run_that_was_applied_in_part_is_continued(pool: Pool, facts: Sequence[Fact]) -> None:
    """A5"""
    await applier(pool, together=True).deliver(facts[:11])
    await applier(pool, together=True).deliver([*facts[3:40], *facts[20:50]])
    rows = await pool.fetch("SELECT index, position FROM audit_events ORDER BY index")
    assert [(row["index"], row["position"]) for row in rows] == [(at, at) for at in range(1, 51)]


async def test_a_run_that_fails_leaves_nothing(pool: Pool, facts: Sequence[Fact]) -> None:
    """C7"""

    async def crash(connection: Connection, run: Sequence[Fact]) -> None:
        await record("registry", connection, run)
        raise KeyError("crash")

    broken = applier(pool, together=True)
    broken._apply = crash
    with pytest.raises(KeyError):
        await broken.deliver(facts)
    assert [rows for rows in await left(pool) if rows] == []
