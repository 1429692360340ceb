"""The event log in Postgres does what every event store does, and holds against the service itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import asyncpg
import pytest

from kit.errors import Conflict
from kit.eventstore.postgres import MIGRATIONS, PostgresEventStore
from kit.eventstore.store import Place, Statement
from kit.postgres.migrate import migrate
from kit.postgres.pool import CONNECTIONS_MAX, Pool, connect_pool
from kit.testing.eventually import eventually
from tests.conformance.eventstore import ANSWERED, META, EventStoreConformance, append, said


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    await migrate(database, [MIGRATIONS])
    pool = await connect_pool(database, application_name="test")
    yield pool
    await pool.close()


@pytest.fixture
def store(pool: Pool) -> PostgresEventStore:
    return PostgresEventStore(pool)


@pytest.mark.integration
class TestPostgresEventStore(EventStoreConformance):
    pass


@pytest.mark.integration
@pytest.mark.parametrize("statement", ["UPDATE facts SET type = 'x'", "DELETE FROM facts", "TRUNCATE facts"])
async def test_the_service_may_not_change_facts(store: PostgresEventStore, pool: Pool, statement: str) -> None:
    """C2: by its role."""
    await append(store, "acme", said("a"))
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
        await pool.execute(statement)


@pytest.mark.integration
@pytest.mark.parametrize("statement", ["UPDATE facts SET type = 'x'", "DELETE FROM facts", "TRUNCATE facts"])
@pytest.mark.parametrize("replication_role", ["origin", "replica"])
async def test_not_even_a_superuser_changes_facts_by_accident(
    store: PostgresEventStore, database: str, statement: str, replication_role: str
) -> None:
    """C2: by the trigger, also with the setting that switches off ordinary triggers."""
    await append(store, "acme", said("a"))
    owner = await asyncpg.connect(database)
    try:
        await owner.execute(f"SET session_replication_role = {replication_role}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await owner.execute(statement)
    finally:
        await owner.close()


@pytest.mark.integration
async def test_data_is_stored_byte_for_byte(store: PostgresEventStore, pool: Pool) -> None:
    (fact,) = await append(store, "acme", said("a", 'ü "\\\x00'))
    stored = await pool.fetchval("SELECT data::text FROM facts")
    assert stored.encode() == fact.data == b'{"text":"\xc3\xbc \\"\\\\\\u0000"}'


@pytest.mark.integration
async def test_recorded_at_does_not_fall_when_the_clock_does(store: PostgresEventStore, pool: Pool) -> None:
    """A23, D11."""
    await append(store, "acme", said("a"))
    await pool.execute("UPDATE workspace_heads SET recorded_at = clock_timestamp() + interval '1 hour'")
    (ahead,) = await append(store, "acme", said("a"))
    (later,) = await append(store, "acme", said("a"))
    assert later.recorded_at == ahead.recorded_at


@pytest.mark.integration
async def test_a_projection_commits_with_its_facts(store: PostgresEventStore, pool: Pool, database: str) -> None:
    """D2."""
    owner = await asyncpg.connect(database)
    await owner.execute("CREATE TABLE names (name text PRIMARY KEY)")
    await owner.close()

    async def create(name: str) -> None:
        async with store.writing("acme") as unit:
            await unit.append([said(name)], META)
            await unit.connection.execute("INSERT INTO names VALUES ($1)", name)

    await create("a")
    with pytest.raises(asyncpg.UniqueViolationError):
        await create("a")
    assert await store.head("acme") == 1


@pytest.fixture
async def named(store: PostgresEventStore, database: str) -> Statement:
    """A projection of what follows the first fact: the name's row gets the time."""
    owner = await asyncpg.connect(database)
    await owner.execute("CREATE TABLE names (name text PRIMARY KEY, at timestamptz)")
    await owner.execute("GRANT ALL ON names TO onward_service")
    await owner.close()
    await append(store, "acme", said("a"))
    text = "UPDATE names SET at = head.recorded_at FROM head WHERE name = $1 RETURNING head.recorded_at"
    return Statement(text, ("it's $1",))


@pytest.mark.integration
async def test_one_fact_commits_with_its_rows_and_its_answer(
    store: PostgresEventStore, pool: Pool, named: Statement
) -> None:
    """D2."""
    await pool.execute("INSERT INTO names VALUES ($1)", *named.args)
    more = Statement("INSERT INTO names SELECT $2 || $1, recorded_at FROM head", ("x", "y"))
    times = await store.append_one(Place("acme", 1, 2), said("a"), META, ANSWERED, [named, more])
    assert times is not None
    assert {(row["name"], row["at"]) for row in await pool.fetch("SELECT * FROM names")} == {
        ("it's $1", times.recorded), ("yx", times.recorded),
    }  # fmt: skip
    assert await store.answered("acme", "token:a", "r1", "hash") == b"answer"
    # What fails takes all with it.
    failing = Statement("INSERT INTO names SELECT ($1::integer / 0)::text FROM head", (1,))
    with pytest.raises(asyncpg.DivisionByZeroError):
        await store.append_one(Place("acme", 2, 3), said("a"), META, None, [named, failing])
    assert await store.head("acme") == 2
    # And nothing but the head decides whether anything is written.
    refused = Statement("INSERT INTO names SELECT $1 FROM head", ("z",))
    assert await store.append_one(Place("acme", 1, 3), said("a"), META, None, [named, refused]) is None
    assert await pool.fetchval("SELECT count(*) FROM names") == 2
    assert await pool.fetchval("SELECT at FROM names WHERE name = $1", *named.args) == times.recorded


