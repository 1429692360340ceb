"""What outcomes do to circuit breakers, in their transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import NamedTuple

import asyncpg

from kit.postgres.pool import Connection
from kit.postgres.queries import load_queries
from onward.executor.v1 import outcomes_pb2 as pb
from services.delivery.domain.breaker import BUCKET_US, Breaker, Phase, Tally, evolve, speaks_of
from services.delivery.projections.rollups import columns

queries = load_queries(Path(__file__).parent / "breakers.sql")

# (workspace, destination)
Destination = tuple[str, str]
_FIELDS = ("opened_at_us", "until_us", "openings", "closed_at_us", "bucket", "attempts", "failures", "attempts_before",
           "failures_before")  # fmt: skip


class BreakerChange(NamedTuple):
    """A breaker that opened or closed."""

    destination: Destination
    opened: bool
    attempts: int
    failures: int
    # For how long it was open.
    open_us: int


class Recent:
    """Successes that this process stored lately and no breaker has counted: destinations that never fail have none."""

    def __init__(self) -> None:
        self._bucket = 0
        self._now: Counter[Destination] = Counter()
        self._before: Counter[Destination] = Counter()

    def of(self, destination: Destination, now_us: int) -> tuple[int, int]:
        """Those of the current bucket of time, and of the one before."""
        self._move(now_us)
        return self._now[destination], self._before[destination]

    def stored(self, delivered: Mapping[Destination, int], counted: Mapping[Destination, Breaker], now_us: int) -> None:
        """Note what a transaction delivered; what a breaker has counted is counted no more."""
        self._move(now_us)
        for destination in counted:
            self._now.pop(destination, None)
            self._before.pop(destination, None)
        for destination, count in delivered.items():
            if destination not in counted:
                self._now[destination] += count

    def _move(self, now_us: int) -> None:
        bucket = now_us // BUCKET_US
        if bucket != self._bucket:
            self._before = self._now if bucket == self._bucket + 1 else Counter()
            self._now = Counter()
            self._bucket = bucket


class Outlook:
    """What the outcomes of one transaction say of their destinations."""

    def __init__(self) -> None:
        # A batch is one attempt here, so each of its events is a part of one: one that makes its batches fail must not
        # hold up all others.
        self.failures: dict[Destination, float] = {}
        # Of deliveries that had been released: when that was, and whether the destination answered.
        self._released: dict[Destination, Counter[tuple[int, bool]]] = {}

    def add(self, destination: Destination, one: pb.Attempt, released_at_us: int = 0) -> None:
        """Count an attempt; `released_at_us` is of a delivery that had been released."""
        answered = speaks_of(one.result, one.error_type, one.detail.http_status)
        if answered is None:
            return
        if not answered:
            self.failures[destination] = self.failures.get(destination, 0.0) + 1 / max(1, one.batch_events)
        if released_at_us:
            self._released.setdefault(destination, Counter())[released_at_us, answered] += 1

    @property
    def concerned(self) -> list[Destination]:
        """Destinations whose breakers may change."""
        return sorted(self.failures.keys() | self._released.keys())

    def tally(self, destination: Destination, breaker: Breaker, successes: int, before: int) -> Tally:
        """What is said of one."""
        answered = failed = 0
        for (released_at_us, well), count in self._released.get(destination, Counter()).items():
            if released_at_us >= breaker.until_us:
                answered += well * count
                failed += (not well) * count
        failures = self.failures.get(destination, 0.0)
        return Tally(successes, max(1, round(failures)) if failures else 0, before, answered, failed)


class Settled(NamedTuple):
    """Breakers after a transaction."""

    counted: dict[Destination, Breaker]
    changes: list[BreakerChange]


async def settle_breakers(
    connection: Connection, outlook: Outlook, delivered: Mapping[Destination, int], recent: Recent, now_us: int
) -> Settled:
    """Bring the breakers of these destinations up to date."""
    settled = Settled({}, [])
    concerned = outlook.concerned
    if not concerned:
        return settled
    if outlook.failures:
        await connection.execute(queries.add_breakers, *columns([*sorted(outlook.failures)], 2))
    for row in await connection.fetch(queries.lock_breakers, *columns([*concerned], 2)):
        destination, breaker = (row["workspace"], row["destination"]), breaker_of(row)
        successes, before = recent.of(destination, now_us)
        tally = outlook.tally(destination, breaker, delivered.get(destination, 0) + successes, before)
        settled.counted[destination] = after = evolve(breaker, tally, now_us)
        settled.changes.extend(changes(destination, breaker, after, tally, now_us))
    await _store(connection, settled, now_us)
    return settled


async def _store(connection: Connection, settled: Settled, now_us: int) -> None:
    rows: list[tuple[object, ...]] = [(*key, *astuple(one)) for key, one in settled.counted.items()]
    if rows:
        await connection.execute(queries.store_breakers, *columns(rows, 2 + len(_FIELDS)), now_us)
    await add_changes(connection, settled.changes)


async def add_changes(connection: Connection, changed: list[BreakerChange]) -> None:
    """Have the log told of these."""
    if changed:
        rows: list[tuple[object, ...]] = [(*one.destination, *one[1:]) for one in changed]
        await connection.execute(queries.add_breaker_changes, *columns(rows, 6))


def changes(
    destination: Destination, before: Breaker, after: Breaker, tally: Tally, now_us: int
) -> list[BreakerChange]:
    """Whether it opened or closed."""
    was_open, is_open = before.opened_at_us > 0, after.opened_at_us > 0
    if was_open == is_open:
        return []
    if is_open:
        attempts = before.attempts + before.attempts_before + tally.successes + tally.successes_before + tally.failures
        failures = before.failures + before.failures_before + tally.failures
        return [BreakerChange(destination, True, attempts, failures, 0)]
    return [BreakerChange(destination, False, 0, 0, max(0, now_us - before.opened_at_us))]


async def remove_breaker(connection: Connection, destination: Destination, now_us: int) -> bool:
    """Have no breaker for a destination that must not have one; whether it was open."""
    row = await connection.fetchrow(queries.remove_breaker, *destination)
    if row is None or not row["opened_at_us"]:
        return False
    await add_changes(connection, changes(destination, breaker_of(row), Breaker(), Tally(), now_us))
    return True


def breaker_of(row: asyncpg.Record) -> Breaker:
    """A row of `breakers`."""
    return Breaker(**{name: row[name] for name in _FIELDS})


def phase_of(row: asyncpg.Record, now_us: int) -> Phase:
    """How the breaker of a row stands that has its times, or NULL where there is none."""
    if not row["opened_at_us"]:
        return Phase.CLOSED
    return Breaker(opened_at_us=row["opened_at_us"], until_us=row["until_us"]).phase(now_us)
