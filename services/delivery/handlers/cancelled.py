"""Deliveries that wait and are ended, as an executor would report them: there is one way in which deliveries end."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from kit.ids import uuid7
from onward.executor.v1 import outcomes_pb2


def cancelled_batch(rows: Sequence[asyncpg.Record], now_us: int, reason: str) -> outcomes_pb2.OutcomeBatch:
    """Outcomes for rows of `due` of one destination."""
    first = rows[0]
    group = outcomes_pb2.DestinationOutcomes(
        destination=first["destination"], source=first["source"], function=first["function"],
        attempts=[_cancelled(row, now_us, reason) for row in rows],
    )  # fmt: skip
    return outcomes_pb2.OutcomeBatch(batch_id=uuid7(), workspace=first["workspace"], destinations=[group])


def _cancelled(row: asyncpg.Record, now_us: int, reason: str) -> outcomes_pb2.Attempt:
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
        result=outcomes_pb2.RESULT_CANCELLED,
        reason=reason,
    )
