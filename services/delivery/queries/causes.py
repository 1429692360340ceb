"""What a destination fails with, and a delivery that shows it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from kit.postgres.queries import load_queries
from services.delivery.domain.alerts import WindowSpan
from services.delivery.domain.identity import delivery_id
from services.delivery.domain.schedule import DAY_US
from services.delivery.queries import Reader

queries = load_queries(Path(__file__).parent / "causes.sql")

# Events wait in their stream for a week and are retried for hours: what failed just now was received after this.
RECEIVED_WITHIN_US = 8 * DAY_US


class Cause(NamedTuple):
    """What ended within some windows, and what most of the failures were."""

    attempts: int = 0
    failures: int = 0
    http_errors: int = 0
    # onward.executor.v1.ErrorType, and how many failures were of it; 0 where nothing failed.
    error_type: int = 0
    error_count: int = 0
    # Such an error's message, with placeholders and as it was; secrets are masked in both.
    shape: str = ""
    message: str = ""
    # The id of a delivery that failed so.
    sample: str = ""


async def cause_of(reader: Reader, workspace: str, destination: str, span: WindowSpan) -> Cause:
    """What a destination's attempts within a span came to."""
    rows = await reader.fetch(queries.errors_between, workspace, destination, span.first, span.last)
    failed = [row for row in rows if row["error_type"]]
    cause = Cause(
        sum(row["attempts"] for row in rows),
        sum(row["attempts"] for row in failed),
        sum(row["http_errors"] for row in rows),
    )
    if not failed:
        return cause
    cause = cause._replace(error_type=failed[0]["error_type"], error_count=failed[0]["attempts"])
    return await _with_sample(reader, workspace, destination, span, cause)


async def _with_sample(reader: Reader, workspace: str, destination: str, span: WindowSpan, cause: Cause) -> Cause:
    groups = await reader.fetch(queries.last_group, workspace, destination, cause.error_type)
    if not groups:
        return cause
    group = groups[0]
    since_us = span.end_us - RECEIVED_WITHIN_US
    found = await reader.fetch(queries.sample, workspace, destination, group["error_group"], since_us)
    sample = delivery_id(found[0]["stream_sequence"], found[0]["event_index"], destination) if found else ""
    return cause._replace(shape=group["shape"], message=group["error_message"], sample=sample)
