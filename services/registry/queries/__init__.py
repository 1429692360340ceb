"""Rows to the messages that callers see. Each answer is of one moment: one statement, or a snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import orjson

from kit.auth.demand import Subset
from kit.eventstore.decoding import decode_value
from kit.postgres.pool import Connection
from kit.postgres.queries import load_queries
from onward.registry.v1 import internal_service_pb2, resources_pb2
from services.registry.domain import ids
from services.registry.errors import Missing
from services.registry.queries.filters import enabled_filters, filter_revision
from services.registry.queries.functions import get_function
from services.registry.queries.keys import queries as key_queries
from services.registry.queries.rows import Reader, require, timestamp

queries = load_queries(Path(__file__).parent / "queries.sql")

# Greater than any version's number: where a list that goes down begins.
NUMBER_ABOVE_ALL = 2**31 - 1


async def get_workspace(reader: Reader, workspace: str) -> resources_pb2.Workspace:
    """The workspace; raises Missing."""
    row = await reader.fetchrow(queries.workspace, workspace)
    return _workspace(require(row, f"workspaces/{workspace}"))


async def list_workspaces(reader: Reader, after: str, limit: int) -> list[resources_pb2.Workspace]:
    """Workspaces by id."""
    return [_workspace(row) for row in await reader.fetch(queries.list_workspaces, after, limit)]


async def get_version(reader: Reader, workspace: str, function: str, number: int | None) -> resources_pb2.Version:
    """The version with its code, None meaning the newest; raises Missing."""
    row = await reader.fetchrow(queries.version, workspace, function, number)
    name = f"workspaces/{workspace}/functions/{function}/versions/{number or 'latest'}"
    return _version(require(row, name))


async def get_live_version(reader: Reader, workspace: str, function: str, number: int | None) -> resources_pb2.Version:
    """As `get_version`, but of a function that was not deleted."""
    found = await get_function(reader, workspace, function)
    if found.HasField("delete_time"):
        raise Missing(found.name)
    return await get_version(reader, workspace, function, number)


async def list_versions(
    reader: Reader, workspace: str, function: str, below: int, limit: int
) -> list[resources_pb2.Version]:
    """Versions with numbers below one, newest first, without code."""
    rows = await reader.fetch(queries.list_versions, workspace, function, below, limit)
    return [_version(row) for row in rows]


async def get_source(reader: Reader, workspace: str, source: str) -> resources_pb2.Source:
    """The source; raises Missing."""
    row = await reader.fetchrow(queries.source, workspace, source)
    return _source(require(row, f"workspaces/{workspace}/sources/{source}"))


async def list_sources(reader: Reader, workspace: str, after: str, limit: int) -> list[resources_pb2.Source]:
    """Sources by id."""
    return [_source(row) for row in await reader.fetch(queries.list_sources, workspace, after, limit)]


async def get_destination(reader: Reader, workspace: str, destination: str) -> resources_pb2.Destination:
    """The destination with the settings of the version that it runs; raises Missing."""
    row = await reader.fetchrow(queries.destination, workspace, destination)
    return _destination(require(row, f"workspaces/{workspace}/destinations/{destination}"))


async def list_destinations(
    reader: Reader, workspace: str, after: str, limit: int, functions: Subset, sources: Subset
) -> list[resources_pb2.Destination]:
    """Destinations by id, of these functions or on these sources."""
    everything = functions.all or sources.all
    rows = await reader.fetch(
        queries.list_destinations, workspace, after, limit, everything, sorted(functions.ids), sorted(sources.ids)
    )
    return [_destination(row) for row in rows]


def _workspace(row: asyncpg.Record) -> resources_pb2.Workspace:
    return resources_pb2.Workspace(
        name=f"workspaces/{row['workspace']}",
        display_name=row["display_name"],
        functions_max=row["functions_max"],
        create_time=timestamp(row["create_time"]),
        egress_ranges=row["egress_ranges"],
        members_may_edit_functions=row["members_may_edit_functions"],
        etag=ids.workspace_etag(row["revision"]),
        retries_max=row["retries_max"],
        retry_horizon_max_s=row["retry_horizon_max_s"],
    )


def _version(row: asyncpg.Record) -> resources_pb2.Version:
    workspace, function, number = row["workspace"], row["function"], row["number"]
    return resources_pb2.Version(
        name=f"workspaces/{workspace}/functions/{function}/versions/{number}",
        number=number,
        code=row["code"],
        code_sha256=row["code_sha256"],
        definitions=_definitions(row["definitions"]),
        timeout_ms=row["timeout_ms"],
        handlers=row["handlers"],
        create_time=timestamp(row["create_time"]),
        principal=row["principal"],
        deployed_to=[f"workspaces/{workspace}/destinations/{one}" for one in row["deployed_to"]],
    )


def _definitions(text: str) -> list[resources_pb2.SettingDefinition]:
    return [decode_value(one, resources_pb2.SettingDefinition) for one in orjson.loads(text)]


def _source(row: asyncpg.Record) -> resources_pb2.Source:
    return resources_pb2.Source(
        name=f"workspaces/{row['workspace']}/sources/{row['source']}",
        display_name=row["display_name"],
        subject=f"events.{row['workspace']}.{row['source']}",
        etag=ids.function_etag(row["revision"]),
        create_time=timestamp(row["create_time"]),
        labels=orjson.loads(row["labels"]),
    )


def _destination(row: asyncpg.Record) -> resources_pb2.Destination:
    workspace = row["workspace"]
    return resources_pb2.Destination(
        name=f"workspaces/{workspace}/destinations/{row['destination']}",
        display_name=row["display_name"],
        function=f"workspaces/{workspace}/functions/{row['function']}",
        source=f"workspaces/{workspace}/sources/{row['source']}",
        enabled=row["enabled"],
        held=row["held"],
        version=row["version"],
        settings=_settings(_definitions(row["definitions"]), orjson.loads(row["settings"] or "[]")),
        etag=ids.destination_etag(row["revision"], row["version"]),
        create_time=timestamp(row["create_time"]),
        update_time=timestamp(row["update_time"]),
        labels=orjson.loads(row["labels"]),
        policy=decode_value(orjson.loads(row["policy"]), resources_pb2.DeliveryPolicy),
    )


def _settings(
    definitions: Iterable[resources_pb2.SettingDefinition], stored: Iterable[Mapping[str, Any]]
) -> list[resources_pb2.SettingState]:
    rows = {row["name"]: row for row in stored}
    return [_setting(one, rows.get(one.name)) for one in definitions]


def _setting(definition: resources_pb2.SettingDefinition, row: Mapping[str, Any] | None) -> resources_pb2.SettingState:
    state = resources_pb2.SettingState(name=definition.name, encrypted=definition.encrypted)
    if row is None or row["type"] != resources_pb2.SettingType.Name(definition.type):
        return state
    # What was stored for a definition of the other kind is not this one's value: see StoredSetting.fits.
    if (row["value"] is None) != definition.encrypted:
        return state
    state.set = True
    state.update_time.FromDatetime(datetime.fromisoformat(row["update_time"]))
    if row["value"] is not None:
        state.value.CopyFrom(decode_value(row["value"], resources_pb2.SettingValue))
    return state


async def resolve_destination(
    connection: Connection, workspace: str, destination: str
) -> internal_service_pb2.ResolveDestinationResponse:
    """All that running a destination takes; raises Missing. Makes a fresh transaction a snapshot."""
    await connection.execute(queries.begin_snapshot)
    row = await connection.fetchrow(queries.destination, workspace, destination)
    row = require(row, f"workspaces/{workspace}/destinations/{destination}")
    found = _destination(row)
    key = await connection.fetchrow(key_queries.data_key, workspace)
    parents = ["", f"sources/{row['source']}", f"destinations/{destination}"]
    return internal_service_pb2.ResolveDestinationResponse(
        position=await connection.fetchval(queries.head, workspace),
        destination=found,
        version=await get_version(connection, workspace, row["function"], row["version"]),
        settings_revision=row["settings_revision"],
        encrypted=await _encrypted(connection, workspace, destination, found),
        wrapped_key=key["wrapped_key"] if key else b"",
        key_id=key["key_id"] if key else "",
        egress_ranges=(await get_workspace(connection, workspace)).egress_ranges,
        filters=await enabled_filters(connection, workspace, parents),
        filter_revision=await filter_revision(connection, workspace, parents),
    )


async def source_filters(
    connection: Connection, workspace: str, source: str
) -> internal_service_pb2.ReadSourceFiltersResponse:
    """What applies to every event of a source; raises Missing. Makes a fresh transaction a snapshot."""
    await connection.execute(queries.begin_snapshot)
    await get_source(connection, workspace, source)
    filters = await enabled_filters(connection, workspace, ["", f"sources/{source}"])
    return internal_service_pb2.ReadSourceFiltersResponse(filters=filters)


async def _encrypted(
    connection: Connection, workspace: str, destination: str, found: resources_pb2.Destination
) -> list[internal_service_pb2.EncryptedSetting]:
    """Ciphertexts of the values that the running version sees; others stay where they are."""
    seen = {state.name for state in found.settings if state.set and state.encrypted}
    rows = await connection.fetch(queries.encrypted_settings, workspace, destination)
    return [
        internal_service_pb2.EncryptedSetting(name=row["name"], nonce=row["nonce"], ciphertext=row["ciphertext"])
        for row in rows
        if row["name"] in seen
    ]
