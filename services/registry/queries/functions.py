"""Functions, from rows."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import orjson

from kit.postgres.queries import load_queries
from onward.registry.v1 import resources_pb2
from services.registry.domain import ids
from services.registry.domain.state import FunctionState
from services.registry.domain.visibility import ShownFunctions
from services.registry.queries.rows import Reader, require

queries = load_queries(Path(__file__).parent / "functions.sql")


async def get_function(reader: Reader, workspace: str, function: str) -> resources_pb2.Function:
    """The function, a deleted one with its time of deletion; raises Missing."""
    row = await reader.fetchrow(queries.function, workspace, function)
    return _whole(require(row, f"workspaces/{workspace}/functions/{function}"))


async def list_functions(
    reader: Reader, workspace: str, after: str, limit: int, shown: ShownFunctions
) -> list[resources_pb2.Function]:
    """Functions by id, as far as they are shown."""
    rows = await reader.fetch(queries.list_functions, workspace, after, limit, shown.live, shown.deleted)
    # A deleted one is shown to those only who may see all of it.
    return [_whole(row) if row["delete_time"] or row["function"] in shown.whole else _named(row) for row in rows]


async def version_code(reader: Reader, workspace: str, function: str, number: int) -> str:
    """The code of a version that exists."""
    row = await reader.fetchrow(queries.version_code, workspace, function, number)
    assert row is not None, "asked for a version that the state has"
    code: str = row["code"]
    return code


def shown(workspace: str, function: FunctionState) -> resources_pb2.Function:
    """The same as `get_function` of one that lives, but for its times."""
    return resources_pb2.Function(
        name=f"workspaces/{workspace}/functions/{function.id}",
        display_name=function.display_name,
        description=function.description,
        kind=resources_pb2.FUNCTION_KIND_DESTINATION,
        latest_version=function.latest.number,
        etag=ids.function_etag(function.revision),
        handlers=function.latest.handlers,
        labels=function.labels,
    )


def shown_version(workspace: str, function: FunctionState, code: str, principal: str) -> resources_pb2.Version:
    """The same as `get_version` of the newest one, which nobody has deployed yet, but for its time."""
    version = function.latest
    return resources_pb2.Version(
        name=f"workspaces/{workspace}/functions/{function.id}/versions/{version.number}",
        number=version.number,
        code=code,
        code_sha256=version.code_sha256,
        definitions=version.definitions,
        timeout_ms=version.timeout_ms,
        handlers=version.handlers,
        principal=principal,
    )


def _named(row: asyncpg.Record) -> resources_pb2.Function:
    return resources_pb2.Function(
        name=f"workspaces/{row['workspace']}/functions/{row['function']}", display_name=row["display_name"]
    )


def _whole(row: asyncpg.Record) -> resources_pb2.Function:
    function = _named(row)
    function.description = row["description"]
    function.kind = resources_pb2.FUNCTION_KIND_DESTINATION
    function.latest_version = row["latest_version"]
    function.etag = ids.function_etag(row["revision"])
    function.create_time.FromDatetime(row["create_time"])
    function.update_time.FromDatetime(row["update_time"])
    function.handlers.extend(row["handlers"])
    function.labels.update(orjson.loads(row["labels"]))
    if row["delete_time"] is not None:
        function.delete_time.FromDatetime(row["delete_time"])
    return function
