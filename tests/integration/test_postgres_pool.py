"""The pool's limits, its translation of failures, and what it refuses to start on."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import parse_qs, quote, urlsplit

import asyncpg
import pytest

from kit.errors import Unavailable
from kit.postgres import pool as pool_module
from kit.postgres.pool import NotDurableError, Pool, connect_pool
from kit.testing.eventually import eventually

pytestmark = pytest.mark.integration

SESSIONS = "SELECT FROM pg_stat_activity WHERE application_name = 'test'"


class Partition:
    """A way to the server that can stop to carry anything, without closing."""

    def __init__(self, server_socket: str) -> None:
        self._server_socket = server_socket
        self._tasks: set[asyncio.Task[None]] = set()
        self.open = asyncio.Event()
        self.open.set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self._server_socket)
        for source, target in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._carry(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while piece := await source.read(65536):
                await self.open.wait()
                target.write(piece)
        finally:
            target.close()


@pytest.fixture
async def partition(database: str) -> AsyncIterator[tuple[str, Partition]]:
    """The dsn of the database behind a partition, and the partition."""
    query = parse_qs(urlsplit(database).query)
    name = f".s.PGSQL.{query['port'][0]}"
    partition = Partition(f"{query['host'][0]}/{name}")
    with tempfile.TemporaryDirectory(prefix="onward-", dir="/tmp") as folder:
        server = await asyncio.start_unix_server(partition.accept, path=f"{folder}/{name}")
        async with server:
            yield database.replace(quote(query["host"][0], safe=""), quote(folder, safe="")), partition
        await partition.close()


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


async def test_a_partition_is_unavailable_fast_leaves_nothing_half_written_and_heals(
    partition: tuple[str, Partition], monkeypatch: pytest.MonkeyPatch
) -> None:
    """B13."""
    monkeypatch.setattr(pool_module, "COMMAND_TIMEOUT_S", 0.2)
    monkeypatch.setattr(pool_module, "ROLLBACK_TIMEOUT_S", 0.2)
    dsn, way = partition
    pool = await connect_pool(dsn, application_name="test", role=None)
    await pool.execute("CREATE TABLE written (n int)")

    async def write(cut: bool) -> None:
        async with pool.transaction() as connection:
            await connection.execute("INSERT INTO written VALUES (1)")
            if cut:
                way.open.clear()
            await connection.execute("INSERT INTO written VALUES (2)")

    async with asyncio.timeout(5):
        with pytest.raises(Unavailable):
            await write(cut=True)
        way.open.set()
        await write(cut=False)
    assert await pool.fetchval("SELECT count(*) FROM written") == 2
    await pool.close()


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


async def test_many_callers_take_turns_at_few_connections(pool: Pool) -> None:
    async def call(number: int) -> list[int]:
        return [await pool.fetchval("SELECT $1::int", number) for _ in range(5)]

    answers = await asyncio.gather(*(call(number) for number in range(40)))
    assert answers == [[number] * 5 for number in range(40)]
    assert len(await pool.fetch(SESSIONS)) == 2


async def test_a_connection_that_died_while_nobody_used_it_is_not_lent(pool: Pool) -> None:
    """B13."""
    async with pool.acquire() as one, pool.acquire() as other:
        pids = [await each.fetchval("SELECT pg_backend_pid()") for each in (one, other)]
    for pid in pids:
        await pool.execute("SELECT pg_terminate_backend($1) WHERE $1 <> pg_backend_pid()", pid)
    await eventually(lambda: any(pool_module._is_closed(one) for one in pool._spare))
    assert await asyncio.gather(*(pool.fetchval("SELECT $1::int", number) for number in range(4))) == [0, 1, 2, 3]


async def test_a_call_that_was_given_up_within_leaves_a_connection_that_works(pool: Pool) -> None:
    async with pool.acquire() as connection:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await connection.execute("SELECT pg_sleep(60)")
    assert await asyncio.gather(*(pool.fetchval("SELECT $1::int", number) for number in range(4))) == [0, 1, 2, 3]


async def test_a_call_that_failed_has_its_connection_checked_before_it_is_lent_again(pool: Pool) -> None:
    await pool.execute("SELECT 1")
    call = asyncio.ensure_future(pool.execute("SELECT pg_sleep(60)"))
    await asyncio.sleep(0.05)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert pool._spare == []


async def test_a_closed_pool_leaves_no_connection(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(_pool: object) -> None:
        pytest.fail("connections were cut that could be closed")

    monkeypatch.setattr(asyncpg.Pool, "terminate", cut)
    pool = await connect_pool(database, application_name="closed", role=None)
    await asyncio.gather(*(pool.fetchval("SELECT pg_sleep(0.05)") for _ in range(8)))
    await pool.close()
    connection = await asyncpg.connect(database)
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'closed'"
    await eventually(lambda: is_nothing(connection, query))
    await connection.close()


async def is_nothing(connection: asyncpg.Connection[asyncpg.Record], query: str) -> bool:
    return bool(await connection.fetchval(query) == 0)
