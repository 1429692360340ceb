"""The event log in Postgres.

Why each append locks a row first. Numbers of a sequence are handed out before commit, so a reader that asks
for "position greater than the last I saw" skips a row whose transaction commits after a later number's: such
a poller lost 8 to 20 % of the facts of 16 writers. Here a writer takes its workspace's row in
`workspace_heads`, counts on from it, and lets go at commit. Positions are thus contiguous and become visible
in their order, which readers, relay and consumers rely on; uniqueness, limits and check-then-act are settled
by the same lock. The price is one writer at a time in a workspace.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from pathlib import Path

import asyncpg
import orjson

from kit.clock import Clock, SystemClock
from kit.eventstore.facts import Fact, FactData, Meta, NewFact, serialize, serialize_meta
from kit.eventstore.recent import RecentFacts
from kit.eventstore.statements import composed
from kit.eventstore.store import (
    READ_BYTES_MAX,
    READ_FACTS_MAX,
    Answered,
    Place,
    Statement,
    Times,
    Unit,
    bounded_limit,
    check_answer,
    check_append,
    check_same_request,
    next_versions,
)
from kit.eventstore.turns import Turns
from kit.ids import Ids, SystemIds
from kit.postgres.pool import Connection, Pool
from kit.postgres.queries import load_queries

MIGRATIONS = Path(__file__).parent / "migrations"

queries = load_queries(Path(__file__).parent / "queries.sql")

_NO_PROJECTION = Statement("SELECT recorded_at FROM head", ())


class PostgresEventStore:
    """Facts in a database that `migrate(dsn, [MIGRATIONS, ...])` has prepared.

    `appended` is set after each commit that appended facts, which are then in `recent`, too; the relay of the same
    process waits for it.
    """

    def __init__(self, pool: Pool, *, clock: Clock | None = None, ids: Ids | None = None) -> None:
        self._pool = pool
        self._clock = clock or SystemClock()
        self._ids = ids or SystemIds()
        self._turns = Turns()
        self.appended = asyncio.Event()
        self.recent = RecentFacts()

    @asynccontextmanager
    async def writing(self, workspace: str) -> AsyncIterator[Unit]:
        """See `EventStore.writing`."""
        async with self._turns.turn(workspace), self._pool.transaction() as connection:
            head = await _lock_head(connection, workspace)
            unit = PostgresUnit(connection, workspace, head, self._clock, self._ids)
            yield unit
        if unit.position > head:
            self._committed(unit.recorded)

    def turn(self, workspace: str) -> AbstractAsyncContextManager[None]:
        """See `EventStore.turn`."""
        return self._turns.turn(workspace)

    async def append_one(
        self,
        place: Place,
        fact: NewFact,
        meta: Meta,
        answered: Answered | None = None,
        also: Sequence[Statement] = (),
    ) -> Times | None:
        """See `EventStore.append_one`."""
        data = serialize(fact.data)
        check_append([fact], [data])
        next_versions(place.workspace, [fact], {fact.stream: place.version - 1}, None)
        parts = [*(also or [_NO_PROJECTION])]
        if answered is not None:
            parts.append(_remembered(place.workspace, answered))
        own = (fact.stream, place.version, fact.type, data.decode(), len(data))
        meta, fact_id = meta.at(self._clock.now()), self._ids.uuid7()
        args = (place.workspace, place.after_position, *own, serialize_meta(meta), fact_id)
        statement = composed(queries.append_one, args, parts)
        try:
            row = await self._pool.fetchrow(statement.text, *statement.args)
        except (asyncpg.UniqueViolationError, asyncpg.NotNullViolationError):
            # The request_id is known, or the projection found no row.
            return None
        if row is None:
            return None
        whole = Fact(
            place.workspace,
            place.after_position + 1,
            fact.stream,
            place.version,
            fact.type,
            data,
            fact_id,
            meta,
            row["recorded_at"],
        )
        self._committed([whole])
        return Times(row["recorded_at"], row["created"])

    def _committed(self, facts: Sequence[Fact]) -> None:
        self.recent.add(facts)
        self.appended.set()

    async def read(self, workspace: str, after_position: int, limit: int = READ_FACTS_MAX) -> list[Fact]:
        """See `EventStore.read`."""
        async with self._pool.acquire() as connection:
            return await read_facts(connection, workspace, after_position, limit)

    async def read_stream(
        self, workspace: str, stream: str, after_version: int = 0, limit: int = READ_FACTS_MAX
    ) -> list[Fact]:
        """See `EventStore.read_stream`."""
        async with self._pool.acquire() as connection:
            return await _read_stream(connection, workspace, stream, after_version, limit)

    async def head(self, workspace: str) -> int:
        """See `EventStore.head`."""
        return await self._pool.fetchval(queries.head, workspace) or 0

    async def workspaces(self) -> list[tuple[str, int]]:
        """See `EventStore.workspaces`."""
        return [(row["workspace"], row["position"]) for row in await self._pool.fetch(queries.workspaces)]

    async def answered(self, workspace: str, principal: str, request_id: str, request_hash: str) -> bytes | None:
        """See `EventStore.answered`."""
        async with self._pool.acquire() as connection:
            return await _answered(connection, workspace, principal, request_id, request_hash)

    async def forget_answers(self, recorded_before: datetime) -> None:
        """See `EventStore.forget_answers`."""
        await self._pool.execute(queries.forget_answers, recorded_before)


class PostgresUnit:
    """A transaction that holds its workspace's lock."""

    def __init__(self, connection: Connection, workspace: str, head: int, clock: Clock, ids: Ids) -> None:
        self._connection = connection
        self._workspace = workspace
        self._position = head
        self._clock = clock
        self._ids = ids
        # What was appended.
        self.recorded: list[Fact] = []

    @property
    def workspace(self) -> str:
        """See `Unit.workspace`."""
        return self._workspace

    @property
    def position(self) -> int:
        """See `Unit.position`."""
        return self._position

    @property
    def connection(self) -> Connection:
        """See `Unit.connection`."""
        return self._connection

    async def append(
        self, facts: Sequence[NewFact], meta: Meta, expected: Mapping[str, int] | None = None
    ) -> list[Fact]:
        """See `Unit.append`."""
        if not facts and not expected:
            return []
        data = [serialize(fact.data) for fact in facts]
        check_append(facts, data)
        streams = {fact.stream for fact in facts} | set(expected or ())
        if facts and expected is not None and streams == set(expected):
            versions = next_versions(self._workspace, facts, expected, None)
            recorded = await self._insert(facts, data, versions, meta.at(self._clock.now()), expected)
            if recorded:
                return recorded
        # Not all are known, or one was not as expected: then this tells which.
        versions = next_versions(self._workspace, facts, await self._versions(streams), expected)
        recorded = await self._insert(facts, data, versions, meta.at(self._clock.now()), {})
        # The head row is ours; anything else means that somebody writes facts past this module.
        assert len(recorded) == len(facts), f"head of {self._workspace} moved under its lock"
        return recorded

    async def read(self, after_position: int, limit: int = READ_FACTS_MAX) -> list[Fact]:
        """See `Unit.read`."""
        return await read_facts(self._connection, self._workspace, after_position, limit)

    async def read_data(self, after_position: int, limit: int = READ_FACTS_MAX) -> list[FactData]:
        """See `Unit.read_data`."""
        rows = await self._connection.fetch(
            queries.read_data, self._workspace, after_position, bounded_limit(limit), READ_BYTES_MAX
        )
        return [FactData(self._workspace, position, kind, data.encode()) for position, kind, data in rows]

    async def read_stream(self, stream: str, after_version: int = 0, limit: int = READ_FACTS_MAX) -> list[Fact]:
        """See `Unit.read_stream`."""
        return await _read_stream(self._connection, self._workspace, stream, after_version, limit)

    async def answered(self, principal: str, request_id: str, request_hash: str) -> bytes | None:
        """See `Unit.answered`."""
        return await _answered(self._connection, self._workspace, principal, request_id, request_hash)

    async def remember(self, principal: str, request_id: str, request_hash: str, answer: bytes) -> None:
        """See `Unit.remember`."""
        check_answer(answer)
        await self._connection.execute(queries.remember, self._workspace, principal, request_id, request_hash, answer)

    async def times(self, position: int) -> Times:
        """See `Unit.times`."""
        row = await self._connection.fetchrow(queries.times, self._workspace, position)
        assert row is not None, f"asked for a fact that {self._workspace} has"
        return Times(row["recorded_at"], row["created"])

    async def _versions(self, streams: set[str]) -> dict[str, int]:
        rows = await self._connection.fetch(queries.versions, self._workspace, list(streams))
        return {row["stream"]: row["version"] for row in rows}

    async def _insert(
        self,
        facts: Sequence[NewFact],
        data: Sequence[bytes],
        versions: Sequence[int],
        meta: Meta,
        expected: Mapping[str, int],
    ) -> list[Fact]:
        """Give nothing, and write nothing, where a stream is not at its expected version."""
        if not facts:
            return []
        ids = [self._ids.uuid7() for _ in facts]
        rows = await self._connection.fetch(
            queries.append,
            self._workspace,
            self._position,
            [fact.stream for fact in facts],
            versions,
            [fact.type for fact in facts],
            [each.decode() for each in data],
            [len(each) for each in data],
            serialize_meta(meta),
            ids,
            list(expected),
            list(expected.values()),
        )
        if not rows:
            return []
        first = self._position + 1
        self._position += len(facts)
        recorded = [
            Fact(
                self._workspace,
                first + n,
                fact.stream,
                versions[n],
                fact.type,
                data[n],
                ids[n],
                meta,
                rows[n]["recorded_at"],
            )
            for n, fact in enumerate(facts)
        ]
        self.recorded += recorded
        return recorded


