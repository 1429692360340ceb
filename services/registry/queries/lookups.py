"""What the log tells of settings, read piece by piece."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from google.protobuf.message import Message

from kit.eventstore.facts import FactData, fact_types
from kit.postgres.pool import Pool
from kit.postgres.queries import load_queries
from onward.registry.v1 import facts_pb2
from services.registry.queries import queries as shared

queries = load_queries(Path(__file__).parent / "lookups.sql")

# Of one query: a millisecond of the database's where none of the facts tells of settings.
WINDOW_POSITIONS = 2_000
# Decoding so many takes some 5 ms, and other calls are served between two queries.
WINDOW_BYTES_MAX = 256 * 1024

_FACT_TYPES = fact_types(facts_pb2)


class Told(NamedTuple):
    """A fact that sets, clears or ends settings."""

    position: int
    recorded_at: datetime
    fact: Message


async def facts_of_settings(pool: Pool, workspace: str) -> AsyncIterator[Told]:
    """All of a workspace, in their order, up to where its log ends now."""
    head: int = await pool.fetchval(shared.head, workspace)
    after = 0
    while after < head:
        until = min(after + WINDOW_POSITIONS, head)
        rows = await pool.fetch(queries.facts_of_settings, workspace, after, until, WINDOW_BYTES_MAX)
        for position, kind, data, recorded_at in rows:
            fact = FactData(workspace, position, kind, data.encode()).decode(_FACT_TYPES)
            yield Told(position, recorded_at, fact)
        # Where there were some, the bytes may have ended the window.
        after = rows[-1]["position"] if rows else until
