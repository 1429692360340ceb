"""What every event store does: `postgres.py` keeps facts, `memory.py` is its fake, one suite tests both."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import structlog

from kit.errors import Conflict, LimitReached, RequestIdReused
from kit.eventstore.facts import Fact, FactData, Meta, NewFact
from kit.postgres.pool import Connection

log = structlog.get_logger(__name__)

# Loading a stream reads all of its facts; one of this length takes about a second.
STREAM_FACTS_MAX = 51_200
# Time enough to see what keeps writing to one entity.
STREAM_FACTS_WARN = 10_240
# One answer of ReadFacts stays below gRPC's default of 4 MiB a message with these two.
READ_FACTS_MAX = 1_000
READ_BYTES_MAX = 2 * 1024 * 1024
# One decision; the largest known touches each of a workspace's destinations.
APPEND_FACTS_MAX = 1_000
APPEND_BYTES_MAX = 8 * 1024 * 1024
# A stored answer is a response message; those with secrets or code are well below.
ANSWER_BYTES_MAX = 1024 * 1024


class Statement(NamedTuple):
    """SQL with its own parameters from $1 on; to be part of a statement where `head` is the row of the fact's head."""

    text: str
    args: tuple[Any, ...]


class Place(NamedTuple):
    """Where a fact is to go: right after a position, as the stream's next version."""

    workspace: str
    after_position: int
    version: int


class Times(NamedTuple):
    """When a fact was recorded, and the first one of its stream: an entity's last change and its beginning."""

    recorded: datetime
    created: datetime


@dataclass(frozen=True, slots=True)
class Answered:
    """A request's answer, for whoever repeats it."""

    principal: str
    request_id: str
    request_hash: str
    answer: bytes


class Unit(Protocol):
    """One transaction over one workspace, alone in it until the block ends."""

    @property
    def workspace(self) -> str:
        """The workspace that is written."""
        ...

    @property
    def position(self) -> int:
        """The last position, own appends included; what a mutation answers."""
        ...

    @property
    def connection(self) -> Connection:
        """The transaction's connection, for projections. The fake has none and raises RuntimeError."""
        ...

    async def append(
        self, facts: Sequence[NewFact], meta: Meta, expected: Mapping[str, int] | None = None
    ) -> list[Fact]:
        """Record facts at the next positions.

        `expected` names versions that streams must have, 0 for one that must not exist. Raises `Conflict`
        where one differs, `LimitReached` for too long a stream and too large a fact.
        """
        ...

    async def read(self, after_position: int, limit: int = READ_FACTS_MAX) -> list[Fact]:
        """As `EventStore.read`, own appends included."""
        ...

    async def read_data(self, after_position: int, limit: int = READ_FACTS_MAX) -> list[FactData]:
        """As `read`, without all that a state is not made of."""
        ...

    async def read_stream(self, stream: str, after_version: int = 0, limit: int = READ_FACTS_MAX) -> list[Fact]:
        """As `EventStore.read_stream`, own appends included."""
        ...

    async def answered(self, principal: str, request_id: str, request_hash: str) -> bytes | None:
        """The answer that this request got before; None for a new one.

        Raises `RequestIdReused` where the request_id belongs to a request with another hash.
        """
        ...

    async def remember(self, principal: str, request_id: str, request_hash: str, answer: bytes) -> None:
        """Keep the answer for whoever repeats the request."""
        ...

    async def times(self, position: int) -> Times:
        """Of the fact at a position, which exists."""
        ...


