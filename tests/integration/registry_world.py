"""A running registry with real Postgres and NATS, and what tests of it have in common."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import grpc.aio
import pytest

from kit.errors import OnwardError
from kit.eventstore.postgres import PostgresEventStore
from kit.postgres.pool import connect_pool
from kit.rpc.client import open_channel
from onward.executor.v1 import execution_service_pb2
from onward.registry.v1 import destination_service_pb2 as dpb
from onward.registry.v1 import (
    destination_service_pb2_grpc,
    function_service_pb2_grpc,
    internal_service_pb2_grpc,
    operator_service_pb2_grpc,
    resources_pb2,
    source_service_pb2_grpc,
    workspace_service_pb2_grpc,
)
from onward.registry.v1 import function_service_pb2 as fpb
from onward.registry.v1 import source_service_pb2 as spb
from onward.registry.v1 import workspace_service_pb2 as wpb
from services.registry import projections
from services.registry.app import RegistryApp, build
from services.registry.handlers.outright import OutrightChanges
from services.registry.settings import Settings

OPERATOR_TOKEN = "operator-token-for-tests"
SERVICE_TOKEN = "service-token-for-tests"
KEY = base64.b64encode(b"k" * 32).decode()
CODE = "async function onTrack(event, settings) { return 1 }\n"


class FakeExecutor:
    """Finds handlers by a pattern; code with `syntax error` has one; answers the warnings given; may be away."""

    def __init__(self) -> None:
        self.away: BaseException | None = None
        self.answers = asyncio.Event()
        self.answers.set()
        # The code that is being checked.
        self.running: list[str] = []
        self.checked = 0
        self.setting_names: list[str] = []
        self.warnings: list[execution_service_pb2.CodeWarning] = []

    async def __call__(self, code: str, setting_names: Sequence[str]) -> execution_service_pb2.CheckCodeResponse:
        if self.away is not None:
            raise self.away
        self.running.append(code)
        await self.answers.wait()
        self.running.remove(code)
        self.checked += 1
        self.setting_names = list(setting_names)
        if "syntax error" in code:
            line = code[: code.index("syntax error")].count("\n") + 1
            error = execution_service_pb2.CodeError(message="Unexpected token", line=line, column=7)
            return execution_service_pb2.CheckCodeResponse(error=error)
        handlers = sorted(set(re.findall(r"\bon[A-Z]\w+", code)))
        return execution_service_pb2.CheckCodeResponse(handlers=handlers, warnings=self.warnings)


def settings(database: str, nats_url: str, **changes: Any) -> Settings:
    """Settings as the environment would give them."""
    values: dict[str, Any] = {
        "postgres_dsn": database,
        "nats_url": nats_url,
        # Tests that are about durability name the monitoring address.
        "durability": "relaxed",
        "listen": "127.0.0.1:0",
        "service_token": SERVICE_TOKEN,
        "operator_token": OPERATOR_TOKEN,
        "key_encryption_key": KEY,
        "drain_seconds": 2,
    }
    return Settings(**{**values, **changes})


@dataclass
class Stubs:
    """Every service of the registry as one caller sees it."""

    channel: grpc.aio.Channel
    workspaces: Any = field(init=False)
    operator: Any = field(init=False)
    functions: Any = field(init=False)
    sources: Any = field(init=False)
    destinations: Any = field(init=False)
    internal: Any = field(init=False)

    def __post_init__(self) -> None:
        self.workspaces = workspace_service_pb2_grpc.WorkspaceServiceStub(self.channel)
        self.operator = operator_service_pb2_grpc.OperatorServiceStub(self.channel)
        self.functions = function_service_pb2_grpc.FunctionServiceStub(self.channel)
        self.sources = source_service_pb2_grpc.SourceServiceStub(self.channel)
        self.destinations = destination_service_pb2_grpc.DestinationServiceStub(self.channel)
        self.internal = internal_service_pb2_grpc.InternalServiceStub(self.channel)


class World:
    """A registry and its callers."""

    def __init__(self, app: RegistryApp, database: str, executor: FakeExecutor) -> None:
        self.app = app
        self.database = database
        self.executor = executor
        self._channels: list[grpc.aio.Channel] = []
        self.operator = self.caller(OPERATOR_TOKEN)
        self.service = self.caller(SERVICE_TOKEN, service="executor")

    def caller(self, token: str, service: str = "") -> Stubs:
        channel = open_channel(self.app.address, token, service=service)
        self._channels.append(channel)
        return Stubs(channel)

    async def workspace(self, workspace: str = "acme") -> Stubs:
        """A new workspace, as its owner sees it."""
        request = wpb.CreateWorkspaceRequest(workspace_id=workspace, display_name=workspace.title())
        return self.caller((await self.operator.workspaces.CreateWorkspace(request)).owner_token)

    async def rows(self, query: str, *args: Any) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.database)
        try:
            return await connection.fetch(query, *args)
        finally:
            await connection.close()

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()


@asynccontextmanager
async def running(
    database: str, nats_url: str, executor: FakeExecutor | None = None, **changes: Any
) -> AsyncIterator[World]:
    """A registry from start to stop; `changes` are to its settings."""
    executor = executor or FakeExecutor()
    app = await build(settings(database, nats_url, **changes), check_code=executor)
    try:
        await app.start()
        async with asyncio.TaskGroup() as tasks:
            work = tasks.create_task(app.run())
            world = World(app, database, executor)
            try:
                yield world
            finally:
                await world.close()
                work.cancel()
    finally:
        await app.stop()


def definition(name: str, **changes: Any) -> resources_pb2.SettingDefinition:
    values = {"name": name, "label": name, "type": resources_pb2.SETTING_TYPE_STRING, **changes}
    return resources_pb2.SettingDefinition(**values)


def text(value: str) -> resources_pb2.SettingValue:
    return resources_pb2.SettingValue(string_value=value)


async def a_function(
    owner: Stubs,
    definitions: list[resources_pb2.SettingDefinition],
    *,
    workspace: str = "acme",
    function: str = "crm",
) -> None:
    """A function whose version 2 has these definitions."""
    await owner.functions.CreateFunction(
        fpb.CreateFunctionRequest(parent=f"workspaces/{workspace}", function_id=function, display_name=function)
    )
    await save(owner, definitions, workspace=workspace, function=function)


async def save(
    owner: Stubs,
    definitions: list[resources_pb2.SettingDefinition],
    *,
    workspace: str = "acme",
    function: str = "crm",
    **changes: Any,
) -> fpb.SaveFunctionResponse:
    name = f"workspaces/{workspace}/functions/{function}"
    request = fpb.SaveFunctionRequest(**{"name": name, "code": CODE, "definitions": definitions, **changes})
    answer: fpb.SaveFunctionResponse = await owner.functions.SaveFunction(request)
    return answer


async def a_source(owner: Stubs, source: str = "web", workspace: str = "acme") -> None:
    request = spb.CreateSourceRequest(parent=f"workspaces/{workspace}", source_id=source, display_name=source)
    await owner.sources.CreateSource(request)


async def connect(owner: Stubs, destination: str = "crm-eu", **changes: Any) -> dpb.ConnectDestinationResponse:
    values = {
        "source": "workspaces/acme/sources/web",
        "function": "workspaces/acme/functions/crm",
        "destination_id": destination,
        "display_name": destination,
        **changes,
    }
    answer: dpb.ConnectDestinationResponse = await owner.destinations.ConnectDestination(
        dpb.ConnectDestinationRequest(**values)
    )
    return answer


def rule(
    title: str = "No robots", condition: str = "all", *actions: resources_pb2.FilterAction, **fields: Any
) -> resources_pb2.FilterRule:
    """A filter's rule, enabled, that drops where it is given no actions."""
    dropping = [resources_pb2.FilterAction(drop=True)]
    return resources_pb2.FilterRule(
        **{"title": title, "condition": condition, "actions": actions or dropping, "enabled": True, **fields}
    )


async def rebuild(database: str) -> None:
    """Makes the rows of the workspace acme anew from its log."""
    pool = await connect_pool(database, application_name="test")
    async with PostgresEventStore(pool).writing("acme") as unit:
        await projections.rebuild(unit.connection, "acme", await unit.read(0))
    await pool.close()


@asynccontextmanager
async def refused(code: str, reason: str) -> AsyncIterator[dict[str, str]]:
    """The block's call fails with exactly this code and reason; yields a dictionary that gets the metadata."""
    metadata: dict[str, str] = {}
    with pytest.raises(OnwardError) as caught:
        yield metadata
    assert (caught.value.code, caught.value.reason) == (code, reason), caught.value.message
    metadata.update(caught.value.metadata)
    metadata["message"] = caught.value.message
    metadata["violations"] = repr(caught.value.violations)


def noting_outright(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Gets whether each change that might be made in one statement was."""
    told: list[bool] = []
    make = OutrightChanges.make

    async def noting(*args: object, **kwargs: object) -> object:
        answer: object = await make(*args, **kwargs)  # type: ignore[arg-type]  # what it is given
        told.append(answer is not None)
        return answer

    monkeypatch.setattr(OutrightChanges, "make", noting)
    return told
