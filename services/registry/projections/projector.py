"""What the modules of projections share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

import orjson

from kit.eventstore.facts import Fact
from kit.eventstore.statements import composed
from kit.eventstore.store import Statement
from kit.postgres.pool import Connection

# Changes rows as one fact says.
Projector: TypeAlias = Callable[[Connection, Fact, Any], Awaitable[None]]
# The same as statements: of the workspace, the version, the principal and the data of a fact. The first one changes the
# entity's row. They take time and position from `head`: they may be parts of the very statement that appends the fact.
Rows: TypeAlias = Callable[[str, int, str, Any], Sequence[Statement]]

_OF_A_FACT = "WITH head AS (SELECT $1::timestamptz AS recorded_at, $2::bigint AS position){also} {projected}"


def by_rows(rows: Rows) -> Projector:
    """The projector of a fact that was appended already."""

    async def project(connection: Connection, fact: Fact, data: Any) -> None:
        parts = rows(fact.workspace, fact.version, fact.meta.principal, data)
        text, args = composed(_OF_A_FACT, (fact.recorded_at, fact.position), parts)
        await connection.execute(text, *args)

    return project


def labels_json(labels: Mapping[str, str]) -> str:
    """Labels in one form, whatever the order of a proto map's iteration is."""
    return orjson.dumps(dict(labels), option=orjson.OPT_SORT_KEYS).decode()
