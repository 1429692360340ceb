"""The gRPC server that every service runs: layers, health, reflection, limits, drain."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import grpc
import grpc.aio
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha._async import ReflectionServicer

from kit.auth.denials import DenialLog
from kit.auth.gate import Gate
from kit.errors import Unavailable
from kit.ids import Ids, SystemIds
from kit.rpc.limits import Limits, channel_arguments
from kit.rpc.methods import Layered, Servicer, declared, recorded
from kit.rpc.tls import PLAINTEXT, Tls

log = structlog.get_logger(__name__)

# A stream that sends nothing for so long while the server drains is a watch, and would hold up the drain to its end.
DRAIN_IDLE_S = 1.0
DRAIN_TICK_S = 0.1
# Above the layers' own limits, which answer with a reason; this one only guards the event loop from a flood.
RPCS_BEYOND_LIMITS = 256

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class CannotListen(Unavailable):
    """The address is taken or not ours."""


class RpcServer:
    """Serves the given servicers once `start` has returned; answers health checks with SERVING after `ready`.

    With TLS it also listens where services call one another, and demands their certificates there. Refused calls are
    noted in `denials`.

    `servicers` are pairs of generated `add_...Servicer_to_server` and the servicer, whose streaming methods are async
    generators. Raises `AccessUndeclared` at once if one of their methods declares no access.
    """

    def __init__(
        self,
        listen: str,
        servicers: Sequence[Servicer],
        gate: Gate,
        *,
        limits: Limits | None = None,
        ids: Ids | None = None,
        tls: Tls = PLAINTEXT,
        denials: DenialLog | None = None,
    ) -> None:
        self._listen = listen
        self._limits = limits or Limits()
        self._layered = Layered(gate, self._limits, ids or SystemIds(), denials)
        self._tls = tls
        self._services = recorded(servicers)
        self._methods = declared(self._services)
        self._health = HealthServicer()
        self._server: grpc.aio.Server | None = None
        self.port = 0
        self.internal_port = 0

    @property
    def address(self) -> str:
        """host:port as clients reach it; known after `start`."""
        return f"{self._listen.rpartition(':')[0]}:{self.port}"

    @property
    def internal_address(self) -> str:
        """host:port as other services reach it, the same one where there is no TLS; known after `start`."""
        if self._tls.internal_listen is None:
            return self.address
        return f"{self._tls.internal_listen.rpartition(':')[0]}:{self.internal_port}"

    async def start(self) -> None:
        """Bind and answer; raise `CannotListen` if the address can't be had."""
        await self.not_ready()
        server = grpc.aio.server(
            options=channel_arguments(self._limits),
            maximum_concurrent_rpcs=self._limits.calls_max + self._limits.streams_max + RPCS_BEYOND_LIMITS,
        )
        self._add_methods(server)
        self._add_exempt(server)
        self.port = _bind(server, self._listen, self._tls.public, "ONWARD_LISTEN")
        if self._tls.internal_listen is not None:
            self.internal_port = _bind(server, self._tls.internal_listen, self._tls.internal, "ONWARD_INTERNAL_LISTEN")
        await server.start()
        self._server = server
        log.info(
            "rpc_listening", address=self.address, internal=self.internal_address, tls=self._tls.public is not None
        )

    async def ready(self) -> None:
        """Tell health checks that calls are welcome."""
        await self._set_health(_SERVING)

    async def not_ready(self) -> None:
        """Tell health checks to send callers elsewhere; calls that come are still answered."""
        await self._set_health(_NOT_SERVING)

    async def set_serving(self, service: str, serving: bool) -> None:
        """The health of one service (by its full name, or any name of an own check)."""
        await self._health.set(service, _SERVING if serving else _NOT_SERVING)

    async def stop(self, grace_s: float) -> None:
        """Refuse new calls, let running ones end within `grace_s`, then cut them."""
        if self._server is None:
            return
        server, self._server = self._server, None
        await self._health.enter_graceful_shutdown()
        began = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            watches = tasks.create_task(self._cut_idle_streams())
            await server.stop(grace_s)
            watches.cancel()
        log.info("rpc_stopped", drained_s=round(time.monotonic() - began, 3))

    async def _cut_idle_streams(self) -> None:
        while True:
            await asyncio.sleep(DRAIN_TICK_S)
            idle_since = time.monotonic() - DRAIN_IDLE_S
            for turn in list(self._layered.running):
                if turn.progressed_at < idle_since:
                    turn.cut_off()

    async def _set_health(self, status: Any) -> None:
        for service in ("", *self._services):
            await self._health.set(service, status)

    def _add_methods(self, server: grpc.aio.Server) -> None:
        handlers: dict[str, dict[str, Any]] = {}
        for method in self._methods:
            _, service, name = method.path.split("/")
            handlers.setdefault(service, {})[name] = self._layered.wrap(method)
        _register(server, handlers)

    def _add_exempt(self, server: grpc.aio.Server) -> None:
        names = [*self._services, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name]
        names.append(reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"].full_name)
        exempt: list[Servicer] = [
            (health_pb2_grpc.add_HealthServicer_to_server, self._health),
            (reflection_pb2_grpc.add_ServerReflectionServicer_to_server, _reflection(names)),
        ]
        handlers = {
            service: {name: self._layered.exempt(service, name, handler) for name, handler in of_service.items()}
            for service, of_service in recorded(exempt).items()
        }
        _register(server, handlers)


def _bind(server: grpc.aio.Server, listen: str, credentials: grpc.ServerCredentials | None, setting: str) -> int:
    try:
        if credentials is not None:
            return server.add_secure_port(listen, credentials)
        return server.add_insecure_port(listen)
    except RuntimeError:
        raise CannotListen(
            f"Cannot listen on {listen}: another program has it, or it is no address of this machine; "
            f"set {setting} to another."
        ) from None


def _reflection(names: list[str]) -> object:
    return ReflectionServicer(names)  # type: ignore[no-untyped-call]  # the package has no types


def _register(server: grpc.aio.Server, handlers: dict[str, dict[str, Any]]) -> None:
    for service, of_service in handlers.items():
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, of_service),))
