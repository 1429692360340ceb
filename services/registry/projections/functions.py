"""Facts of functions and their versions to rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import orjson
from google.protobuf import json_format
from google.protobuf.message import Message

from kit.eventstore.facts import Fact
from kit.eventstore.store import Statement
from kit.postgres.pool import Connection
from kit.postgres.queries import load_queries
from onward.registry.v1 import facts_pb2
from services.registry.projections.projector import Projector, Row, by_row, labels_json

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


async def _function_version_saved(connection: Connection, fact: Fact, data: facts_pb2.FunctionVersionSaved) -> None:
    await connection.execute(
        queries.function_version_saved,
        fact.workspace,
        fact.recorded_at,
        data.function,
        fact.version,
        data.number,
        data.code,
        data.code_sha256,
        orjson.dumps([json_format.MessageToDict(one) for one in data.definitions]).decode(),
        data.timeout_ms,
        list(data.handlers),
        fact.meta.principal,
    )


async def _version_deployed(connection: Connection, fact: Fact, data: facts_pb2.VersionDeployed) -> None:
    await connection.execute(
        queries.version_deployed,
        fact.workspace,
        fact.recorded_at,
        data.function,
        fact.version,
        data.number,
        list(data.destinations),
    )


def _function_updated(workspace: str, version: int, data: facts_pb2.FunctionUpdated) -> Statement:
    display_name = data.display_name if data.HasField("display_name") else None
    description = data.description if data.HasField("description") else None
    labels = labels_json(data.labels.labels) if data.HasField("labels") else None
    args = (workspace, data.function, version, display_name, description, labels)
    return Statement(queries.function_updated, args)


async def _function_deleted(connection: Connection, fact: Fact, data: facts_pb2.FunctionDeleted) -> None:
    await connection.execute(queries.function_deleted, fact.workspace, fact.recorded_at, data.function, fact.version)


ROWS: Mapping[type[Message], Row] = {facts_pb2.FunctionUpdated: _function_updated}

PROJECTORS: Mapping[type[Message], Projector] = {
    facts_pb2.FunctionCreated: _function_created,
    facts_pb2.FunctionUpdated: by_row(_function_updated),
    facts_pb2.FunctionDeleted: _function_deleted,
    facts_pb2.FunctionVersionSaved: _function_version_saved,
    facts_pb2.VersionDeployed: _version_deployed,
}
