"""Channels to other services: token, deadline, trace; answers' errors in the classes of kit.errors."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

import grpc
import grpc.aio
import structlog

from kit import telemetry
from kit.errors import Internal, OnwardError, Unavailable
from kit.rpc.call import AUTHORIZATION_KEY, REQUEST_ID_KEY, SERVICE_KEY, TRACEPARENT_KEY, Call, current_call
from kit.rpc.status import from_rpc_error

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer")

# A caller that waits for longer has given up; streams have none, since watches last.
DEADLINE_S = 10.0
MESSAGE_BYTES_MAX = 4 * 1024 * 1024
# A callee that was restarted is found again within this; gRPC's own 2 minutes would look like an outage.
RECONNECT_S_MAX = 2.0
RECONNECT_S_MIN = 0.1
KEEPALIVE_S = 30.0
KEEPALIVE_TIMEOUT_S = 10.0

# Beside the error of a call that found no service to trust.
TLS_FAILED = {"tls": "refused"}
# What gRPC says where the callee's certificate, or its lack of TLS, was the matter.
_TLS_FAILED = re.compile(r"Tls handshake failed|Hostname Verification", re.IGNORECASE)

_OPTIONS: list[tuple[str, int | str]] = [
    # A retry is for the caller to decide: it knows whether the call may be repeated.
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.initial_reconnect_backoff_ms", int(RECONNECT_S_MIN * 1000)),
    ("grpc.min_reconnect_backoff_ms", int(RECONNECT_S_MIN * 1000)),
    ("grpc.max_reconnect_backoff_ms", int(RECONNECT_S_MAX * 1000)),
    ("grpc.keepalive_time_ms", int(KEEPALIVE_S * 1000)),
    ("grpc.keepalive_timeout_ms", int(KEEPALIVE_TIMEOUT_S * 1000)),
    # Callees are on loopback or a private network, never behind a proxy.
    ("grpc.enable_http_proxy", 0),
]


def open_channel(
    address: str,
    token: str,
    *,
    service: str = "",
    deadline_s: float = DEADLINE_S,
    credentials: grpc.ChannelCredentials | None = None,
    agent: str = "",
) -> grpc.aio.Channel:
    """A channel whose calls carry `token` and raise `OnwardError`s. Connects when first used; close it.

    `service` is the caller's own name where `token` is the service token. A call without a timeout gets `deadline_s`;
    a stream gets none. Without `credentials` nothing is encrypted: for the loopback only. `agent` is what the
    caller's program calls itself, such as "onward/1.2".
    """
    headers = _headers(token, service)
    interceptors: list[grpc.aio.ClientInterceptor] = [kind(headers, deadline_s) for kind in (_Unary, _Stream)]
    options = [*_OPTIONS, ("grpc.primary_user_agent", agent)] if agent else _OPTIONS
    return _open(address, credentials, options, interceptors)


def _headers(token: str, service: str) -> list[tuple[str, str]]:
    headers = [(AUTHORIZATION_KEY, f"Bearer {token}")] if token else []
    return [*headers, (SERVICE_KEY, service)] if service else headers


def _open(
    address: str,
    credentials: grpc.ChannelCredentials | None,
    options: list[tuple[str, int | str]],
    interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
) -> grpc.aio.Channel:
    if credentials is not None:
        return grpc.aio.secure_channel(address, credentials, options, interceptors=interceptors)
    return grpc.aio.insecure_channel(address, options, interceptors=interceptors)


class QuickChannel:
    """A channel of a service for calls that many wait for: as `open_channel`, but for streams.

    An interceptor costs each call a task, and two turns of the caller's event loop, which are long when it is busy.
    """

    def __init__(
        self, address: str, token: str, *, service: str, credentials: grpc.ChannelCredentials | None = None
    ) -> None:
        self._outgoing = _Outgoing(_headers(token, service), DEADLINE_S)
        # What stubs are made for.
        self.channel = _open(address, credentials, _OPTIONS)

    async def call(
        self, name: str, method: Callable[..., Awaitable[Answer]], request: Any, timeout_s: float = DEADLINE_S
    ) -> Answer:
        """Call a stub's unary method, `name` for people; raises OnwardError."""
        try:
            return await method(request, timeout=timeout_s, metadata=self._outgoing.metadata())
        except grpc.aio.AioRpcError as error:
            raise self._outgoing.translated(error, name) from error

    async def close(self) -> None:
        await self.channel.close()


class _Outgoing:
    """What all kinds of calls share."""

    def __init__(self, headers: list[tuple[str, str]], deadline_s: float) -> None:
        self._headers = headers
        self._deadline_s = deadline_s
        self._of_a_service = any(key == SERVICE_KEY for key, _ in headers)

    def _details(self, given: Any, timeout_s: float | None) -> grpc.aio.ClientCallDetails:
        metadata = grpc.aio.Metadata(*(given.metadata or ()))
        said = set(metadata.keys())
        for key, value in self.metadata():
            if key not in said:
                metadata.add(key, value)
        return grpc.aio.ClientCallDetails(given.method, timeout_s, metadata, given.credentials, given.wait_for_ready)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What every call says."""
        return (*self._headers, *_passed_on())

    def translated(self, error: grpc.aio.AioRpcError, method: bytes | str) -> OnwardError:
        name = method.decode() if isinstance(method, bytes) else method
        ours = from_rpc_error(error, name)
        if _TLS_FAILED.search(error.details() or ""):
            message = f"{name} failed: the service's certificate is not one that is trusted for its address."
            return Unavailable(message, metadata=TLS_FAILED)
        # Passed on unchanged, these would tell our caller that its own token is wrong.
        if self._of_a_service and ours.metadata.get("token") == "service":
            log.error("service_token_refused", method=name)
            return Internal("A service refused this one's token: ONWARD_SERVICE_TOKEN must be the same for all.")
        if self._of_a_service and ours.metadata.get("certificate") == "service":
            log.error("service_certificate_refused", method=name)
            return Internal("A service refused this one's certificate: see ONWARD_TLS_CERTIFICATE and the addresses.")
        return ours


class _Unary(_Outgoing, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        timeout_s = self._deadline_s if details.timeout is None else details.timeout
        call = await continuation(self._details(details, timeout_s), request)
        try:
            # Awaited here, so that the error can be translated; awaiting it again costs nothing.
            await call
        except grpc.aio.AioRpcError as error:
            raise self.translated(error, details.method) from error
        return call


class _Stream(_Outgoing, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        call = await continuation(self._details(details, details.timeout), request)
        return self._responses(call, details.method)

    async def _responses(self, call: Any, method: bytes | str) -> AsyncIterator[Any]:
        try:
            async for response in call:
                yield response
        except grpc.aio.AioRpcError as error:
            raise self.translated(error, method) from error


def _passed_on() -> list[tuple[str, str]]:
    """The trace and the request id of the RPC that is being served, if any."""
    passed = []
    parent = telemetry.traceparent()
    if parent:
        passed.append((TRACEPARENT_KEY, parent))
    call = _serving()
    if call is not None:
        passed.append((REQUEST_ID_KEY, call.request_id))
    return passed


def _serving() -> Call | None:
    try:
        return current_call()
    except Internal:
        return None
