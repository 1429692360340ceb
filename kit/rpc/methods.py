"""The methods of a server's servicers, each with its declared access, wrapped in the layers."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.message import DecodeError, Message

from kit.auth.caller import set_caller
from kit.auth.demand import Demand
from kit.auth.denials import DenialLog
from kit.auth.gate import Gate
from kit.errors import Internal, InvalidArgument, InvalidToken, NotFound, OnwardError, PermissionDenied
from kit.ids import Ids
from kit.rpc.access import Access, declared_access
from kit.rpc.call import Call, read_call
from kit.rpc.layers import Context, Turn, identified, limited, noted, traced, translated
from kit.rpc.limits import Limits, Places
from kit.rpc.names import workspace_of
from kit.rpc.renewal import renewed
from kit.rpc.validation import validate
from onward.common.v1 import access_pb2

# A generated `add_...Servicer_to_server` function and the servicer.
Servicer = tuple[Callable[[Any, Any], None], object]
Handlers = dict[str, "grpc.RpcMethodHandler[Any, Any]"]
F = TypeVar("F", bound=Callable[..., Any])
# What nobody revokes while a service runs.
_LASTING = (access_pb2.PERMISSION_NONE, access_pb2.PERMISSION_SERVICE)


def confirms_caller(method: F) -> F:
    """Mark a servicer's method that has no effect, and answers nothing, before its caller's rights are read again.

    Its callers are then let in by what was true a moment ago, where that is known: asking twice is half of what a
    small change costs. Before it refuses something, they are asked about after all.
    """
    method.__dict__["confirms_caller"] = True
    return method


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC: what it is called, what it takes and who may."""

    path: str
    access: Access
    handler: Any

    def parse(self, raw: bytes) -> Message:
        """The request; `InvalidArgument` if the bytes are none."""
        try:
            return cast(Message, self.handler.request_deserializer(raw))
        except DecodeError:
            raise InvalidArgument("The request is not a valid message of its type.") from None

    @property
    def confirms_caller(self) -> bool:
        """Whether it is marked so."""
        return not self.handler.response_streaming and hasattr(self.handler.unary_unary, "confirms_caller")

    def serialize(self, response: object) -> bytes:
        """The response's bytes; here and not in gRPC, so that a wrong type is an error like any other."""
        return cast(bytes, self.handler.response_serializer(response))


