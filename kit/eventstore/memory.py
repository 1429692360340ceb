"""The event log in memory, for tests of what stands on it; passes the same suite as the one in Postgres."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from kit.clock import Clock, SystemClock
from kit.eventstore.facts import Fact, FactData, Meta, NewFact, serialize, serialize_meta
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
from kit.postgres.pool import Connection


@dataclass(frozen=True, slots=True)
class _Answer:
    request_hash: str
    answer: bytes
    recorded_at: datetime


@dataclass(slots=True)
class _Log:
    """One workspace: what is committed, and the lock that a writer holds."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    facts: list[Fact] = field(default_factory=list)
    answers: dict[tuple[str, str], _Answer] = field(default_factory=dict)


class MemoryEventStore:
    """Facts for as long as the process lives."""

    def __init__(self, *, clock: Clock | None = None, ids: Ids | None = None) -> None:
        self._clock = clock or SystemClock()
        self._ids = ids or SystemIds()
        self._logs: dict[str, _Log] = defaultdict(_Log)
        self._turns = Turns()
        self.appended = asyncio.Event()

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
        """See `EventStore.append_one`; there are no rows for `also`."""
        assert not also, "the event log in memory has no rows"
        async with self.writing(place.workspace) as unit:
            assert isinstance(unit, MemoryUnit)
            if unit.position != place.after_position or unit.version(fact.stream) != place.version - 1:
                return None
            if answered is not None:
                if unit.knows(answered.principal, answered.request_id):
                    return None
                await unit.remember(answered.principal, answered.request_id, answered.request_hash, answered.answer)
            (recorded,) = await unit.append([fact], meta)
            return await unit.times(recorded.position)

    @asynccontextmanager
    async def writing(self, workspace: str) -> AsyncIterator[Unit]:
        """See `EventStore.writing`."""
        log = self._logs[workspace]
        async with log.lock:
            unit = MemoryUnit(log, workspace, self._clock, self._ids)
            yield unit
            if unit.commit():
                self.appended.set()

    async def read(self, workspace: str, after_position: int, limit: int = READ_FACTS_MAX) -> list[Fact]:
        """See `EventStore.read`."""
        return _bounded(self._facts(workspace)[max(0, after_position) :], limit)

    async def read_stream(
        self, workspace: str, stream: str, after_version: int = 0, limit: int = READ_FACTS_MAX
    ) -> list[Fact]:
        """See `EventStore.read_stream`."""
        return _bounded(_of_stream(self._facts(workspace), stream, after_version), limit)

    async def head(self, workspace: str) -> int:
        """See `EventStore.head`."""
        return len(self._facts(workspace))

    async def workspaces(self) -> list[tuple[str, int]]:
        """See `EventStore.workspaces`."""
        return sorted((name, len(log.facts)) for name, log in self._logs.items() if log.facts)

    async def answered(self, workspace: str, principal: str, request_id: str, request_hash: str) -> bytes | None:
        """See `EventStore.answered`."""
        log = self._logs[workspace]
        return await MemoryUnit(log, workspace, self._clock, self._ids).answered(principal, request_id, request_hash)

    async def forget_answers(self, recorded_before: datetime) -> None:
        """See `EventStore.forget_answers`."""
        for log in self._logs.values():
            log.answers = {key: each for key, each in log.answers.items() if each.recorded_at >= recorded_before}

    def _facts(self, workspace: str) -> list[Fact]:
        return self._logs[workspace].facts if workspace in self._logs else []


