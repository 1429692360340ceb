"""Facts of functions and their versions to rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson
from google.protobuf import json_format
from google.protobuf.message import Message

from kit.eventstore.facts import Fact
from kit.eventstore.store import Statement
from kit.postgres.pool import Connection
from kit.postgres.queries import load_queries
from onward.registry.v1 import facts_pb2
from services.registry.projections.projector import Projector, Rows, labels_json

queries = load_queries(Path(__file__).parent / "functions.sql")


async def _function_created(connection: Connection, fact: Fact, data: facts_pb2.FunctionCreated) -> None:
    await connection.execute(
        queries.function_created,
        fact.workspace,
        fact.recorded_at,
        data.function,
        fact.version,
        data.display_name,
        data.description,
        data.template,
        labels_json(data.labels),
    )


def _function_version_saved(
    workspace: str, version: int, principal: str, data: facts_pb2.FunctionVersionSaved
) -> Sequence[Statement]:
    handlers = list(data.handlers)
    definitions = orjson.dumps([json_format.MessageToDict(one) for one in data.definitions]).decode()
    saved = (workspace, data.function, data.number, data.code, data.code_sha256, definitions, data.timeout_ms, handlers)
    return [
        Statement(queries.function_version_saved, (workspace, data.function, version, data.number, handlers)),
        Statement(queries.version_saved, (*saved, principal)),
    ]


def _version_deployed(
    workspace: str, version: int, _principal: str, data: facts_pb2.VersionDeployed
) -> Sequence[Statement]:
    return [
        Statement(queries.version_deployed, (workspace, data.function, version)),
        Statement(queries.destinations_moved, (workspace, data.number, list(data.destinations))),
    ]


def _function_updated(
    workspace: str, version: int, _principal: str, data: facts_pb2.FunctionUpdated
) -> Sequence[Statement]:
    display_name = data.display_name if data.HasField("display_name") else None
    description = data.description if data.HasField("description") else None
    labels = labels_json(data.labels.labels) if data.HasField("labels") else None
    args = (workspace, data.function, version, display_name, description, labels)
    return [Statement(queries.function_updated, args)]


async def _function_deleted(connection: Connection, fact: Fact, data: facts_pb2.FunctionDeleted) -> None:
    await connection.execute(queries.function_deleted, fact.workspace, fact.recorded_at, data.function, fact.version)


ROWS: Mapping[type[Message], Rows] = {
    facts_pb2.FunctionUpdated: _function_updated,
    facts_pb2.FunctionVersionSaved: _function_version_saved,
    facts_pb2.VersionDeployed: _version_deployed,
}
PROJECTORS: Mapping[type[Message], Projector] = {
    facts_pb2.FunctionCreated: _function_created,
    facts_pb2.FunctionDeleted: _function_deleted,
}
