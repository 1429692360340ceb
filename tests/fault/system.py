"""The whole system as `onward up` runs it, with everything that a fault test needs to hurt it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc.aio
import orjson
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cli.client_file import ClientFile
from cli.stack import SERVICES, Stack
from kit.bus.connection import Bus, connect
from kit.embedded.supervisor import Backoff, Supervisor
from kit.errors import DeadlineExceeded, NotFound, OnwardError, Unavailable
from kit.ids import uuid7
from kit.rpc.client import open_channel
from kit.testing.eventually import eventually
from kit.testing.servers import short_lived_folder
from onward.audit.v1 import audit_service_pb2_grpc as audit_rpc
from onward.delivery.v1 import delivery_service_pb2_grpc as delivery_rpc
from onward.registry.v1 import destination_service_pb2 as destinations
from onward.registry.v1 import destination_service_pb2_grpc as destinations_rpc
from onward.registry.v1 import function_service_pb2 as functions
from onward.registry.v1 import function_service_pb2_grpc as functions_rpc
from onward.registry.v1 import operator_service_pb2 as operator
from onward.registry.v1 import operator_service_pb2_grpc as operator_rpc
from onward.registry.v1 import resources_pb2 as resources
from onward.registry.v1 import source_service_pb2 as sources
from onward.registry.v1 import source_service_pb2_grpc as sources_rpc
from onward.registry.v1 import workspace_service_pb2 as workspaces
from onward.registry.v1 import workspace_service_pb2_grpc as workspaces_rpc

T = TypeVar("T")

WORKSPACE = "acme"
# Short, so that a test sees retries; long enough that a tracker that was killed is back before the first one. The last
# is the horizon, beyond which a delivery ends as failed: no outage of a test lasts as long.
RETRY_OFFSETS_S = "4,6,8,120"
# A test kills often; the supervisor's usual back-off would only make it longer.
BACKOFF = Backoff(first_s=0.1, max_s=0.5)
# A service starts within 2 s, and within some more on a busy machine.
RESTART_TIMEOUT_S = 60.0
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Route:
    """A source with its one destination; both are a test's own."""

    source: str
    destination: str


