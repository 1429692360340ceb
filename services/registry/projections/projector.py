"""What the modules of projections share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import orjson

from kit.eventstore.facts import Fact
from kit.eventstore.store import Statement
from kit.postgres.pool import Connection

# Changes rows as one fact says.
Projector: TypeAlias = Callable[[Connection, Fact, Any], Awaitable[None]]
# The same for facts that change one row and no more: of the workspace, the version and the fact's data. The statement
# takes the time from `head`, since it may be part of the very statement that appends the fact.
Row: TypeAlias = Callable[[str, int, Any], Statement]


def by_row(row: Row) -> Projector:
    """The projector of a fact that was appended already."""

    async def project(connection: Connection, fact: Fact, data: Any) -> None:
        text, args = row(fact.workspace, fact.version, data)
        head = f"WITH head AS (SELECT ${len(args) + 1}::timestamptz AS recorded_at)"
        await connection.execute(f"{head} {text}", *args, fact.recorded_at)

    return project


def labels_json(labels: Mapping[str, str]) -> str:
    """Labels in one form, whatever the order of a proto map's iteration is."""
    return orjson.dumps(dict(labels), option=orjson.OPT_SORT_KEYS).decode()
