"""Deliveries that wait and are ended, as an executor would report them: there is one way in which deliveries end."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from kit.ids import uuid7
from onward.executor.v1 import outcomes_pb2


def cancelled_batch(rows: Sequence[asyncpg.Record], now_us: int, reason: str) -> outcomes_pb2.OutcomeBatch:
    """Outcomes for rows of `due` of one destination that are cancelled."""
    attempts = [ended_attempt(row, now_us) for row in rows]
    for one in attempts:
        one.result, one.reason = outcomes_pb2.RESULT_CANCELLED, reason
    return ended_batch(rows, attempts)


def ended_attempt(row: asyncpg.Record, now_us: int) -> outcomes_pb2.Attempt:
    """The attempt that a row of `due` waits for; the caller says how it ended."""
    return outcomes_pb2.Attempt(
        stream_sequence=row["stream_sequence"],
        index=row["event_index"],
        attempt=row["attempt"],
        retries_used=row["retries_used"],
        message_id=row["message_id"],
        type=row["type"],
        event_name=row["event_name"],
        received_at_us=row["received_at_us"],
        ended_at_us=now_us,
    )


def ended_batch(rows: Sequence[asyncpg.Record], attempts: Sequence[outcomes_pb2.Attempt]) -> outcomes_pb2.OutcomeBatch:
    """The attempts of rows of one destination, as a batch."""
    first = rows[0]
    group = outcomes_pb2.DestinationOutcomes(
        destination=first["destination"], source=first["source"], function=first["function"], attempts=attempts
    )
    return outcomes_pb2.OutcomeBatch(batch_id=uuid7(), workspace=first["workspace"], destinations=[group])
