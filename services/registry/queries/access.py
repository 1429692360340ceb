"""Rights and targets, from rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import asyncpg
import orjson

from kit.auth.demand import EVERYTHING, Subset
from kit.postgres.pool import Connection, Pool
from kit.postgres.queries import load_queries
from onward.registry.v1 import resources_pb2 as pb
from services.registry.domain.rights import Rights, Target, granted

queries = load_queries(Path(__file__).parent / "access.sql")


# Of members and tokens that call often; bindings that list many ids take some kB each.
_RIGHTS_KEPT_MAX = 512


def rights_of(row: asyncpg.Record) -> Rights:
    """Of a row with `bindings` and, for tokens, `grants` that narrow them."""
    return _rights(row["bindings"], row.get("grants"), row["members_may_edit_functions"])


# The same text, read anew for each call, means the same.
@lru_cache(_RIGHTS_KEPT_MAX)
def _rights(bindings_json: str | None, grants_json: str | None, members_may_edit: bool) -> Rights:
    bindings = granted(_grants(bindings_json), members_may_edit=members_may_edit)
    grants = orjson.loads(grants_json) if grants_json else []
    # A token's grants speak of rights themselves; the policy about members has no part in them.
    return bindings & granted(_grants_of(grants)) if grants else bindings


def _grants(column: str | None) -> Iterable[tuple[pb.Role.ValueType, Subset]]:
    return _grants_of(orjson.loads(column or "[]"))


def _grants_of(rows: Iterable[Mapping[str, Any]]) -> Iterable[tuple[pb.Role.ValueType, Subset]]:
    for row in rows:
        scope = EVERYTHING if row["everything"] else Subset.of(row["ids"])
        # A role of a newer release is none.
        number = pb.Role.Value(row["role"]) if row["role"] in pb.Role.keys() else pb.ROLE_UNSPECIFIED  # noqa: SIM118
        yield number, scope


def kind_of(resource: str) -> str:
    """The collection's name; "" for the workspace itself."""
    return [*resource.split("/"), "", ""][2]


async def read_target(connection: Connection | Pool, resource: str) -> Target:
    """What the name says, and for a destination what it connects. Says nothing about whether it exists."""
    _, workspace, kind, entity, *_ = *resource.split("/"), "", ""
    if kind == "functions":
        row = await connection.fetchrow(queries.function_target, workspace, entity)
        return Target(kind, function=entity, deleted=bool(row and row["deleted"]))
    if kind == "sources":
        return Target(kind, source=entity)
    if kind == "destinations":
        row = await connection.fetchrow(queries.destination_target, workspace, entity)
        return Target(kind, row["function"], row["source"]) if row else Target(kind)
    return Target()
