"""The relay: every fact on the bus, in order, whatever dies in between."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import pytest

from kit.bus.publish import BATCH_MESSAGES_MAX, Outgoing, PubAck
from kit.errors import Unavailable
from kit.eventstore import relay as relay_module
from kit.eventstore.consumer import MemoryFactApplier
from kit.eventstore.envelope import from_message
from kit.eventstore.facts import Fact
from kit.eventstore.postgres import MIGRATIONS, PostgresEventStore, read_several
from kit.eventstore.relay import Relay, rewind
from kit.eventstore.store import Place
from kit.postgres.migrate import migrate
from kit.postgres.pool import Pool, connect_pool
from kit.testing.eventually import eventually
from tests.conformance.eventstore import META, append, said

pytestmark = pytest.mark.integration


class FakeBus:
    """Keeps what is published, duplicates too, like a stream after its window; refuses what a test tells it to."""

    def __init__(self) -> None:
        self.messages: list[Outgoing] = []
        self.refused: set[str] = set()
        self.down = False
        self.tries = 0
        self.refusals = 0
        self.published = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def publish_many(self, messages: Sequence[Outgoing], *, timeout_s: float) -> Sequence[PubAck]:
        self.tries += 1
        if self.down:
            raise Unavailable("down")
        acks = [self._publish(message) for message in messages]
        self.published.set()
        await self.may_answer.wait()
        return acks

    def positions(self, workspace: str) -> list[int]:
        return [fact.position for fact in self.facts() if fact.workspace == workspace]

    def facts(self) -> list[Fact]:
        return [from_message(message.data, message.headers).fact for message in self.messages]

    def _publish(self, message: Outgoing) -> PubAck:
        if message.subject.split(".")[2] in self.refused:
            self.refusals += 1
            return PubAck("", 0, error=Unavailable("refused"))
        self.messages.append(message)
        return PubAck("FACTS", len(self.messages))


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    await migrate(database, [MIGRATIONS])
    pool = await connect_pool(database, application_name="test")
    yield pool
    await pool.close()


@pytest.fixture
def store(pool: Pool) -> PostgresEventStore:
    return PostgresEventStore(pool)


@pytest.fixture
def bus() -> FakeBus:
    return FakeBus()


def make_relay(database: str, store: PostgresEventStore, bus: FakeBus) -> Relay:
    return Relay(
        database, service="registry", publish_many=bus.publish_many, appended=store.appended, recent=store.recent
    )


@asynccontextmanager
async def running(relay: Relay) -> AsyncIterator[Relay]:
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def kill_leader(database: str) -> None:
    """End the session of the relay that leads, as a crash of its process or its network does."""
    owner = await asyncpg.connect(database)
    try:
        # One that was killed before may not have noticed yet, and goes on with what it has in memory.
        killed = await eventually(
            lambda: owner.fetch(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks JOIN pg_database d ON d.oid = database"
                " WHERE locktype = 'advisory' AND granted AND datname = current_database()"
            )
        )
        assert len(killed) == 1
    finally:
        await owner.close()


async def test_facts_are_published_in_order_as_stored(database: str, store: PostgresEventStore, bus: FakeBus) -> None:
    before = await append(store, "acme", said("a"), said("b"))
    async with running(make_relay(database, store, bus)) as relay:
        after = await append(store, "acme", said("a", "ü"))
        assert await relay.wait_published("acme", 3, timeout_s=10)
    assert bus.facts() == before + after
    assert [message.data for message in bus.messages] == [fact.data for fact in before + after]
    assert [message.msg_id for message in bus.messages] == [fact.fact_id for fact in before + after]
    assert bus.messages[2].subject == "facts.registry.acme.Struct"


async def test_what_is_recorded_is_not_published_again(database: str, store: PostgresEventStore, bus: FakeBus) -> None:
    await append(store, "acme", said("a"))
    async with running(make_relay(database, store, bus)) as relay:
        assert await relay.wait_published("acme", 1, timeout_s=10)
        await eventually(lambda: recorded(store, "acme", 1))
    async with running(make_relay(database, store, bus)) as relay:
        await append(store, "acme", said("a"))
        assert await relay.wait_published("acme", 2, timeout_s=10)
        assert await relay.wait_published("acme", 1, timeout_s=10)
    assert bus.positions("acme") == [1, 2]


async def recorded(store: PostgresEventStore, workspace: str, position: int) -> bool:
    found = await store._pool.fetchval("SELECT position FROM relay_positions WHERE workspace = $1", workspace)
    return bool(found == position)


async def test_a_relay_with_nothing_to_do_sleeps(database: str, store: PostgresEventStore, bus: FakeBus) -> None:
    async with running(make_relay(database, store, bus)) as relay:
        await append(store, "acme", said("a"))
        assert await relay.wait_published("acme", 1, timeout_s=10)
        await eventually(lambda: not store.appended.is_set())
    assert bus.tries == 1


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The positions of facts that relays have read."""
    told: list[list[int]] = []

    async def noting(*args: Any) -> list[Fact]:
        facts = await read_several(*args)
        told.append([fact.position for fact in facts])
        return facts

    monkeypatch.setattr(relay_module, "read_several", noting)
    return told