class _Recorder:
    """Stands in for a server, to learn which handlers generated code would add."""

    def __init__(self) -> None:
        self.services: dict[str, Handlers] = {}

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Older form of the same registration."""

    def add_registered_method_handlers(self, service: str, handlers: Handlers) -> None:
        """Called by generated code."""
        self.services[service] = dict(handlers)


def recorded(servicers: Iterable[Servicer]) -> dict[str, Handlers]:
    """The handlers of these servicers by service and method."""
    recorder = _Recorder()
    for add, servicer in servicers:
        add(servicer, recorder)
    return recorder.services


def declared(services: dict[str, Handlers]) -> list[Method]:
    """Every method with its access; raises `AccessUndeclared` for the first without."""
    pool = descriptor_pool.Default()
    methods = []
    for service, handlers in services.items():
        descriptor = pool.FindServiceByName(service)
        for name, handler in handlers.items():
            access = declared_access(descriptor.methods_by_name[name])
            methods.append(Method(f"/{service}/{name}", access, _supported(service, name, handler)))
    return methods


def _supported(service: str, name: str, handler: Any) -> Any:
    if handler.request_streaming:
        raise Internal(f"{service}.{name} streams requests, which no layer supports")
    if handler.response_streaming and inspect.iscoroutinefunction(handler.unary_stream):
        raise Internal(f"{service}.{name} must be an async generator: yield responses, do not context.write them")
    return handler


class Layered:
    """Wraps methods in the layers."""

    def __init__(self, gate: Gate, limits: Limits, ids: Ids, denials: DenialLog | None = None) -> None:
        self._gate = gate
        self._denials = denials
        self._limits = limits
        self._ids = ids
        self._calls = Places(limits.calls_max, limits.calls_per_workspace_max)
        self._streams = Places(limits.streams_max, limits.streams_per_workspace_max)
        self._exempt = Places(limits.exempt_streams_max, limits.exempt_streams_max)
        # Streams that run now, for the drain.
        self.running: set[Turn] = set()

    def wrap(self, method: Method) -> grpc.RpcMethodHandler[Any, Any]:
        """A handler of bytes that goes through all layers."""
        if method.handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(self._stream(method))
        return grpc.unary_unary_rpc_method_handler(self._unary(method))

    def exempt(self, service: str, name: str, handler: Any) -> Any:
        """Health and reflection: no token, no rules; streams are counted and end with the drain."""
        if not handler.response_streaming:
            return handler
        behavior = handler.stream_stream if handler.request_streaming else handler.unary_stream
        make = (
            grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler
        )
        guarded = self._guarded(f"/{service}/{name}", behavior)
        return make(guarded, handler.request_deserializer, handler.response_serializer)

    def _unary(self, method: Method) -> Callable[[bytes, Context], Any]:
        async def answer(raw: bytes, context: Context) -> bytes:
            async with self._around(method.path, context, self._calls) as turn:
                try:
                    request, workspace = await self._admitted(method, turn, raw)
                    with self._calls.taken_by(workspace):
                        validate(request)
                        return method.serialize(await method.handler.unary_unary(request, context))
                except OnwardError:
                    if turn.provisional:
                        await self._admit_now(turn)
                    raise

        return answer

    def _stream(self, method: Method) -> Callable[[bytes, Context], Any]:
        async def answer(raw: bytes, context: Context) -> None:
            async with self._around(method.path, context, self._streams, streams=True) as turn:
                request, workspace = await self._admitted(method, turn, raw)
                with self._streams.taken_by(workspace):
                    validate(request)
                    async with (
                        self._renewed(method.access, turn),
                        aclosing(method.handler.unary_stream(request, context)) as responses,
                    ):
                        async for response in responses:
                            await context.write(method.serialize(response))
                            turn.progress()

        return answer

    def _guarded(self, path: str, behavior: Callable[[Any, Context], Any]) -> Callable[[Any, Context], Any]:
        async def answer(request: Any, context: Context) -> None:
            async with self._around(path, context, self._exempt, streams=True):
                produced = behavior(request, context)
                if inspect.isawaitable(produced):
                    await produced
                    return
                async for response in produced:
                    await context.write(response)

        return answer

    @asynccontextmanager
    async def _around(
        self, path: str, context: Context, places: Places, *, streams: bool = False
    ) -> AsyncIterator[Turn]:
        """Layers 1 to 5."""
        turn = Turn(read_call(path, context, self._ids), streams)
        with traced(turn), identified(turn, context):
            async with translated(turn, context):
                with noted(turn, self._denials):
                    async with limited(turn, context, self._limits):
                        with places.taken():
                            if streams:
                                self.running.add(turn)
                            try:
                                yield turn
                            finally:
                                self.running.discard(turn)

    async def _admitted(self, method: Method, turn: Turn, raw: bytes) -> tuple[Message, str]:
        """Layer 6: the request, once its caller may make it, and its workspace, "" for none."""
        access, call = method.access, turn.call
        self._require_token(method, turn, raw)
        request = method.parse(raw)
        turn.demand = access.demand(request)
        workspace = await self._workspace(access, call, request)
        caller = self._gate.admit_provisionally(call.token, turn.demand) if method.confirms_caller else None
        turn.provisional = caller is not None
        if caller is None:
            caller = await self._gate.admit(call.token, call.service, turn.demand)
        set_caller(caller)
        turn.admitted, turn.principal = True, caller.principal
        return request, workspace

    async def _admit_now(self, turn: Turn) -> None:
        """Raise what a caller is to be told who may not call any more, whatever else there was to say."""
        assert turn.demand is not None, "admitted by it"
        turn.admitted = False
        await self._gate.admit(turn.call.token, turn.call.service, turn.demand)
        turn.admitted = True

    def _renewed(self, access: Access, turn: Turn) -> AbstractAsyncContextManager[None]:
        """Layer 6 again and again, for streams of callers whose rights can be taken away."""
        demand = turn.demand
        if demand is None or access.permission in _LASTING:
            return nullcontext()
        return renewed(turn, lambda: self._gate.admit(turn.call.token, turn.call.service, demand), self._limits)

    def _require_token(self, method: Method, turn: Turn, raw: bytes) -> None:
        try:
            self._gate.require_token(turn.call.token, method.access.permission)
        except InvalidToken:
            # For the record only; the caller is not told whether it is well-formed.
            turn.demand = Demand(method.access.permission)
            with suppress(InvalidArgument):
                turn.demand = method.access.demand(method.parse(raw))
            raise

    async def _workspace(self, access: Access, call: Call, request: Message) -> str:
        """The workspace that the call belongs to, "" for none."""
        if not access.resource_path:
            return ""
        demand = access.demand(request)
        try:
            for _, resource in demand.also:
                workspace_of(resource)
            return workspace_of(demand.resource, access.resource_field)
        except InvalidArgument:
            # A malformed name is told to those only whose token is good.
            with suppress(NotFound, PermissionDenied, InvalidArgument):
                await self._gate.admit(call.token, call.service, Demand(access.permission))
            raise
