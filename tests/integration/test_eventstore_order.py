"""Facts become visible in the order of their positions, with the naive way of reading as the control."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random

import asyncpg
import pytest

from kit.eventstore.postgres import MIGRATIONS, PostgresEventStore
from kit.postgres.migrate import migrate
from kit.postgres.pool import Pool, connect_pool
from tests.conformance.eventstore import META, said

pytestmark = pytest.mark.integration

WRITERS = 16
TRANSACTIONS = 8
WORKSPACES = ("acme", "globex", "initech")

CREATE_NAIVE = "CREATE TABLE naive (position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, writer int)"


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    await migrate(database, [MIGRATIONS])
    owner = await asyncpg.connect(database)
    await owner.execute(CREATE_NAIVE)
    await owner.close()
    pool = await connect_pool(database, application_name="test")
    yield pool
    await pool.close()


@pytest.fixture
async def reader(pool: Pool, database: str) -> AsyncIterator[Pool]:
    """Connections that no writer can take."""
    reader = await connect_pool(database, application_name="test reader", connections_max=1)
    yield reader
    await reader.close()


async def write_and_poll(write: Callable[[int, Random], Awaitable[None]], poll: Callable[[], Awaitable[None]]) -> None:
    """Let 16 writers make transactions of random length while a poller polls without a pause."""
    done = asyncio.Event()

    async def poll_on() -> None:
        while not done.is_set():
            await poll()
            await asyncio.sleep(0)
        await poll()

    async def write_on(writer: int) -> None:
        random = Random(writer)
        for _ in range(TRANSACTIONS):
            await write(writer, random)

    async with asyncio.TaskGroup() as outer:
        outer.create_task(poll_on())
        async with asyncio.TaskGroup() as writers:
            for writer in range(WRITERS):
                writers.create_task(write_on(writer))
        done.set()


async def test_a_reader_of_the_event_log_misses_nothing_and_sees_it_in_order(pool: Pool, reader: Pool) -> None:
    """B16."""
    # A store for each writer, as if each were a replica: within one store, writers queue up before Postgres does.
    stores = [PostgresEventStore(pool) for _ in range(WRITERS)]
    store = PostgresEventStore(reader)
    seen: dict[str, list[int]] = defaultdict(list)
    versions: dict[tuple[str, str], list[int]] = defaultdict(list)

    async def write(writer: int, random: Random) -> None:
        async with stores[writer].writing(random.choice(WORKSPACES)) as unit:
            for _ in range(random.randint(1, 3)):
                await unit.append([said(f"s{random.randint(0, 3)}")], META)
                await asyncio.sleep(random.random() * 0.01)

    async def poll() -> None:
        for workspace in WORKSPACES:
            positions = seen[workspace]
            for fact in await store.read(workspace, positions[-1] if positions else 0):
                positions.append(fact.position)
                versions[workspace, fact.stream].append(fact.version)

    await write_and_poll(write, poll)
    for workspace in WORKSPACES:
        assert seen[workspace] == list(range(1, await store.head(workspace) + 1))
    assert sum(map(len, seen.values())) >= WRITERS * TRANSACTIONS
    assert all(each == list(range(1, len(each) + 1)) for each in versions.values())


async def test_control_a_poller_over_an_identity_column_misses_rows(pool: Pool, reader: Pool) -> None:
    """B16: were this to pass without missing any, the test above would prove nothing."""
    seen: list[int] = []

    async def write(writer: int, random: Random) -> None:
        async with pool.transaction() as connection:
            for _ in range(random.randint(1, 3)):
                await connection.execute("INSERT INTO naive (writer) VALUES ($1)", writer)
                await asyncio.sleep(random.random() * 0.01)

    async def poll() -> None:
        rows = await reader.fetch(
            "SELECT position FROM naive WHERE position > $1 ORDER BY position", max(seen, default=0)
        )
        seen.extend(row["position"] for row in rows)

    await write_and_poll(write, poll)
    assert len(seen) < await pool.fetchval("SELECT count(*) FROM naive")