@pytest.mark.integration
async def test_one_fact_whose_row_is_not_there_leaves_nothing(
    store: PostgresEventStore, pool: Pool, named: Statement
) -> None:
    """D2: rows may be replaced, by a rebuild, while the statement waits for the lock."""
    assert await store.append_one(Place("acme", 1, 2), said("a"), META, ANSWERED, [named]) is None
    assert await store.head("acme") == 1
    assert await store.answered("acme", "token:a", "r1", "hash") is None
    await pool.execute("INSERT INTO names VALUES ($1)", *named.args)
    async with PostgresEventStore(pool).writing("acme") as unit:
        await unit.connection.execute("DELETE FROM names")
        await unit.connection.execute("INSERT INTO names VALUES ($1)", *named.args)
        waiting = asyncio.ensure_future(store.append_one(Place("acme", 1, 2), said("a"), META, ANSWERED, [named]))
        await eventually(lambda: waits_for_a_lock(pool))
    assert await waiting is None
    assert await store.head("acme") == 1
    assert await store.append_one(Place("acme", 1, 2), said("a"), META, ANSWERED, [named])


@pytest.mark.integration
@pytest.mark.parametrize("commits", [True, False])
async def test_one_fact_waits_for_another_replicas_writer_and_yields_to_what_it_committed(
    store: PostgresEventStore, pool: Pool, commits: bool
) -> None:
    """C1."""
    await append(store, "acme", said("a"))
    waiting = None
    with suppress(ZeroDivisionError):
        async with PostgresEventStore(pool).writing("acme") as unit:
            await unit.append([said("b")], META)
            waiting = asyncio.ensure_future(store.append_one(Place("acme", 1, 2), said("a"), META, ANSWERED))
            await eventually(lambda: waits_for_a_lock(pool))
            if not commits:
                raise ZeroDivisionError
    assert waiting is not None
    assert (await waiting is None) == commits
    assert [fact.stream for fact in await store.read("acme", 1)] == (["b"] if commits else ["a"])
    assert [fact.position for fact in await store.read("acme", 0)] == [1, 2]


async def waits_for_a_lock(pool: Pool) -> bool:
    return bool(await pool.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))


@pytest.mark.integration
async def test_appended_is_set_by_a_commit_and_by_nothing_else(store: PostgresEventStore) -> None:
    async def append_and_fail() -> None:
        async with store.writing("acme") as unit:
            await unit.append([said("a")], META)
            raise ZeroDivisionError

    async with store.writing("acme") as unit:
        await unit.read(0)
    with pytest.raises(ZeroDivisionError):
        await append_and_fail()
    assert not store.appended.is_set()
    async with store.writing("acme") as unit:
        await unit.append([said("a")], META)
        assert not store.appended.is_set()
    assert store.appended.is_set()


@pytest.mark.integration
async def test_a_cancelled_writer_lets_the_next_one_in(store: PostgresEventStore) -> None:
    inside = asyncio.Event()

    async def hold() -> None:
        async with store.writing("acme") as unit:
            await unit.append([said("a")], META)
            inside.set()
            await asyncio.Event().wait()

    holder = asyncio.create_task(hold())
    await inside.wait()
    holder.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holder
    (fact,) = await append(store, "acme", said("a"))
    assert fact.position == 1


@pytest.mark.integration
async def test_only_one_of_two_replicas_with_the_same_expected_version_wins(pool: Pool) -> None:
    """C1: between processes, where only Postgres orders them."""

    async def attempt() -> bool:
        try:
            async with PostgresEventStore(pool).writing("acme") as unit:
                await unit.append([said("functions/a")], META, expected={"functions/a": 0})
        except Conflict:
            return False
        return True

    assert sorted(await asyncio.gather(*(attempt() for _ in range(8)))) == [False] * 7 + [True]
    assert await PostgresEventStore(pool).head("acme") == 1


@pytest.mark.integration
async def test_a_busy_workspace_leaves_connections_to_the_others(store: PostgresEventStore) -> None:
    async with asyncio.TaskGroup() as group, store.writing("busy"):
        for _ in range(CONNECTIONS_MAX * 2):
            group.create_task(append(store, "busy", said("a")))
        # Tasks start in the order of their creation, so this one comes behind all of those.
        async with asyncio.timeout(4):
            await group.create_task(append(store, "calm", said("a")))
    assert await store.head("busy") == CONNECTIONS_MAX * 2
