"""Where refusals belong."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from kit.postgres.pool import Pool
from kit.postgres.queries import load_queries

queries = load_queries(Path(__file__).parent / "denials.sql")


async def known_workspaces(pool: Pool, workspaces: Collection[str]) -> frozenset[str]:
    """Those of the ids that workspaces have."""
    rows = await pool.fetch(queries.known_workspaces, list(workspaces))
    return frozenset(row["workspace"] for row in rows)
