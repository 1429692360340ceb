"""Write keys, from rows."""

from __future__ import annotations

from pathlib import Path

import asyncpg
from google.protobuf.timestamp_pb2 import Timestamp

from kit.postgres.queries import load_queries
from onward.registry.v1 import resources_pb2
from services.registry.errors import Missing
from services.registry.queries import Reader

queries = load_queries(Path(__file__).parent / "sources.sql")


async def get_write_key(reader: Reader, workspace: str, source: str, key: str) -> resources_pb2.WriteKey:
    """The key without its secret; raises Missing."""
    row = await reader.fetchrow(queries.write_key, workspace, source, key)
    if row is None:
        raise Missing(f"workspaces/{workspace}/sources/{source}/writeKeys/{key}")
    return _write_key(row)


async def list_write_keys(
    reader: Reader, workspace: str, source: str, after: str, limit: int
) -> list[resources_pb2.WriteKey]:
    """A source's keys by id."""
    return [_write_key(row) for row in await reader.fetch(queries.list_write_keys, workspace, source, after, limit)]


def _write_key(row: asyncpg.Record) -> resources_pb2.WriteKey:
    key = resources_pb2.WriteKey(name=f"workspaces/{row['workspace']}/sources/{row['source']}/writeKeys/{row['key']}")
    key.create_time.FromDatetime(row["create_time"])
    if row["last_used_at"] is not None:
        used = Timestamp()
        used.FromDatetime(row["last_used_at"])
        key.last_use_time.CopyFrom(used)
    return key
