"""A small service to try the server with; its proto is compiled when first needed."""

import asyncio
import importlib
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import grpc.aio
from grpc_tools import protoc

from kit.auth.caller import Caller, current_caller
from kit.auth.demand import EVERYTHING, Demand
from kit.auth.denials import DenialLog
from kit.auth.gate import Gate
from kit.errors import InvalidToken, NotFound, PermissionDenied
from kit.rpc.call import current_call
from kit.rpc.client import open_channel
from kit.rpc.limits import Limits
from kit.rpc.server import RpcServer
from kit.telemetry import traceparent

ROOT = Path(__file__).parents[2]
SERVICE_TOKEN = "the services share this"
TOKEN = "onw_abcd1234_0123456789abcdef"

PROTO = """
syntax = "proto3";
package onward_probe.v1;
import "buf/validate/validate.proto";
import "onward/common/v1/access.proto";

service ProbeService {
  rpc Say(SayRequest) returns (SayResponse) {
    option (onward.common.v1.access) = {permission: PERMISSION_FUNCTION_VIEW resource_field: "target.name"};
  }
  rpc Watch(SayRequest) returns (stream SayResponse) {
    option (onward.common.v1.access) = {permission: PERMISSION_FUNCTION_VIEW resource_field: "target.name"};
  }
  rpc Open(SayRequest) returns (SayResponse) {
    option (onward.common.v1.access) = {permission: PERMISSION_NONE};
  }
  rpc Inside(SayRequest) returns (SayResponse) {
    option (onward.common.v1.access) = {permission: PERMISSION_SERVICE};
  }
}
service UndeclaredService {
  rpc Say(SayRequest) returns (SayResponse);
}
service MispointedService {
  rpc Say(SayRequest) returns (SayResponse) {
    option (onward.common.v1.access) = {permission: PERMISSION_FUNCTION_VIEW resource_field: "target.nam"};
  }
}
message Target { string name = 1; }
message SayRequest {
  Target target = 1;
  string text = 2 [(buf.validate.field).string.max_len = 100000];
  map<string, string> settings = 3 [(buf.validate.field).map.values.string.max_len = 5];
  repeated Item items = 4;
}
message Item { string label = 1 [(buf.validate.field).string.min_len = 1]; }
message SayResponse { string text = 1; }
"""


@cache
def generated() -> tuple[Any, Any]:
    """The probe's messages and stubs."""
    with tempfile.TemporaryDirectory(prefix="probe-") as made:
        folder = Path(made)
        (folder / "onward_probe.proto").write_text(PROTO)
        includes = [f"-I{folder}", f"-I{ROOT / 'protos'}", f"-I{Path(protoc.__file__).parent / '_proto'}"]
        outputs = [f"--python_out={folder}", f"--grpc_python_out={folder}"]
        command = ["protoc", *includes, *outputs, "onward_probe.proto"]
        assert protoc.main(command) == 0  # type: ignore[no-untyped-call]  # the package has no types
        sys.path.insert(0, made)
        try:
            return importlib.import_module("onward_probe_pb2"), importlib.import_module("onward_probe_pb2_grpc")
        finally:
            sys.path.remove(made)


class Roles:
    """An authorizer that knows one token with one permission in the workspaces "a" and "b"."""

    def __init__(self) -> None:
        # What it says instead, from now on.
        self.refusal: Exception | None = None
        self.sources = EVERYTHING
        self.asked = 0

    async def authorize(self, token: str, demand: Demand) -> Caller:
        self.asked += 1
        if self.refusal is not None:
            raise self.refusal
        resource = demand.resource
        if token != TOKEN:
            raise InvalidToken("unknown")
        if not resource.startswith(("workspaces/a/", "workspaces/b/")):
            raise NotFound("not here")
        if resource.endswith("/denied"):
            raise PermissionDenied("not that")
        return Caller("token:abcd1234", resource.split("/")[1], frozenset({demand.permission}), sources=self.sources)


class Probe:
    """Does what the request's text says."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.running = 0

    async def Say(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:  # noqa: N802
        text = request.text
        if text == "raise":
            raise RuntimeError("the password is hunter2")
        if text == "wrong type":
            return object()
        if text == "timeout of its own":
            raise TimeoutError
        if text == "wait":
            await self._wait()
        if text == "who":
            call = current_call()
            text = f"{current_caller().principal} {call.client_address} {call.user_agent} {call.request_id}"
        if text == "trace":
            text = traceparent()
        return generated()[0].SayResponse(text=text)

    Open = Say
    Inside = Say

    async def Watch(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:  # noqa: N802
        for part in request.text.split():
            if part == "wait":
                await self._wait()
            if part == "missing":
                raise NotFound("gone meanwhile")
            yield generated()[0].SayResponse(text=part)

    async def _wait(self) -> None:
        self.running += 1
        try:
            await self.go_on.wait()
        finally:
            self.running -= 1


def server_of(
    probe: Probe,
    limits: Limits | None = None,
    listen: str = "127.0.0.1:0",
    roles: Roles | None = None,
    denials: DenialLog | None = None,
) -> RpcServer:
    """A server for the probe, not yet started."""
    servicers = [(generated()[1].add_ProbeServiceServicer_to_server, probe)]
    return RpcServer(listen, servicers, Gate(roles or Roles(), SERVICE_TOKEN), limits=limits, denials=denials)


@asynccontextmanager
async def serving(
    probe: Probe, limits: Limits | None = None, roles: Roles | None = None, denials: DenialLog | None = None
) -> AsyncIterator[RpcServer]:
    """A running server; stopped without grace."""
    server = server_of(probe, limits, roles=roles, denials=denials)
    await server.start()
    await server.ready()
    try:
        yield server
    finally:
        await server.stop(0)


@asynccontextmanager
async def calling(server: RpcServer, token: str = TOKEN, **options: Any) -> AsyncIterator[Any]:
    """A stub that raises our errors."""
    async with open_channel(server.address, token, **options) as channel:
        yield generated()[1].ProbeServiceStub(channel)


def saying(text: str = "", name: str = "workspaces/a/functions/f", **fields: Any) -> Any:
    """A request."""
    pb = generated()[0]
    return pb.SayRequest(target=pb.Target(name=name), text=text, **fields)
