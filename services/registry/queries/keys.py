"""The operator's keys and the data keys that they wrap, as rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kit.postgres.pool import Connection, Pool
from kit.postgres.queries import load_queries

queries = load_queries(Path(__file__).parent / "keys.sql")


async def count_data_keys(connection: Connection | Pool) -> Mapping[str, int]:
    """How many data keys each key wraps, by the key's id."""
    return {row["key_id"]: row["data_keys"] for row in await connection.fetch(queries.data_keys_by_key)}