class System:
    """One running system with a workspace whose functions may call loopback."""

    def __init__(self, stack: Stack) -> None:
        assert stack.ends is not None
        self.stack = stack
        self.ends = stack.ends
        self._exit = AsyncExitStack()
        self._numbers = 0
        self._owner_token = ""
        # One connection's whole life; reconnects by itself.
        self._bus: Bus | None = None

    @property
    def data(self) -> Path:
        return self.stack.data

    async def open(self) -> None:
        """Make the workspace and connect to NATS as a service, to look at streams."""
        stub: workspaces_rpc.WorkspaceServiceAsyncStub = workspaces_rpc.WorkspaceServiceStub(self._operator())
        request = workspaces.CreateWorkspaceRequest(workspace_id=WORKSPACE, display_name=WORKSPACE, request_id=uuid7())
        self._owner_token = (await stub.CreateWorkspace(request)).owner_token
        ClientFile(self.data / "client.json").add_workspace(WORKSPACE, self._owner_token)
        egress: operator_rpc.OperatorServiceAsyncStub = operator_rpc.OperatorServiceStub(self._operator())
        name = f"workspaces/{WORKSPACE}"
        await egress.AllowEgressRange(
            operator.AllowEgressRangeRequest(name=name, range="127.0.0.0/8", request_id=uuid7())
        )
        await egress.SetLimits(operator.SetLimitsRequest(name=name, functions_max=1000, request_id=uuid7()))
        self._bus = await connect(
            self.ends.nats_url, "executor", self.ends.nats_passwords["executor"], name="fault-tests"
        )
        self._exit.push_async_callback(self._bus.close)

    async def close(self) -> None:
        await self._exit.aclose()

    # --- callers' side ---------------------------------------------------------------------------------------

    def _channel(self, service: str, token: str) -> grpc.aio.Channel:
        channel = open_channel(self.ends.addresses[service], token, credentials=self.ends.credentials())
        self._exit.push_async_callback(channel.close)
        return channel

    def _operator(self) -> grpc.aio.Channel:
        return self._channel("registry", self.ends.operator_token)

    def owner(self, service: str) -> grpc.aio.Channel:
        """A channel with the workspace owner's token."""
        return self._channel(service, self._owner_token)

    @property
    def deliveries(self) -> delivery_rpc.DeliveryServiceAsyncStub:
        stub: delivery_rpc.DeliveryServiceAsyncStub = delivery_rpc.DeliveryServiceStub(self.owner("delivery"))
        return stub

    @property
    def audit(self) -> audit_rpc.AuditServiceAsyncStub:
        stub: audit_rpc.AuditServiceAsyncStub = audit_rpc.AuditServiceStub(self.owner("audit"))
        return stub

    async def route(self, code: str, **settings: str) -> Route:
        """Connect a function to a source of its own; the destination is enabled when this returns."""
        self._numbers += 1
        name = f"r{self._numbers}"
        parent = f"workspaces/{WORKSPACE}"
        registry = self.owner("registry")
        function_stub: functions_rpc.FunctionServiceAsyncStub = functions_rpc.FunctionServiceStub(registry)
        function = f"{parent}/functions/{name}"
        await function_stub.CreateFunction(
            functions.CreateFunctionRequest(parent=parent, function_id=name, display_name=name, request_id=uuid7())
        )
        definitions = [
            resources.SettingDefinition(name=one, type=resources.SETTING_TYPE_STRING, required=True) for one in settings
        ]
        saved = await function_stub.SaveFunction(
            functions.SaveFunctionRequest(name=function, code=code, definitions=definitions, request_id=uuid7())
        )
        await self.create_source(name)
        await self._create_write_key(name)
        stub: destinations_rpc.DestinationServiceAsyncStub = destinations_rpc.DestinationServiceStub(registry)
        connected = await stub.ConnectDestination(
            destinations.ConnectDestinationRequest(
                source=f"{parent}/sources/{name}", function=function, destination_id=name, display_name=name,
                version=saved.version.number, request_id=uuid7(),
                settings={one: resources.SettingValue(string_value=value) for one, value in settings.items()},
            )
        )  # fmt: skip
        await stub.EnableDestination(
            destinations.EnableDestinationRequest(name=connected.destination.name, request_id=uuid7())
        )
        return Route(name, name)

    async def create_source(self, name: str) -> int:
        """Create a source, asking until there is an answer; returns the fact's position."""
        stub: sources_rpc.SourceServiceAsyncStub = sources_rpc.SourceServiceStub(self.owner("registry"))
        request = sources.CreateSourceRequest(
            parent=f"workspaces/{WORKSPACE}", source_id=name, display_name=name, request_id=uuid7()
        )
        return (await answered(lambda: stub.CreateSource(request))).position

    async def _create_write_key(self, source: str) -> None:
        """Make a write key and put it where `onward events publish` finds it."""
        stub: sources_rpc.SourceServiceAsyncStub = sources_rpc.SourceServiceStub(self.owner("registry"))
        request = sources.CreateWriteKeyRequest(parent=f"workspaces/{WORKSPACE}/sources/{source}", request_id=uuid7())
        made = await stub.CreateWriteKey(request)
        ClientFile(self.data / "client.json").add_write_key(WORKSPACE, source, made.secret)

    async def publish(self, route: Route, events: list[dict[str, Any]], *, rate: int | None = None) -> Publishing:
        """Begin `onward events publish` with these events."""
        file = self.data / f"{route.source}-{uuid7()}.ndjson"
        file.write_bytes(b"".join(orjson.dumps(event) + b"\n" for event in events))
        words = ["events", "publish", route.source, str(file), "--json", "--data", str(self.data)]
        words += ["--workspace", WORKSPACE]
        words += ["--rate", str(rate)] if rate else []
        onward = [sys.executable, "-c", "import sys; from cli.main import main; sys.exit(main())"]
        process = await asyncio.create_subprocess_exec(
            *onward, *words, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        return Publishing(process)

    # --- what NATS holds -------------------------------------------------------------------------------------

    async def stored(self, route: Route) -> int:
        """How many events of a route's source JetStream has."""
        assert self._bus is not None
        subject = f"events.{WORKSPACE}.{route.source}"
        try:
            info = await self._bus.api(f"STREAM.INFO.EVENTS_{WORKSPACE}", {"subjects_filter": subject})
        except NotFound:
            return 0
        return int((info["state"].get("subjects") or {}).get(subject, 0))

    async def reached(self, route: Route, count: int) -> None:
        """Wait until so many events are stored; NATS may be away meanwhile."""

        async def enough() -> bool:
            with suppress(OnwardError):
                return await self.stored(route) >= count
            return False

        await eventually(enough, timeout_s=RESTART_TIMEOUT_S)

    # --- faults ----------------------------------------------------------------------------------------------

    def pid(self, part: str) -> int:
        """The process of "postgres", "nats" or a service."""
        pid = self.stack.pid(part)
        assert pid is not None, f"{part} does not run"
        return pid

    def kill(self, part: str, signum: signal.Signals = signal.SIGKILL) -> None:
        os.kill(self.pid(part), signum)

    async def kill_and_wait(self, part: str, signum: signal.Signals = signal.SIGKILL) -> None:
        """Kill a part and return when the supervisor has started another."""
        before = self.pid(part)
        os.kill(before, signum)
        await eventually(lambda: self.stack.pid(part) not in (None, before), timeout_s=RESTART_TIMEOUT_S)

    def workers(self) -> list[int]:
        """The sandboxed processes of the executor: the zygote's children."""
        executor = self.pid("executor")
        return [
            worker
            for zygote in children(executor)
            if b"services.executor.runtime.zygote" in _command_line(zygote)
            for worker in children(zygote)
        ]


class Publishing:
    """A publishing command under way."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def acknowledged(self) -> dict[str, Any]:
        """Wait for its end: every event is acknowledged then. Returns what it says of them."""
        out, err = await self.process.communicate()
        assert self.process.returncode == 0, f"publishing failed: {err.decode()}"
        said: dict[str, Any] = orjson.loads(out)
        return said

    async def killed(self) -> None:
        self.process.kill()
        await self.process.communicate()


async def answered(call: Callable[[], Awaitable[T]], timeout_s: float = RESTART_TIMEOUT_S) -> T:
    """Make a call again and again while its service is away. The request must bear a request_id, or only read."""

    async def one() -> list[T]:
        try:
            return [await call()]
        except (Unavailable, DeadlineExceeded) as error:
            raise AssertionError(str(error)) from error

    return (await eventually(one, timeout_s=timeout_s, interval_s=0.1))[0]


def children(pid: int) -> list[int]:
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except OSError:
        return []


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@asynccontextmanager
async def running_system(overrides: Mapping[str, Mapping[str, str]] | None = None) -> AsyncIterator[System]:
    """Run a system in a folder of its own until the end of the block."""
    with short_lived_folder() as folder:
        async with running_in(folder / "data", overrides or {}) as system:
            yield system


@asynccontextmanager
async def running_in(data: Path, overrides: Mapping[str, Mapping[str, str]]) -> AsyncIterator[System]:
    """Run a system on a data folder."""
    settings = {service: dict(variables) for service, variables in overrides.items()}
    settings.setdefault("delivery", {}).setdefault("ONWARD_RETRY_OFFSETS_S", RETRY_OFFSETS_S)
    stack = Stack(data, settings)
    stack.supervisor = Supervisor(BACKOFF)
    async with stack:
        system = System(stack)
        try:
            await system.open()
            yield system
        finally:
            await system.close()


async def all_serving(system: System) -> None:
    """Wait until every service answers calls, after a test that killed some."""

    async def healthy() -> bool:
        for service in SERVICES:
            credentials = system.ends.credentials()
            assert credentials is not None
            async with grpc.aio.secure_channel(system.ends.addresses[service], credentials) as channel:
                stub = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]  # ships no types
                try:
                    answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=2.0)
                except grpc.aio.AioRpcError as error:
                    raise AssertionError(f"{service}: {error.code()}") from error
                assert answer.status == health_pb2.HealthCheckResponse.SERVING, service
        return True

    await eventually(healthy, timeout_s=RESTART_TIMEOUT_S, interval_s=0.1)
