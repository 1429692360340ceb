"""Facts to rows, in the transaction of the append: whoever reads after a write sees it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from google.protobuf.message import Message

from kit.eventstore.facts import Fact, fact_types
from kit.eventstore.store import Statement
from kit.postgres.pool import Connection
from onward.registry.v1 import facts_pb2
from services.registry.projections import connections, filters, functions, people
from services.registry.projections.projector import Projector, Rows, by_rows

FACT_TYPES = fact_types(facts_pb2)
# All that `rebuild` empties and fills again; tables of secrets and of persons are not among them.
PROJECTED_TABLES = (
    "workspaces",
    "members",
    "role_bindings",
    "tokens",
    "functions",
    "versions",
    "sources",
    "write_keys",
    "destinations",
    "destination_settings",
    "filters",
    "filter_revisions",
)
_ROWS: Mapping[type[Message], Rows] = MappingProxyType({**functions.ROWS, **connections.ROWS, **filters.ROWS})
_PROJECTORS: Mapping[type[Message], Projector] = MappingProxyType(
    {
        **people.PROJECTORS,
        **functions.PROJECTORS,
        **connections.PROJECTORS,
        **{fact_type: by_rows(change) for fact_type, change in _ROWS.items()},
    }
)


def rows(workspace: str, version: int, principal: str, data: Message) -> Sequence[Statement]:
    """The projection as parts of `append_one`; none for a fact that is projected under the lock alone."""
    change = _ROWS.get(type(data))
    return () if change is None else change(workspace, version, principal, data)


async def project(connection: Connection, facts: Iterable[Fact]) -> None:
    """Apply facts, in order, to the rows of their workspace."""
    for fact in facts:
        message = fact.decode(FACT_TYPES)
        await _PROJECTORS[type(message)](connection, fact, message)


async def rebuild(connection: Connection, workspace: str, facts: Iterable[Fact]) -> None:
    """Make a workspace's rows again from all of its facts; in a transaction that holds the workspace's lock."""
    for table in PROJECTED_TABLES:
        await connection.execute(f"DELETE FROM {table} WHERE workspace = $1", workspace)  # noqa: S608
    await project(connection, facts)
