"""What it takes to run functions by hand: the sandbox, the broker, and somebody who answers requests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

from aiohttp import web

from kit.clock import SystemClock
from kit.errors import NotFound
from onward.executor.v1 import execution_service_pb2 as pb
from onward.registry.v1 import resources_pb2 as r
from services.executor.handlers.egress import Egress
from services.executor.handlers.function_tests import FunctionTests
from services.executor.handlers.places import CheckPlaces
from services.executor.handlers.trial_places import TrialPlaces
from services.executor.handlers.trials import Trials
from services.executor.runtime.addresses import Network
from services.executor.runtime.broker import Broker
from services.executor.runtime.pool import Zygote
from services.executor.settings import RUNTIME_DIR

TRACK = {"type": "track", "event": "Signed Up", "userId": "u1", "properties": {"plan": "pro"}}
CRM = "workspaces/acme/functions/crm"


def definition(name: str, **changes: Any) -> r.SettingDefinition:
    return r.SettingDefinition(**{"name": name, "label": name, "type": r.SETTING_TYPE_STRING, **changes})


def text(value: str) -> r.SettingValue:
    return r.SettingValue(string_value=value)


def request_of(
    code: str = "",
    event: Any = TRACK,
    *,
    definitions: Sequence[r.SettingDefinition] = (),
    settings: dict[str, r.SettingValue] | None = None,
    **changes: Any,
) -> pb.TestFunctionRequest:
    """What a client would send for code; of the workspace unless `changes` name a function."""
    values = [pb.TestSetting(name=name, value=value) for name, value in (settings or {}).items()]
    given = event if isinstance(event, str) else json.dumps(event)
    fields: dict[str, Any] = {
        "name": "workspaces/acme",
        "event": given,
        "definitions": definitions,
        "settings": values,
        **({"code": code} if code else {}),
        **changes,
    }
    return pb.TestFunctionRequest(**fields)


@dataclass
class Receiver:
    """An API on the loopback: it answers what its paths say, and keeps what it was asked."""

    url: str = ""
    asked: list[web.Request] = field(default_factory=list)
    # Answers of /slow wait for this.
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        self.asked.append(request)
        if request.path == "/slow":
            await self.released.wait()
        if request.path == "/echo":
            return web.Response(body=await request.read(), headers={"X-Api-Key": "sesame-1234"})
        status = int(request.path.removeprefix("/status/")) if request.path.startswith("/status/") else 200
        return web.json_response({"id": 7}, status=status)


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """From start to stop."""
    found = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.answer)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    found.url = f"http://{host}:{port}"
    try:
        yield found
    finally:
        found.released.set()
        await runner.cleanup()


@dataclass
class TrialWorld:
    """The handler of TestFunction without a registry: `versions` are those of CRM."""

    zygote: Zygote
    tests: FunctionTests
    versions: list[r.Version]
    # The workspaces' ranges.
    ranges: dict[str, tuple[Network, ...]]

    async def run(self, code: str = "", event: Any = TRACK, **changes: Any) -> pb.RunReport:
        request = request_of(code, event, **changes)
        function = request.name.partition("/functions/")[2]
        return (await self.tests.run(request, "acme", function)).report


@asynccontextmanager
async def trial_world(places: TrialPlaces | None = None, **limits: Any) -> AsyncIterator[TrialWorld]:
    """From start to stop; functions of acme may call the loopback."""
    clock = SystemClock()
    # No spare workers, so that those that are there are somebody's.
    zygote, broker = Zygote(RUNTIME_DIR, spares=0), Broker(**limits)
    egress = Egress(broker, clock)
    versions: list[r.Version] = []
    ranges: dict[str, tuple[Network, ...]] = {"acme": (ip_network("127.0.0.0/8"),)}

    async def read_version(name: str, number: int) -> r.Version:
        if name != CRM or number > len(versions):
            raise NotFound(f"{name} is not there")
        return versions[number - 1]

    async def ranges_of(workspace: str) -> tuple[Network, ...]:
        return ranges.get(workspace, ())

    trials = Trials(zygote, egress, ranges_of, places or TrialPlaces(), clock)
    await zygote.start()
    await broker.start()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(egress.run())
        try:
            yield TrialWorld(
                zygote, FunctionTests(zygote, trials, CheckPlaces(), read_version, clock), versions, ranges
            )
        finally:
            running.cancel()
            await broker.stop()
            await zygote.stop()