async def read_facts(
    connection: Connection, workspace: str, after_position: int, limit: int, bytes_max: int = READ_BYTES_MAX
) -> list[Fact]:
    """As `EventStore.read`, over a connection that is already at hand."""
    rows = await connection.fetch(queries.read, workspace, after_position, bounded_limit(limit), bytes_max)
    return [_fact(row) for row in rows]


async def read_several(connection: Connection, after: Mapping[str, int], limit: int, bytes_max: int) -> list[Fact]:
    """Facts of several workspaces, each after its own position, in their order; the bounds are those of each."""
    rows = await connection.fetch(queries.read_several, list(after), list(after.values()), limit, bytes_max)
    return [_fact(row) for row in rows]


async def _read_stream(
    connection: Connection, workspace: str, stream: str, after_version: int, limit: int
) -> list[Fact]:
    rows = await connection.fetch(
        queries.read_stream, workspace, stream, after_version, bounded_limit(limit), READ_BYTES_MAX
    )
    return [_fact(row) for row in rows]


async def _answered(
    connection: Connection, workspace: str, principal: str, request_id: str, request_hash: str
) -> bytes | None:
    row = await connection.fetchrow(queries.answered, workspace, principal, request_id)
    if row is None:
        return None
    check_same_request(request_id, row["request_hash"], request_hash)
    return bytes(row["answer"])


async def _lock_head(connection: Connection, workspace: str) -> int:
    position: int | None = await connection.fetchval(queries.lock_head, workspace)
    if position is None:
        # The workspace's first write. Another one may be inserting the same row; then this waits for it.
        await connection.execute(queries.create_head, workspace)
        position = await connection.fetchval(queries.lock_head, workspace)
    assert position is not None, f"workspace {workspace} has no head row"
    return position


def _fact(row: asyncpg.Record) -> Fact:
    return Fact(
        workspace=row["workspace"],
        position=row["position"],
        stream=row["stream"],
        version=row["version"],
        type=row["type"],
        data=row["data"].encode(),
        fact_id=str(row["fact_id"]),
        meta=Meta.from_json(orjson.loads(row["meta"])),
        recorded_at=row["recorded_at"],
    )


def _remembered(workspace: str, one: Answered) -> Statement:
    check_answer(one.answer)
    return Statement(queries.remember_too, (workspace, one.principal, one.request_id, one.request_hash, one.answer))