async def test_what_its_own_process_commits_is_published_without_being_read_again(
    database: str, store: PostgresEventStore, bus: FakeBus, read: list[list[int]]
) -> None:
    async with running(make_relay(database, store, bus)) as relay:
        facts = await append(store, "acme", said("a"))
        assert await relay.wait_published("acme", 1, timeout_s=10)
        facts += await append(store, "acme", said("a"), said("b"))
        assert await relay.wait_published("acme", 3, timeout_s=10)
        assert await store.append_one(Place("acme", 3, 3), said("a"), META)
        assert await relay.wait_published("acme", 4, timeout_s=10)
        await eventually(lambda: recorded(store, "acme", 4))
    # The first of all shows how far the others have come.
    assert read == [[1]]
    assert bus.facts() == [*facts, *await store.read("acme", 3)]


async def test_what_another_replica_commits_in_between_is_published_in_its_place(
    database: str, pool: Pool, store: PostgresEventStore, bus: FakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B16."""
    # Nobody would look by itself within this test.
    monkeypatch.setattr(relay_module, "POLL_S", 1000.0)
    async with running(make_relay(database, store, bus)) as relay:
        await append(store, "acme", said("a"))
        assert await relay.wait_published("acme", 1, timeout_s=10)
        await append(PostgresEventStore(pool), "acme", said("a"))
        await append(store, "acme", said("a"))
        assert await relay.wait_published("acme", 3, timeout_s=10)
        # What nobody handed over is looked for where somebody waits for it.
        await append(PostgresEventStore(pool), "acme", said("a"))
        assert await relay.wait_published("acme", 4, timeout_s=10)
        await append(store, "acme", said("a"))
        store.recent.drop()
        assert await relay.wait_published("acme", 5, timeout_s=10)
    assert bus.positions("acme") == [1, 2, 3, 4, 5]


async def test_what_was_rewound_while_facts_are_handed_over_is_read_again(
    database: str, pool: Pool, store: PostgresEventStore, bus: FakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B5."""
    monkeypatch.setattr(relay_module, "POLL_S", 1000.0)
    async with running(make_relay(database, store, bus)) as relay:
        await append(store, "acme", said("a"), said("a"))
        assert await relay.wait_published("acme", 2, timeout_s=10)
        await eventually(lambda: recorded(store, "acme", 2))
        await rewind(pool, "acme", 1)
        await append(store, "acme", said("a"))
        assert await relay.wait_published("acme", 3, timeout_s=10)
        await eventually(lambda: recorded(store, "acme", 3))
    assert bus.positions("acme") == [1, 2, 3, 2, 3]


async def test_a_waiter_of_a_position_from_before_the_relay_started_is_answered(
    database: str, store: PostgresEventStore, bus: FakeBus
) -> None:
    await append(store, "acme", said("a"))
    async with running(make_relay(database, store, bus)) as relay:
        assert await relay.wait_published("acme", 1, timeout_s=10)
        await eventually(lambda: recorded(store, "acme", 1))
    async with running(make_relay(database, store, bus)) as relay:
        assert await relay.wait_published("acme", 1, timeout_s=10)


async def test_a_waiter_gives_up_in_time_and_that_is_no_failure(
    database: str, store: PostgresEventStore, bus: FakeBus
) -> None:
    bus.down = True
    async with running(make_relay(database, store, bus)) as relay:
        await append(store, "acme", said("a"))
        assert not await relay.wait_published("acme", 1, timeout_s=0.05)
    assert not await relay.wait_published("acme", 1, timeout_s=0)


async def test_more_than_a_batch_of_many_workspaces_is_published_fairly_and_in_order(
    database: str, store: PostgresEventStore, bus: FakeBus
) -> None:
    await append(store, "flood", *[said("a") for _ in range(1000)])
    await append(store, "calm", said("a"))
    async with running(make_relay(database, store, bus)) as relay:
        assert await relay.wait_published("flood", 1000, timeout_s=20)
    assert bus.positions("flood") == list(range(1, 1001))
    assert [fact.workspace for fact in bus.facts()].index("calm") <= BATCH_MESSAGES_MAX


async def test_large_facts_are_published_in_batches_of_bounded_bytes(
    database: str, store: PostgresEventStore, bus: FakeBus
) -> None:
    for _ in range(5):
        await append(store, "acme", said("a", "x" * 400_000))
    async with running(make_relay(database, store, bus)) as relay:
        assert await relay.wait_published("acme", 5, timeout_s=20)
    assert bus.positions("acme") == [1, 2, 3, 4, 5]
    assert bus.tries == 3


def paced(monkeypatch: pytest.MonkeyPatch, *, round_s: float, record_s: float) -> None:
    """Have rounds begin and be recorded so far apart; nobody looks by itself."""
    monkeypatch.setattr(relay_module, "POLL_S", 1000.0)
    monkeypatch.setattr(relay_module, "ROUND_S", round_s)
    monkeypatch.setattr(relay_module, "RECORD_S", record_s)


async def test_facts_that_come_one_after_the_other_share_rounds_and_records(
    database: str, store: PostgresEventStore, bus: FakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    paced(monkeypatch, round_s=3.0, record_s=1000.0)
    async with running(make_relay(database, store, bus)) as relay:
        for n in range(1, 31):
            await append(store, "acme", said("a"))
            if n == 1:
                # The first is published by a look for what there is.
                assert await relay.wait_published("acme", 1, timeout_s=10)
        assert await relay.wait_published("acme", 30, timeout_s=10)
        assert not await recorded(store, "acme", 30)
        # When none follows any more.
        await eventually(lambda: recorded(store, "acme", 30))
    assert bus.positions("acme") == list(range(1, 31))
    assert bus.tries < 15


async def test_facts_that_never_end_are_recorded_too(
    database: str, store: PostgresEventStore, bus: FakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Long enough that there is something for every round.
    paced(monkeypatch, round_s=0.1, record_s=0.01)

    async def recorded_of_many() -> bool:
        return bool(await store._pool.fetchval("SELECT count(*) FROM relay_positions WHERE position > 50"))

    async with running(make_relay(database, store, bus)), writing_on(store, "acme"):
        await eventually(recorded_of_many)


@asynccontextmanager
async def writing_on(store: PostgresEventStore, *workspaces: str) -> AsyncIterator[None]:
    """Append one fact after the other meanwhile, to each of them."""

    async def write(workspace: str) -> None:
        while True:
            await append(store, workspace, said("a"))

    tasks = [asyncio.create_task(write(workspace)) for workspace in workspaces]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_a_leader_had_not_recorded_its_successor_publishes_again(
    database: str, store: PostgresEventStore, bus: FakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A5."""
    # After the first round of what is handed over there is none, and no look.
    monkeypatch.setattr(relay_module, "ROUND_S", 1000.0)
    monkeypatch.setattr(relay_module, "POLL_S", 1000.0)
    async with running(make_relay(database, store, bus)) as relay:
        await append(store, "acme", said("a"))
        assert await relay.wait_published("acme", 1, timeout_s=10)
        await eventually(lambda: recorded(store, "acme", 1))
        monkeypatch.setattr(relay_module, "RECORD_S", 1000.0)
        await append(store, "acme", said("a"), said("b"))
        assert await relay.wait_published("acme", 3, timeout_s=10)
        assert await recorded(store, "acme", 1)
    async with running(make_relay(database, store, bus)) as relay:
        await append(store, "acme", said("a"))
        assert await relay.wait_published("acme", 4, timeout_s=10)
    assert bus.positions("acme") == [1, 2, 3, 2, 3, 4]
    assert bus.messages[1:3] == bus.messages[3:5]


async def test_a_crash_between_publish_and_record_publishes_again_with_the_same_ids_and_consumers_apply_once(
    database: str, store: PostgresEventStore, bus: FakeBus
) -> None:
    """A5."""
    await append(store, "acme", said("a"), said("a"), said("b"))
    bus.may_answer.clear()
    async with running(make_relay(database, store, bus)):
        await bus.published.wait()
        # The bus has it, the answer is on its way, and the process dies.
    bus.may_answer.set()
    async with running(make_relay(database, store, bus)) as relay:
        assert await relay.wait_published("acme", 3, timeout_s=10)
    assert bus.positions("acme") == [1, 2, 3, 1, 2, 3]
    assert bus.messages[:3] == bus.messages[3:]
    applied: list[int] = []
    applier = MemoryFactApplier(
        service="registry", apply=lambda fact: applied.append(fact.position), read_facts=read_nothing
    )
    for fact in bus.facts():
        await applier.deliver([fact])
    assert applied == [1, 2, 3]


async def read_nothing(service: str, workspace: str, after_position: int, limit: int) -> Sequence[Fact]:
    return []


async def test_a_bus_that_is_down_is_waited_for_and_then_gets_everything_in_order(
    database: str, store: PostgresEventStore, bus: FakeBus
) -> None:
    """B12, B3."""
    bus.down = True
    async with running(make_relay(database, store, bus)) as relay:
        for _ in range(5):
            await append(store, "acme", said("a"))
        await eventually(lambda: bus.tries >= 3)
        assert relay.failing == 1
        bus.down = False
        await append(store, "acme", said("a"))
        assert await relay.wait_published("acme", 6, timeout_s=10)
        assert relay.failing == 0
    assert bus.positions("acme") == [1, 2, 3, 4, 5, 6]


async def test_facts_that_the_bus_refuses_hold_up_no_other_workspace(
    database: str, store: PostgresEventStore, bus: FakeBus
) -> None:
    bus.refused = {"poison"}
    await append(store, "poison", said("a"))
    async with running(make_relay(database, store, bus)) as relay:
        await eventually(lambda: bus.tries)
        for position in range(1, 31):
            await append(store, "acme", said("a"))
            assert await relay.wait_published("acme", position, timeout_s=10)
        refusals = bus.refusals
        bus.refused = set()
        assert await relay.wait_published("poison", 1, timeout_s=10)
    # Without its back-off it would have been tried beside each of the others.
    assert 1 <= refusals < 15
    assert bus.positions("poison") == [1]


async def test_a_refusal_in_the_middle_records_only_what_comes_before_it(
    database: str, store: PostgresEventStore, bus: FakeBus
) -> None:
    await append(store, "acme", *[said("a") for _ in range(4)])

    async def refuse_the_third_once(messages: Sequence[Outgoing], *, timeout_s: float) -> Sequence[PubAck]:
        acks = list(await bus.publish_many(messages, timeout_s=timeout_s))
        if bus.tries == 1:
            acks[2] = PubAck("", 0, error=Unavailable("refused"))
        return acks

    relay = Relay(
        database, service="registry", publish_many=refuse_the_third_once, appended=store.appended, recent=store.recent
    )
    async with running(relay):
        assert await relay.wait_published("acme", 4, timeout_s=10)
    assert bus.positions("acme") == [1, 2, 3, 4, 3, 4]


async def test_of_two_relays_one_leads_and_the_other_takes_over_when_its_session_dies(
    database: str, pool: Pool, bus: FakeBus
) -> None:
    """B18."""
    stores = [PostgresEventStore(pool), PostgresEventStore(pool)]
    relays = [make_relay(database, store, bus) for store in stores]
    async with running(relays[0]):
        await eventually(lambda: relays[0].leading)
        async with running(relays[1]):
            await append(stores[0], "acme", said("a"))
            assert await relays[0].wait_published("acme", 1, timeout_s=10)
            await kill_leader(database)
            await eventually(lambda: relays[0].leading != relays[1].leading)
            for n in range(10):
                await append(stores[n % 2], "acme", said("a"))
            assert await relays[0].wait_published("acme", 11, timeout_s=10)
            assert await relays[1].wait_published("acme", 11, timeout_s=10)
            assert [relay.leading for relay in relays].count(True) == 1
    assert list(dict.fromkeys(bus.positions("acme"))) == list(range(1, 12))


async def test_an_append_in_a_replica_that_does_not_lead_wakes_the_leader(
    database: str, pool: Pool, bus: FakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = PostgresEventStore(pool), PostgresEventStore(pool)
    # Nobody would look by itself within this test.
    monkeypatch.setattr(relay_module, "POLL_S", 1000.0)
    async with running(make_relay(database, here, bus)) as leader:
        await eventually(lambda: leader.leading)
        async with running(make_relay(database, there, bus)) as standby:
            await append(there, "acme", said("a"))
            assert await standby.wait_published("acme", 1, timeout_s=10)
            assert not standby.leading


async def test_who_waits_at_another_replica_does_not_wait_for_what_a_busy_leader_records_later(
    database: str, pool: Pool, bus: FakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = PostgresEventStore(pool), PostgresEventStore(pool)
    # So many that there is something to publish right after a look as well.
    busy = [f"busy-{number}" for number in range(8)]
    paced(monkeypatch, round_s=0.1, record_s=1000.0)
    async with running(make_relay(database, here, bus)) as leader:
        await eventually(lambda: leader.leading)
        async with running(make_relay(database, there, bus)) as standby, writing_on(here, *busy):
            await eventually(lambda: len(bus.messages) > 100)
            await append(there, "acme", said("a"))
            assert await standby.wait_published("acme", 1, timeout_s=10)


async def test_a_leader_whose_session_died_can_not_record(
    database: str, pool: Pool, store: PostgresEventStore, bus: FakeBus
) -> None:
    """B18: fencing."""
    await append(store, "acme", said("a"))
    bus.may_answer.clear()
    async with running(make_relay(database, store, bus)) as relay:
        await bus.published.wait()
        await kill_leader(database)
        bus.may_answer.set()
        await eventually(lambda: len(bus.messages) >= 2)
        assert await relay.wait_published("acme", 1, timeout_s=10)
    assert bus.positions("acme") == [1, 1]


async def test_facts_that_the_stream_lost_can_be_published_again(
    database: str, pool: Pool, store: PostgresEventStore, bus: FakeBus
) -> None:
    """B5."""
    await append(store, "acme", *[said("a") for _ in range(5)])
    async with running(make_relay(database, store, bus)) as relay:
        assert await relay.wait_published("acme", 5, timeout_s=10)
        await eventually(lambda: recorded(store, "acme", 5))
        await rewind(pool, "acme", 3)
        await eventually(lambda: bus.positions("acme") == [1, 2, 3, 4, 5, 4, 5])


async def test_sixteen_writers_are_relayed_completely_and_in_order(database: str, pool: Pool, bus: FakeBus) -> None:
    """B16."""
    # A store for each writer, as if each were a replica: within one store, writers queue up before Postgres does.
    stores = [PostgresEventStore(pool) for _ in range(16)]

    async def write(writer: int) -> None:
        for n in range(8):
            async with stores[writer].writing(("acme", "globex")[(writer + n) % 2]) as unit:
                await unit.append([said(f"s{n % 3}"), said("t")], META)
                await asyncio.sleep(0.001 * (writer % 4))
                await unit.append([said("t")], META)

    async with running(make_relay(database, stores[0], bus)) as relay:
        async with asyncio.TaskGroup() as group:
            for writer in range(16):
                group.create_task(write(writer))
        for workspace in ("acme", "globex"):
            assert await relay.wait_published(workspace, 192, timeout_s=20)
    versions = defaultdict(list)
    for fact in bus.facts():
        versions[fact.workspace, fact.stream].append(fact.version)
    assert bus.positions("acme") == bus.positions("globex") == list(range(1, 193))
    assert all(each == list(range(1, len(each) + 1)) for each in versions.values())


async def test_a_restart_of_postgres_sessions_is_survived(database: str, pool: Pool, bus: FakeBus) -> None:
    """B14, in small."""
    store = PostgresEventStore(pool)
    async with running(make_relay(database, store, bus)) as relay:
        for n in range(1, 4):
            await append(store, "acme", said("a"))
            assert await relay.wait_published("acme", n, timeout_s=10)
            await kill_leader(database)
            await eventually(lambda: relay.leading)
