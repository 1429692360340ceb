"""Sources and their write keys."""

from __future__ import annotations

from pathlib import Path

import asyncpg

from kit.postgres.queries import load_queries
from onward.registry.v1 import resources_pb2
from services.registry.domain import ids
from services.registry.domain.state import SourceState
from services.registry.queries.rows import Reader, require, timestamp

queries = load_queries(Path(__file__).parent / "sources.sql")


async def get_write_key(reader: Reader, workspace: str, source: str, key: str) -> resources_pb2.WriteKey:
    """The key without its secret; raises Missing."""
    row = await reader.fetchrow(queries.write_key, workspace, source, key)
    return _write_key(require(row, f"workspaces/{workspace}/sources/{source}/writeKeys/{key}"))


async def list_write_keys(
    reader: Reader, workspace: str, source: str, after: str, limit: int
) -> list[resources_pb2.WriteKey]:
    """A source's keys by id."""
    return [_write_key(row) for row in await reader.fetch(queries.list_write_keys, workspace, source, after, limit)]


def shown(workspace: str, source: SourceState) -> resources_pb2.Source:
    """The same as `get_source`, but for its time."""
    return resources_pb2.Source(
        name=f"workspaces/{workspace}/sources/{source.id}",
        display_name=source.display_name,
        subject=f"events.{workspace}.{source.id}",
        etag=ids.function_etag(source.revision),
        labels=source.labels,
    )


def _write_key(row: asyncpg.Record) -> resources_pb2.WriteKey:
    return resources_pb2.WriteKey(
        name=f"workspaces/{row['workspace']}/sources/{row['source']}/writeKeys/{row['key']}",
        create_time=timestamp(row["create_time"]),
        last_use_time=timestamp(row["last_used_at"]),
    )
