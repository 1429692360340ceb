"""Facts to rows, in the transaction of the append: whoever reads after a write sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson
from google.protobuf import json_format
from google.protobuf.message import Message

from kit.eventstore.facts import Fact, fact_types
from kit.postgres.pool import Connection
from kit.postgres.queries import load_queries
from onward.registry.v1 import facts_pb2, resources_pb2
from services.registry.domain.state import type_of

FACT_TYPES = fact_types(facts_pb2)
# All that `rebuild` empties and fills again; tables of secrets are not among them.
PROJECTED_TABLES = (
    "workspaces",
    "tokens",
    "functions",
    "versions",
    "sources",
    "destinations",
    "destination_settings",
)

queries = load_queries(Path(__file__).parent / "projections.sql")


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


def labels_json(labels: Mapping[str, str]) -> str:
    """Labels in one form, whatever the order of a proto map's iteration is."""
    return orjson.dumps(dict(labels), option=orjson.OPT_SORT_KEYS).decode()


async def _workspace_created(connection: Connection, fact: Fact, data: facts_pb2.WorkspaceCreated) -> None:
    await connection.execute(
        queries.workspace_created, fact.workspace, fact.recorded_at, data.display_name, data.functions_max
    )


async def _limits_set(connection: Connection, fact: Fact, data: facts_pb2.LimitsSet) -> None:
    await connection.execute(queries.limits_set, fact.workspace, data.functions_max)


async def _egress_range_allowed(connection: Connection, fact: Fact, data: facts_pb2.EgressRangeAllowed) -> None:
    await connection.execute(queries.egress_range_allowed, fact.workspace, data.range)


async def _token_created(connection: Connection, fact: Fact, data: facts_pb2.TokenCreated) -> None:
    await connection.execute(
        queries.token_created, fact.workspace, fact.recorded_at, data.token, data.display_name, data.role
    )


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


async def _source_created(connection: Connection, fact: Fact, data: facts_pb2.SourceCreated) -> None:
    await connection.execute(
        queries.source_created,
        fact.workspace,
        fact.recorded_at,
        data.source,
        fact.version,
        data.display_name,
        labels_json(data.labels),
    )


async def _destination_connected(connection: Connection, fact: Fact, data: facts_pb2.DestinationConnected) -> None:
    await connection.execute(
        queries.destination_connected,
        fact.workspace,
        fact.recorded_at,
        data.destination,
        fact.version,
        data.display_name,
        data.function,
        data.source,
        data.version,
        labels_json(data.labels),
    )


async def _settings_changed(connection: Connection, fact: Fact, data: facts_pb2.SettingsChanged) -> None:
    for change in data.changes:
        await _setting_changed(connection, fact, data.destination, change)
    await connection.execute(
        queries.settings_changed,
        fact.workspace,
        fact.recorded_at,
        data.destination,
        fact.version,
        data.revision,
    )


async def _setting_changed(
    connection: Connection, fact: Fact, destination: str, change: facts_pb2.SettingChange
) -> None:
    if change.cleared:
        await connection.execute(queries.setting_cleared, fact.workspace, destination, change.name)
        return
    plain = change.HasField("value")
    await connection.execute(
        queries.setting_changed,
        fact.workspace,
        fact.recorded_at,
        destination,
        change.name,
        resources_pb2.SettingType.Name(type_of(change.value)) if plain else None,
        orjson.dumps(json_format.MessageToDict(change.value), option=orjson.OPT_SORT_KEYS).decode() if plain else None,
    )


async def _destination_enabled(connection: Connection, fact: Fact, data: facts_pb2.DestinationEnabled) -> None:
    await _switched(connection, fact, data.destination, enabled=True)


async def _destination_disabled(connection: Connection, fact: Fact, data: facts_pb2.DestinationDisabled) -> None:
    await _switched(connection, fact, data.destination, enabled=False)


async def _switched(connection: Connection, fact: Fact, destination: str, *, enabled: bool) -> None:
    await connection.execute(
        queries.destination_switched, fact.workspace, fact.recorded_at, destination, fact.version, enabled
    )


_PROJECTORS: Mapping[type[Message], Callable[[Connection, Fact, Any], Awaitable[None]]] = MappingProxyType(
    {
        facts_pb2.WorkspaceCreated: _workspace_created,
        facts_pb2.LimitsSet: _limits_set,
        facts_pb2.EgressRangeAllowed: _egress_range_allowed,
        facts_pb2.TokenCreated: _token_created,
        facts_pb2.FunctionCreated: _function_created,
        facts_pb2.FunctionVersionSaved: _function_version_saved,
        facts_pb2.VersionDeployed: _version_deployed,
        facts_pb2.SourceCreated: _source_created,
        facts_pb2.DestinationConnected: _destination_connected,
        facts_pb2.SettingsChanged: _settings_changed,
        facts_pb2.DestinationEnabled: _destination_enabled,
        facts_pb2.DestinationDisabled: _destination_disabled,
    }
)
