"""The pool's limits, its translation of failures, and what it refuses to start on."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from kit.errors import Unavailable
from kit.postgres.pool import NotDurableError, Pool, connect_pool

pytestmark = pytest.mark.integration


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    pool = await connect_pool(database, application_name="test", role=None, connections_max=2)
    yield pool
    await pool.close()


async def test_a_lost_connection_is_unavailable_and_the_next_call_works(pool: Pool) -> None:
    """B13."""

    async def lose() -> None:
        async with pool.transaction() as connection:
            await connection.execute("CREATE TABLE half ()")
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(Unavailable):
        await lose()
    assert await pool.fetchval("SELECT to_regclass('half')") is None


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await connect_pool("postgresql://nobody@127.0.0.1:1/none", application_name="test")


async def test_a_wait_for_a_lock_ends_as_unavailable(pool: Pool) -> None:
    async with pool.transaction() as holder:
        await holder.execute("SELECT pg_advisory_xact_lock(1)")
        async with pool.acquire() as other:
            await other.execute("SET lock_timeout = '20ms'")
        with pytest.raises(Unavailable):
            await pool.execute("SET LOCAL lock_timeout = '20ms'; SELECT pg_advisory_xact_lock(1)")


async def test_a_fault_of_ours_keeps_its_name(pool: Pool) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        await pool.fetch("SELECT * FROM nowhere")


async def test_a_fault_inside_a_transaction_undoes_it(pool: Pool) -> None:
    async def fail() -> None:
        async with pool.transaction() as connection:
            await connection.execute("CREATE TABLE half ()")
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert await pool.fetchval("SELECT to_regclass('half')") is None


async def test_a_cancelled_transaction_gives_its_connection_back(pool: Pool) -> None:
    async def hold(inside: asyncio.Event) -> None:
        async with pool.transaction():
            inside.set()
            await asyncio.Event().wait()

    for _ in range(3):
        inside = asyncio.Event()
        task = asyncio.create_task(hold(inside))
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with pool.transaction(), pool.transaction() as connection:
        assert await connection.fetchval("SELECT 1") == 1


async def test_sessions_are_bounded_in_time(pool: Pool) -> None:
    settings = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    values = [await pool.fetchval("SELECT current_setting($1)", setting) for setting in settings]
    assert values == ["10s", "5s", "10s"]


async def test_a_server_that_may_lose_commits_is_refused(database: str) -> None:
    """B15."""
    owner = await asyncpg.connect(database)
    name = await owner.fetchval("SELECT current_database()")
    await owner.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    await owner.close()
    with pytest.raises(NotDurableError, match="synchronous_commit=off"):
        await connect_pool(database, application_name="test", role=None)
