"""Ends what is held back for longer than it may be retried: an open breaker or a rate limit moves no horizon.

What is released is ended by its own outcome, so this is for what waits: it ends as a deferral would end it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import groupby
from pathlib import Path

import asyncpg
import structlog

from kit.postgres.pool import Connection
from kit.postgres.queries import load_queries
from onward.executor.v1 import outcomes_pb2 as pb
from services.delivery.domain.schedule import SECOND_US, Schedule
from services.delivery.handlers.cancelled import ended_attempt, ended_batch

log = structlog.get_logger(__name__)

queries = load_queries(Path(__file__).parent / "expiry.sql")

# Deliveries that one look ends; more are found by the next one.
EXPIRED_MAX = 1000

Apply = Callable[[Sequence[pb.OutcomeBatch]], Awaitable[None]]


class Expiry:
    """Looked at by the leading releaser; `apply` applies outcomes as if an executor had reported them."""

    def __init__(self, schedule: Schedule, apply: Apply) -> None:
        self._default_s = schedule.horizon_us // SECOND_US
        self._apply = apply

    async def look(self, connection: Connection, now_us: int) -> None:
        """End what is past its horizon."""
        rows = await connection.fetch(queries.past_horizon, now_us, self._default_s, EXPIRED_MAX)
        if not rows:
            return
        await self.end(rows, now_us)
        log.info("deliveries_exhausted_while_held_back", count=len(rows))

    async def end(self, rows: Sequence[asyncpg.Record], now_us: int) -> None:
        """End rows of `due` that are past their horizon, or were cancelled."""
        by_place = groupby(sorted(rows, key=_place), key=_place)
        await self._apply([_ended(list(same), now_us) for _, same in by_place])


def _place(row: asyncpg.Record) -> tuple[str, str, str, str]:
    return row["workspace"], row["destination"], row["source"], row["function"]


def _ended(rows: Sequence[asyncpg.Record], now_us: int) -> pb.OutcomeBatch:
    attempts = [ended_attempt(row, now_us) for row in rows]
    for row, one in zip(rows, attempts, strict=True):
        one.result = pb.RESULT_DEFERRED
        # Failures keep their event beyond the stream's retention, and the row that had it goes. People are shown no
        # more of it than before: the filters that it would meet now are not known here.
        detail = pb.AttemptDetail(event=row["event"], error_message=row["error_message"], filtered_event=b"")
        one.detail.CopyFrom(detail)
    return ended_batch(rows, attempts)