class MemoryUnit:
    """What would be written; `commit` puts it into the log."""

    def __init__(self, log: _Log, workspace: str, clock: Clock, ids: Ids) -> None:
        self._log = log
        self._workspace = workspace
        self._clock = clock
        self._ids = ids
        self._facts: list[Fact] = []
        self._answers: dict[tuple[str, str], _Answer] = {}

    @property
    def workspace(self) -> str:
        """See `Unit.workspace`."""
        return self._workspace

    @property
    def position(self) -> int:
        """See `Unit.position`."""
        return len(self._log.facts) + len(self._facts)

    @property
    def connection(self) -> Connection:
        """See `Unit.connection`."""
        raise RuntimeError("the event log in memory has no connection; keep such projections in memory as well")

    async def append(
        self, facts: Sequence[NewFact], meta: Meta, expected: Mapping[str, int] | None = None
    ) -> list[Fact]:
        """See `Unit.append`."""
        data = [serialize(fact.data) for fact in facts]
        check_append(facts, data)
        serialize_meta(meta)
        streams = {fact.stream for fact in facts} | set(expected or ())
        versions = next_versions(self._workspace, facts, {stream: self.version(stream) for stream in streams}, expected)
        recorded = self._record(facts, data, versions, meta.at(self._clock.now()))
        self._facts += recorded
        return recorded

    async def read(self, after_position: int, limit: int = READ_FACTS_MAX) -> list[Fact]:
        """See `Unit.read`."""
        return _bounded(self._all()[max(0, after_position) :], limit)

    async def read_data(self, after_position: int, limit: int = READ_FACTS_MAX) -> list[FactData]:
        """See `Unit.read_data`."""
        facts = await self.read(after_position, limit)
        return [FactData(fact.workspace, fact.position, fact.type, fact.data) for fact in facts]

    async def read_stream(self, stream: str, after_version: int = 0, limit: int = READ_FACTS_MAX) -> list[Fact]:
        """See `Unit.read_stream`."""
        return _bounded(_of_stream(self._all(), stream, after_version), limit)

    async def answered(self, principal: str, request_id: str, request_hash: str) -> bytes | None:
        """See `Unit.answered`."""
        known = self._answers.get((principal, request_id)) or self._log.answers.get((principal, request_id))
        if known is None:
            return None
        check_same_request(request_id, known.request_hash, request_hash)
        return known.answer

    async def remember(self, principal: str, request_id: str, request_hash: str, answer: bytes) -> None:
        """See `Unit.remember`."""
        check_answer(answer)
        self._answers[principal, request_id] = _Answer(request_hash, answer, self._clock.now())

    async def times(self, position: int) -> Times:
        """See `Unit.times`."""
        fact = self._all()[position - 1]
        return Times(fact.recorded_at, _of_stream(self._all(), fact.stream, 0)[0].recorded_at)

    def knows(self, principal: str, request_id: str) -> bool:
        """Whether a request_id was used."""
        return (principal, request_id) in self._log.answers

    def commit(self) -> bool:
        """Make it visible; answers whether there are new facts."""
        self._log.facts += self._facts
        self._log.answers |= self._answers
        return bool(self._facts)

    def _all(self) -> list[Fact]:
        return self._log.facts + self._facts

    def version(self, stream: str) -> int:
        """How many facts a stream has."""
        return sum(fact.stream == stream for fact in self._all())

    def _record(
        self, facts: Sequence[NewFact], data: Sequence[bytes], versions: Sequence[int], meta: Meta
    ) -> list[Fact]:
        everything = self._all()
        # As in Postgres, recorded_at never falls, whatever the clock does.
        recorded_at = max(self._clock.now(), everything[-1].recorded_at) if everything else self._clock.now()
        first = len(everything) + 1
        return [
            Fact(
                self._workspace,
                first + n,
                fact.stream,
                versions[n],
                fact.type,
                data[n],
                self._ids.uuid7(),
                meta,
                recorded_at,
            )
            for n, fact in enumerate(facts)
        ]


def _of_stream(facts: Sequence[Fact], stream: str, after_version: int) -> list[Fact]:
    return [fact for fact in facts if fact.stream == stream and fact.version > after_version]


def _bounded(facts: Sequence[Fact], limit: int) -> list[Fact]:
    answered: list[Fact] = []
    size = 0
    for fact in facts[: bounded_limit(limit)]:
        size += len(fact.data)
        if answered and size > READ_BYTES_MAX:
            break
        answered.append(fact)
    return answered
