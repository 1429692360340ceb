"""Facts of filters to rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import orjson
from google.protobuf import json_format
from google.protobuf.message import Message

from kit.eventstore.facts import Fact
from kit.postgres.pool import Connection
from kit.postgres.queries import load_queries
from onward.registry.v1 import facts_pb2, resources_pb2
from services.registry.projections.projector import Projector

queries = load_queries(Path(__file__).parent / "filters.sql")


def _rule_json(rule: resources_pb2.FilterRule) -> str:
    return orjson.dumps(json_format.MessageToDict(rule), option=orjson.OPT_SORT_KEYS).decode()


async def _filter_created(connection: Connection, fact: Fact, data: facts_pb2.FilterCreated) -> None:
    await _stored(connection, queries.filter_created, fact, data)
    await _touched(connection, fact, data.parent)


async def _filter_updated(connection: Connection, fact: Fact, data: facts_pb2.FilterUpdated) -> None:
    await _stored(connection, queries.filter_updated, fact, data)
    await _touched(connection, fact, data.parent)


async def _stored(
    connection: Connection, statement: str, fact: Fact, data: facts_pb2.FilterCreated | facts_pb2.FilterUpdated
) -> None:
    """The revision is the fact's version: a filter made anew under an id that was deleted never has an old etag."""
    row = (data.parent, data.filter, _rule_json(data.rule), fact.version)
    await connection.execute(statement, fact.workspace, fact.recorded_at, *row)


async def _filter_deleted(connection: Connection, fact: Fact, data: facts_pb2.FilterDeleted) -> None:
    await connection.execute(queries.filter_deleted, fact.workspace, data.parent, data.filter)
    await _touched(connection, fact, data.parent)


async def _filters_reordered(connection: Connection, fact: Fact, data: facts_pb2.FiltersReordered) -> None:
    await connection.execute(queries.filters_reordered, fact.workspace, data.parent, list(data.filters))
    await _touched(connection, fact, data.parent)


async def _touched(connection: Connection, fact: Fact, parent: str) -> None:
    """Filters are in their parent's stream, so that its etag tells of their changes."""
    await connection.execute(queries.filter_revision, fact.workspace, parent, fact.position)
    kind, _, entity = parent.partition("/")
    if kind == "destinations":
        await connection.execute(queries.destination_touched, fact.workspace, fact.recorded_at, entity, fact.version)
    elif kind == "sources":
        await connection.execute(queries.source_touched, fact.workspace, entity, fact.version)
    else:
        await connection.execute(queries.workspace_touched, fact.workspace, fact.version)


PROJECTORS: Mapping[type[Message], Projector] = {
    facts_pb2.FilterCreated: _filter_created,
    facts_pb2.FilterUpdated: _filter_updated,
    facts_pb2.FilterDeleted: _filter_deleted,
    facts_pb2.FiltersReordered: _filters_reordered,
}
