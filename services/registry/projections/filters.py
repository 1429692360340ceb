"""Facts of filters to rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson
from google.protobuf import json_format
from google.protobuf.message import Message

from kit.eventstore.store import Statement
from kit.postgres.queries import load_queries
from onward.registry.v1 import facts_pb2, resources_pb2
from services.registry.projections.projector import Rows

queries = load_queries(Path(__file__).parent / "filters.sql")


def _rule_json(rule: resources_pb2.FilterRule) -> str:
    return orjson.dumps(json_format.MessageToDict(rule), option=orjson.OPT_SORT_KEYS).decode()


def _filter_created(
    workspace: str, version: int, _principal: str, data: facts_pb2.FilterCreated
) -> Sequence[Statement]:
    return [*_touched(workspace, version, data.parent), _stored(queries.filter_created, workspace, version, data)]


def _filter_updated(
    workspace: str, version: int, _principal: str, data: facts_pb2.FilterUpdated
) -> Sequence[Statement]:
    return [*_touched(workspace, version, data.parent), _stored(queries.filter_updated, workspace, version, data)]


def _stored(
    text: str, workspace: str, version: int, data: facts_pb2.FilterCreated | facts_pb2.FilterUpdated
) -> Statement:
    """The revision is the fact's version: a filter made anew under an id that was deleted never has an old etag."""
    return Statement(text, (workspace, data.parent, data.filter, _rule_json(data.rule), version))


def _filter_deleted(
    workspace: str, version: int, _principal: str, data: facts_pb2.FilterDeleted
) -> Sequence[Statement]:
    which = (workspace, data.parent, data.filter)
    return [
        *_touched(workspace, version, data.parent),
        Statement(queries.filter_deleted, which),
        Statement(queries.filters_moved_up, which),
    ]


def _filters_reordered(
    workspace: str, version: int, _principal: str, data: facts_pb2.FiltersReordered
) -> Sequence[Statement]:
    ordered = Statement(queries.filters_reordered, (workspace, data.parent, list(data.filters)))
    return [*_touched(workspace, version, data.parent), ordered]


def _touched(workspace: str, version: int, parent: str) -> Sequence[Statement]:
    """Filters are in their parent's stream, so that its etag tells of their changes."""
    kind, _, entity = parent.partition("/")
    if kind == "destinations":
        touched = Statement(queries.destination_touched, (workspace, entity, version))
    elif kind == "sources":
        touched = Statement(queries.source_touched, (workspace, entity, version))
    else:
        touched = Statement(queries.workspace_touched, (workspace, version))
    return [touched, Statement(queries.filter_revision, (workspace, parent))]


ROWS: Mapping[type[Message], Rows] = {
    facts_pb2.FilterCreated: _filter_created,
    facts_pb2.FilterUpdated: _filter_updated,
    facts_pb2.FilterDeleted: _filter_deleted,
    facts_pb2.FiltersReordered: _filters_reordered,
}
