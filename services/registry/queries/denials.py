"""Where refusals belong, and whose tokens were refused."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from kit.postgres.pool import Pool
from kit.postgres.queries import load_queries

queries = load_queries(Path(__file__).parent / "denials.sql")


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose a token is."""

    workspace: str
    member: str


async def known_workspaces(pool: Pool, workspaces: Collection[str]) -> frozenset[str]:
    """Those of the ids that workspaces have."""
    rows = await pool.fetch(queries.known_workspaces, list(workspaces))
    return frozenset(row["workspace"] for row in rows)


async def token_holders(pool: Pool, tokens: Collection[str]) -> Mapping[str, Holder]:
    """The holders of the tokens that work, by the token's id."""
    rows = await pool.fetch(queries.token_holders, list(tokens))
    return {row["token"]: Holder(row["workspace"], row["member"]) for row in rows}