class EventStore(Protocol):
    """Facts of many workspaces; within one, positions are contiguous and in the order of commits."""

    @property
    def appended(self) -> asyncio.Event:
        """Set by each commit that appended facts, for the relay of the same process."""
        ...

    def turn(self, workspace: str) -> AbstractAsyncContextManager[None]:
        """Keep this process's other writers of a workspace waiting; those of others go on. For `append_one`."""
        ...

    async def append_one(
        self,
        place: Place,
        fact: NewFact,
        meta: Meta,
        answered: Answered | None = None,
        also: Sequence[Statement] = (),
    ) -> Times | None:
        """A transaction of one fact, for who has decided by all facts up to a position without holding the lock.

        None, with nothing written, where the log is not as expected, the request_id is known already, or a row is not
        there: ask again in `writing`. The first of `also` is the fact's projection, which must find one row and return
        head.recorded_at. Raises `LimitReached`.
        """
        ...

    def writing(self, workspace: str) -> AbstractAsyncContextManager[Unit]:
        """One transaction; waits for its turn in the workspace. What the block raises undoes everything."""
        ...

    async def read(self, workspace: str, after_position: int, limit: int = READ_FACTS_MAX) -> list[Fact]:
        """Facts after a position, at most `limit` and READ_BYTES_MAX. Only an empty answer means the end."""
        ...

    async def read_stream(
        self, workspace: str, stream: str, after_version: int = 0, limit: int = READ_FACTS_MAX
    ) -> list[Fact]:
        """One entity's facts after a version, bounded as `read` is."""
        ...

    async def head(self, workspace: str) -> int:
        """The last position; 0 for a workspace without facts."""
        ...

    async def workspaces(self) -> list[tuple[str, int]]:
        """Every workspace that has facts, with its head, by name."""
        ...

    async def answered(self, workspace: str, principal: str, request_id: str, request_hash: str) -> bytes | None:
        """As `Unit.answered`, without waiting for a turn: one that is being made now is not known yet."""
        ...

    async def forget_answers(self, recorded_before: datetime) -> None:
        """Drop remembered answers of before a time; their requests count as new from then on."""
        ...


def check_append(facts: Sequence[NewFact], data: Sequence[bytes]) -> None:
    """Refuse an append that is too large as a whole, whatever its facts."""
    if len(facts) > APPEND_FACTS_MAX:
        raise LimitReached(
            f"This change makes {len(facts)} facts; one change may make {APPEND_FACTS_MAX}. Split it.",
            metadata={"limit": "append_facts", "max": str(APPEND_FACTS_MAX)},
        )
    if sum(map(len, data)) > APPEND_BYTES_MAX:
        raise LimitReached(
            f"This change takes more than {APPEND_BYTES_MAX} bytes. Split it.",
            metadata={"limit": "append_bytes", "max": str(APPEND_BYTES_MAX)},
        )


def next_versions(
    workspace: str, facts: Sequence[NewFact], current: Mapping[str, int], expected: Mapping[str, int] | None
) -> list[int]:
    """The version of each new fact, given its stream's `current` one. Raises `Conflict` or `LimitReached`."""
    for stream, version in (expected or {}).items():
        if current[stream] != version:
            raise Conflict(
                f"{stream} has changed meanwhile; read it again and repeat the change.",
                metadata={"stream": stream, "expected": str(version), "actual": str(current[stream])},
            )
    latest = dict(current)
    versions = []
    for fact in facts:
        latest[fact.stream] += 1
        versions.append(latest[fact.stream])
        _check_stream(workspace, fact.stream, latest[fact.stream])
    return versions


def check_answer(answer: bytes) -> None:
    """Refuse to remember an answer that is too large."""
    if len(answer) > ANSWER_BYTES_MAX:
        raise LimitReached(
            f"The answer takes {len(answer)} bytes; one that can be repeated may take {ANSWER_BYTES_MAX}.",
            metadata={"limit": "answer_bytes", "max": str(ANSWER_BYTES_MAX)},
        )


def check_same_request(request_id: str, known_hash: str, request_hash: str) -> None:
    """Raise `RequestIdReused` where a request_id comes back with another request."""
    if known_hash != request_hash:
        raise RequestIdReused(
            "This request_id was used for another request; choose a new one.",
            metadata={"request_id": request_id},
        )


def bounded_limit(limit: int) -> int:
    """How many facts a read may answer."""
    return max(1, min(limit, READ_FACTS_MAX))


def _check_stream(workspace: str, stream: str, version: int) -> None:
    if version > STREAM_FACTS_MAX:
        raise LimitReached(
            f"{stream} has {STREAM_FACTS_MAX} facts and can take no more; create a new one.",
            metadata={"limit": "stream_facts", "max": str(STREAM_FACTS_MAX), "stream": stream},
        )
    if version == STREAM_FACTS_WARN:
        log.warning("stream_long", workspace=workspace, stream=stream, facts=version, facts_max=STREAM_FACTS_MAX)
