"""Filters, from rows. A parent is named as in the facts, "" for the workspace."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import asyncpg
import orjson
from google.protobuf import json_format

from kit.postgres.pool import Connection
from kit.postgres.queries import load_queries
from onward.registry.v1 import internal_service_pb2, resources_pb2
from services.registry.domain import ids
from services.registry.domain.filters import filter_name, parent_name
from services.registry.domain.state import FilterState
from services.registry.queries.rows import Reader, require, timestamp

queries = load_queries(Path(__file__).parent / "filters.sql")


async def get_filter(reader: Reader, workspace: str, parent: str, filter_id: str) -> resources_pb2.Filter:
    """The filter; raises Missing."""
    row = await reader.fetchrow(queries.filter, workspace, parent, filter_id)
    return _filter(require(row, filter_name(workspace, parent, filter_id)))


async def list_filters(reader: Reader, workspace: str, parent: str) -> list[resources_pb2.Filter]:
    """A parent's filters in their order; raises Missing."""
    rows = await reader.fetch(queries.filters, workspace, [parent])
    if not rows:
        # An empty list would hide that there is no such parent.
        await _source_at(reader, workspace, parent)
    return [_filter(row) for row in rows]


async def way_to(connection: Connection, workspace: str, parent: str) -> list[str]:
    """The parents whose filters an event meets until it is there, in their order; raises Missing."""
    source = await _source_at(connection, workspace, parent)
    return list(dict.fromkeys(["", f"sources/{source}" if source else "", parent]))


async def enabled_filters(
    reader: Reader, workspace: str, parents: Sequence[str]
) -> list[internal_service_pb2.FilterGroup]:
    """What is applied: a group for each parent that has an enabled filter, in the parents' order."""
    rows = await reader.fetch(queries.filters, workspace, parents)
    groups = ([_filter(row) for row in group] for _, group in groupby(rows, key=lambda row: row["parent"]))
    applied = ([one for one in group if one.rule.enabled] for group in groups)
    return [internal_service_pb2.FilterGroup(filters=group) for group in applied if group]


async def filter_revision(connection: Connection, workspace: str, parents: Sequence[str]) -> int:
    """The log position of the last change of these parents' filters."""
    return int(await connection.fetchval(queries.filter_revision, workspace, parents))


async def _source_at(reader: Reader, workspace: str, parent: str) -> str:
    kind, _, entity = parent.partition("/")
    row = await reader.fetchrow(queries.parent_source, workspace, kind, entity)
    return str(require(row, parent_name(workspace, parent))["source"])


def shown(workspace: str, parent: str, one: FilterState) -> resources_pb2.Filter:
    """The same as `get_filter`, but for its times."""
    return resources_pb2.Filter(
        name=filter_name(workspace, parent, one.id), rule=one.rule, etag=ids.filter_etag(one.revision)
    )


def _filter(row: asyncpg.Record) -> resources_pb2.Filter:
    return resources_pb2.Filter(
        name=filter_name(row["workspace"], row["parent"], row["filter"]),
        rule=json_format.ParseDict(orjson.loads(row["rule"]), resources_pb2.FilterRule()),
        etag=ids.filter_etag(row["revision"]),
        create_time=timestamp(row["create_time"]),
        update_time=timestamp(row["update_time"]),
    )
