"""Judges how destinations are, window by window, and records what becomes unhealthy or healthy."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import NamedTuple

import asyncpg
import structlog
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from kit.clock import Clock, unix_us
from kit.errors import Unavailable
from kit.eventstore.facts import day_stream
from kit.eventstore.store import EventStore, Unit
from kit.postgres.pool import Pool
from kit.postgres.queries import load_queries
from onward.delivery.v1 import facts_pb2 as facts
from onward.executor.v1 import outcomes_pb2
from services.delivery.domain.alerts import WindowSpan
from services.delivery.domain.health import WINDOW_US, WINDOWS_SHOWN, Health, Rules, Window, judge, last_ended
from services.delivery.domain.schedule import SECOND_US
from services.delivery.handlers.acts import append_of_service
from services.delivery.handlers.applied import AppliedOutcomes
from services.delivery.handlers.conditions import Conditions
from services.delivery.projections.rollups import columns
from services.delivery.queries.causes import cause_of

log = structlog.get_logger(__name__)

queries = load_queries(Path(__file__).parent / "health.sql")

# Executors report within a second of an attempt's end; clocks of several machines differ by less than the rest.
GRACE_US = 10 * SECOND_US
# Outcomes that were stored by then are applied first; while that takes longer, judging waits and looks again.
APPLIED_WAIT_S = 1.0
# More windows at once than this, and the clock has jumped or the tracker was away: no volumes are compared across that.
STEADY_WINDOWS_MAX = 2


class Progress(NamedTuple):
    """Up to which window all was judged, and since which one without a gap."""

    judged: int
    steady_since: int


class HealthJudge:
    """Looks at each window when it is over. Doing so twice, or in two replicas, changes nothing."""

    def __init__(
        self,
        pool: Pool,
        store: EventStore,
        applied: AppliedOutcomes,
        conditions: Conditions,
        rules: Rules,
        clock: Clock,
    ) -> None:
        self._pool = pool
        self._store = store
        self._applied = applied
        self._conditions = conditions
        self._rules = rules
        self._clock = clock
        # A window that is over, and the outcomes that have to be applied before it is judged.
        self._awaited: tuple[int, int] | None = None

    async def look(self) -> None:
        """Judge what is over and was not judged yet."""
        until = last_ended(unix_us(self._clock) - GRACE_US)
        progress = await self._progress(until)
        if until <= progress.judged:
            return
        if self._awaited is None:
            self._awaited = (until, await self._applied.last_sequence())
        until, sequence = self._awaited
        if not await self._is_applied(sequence):
            return
        self._awaited = None
        steady_since = progress.steady_since if until - progress.judged <= STEADY_WINDOWS_MAX else until + 1
        await self._judge(WindowSpan(max(progress.judged + 1, until - WINDOWS_SHOWN + 1), until), steady_since)
        await self._pool.execute(queries.set_progress, until, steady_since)

    async def _progress(self, until: int) -> Progress:
        row = await self._pool.fetchrow(queries.progress)
        # The first look of all; or the clock was far ahead, and what was judged by it is judged anew.
        if row is None or row["judged"] > until + WINDOWS_SHOWN:
            return Progress(until - 1, until)
        return Progress(row["judged"], row["steady_since"])

    async def _is_applied(self, sequence: int) -> bool:
        try:
            async with asyncio.timeout(APPLIED_WAIT_S):
                await self._applied.wait_for(sequence)
        except (TimeoutError, Unavailable):
            log.info("health_waits_for_outcomes", sequence=sequence)
            return False
        return True

    async def _judge(self, span: WindowSpan, steady_since: int) -> None:
        found: dict[str, dict[str, list[Window]]] = defaultdict(lambda: defaultdict(list))
        invalid = outcomes_pb2.ERROR_TYPE_INVALID_SETTINGS
        for row in await self._pool.fetch(queries.windows, span.first, span.last, invalid):
            window = Window(row["number"], row["attempts"], row["failures"], row["invalid_settings"], row["held_back"])
            found[row["workspace"]][row["destination"]].append(window)
        for workspace in sorted(found.keys() | await self._conditions.workspaces()):
            async with self._store.writing(workspace) as unit:
                await self._judge_workspace(unit, found.get(workspace, {}), span.last)
                await self._conditions.judge(unit, span.last, steady_since)

    async def _judge_workspace(self, unit: Unit, found: Mapping[str, Sequence[Window]], until: int) -> None:
        rows = await unit.connection.fetch(queries.health_of, unit.workspace, sorted(found))
        known = {row["destination"]: row for row in rows}
        put: list[tuple[object, ...]] = []
        changed: list[Message] = []
        for destination, windows in sorted(found.items()):
            row = known.get(destination)
            before = _health(row) if row is not None else Health()
            after = judge(before, windows, until, self._rules)
            first_window = row["first_window"] if row is not None else min(one.number for one in windows)
            put.append((unit.workspace, destination, *astuple(after), first_window))
            # One fact at most, whatever happened between two looks.
            if after.unhealthy != before.unhealthy:
                changed.append(await self._changed(unit, destination, before, after))
        if put:
            await unit.connection.execute(queries.put_health, *columns(put, 11))
        await append_of_service(unit, day_stream("health", self._clock), changed)

    async def _changed(self, unit: Unit, destination: str, before: Health, after: Health) -> Message:
        assert after.since is not None
        assert after.judged is not None
        span = WindowSpan(after.since, after.judged)
        cause = await cause_of(unit.connection, unit.workspace, destination, span)
        source = await unit.connection.fetchval(queries.source_of, unit.workspace, destination) or ""
        log.info("health_changed", workspace=unit.workspace, destination=destination, unhealthy=after.unhealthy)
        if not after.unhealthy:
            return facts.DestinationBecameHealthy(
                destination=destination,
                source=source,
                since_time=timestamp(span.start_us),
                unhealthy_since_time=timestamp((before.since or 0) * WINDOW_US),
                end_time=timestamp(span.end_us),
                attempts=cause.attempts,
                failures=cause.failures,
            )
        return facts.DestinationBecameUnhealthy(
            destination=destination,
            source=source,
            since_time=timestamp(span.start_us),
            end_time=timestamp(span.end_us),
            attempts=cause.attempts,
            failures=cause.failures,
            failure_rate=cause.failures / cause.attempts if cause.attempts else 0.0,
            error_type=outcomes_pb2.ErrorType.ValueType(cause.error_type),
            error_message=cause.shape,
            sample_delivery=cause.sample,
        )


def timestamp(time_us: int) -> Timestamp:
    """As messages have it."""
    time = Timestamp()
    time.FromMicroseconds(time_us)
    return time


def _health(row: asyncpg.Record) -> Health:
    return Health(
        unhealthy=row["unhealthy"],
        since=row["since"],
        judged=row["judged"],
        failing=row["failing"],
        clean=row["clean"],
        failing_since=row["failing_since"],
        clean_since=row["clean_since"],
        invalid_since=row["invalid_since"],
    )
