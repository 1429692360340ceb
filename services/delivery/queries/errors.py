"""Errors by group, with deliveries as samples."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import asyncpg

from kit.auth.demand import Subset
from kit.postgres.queries import load_queries
from kit.rpc import names
from onward.delivery.v1 import numbers_pb2 as numbers
from services.delivery.domain.identity import delivery_id
from services.delivery.domain.schedule import MINUTE_US
from services.delivery.domain.shapes import group_name
from services.delivery.domain.windows import Window
from services.delivery.queries import Reader

queries = load_queries(Path(__file__).parent / "errors.sql")

# A delivery has some ten attempts, which may all be of one group.
ATTEMPTS_A_SAMPLE = 10


class WantedErrors(NamedTuple):
    """Which errors: "" and 0 mean any."""

    workspace: str
    destination: str
    sources: Subset
    window: Window
    group: int = 0


async def list_error_groups(
    reader: Reader, wanted: WantedErrors, offset: int, limit: int, samples: int
) -> list[numbers.ErrorGroup]:
    """Groups with failed attempts in the window, those with the most first."""
    sources, window = wanted.sources, wanted.window
    rows = await reader.fetch(
        queries.error_groups, wanted.workspace, wanted.destination, sources.all, sorted(sources.ids), window.first,
        window.last, wanted.group, limit, offset,
    )  # fmt: skip
    found = [_error_group(row) for row in rows]
    if samples and rows:
        await _add_samples(reader, wanted, rows, found, samples)
    return found


async def _add_samples(
    reader: Reader, wanted: WantedErrors, rows: list[asyncpg.Record], found: list[numbers.ErrorGroup], samples: int
) -> None:
    groups = {(row["destination"], row["error_group"]): one for row, one in zip(rows, found, strict=True)}
    span = (wanted.window.first * MINUTE_US, wanted.window.last * MINUTE_US)
    destinations, numbers_ = [key[0] for key in groups], [key[1] for key in groups]
    for row in await reader.fetch(
        queries.samples, wanted.workspace, destinations, numbers_, *span, samples, ATTEMPTS_A_SAMPLE
    ):
        identity = delivery_id(row["stream_sequence"], row["event_index"], row["destination"])
        name = names.DELIVERY.format(wanted.workspace, identity)
        groups[row["destination"], row["error_group"]].samples.append(name)


def _error_group(row: asyncpg.Record) -> numbers.ErrorGroup:
    group = numbers.ErrorGroup(
        id=group_name(row["error_group"]),
        destination=names.DESTINATION.format(row["workspace"], row["destination"]),
        source=names.SOURCE.format(row["workspace"], row["source"]),
        error_type=row["error_type"],
        error_name=row["error_name"],
        http_status=row["http_status"],
        shape=row["shape"],
        example=row["error_message"],
        overflow=row["overflow"],
        attempts=row["attempts"],
        failed=row["failed"],
    )
    group.first_seen_time.FromMicroseconds(row["first_seen_us"])
    group.last_seen_time.FromMicroseconds(row["last_seen_us"])
    return group
