"""Facts of sources and destinations to rows."""

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
from onward.registry.v1 import facts_pb2, resources_pb2
from services.registry.domain.state import type_of
from services.registry.projections.projector import Projector, Rows, labels_json

queries = load_queries(Path(__file__).parent / "connections.sql")


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


def _settings_changed(
    workspace: str, version: int, _principal: str, data: facts_pb2.SettingsChanged
) -> Sequence[Statement]:
    which = (workspace, data.destination)
    stored = [change for change in data.changes if not change.cleared]
    cleared = [change.name for change in data.changes if change.cleared]
    parts = [Statement(queries.settings_changed, (*which, version, data.revision))]
    if stored:
        columns = ([one.name for one in stored], [_type(one) for one in stored], [_value(one) for one in stored])
        parts.append(Statement(queries.settings_stored, (*which, *columns)))
    if cleared:
        parts.append(Statement(queries.settings_cleared, (*which, cleared)))
    return parts


def _type(change: facts_pb2.SettingChange) -> str | None:
    return resources_pb2.SettingType.Name(type_of(change.value)) if change.HasField("value") else None


def _value(change: facts_pb2.SettingChange) -> str | None:
    if not change.HasField("value"):
        return None
    return orjson.dumps(json_format.MessageToDict(change.value), option=orjson.OPT_SORT_KEYS).decode()


def _destination_enabled(
    workspace: str, version: int, _principal: str, data: facts_pb2.DestinationEnabled
) -> Sequence[Statement]:
    return [Statement(queries.destination_switched, (workspace, data.destination, version, True, False))]


def _destination_disabled(
    workspace: str, version: int, _principal: str, data: facts_pb2.DestinationDisabled
) -> Sequence[Statement]:
    return [Statement(queries.destination_switched, (workspace, data.destination, version, False, data.hold))]


async def _destination_invoked(connection: Connection, fact: Fact, data: facts_pb2.DestinationInvoked) -> None:
    """For the trail only."""


def _source_updated(
    workspace: str, version: int, _principal: str, data: facts_pb2.SourceUpdated
) -> Sequence[Statement]:
    display_name = data.display_name if data.HasField("display_name") else None
    labels = labels_json(data.labels.labels) if data.HasField("labels") else None
    return [Statement(queries.source_updated, (workspace, data.source, version, display_name, labels))]


async def _source_deleted(connection: Connection, fact: Fact, data: facts_pb2.SourceDeleted) -> None:
    await connection.execute(queries.source_deleted, fact.workspace, fact.recorded_at, data.source, fact.version)


async def _write_key_created(connection: Connection, fact: Fact, data: facts_pb2.WriteKeyCreated) -> None:
    await connection.execute(queries.write_key_created, fact.workspace, fact.recorded_at, data.source, data.key)
    await connection.execute(queries.source_touched, fact.workspace, data.source, fact.version)


async def _write_key_revoked(connection: Connection, fact: Fact, data: facts_pb2.WriteKeyRevoked) -> None:
    await connection.execute(queries.write_key_revoked, fact.workspace, data.source, data.key)
    await connection.execute(queries.source_touched, fact.workspace, data.source, fact.version)


async def _destination_disconnected(
    connection: Connection, fact: Fact, data: facts_pb2.DestinationDisconnected
) -> None:
    await connection.execute(
        queries.destination_disconnected, fact.workspace, fact.recorded_at, data.destination, fact.version
    )


def _delivery_policy_updated(
    workspace: str, version: int, _principal: str, data: facts_pb2.DeliveryPolicyUpdated
) -> Sequence[Statement]:
    policy = orjson.dumps(json_format.MessageToDict(data.policy), option=orjson.OPT_SORT_KEYS).decode()
    return [Statement(queries.delivery_policy_updated, (workspace, data.destination, version, policy))]


ROWS: Mapping[type[Message], Rows] = {
    facts_pb2.SourceUpdated: _source_updated,
    facts_pb2.SettingsChanged: _settings_changed,
    facts_pb2.DestinationEnabled: _destination_enabled,
    facts_pb2.DestinationDisabled: _destination_disabled,
    facts_pb2.DeliveryPolicyUpdated: _delivery_policy_updated,
}
PROJECTORS: Mapping[type[Message], Projector] = {
    facts_pb2.SourceCreated: _source_created,
    facts_pb2.SourceDeleted: _source_deleted,
    facts_pb2.WriteKeyCreated: _write_key_created,
    facts_pb2.WriteKeyRevoked: _write_key_revoked,
    facts_pb2.DestinationConnected: _destination_connected,
    facts_pb2.DestinationDisconnected: _destination_disconnected,
    facts_pb2.DestinationInvoked: _destination_invoked,
}
