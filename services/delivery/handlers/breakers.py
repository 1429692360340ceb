"""Breakers beyond the outcomes that change them: who is told of them, and who closes them by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path

import asyncpg
import structlog

from kit.auth.caller import current_caller
from kit.clock import Clock, unix_us
from kit.errors import OnwardError
from kit.eventstore.facts import Meta, NewFact, day_stream
from kit.eventstore.store import EventStore, Unit
from kit.postgres.pool import Connection, Pool
from kit.postgres.queries import load_queries
from kit.rpc import names
from onward.delivery.v1 import breakers_pb2 as pb
from onward.delivery.v1 import facts_pb2 as facts
from services.delivery.domain.breaker import RELAPSE_US
from services.delivery.errors import HiddenDestination
from services.delivery.handlers.acts import Acts, append_of_service
from services.delivery.handlers.leading import Wake
from services.delivery.projections.breakers import BreakerChange, Destination, breaker_of
from services.delivery.projections.breakers import queries as projected

log = structlog.get_logger(__name__)

queries = load_queries(Path(__file__).parent / "breakers.sql")

# What other replicas and the registry's facts changed is seen this late at most; two looks into small indexes.
LOOK_INTERVAL_S = 1.0
# Of one transaction of the log.
CHANGES_MAX = 500
WORKSPACES_MAX = 100
# Destinations in one message: a megabyte.
PLACES_MAX = 10_000


class BreakerBoard:
    """Knows which breakers are not closed; tells executors, and the log. `run` it once it is loaded."""

    def __init__(self, pool: Pool, store: EventStore, clock: Clock, released: Callable[[], None]) -> None:
        self._pool = pool
        self._store = store
        self._clock = clock
        self._released = released
        self._open: frozenset[Destination] = frozenset()
        self._moved = asyncio.Event()
        self._wake = Wake()
        # Counts what was told to us: what was read before it is older.
        self._told = 0
        self._closing = False

    async def load(self) -> None:
        """Read what is open, unless we are told of something meanwhile."""
        told = self._told
        rows = await self._pool.fetch(queries.open_breakers)
        if told == self._told:
            self._set(frozenset((row["workspace"], row["destination"]) for row in rows))

    def changed(self, changes: Iterable[BreakerChange]) -> None:
        """Breakers opened and closed, in a transaction that is committed."""
        found = set(self._open)
        for one in changes:
            (found.add if one.opened else found.discard)(one.destination)
            log.warning("breaker_opened" if one.opened else "breaker_closed", place="/".join(one.destination))
            self._told += 1
            self._wake.set()
        self._set(frozenset(found))

    def close(self) -> None:
        """End what is told to executors."""
        self._closing = True
        self._move()

    def _set(self, found: frozenset[Destination]) -> None:
        if found == self._open:
            return
        if self._open - found:
            # What was held back may go.
            self._released()
        self._open = found
        self._move()

    def _move(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def watch(self) -> AsyncIterator[pb.WatchBreakersResponse]:
        """Everything that is open, then changes, until the tracker stops."""
        told: frozenset[Destination] = frozenset()
        complete = True
        while not self._closing:
            moved, now = self._moved, self._open
            for message in _messages(told, now, complete=complete):
                yield message
            told, complete = now, False
            await moved.wait()

    async def run(self) -> None:
        """Look and tell until cancelled."""
        while True:
            self._wake.clear()
            try:
                await self.load()
                await self._tell()
                horizon_us = unix_us(self._clock) - RELAPSE_US
                await self._pool.execute(queries.forget_breakers, horizon_us)
            except (OnwardError, asyncpg.PostgresError) as failure:
                log.warning("breakers_not_read", failure=repr(failure))
            await self._wake.sleep(LOOK_INTERVAL_S)

    async def _tell(self) -> None:
        """Record in the log what outcomes changed: their transactions must not wait for its lock."""
        for row in await self._pool.fetch(queries.changed_workspaces, WORKSPACES_MAX):
            async with self._store.writing(row["workspace"]) as unit:
                rows = await unit.connection.fetch(queries.take_changes, row["workspace"], CHANGES_MAX)
                told = [_fact(one) for one in sorted(rows, key=lambda one: one["id"])]
                await append_of_service(unit, day_stream("breakers", self._clock), told)


class BreakerResets:
    """Closes breakers because somebody wants it. `board` tells executors."""

    def __init__(self, acts: Acts, board: BreakerBoard, clock: Clock) -> None:
        self._acts = acts
        self._board = board
        self._clock = clock

    async def reset(self, request: pb.ResetBreakerRequest) -> pb.ResetBreakerResponse:
        """Close it. Raises HiddenDestination."""
        workspace, destination = names.DESTINATION.parse(request.name)
        changed: list[BreakerChange] = []

        async def act(unit: Unit, meta: Meta) -> pb.ResetBreakerResponse:
            await _require_theirs(unit.connection, request.name)
            row = await unit.connection.fetchrow(projected.remove_breaker, workspace, destination)
            if row is not None and row["opened_at_us"]:
                open_us = max(0, unix_us(self._clock) - breaker_of(row).opened_at_us)
                changed.append(BreakerChange((workspace, destination), False, 0, 0, open_us))
                fact = facts.BreakerReset(destination=destination, open_ms=open_us // 1000)
                await unit.append([NewFact(day_stream("breakers", self._clock), fact)], meta)
            return pb.ResetBreakerResponse()

        answer = await self._acts.make(workspace, request, pb.ResetBreakerResponse, act)
        self._board.changed(changed)
        return answer


async def _require_theirs(connection: Connection, name: str) -> None:
    """Raises HiddenDestination where its source or function is not the caller's."""
    caller = current_caller()
    if caller.sources.all and caller.functions.all:
        return
    row = await connection.fetchrow(queries.place, *names.DESTINATION.parse(name))
    if row is None or row["source"] not in caller.sources or row["function"] not in caller.functions:
        raise HiddenDestination(name)


def _fact(row: asyncpg.Record) -> facts.BreakerOpened | facts.BreakerClosed:
    if row["opened"]:
        return facts.BreakerOpened(destination=row["destination"], attempts=row["attempts"], failures=row["failures"])
    return facts.BreakerClosed(destination=row["destination"], open_ms=row["open_us"] // 1000)


def _messages(
    told: frozenset[Destination], now: frozenset[Destination], *, complete: bool
) -> Sequence[pb.WatchBreakersResponse]:
    """What is to be told, in parts; of nothing, an empty first answer."""
    opened, closed = sorted(now - told), sorted(told - now)
    messages = []
    while opened or closed or complete:
        part = pb.WatchBreakersResponse(complete=complete)
        part.opened.extend(_place(one) for one in opened[:PLACES_MAX])
        part.closed.extend(_place(one) for one in closed[: PLACES_MAX - len(part.opened)])
        opened, closed = opened[len(part.opened) :], closed[len(part.closed) :]
        complete = False
        messages.append(part)
    return messages


def _place(destination: Destination) -> pb.BreakerPlace:
    return pb.BreakerPlace(workspace=destination[0], destination=destination[1])
