"""The egress broker: every request that user code makes passes here.

It checks each address that a name resolves to and connects to no other, follows redirects itself, bounds
bytes, time and concurrency, keeps connections of workspaces apart, and words its errors as Node does.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from services.executor.runtime.addresses import AddressPolicy
from services.executor.runtime.connection_pool import ConnectionPool, Slots
from services.executor.runtime.connector import Connector
from services.executor.runtime.decompression import content_coding, decompress
from services.executor.runtime.egress import (
    EgressError,
    EgressLimits,
    EgressRequest,
    EgressResponse,
    Headers,
    Phase,
    Scope,
    too_large,
)
from services.executor.runtime.egress_url import Origin, check_redirect, redirect_url, split_url
from services.executor.runtime.http_connection import Connection, RawResponse
from services.executor.runtime.request_head import (
    checked_method,
    outgoing_headers,
    serialise,
    without_body_headers,
    without_credentials,
)
from services.executor.runtime.resolution import Resolve, Resolver
from services.executor.runtime.tls import client_context

log = structlog.get_logger(__name__)

_REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))
# RFC 9110, 9.2.2. POST and PATCH join them when they carry an Idempotency-Key, as in Go's net/http.
_REPEATABLE: Final = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE"))
_SWEEP_S_MIN: Final = 0.05


@dataclass(slots=True)
class _Hop:
    """One request of a chain of redirects; changes from hop to hop."""

    method: str
    url: str
    origin: Origin
    target: str
    headers: Headers
    body: bytes | None
    redirects: int = 0
    phase: Phase = "request"
    # Of an answer whose body failed.
    head: RawResponse | None = None
    on_head: Callable[[], None] | None = None

    @property
    def repeatable(self) -> bool:
        return self.method in _REPEATABLE or any(name.lower() == "idempotency-key" for name, _ in self.headers)


class Broker:
    """Answers fetch; one for each executor process.

    `own_endpoints` are (host, port) pairs that stay out of reach whatever a workspace's ranges say.
    `resolve` replaces the system's resolver. `ca_file` adds certificate authorities.
    """

    def __init__(
        self,
        *,
        own_endpoints: Iterable[tuple[str, int]] = (),
        limits: EgressLimits | None = None,
        resolve: Resolve | None = None,
        ca_file: Path | None = None,
    ) -> None:
        self._limits = limits or EgressLimits()
        self._own_endpoints = tuple(own_endpoints)
        self._resolver = Resolver(resolve)
        self._ca_file = ca_file
        self._pool = ConnectionPool(self._limits)
        self._by_host = Slots(self._limits.per_host)
        self._by_workspace = Slots(self._limits.per_workspace)
        self._by_host_of_all = Slots(self._limits.per_host_of_all)
        self._of_all = Slots(self._limits.requests_max)
        self._by_destination = Slots(self._limits.per_destination)
        self._connector: Connector | None = None
        self._sweep_timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        policy = AddressPolicy()
        for host, port in self._own_endpoints:
            await self._close_off(policy, host, port)
        tls = await asyncio.to_thread(client_context, self._ca_file)
        self._connector = Connector(policy, self._resolver, tls, self._limits)
        self._sweep()

    async def _close_off(self, policy: AddressPolicy, host: str, port: int) -> None:
        """Its name stays closed as well, since a service that is down now may have another address later."""
        policy.add_own_name(host, port)
        try:
            addresses = await self._resolver.addresses(host)
        except EgressError:
            log.warning("egress_own_endpoint_unresolved", host=host, port=port)
            return
        for address in addresses:
            policy.add_own_endpoint(address, port)

    async def stop(self) -> None:
        """Close idle connections; requests under way are their callers' to cancel."""
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        self._pool.close()
        await self._resolver.close()

    @property
    def idle_connections(self) -> int:
        return self._pool.idle_count

    async def fetch(self, request: EgressRequest, scope: Scope) -> EgressResponse:
        """Make one request, redirects included; raises EgressError."""
        hop = self._first_hop(request, scope)
        limit_ms = self._limits.total_ms
        if 0 < request.timeout_ms < limit_ms:
            limit_ms = request.timeout_ms
        try:
            return await self._within(limit_ms, request, scope, hop)
        except EgressError as error:
            error.url, error.timeout_ms = hop.url, limit_ms
            # What is too large for us fails as a whole; any other body fails when it is read, as in Node.
            if error.phase == "body" and hop.head is not None and error.code != "TOO_LARGE":
                error.response = _response(hop, hop.head, b"", 0.0)
            raise

    async def _within(self, limit_ms: int, request: EgressRequest, scope: Scope, hop: _Hop) -> EgressResponse:
        now = asyncio.get_running_loop().time
        started = now()
        try:
            async with asyncio.timeout_at(started + limit_ms / 1000) as deadline:
                if request.timeout_ms:
                    # node-fetch's timeout is that of each head, and once more that of the body.
                    last = started + self._limits.total_ms / 1000
                    hop.on_head = lambda: deadline.reschedule(min(now() + limit_ms / 1000, last))
                raw = await self._in_slot(request, scope, hop)
                body = await self._body(request, hop, raw)
        except TimeoutError as error:
            raise _timed_out(hop, limit_ms) from error
        return _response(hop, raw, body, (now() - started) * 1000)

    def _first_hop(self, request: EgressRequest, scope: Scope) -> _Hop:
        method = checked_method(request.method)
        origin, target = split_url(request.url)
        if request.body is not None and len(request.body) > self._limits.request_body_bytes_max:
            limit = self._limits.request_body_bytes_max
            raise EgressError("TOO_LARGE", "max-size", f"request body to {request.url} over limit: {limit}")
        headers = outgoing_headers(request, method, scope, self._limits)
        return _Hop(method, request.url, origin, target, headers, request.body)

    async def _in_slot(self, request: EgressRequest, scope: Scope, hop: _Hop) -> RawResponse:
        async with self._by_destination.held((scope.workspace, scope.destination)):
            return await self._follow(request, scope, hop)

    async def _follow(self, request: EgressRequest, scope: Scope, hop: _Hop) -> RawResponse:
        while True:
            raw = await self._send(request, scope, hop)
            location = _header(raw.headers, "location") if raw.status in _REDIRECTS else None
            if request.redirect == "error" and raw.status in _REDIRECTS:
                reason = "uri requested responds with a redirect, redirect mode is set to error"
                raise EgressError("ERR_REDIRECT", "no-redirect", f"{reason}: {hop.url}")
            if location is None or request.redirect not in ("follow", "manual"):
                return raw
            url = redirect_url(hop.url, location)
            if request.redirect == "manual":
                return raw if url is None else raw._replace(headers=_with_location(raw.headers, url))
            if url is None:
                reason = f"uri requested responds with an invalid redirect URL: {location}"
                raise EgressError("ERR_INVALID_REDIRECT", "invalid-redirect", reason)
            if hop.redirects >= min(request.follow, self._limits.redirects_max):
                raise EgressError("ERR_TOO_MANY_REDIRECTS", "max-redirect", f"maximum redirect reached at: {hop.url}")
            _redirect(hop, raw.status, url)

    async def _send(self, request: EgressRequest, scope: Scope, hop: _Hop) -> RawResponse:
        """Narrow caps first: who waits for his own holds no part of what all share."""
        host = (hop.origin.host, hop.origin.port)
        async with (
            self._by_host.held((scope.workspace, *host)),
            self._by_workspace.held(scope.workspace),
            self._by_host_of_all.held(host),
            self._of_all.held(None),
        ):
            return await self._exchange(request, scope, hop)

    async def _exchange(self, request: EgressRequest, scope: Scope, hop: _Hop) -> RawResponse:
        data = serialise(hop.method, hop.origin, hop.target, hop.headers, hop.body)
        while True:
            connection = self._pool.take(scope, hop.origin.key)
            if connection is None:
                assert self._connector is not None, "the broker has not been started"
                connection = await self._connector.connect(hop.origin, scope.allowed_ranges, scope.workspace)
            try:
                return await self._on(connection, data, hop)
            except EgressError as error:
                # A kept connection may die just as it is used: the server's idle timeout, not a failure.
                stale = connection.exchanges > 1 and not connection.answered and error.network
                if not (stale and hop.repeatable):
                    raise
            finally:
                self._pool.put(scope, hop.origin.key, connection, asyncio.get_running_loop().time())

    async def _on(self, connection: Connection, data: bytes, hop: _Hop) -> RawResponse:
        limit = self._limits.response_body_bytes_max
        try:
            has_body = hop.method != "HEAD"
            return await connection.exchange(
                data, hop.url, has_body=has_body, body_bytes_max=limit, on_head=hop.on_head
            )
        except EgressError:
            hop.head = connection.head
            raise
        except asyncio.CancelledError:
            hop.head = connection.head
            if hop.head is not None:
                hop.phase = "body"
            connection.abort()
            raise

    async def _body(self, request: EgressRequest, hop: _Hop, raw: RawResponse) -> bytes:
        body, limit = raw.body, self._limits.response_body_bytes_max
        hop.phase, hop.head = "body", raw
        coding = content_coding(raw.headers) if request.compress and body else None
        if coding is not None and raw.status not in (204, 304):
            body = await decompress(body, coding, hop.url, limit)
        if 0 < request.size < len(body):
            raise too_large(hop.url, request.size, code=None)
        return body

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._pool.sweep(loop.time())
        self._sweep_timer = loop.call_later(max(_SWEEP_S_MIN, self._limits.idle_ms / 3000), self._sweep)


def _response(hop: _Hop, raw: RawResponse, body: bytes, elapsed_ms: float) -> EgressResponse:
    return EgressResponse(
        status=raw.status,
        reason=raw.reason,
        url=hop.url,
        redirected=hop.redirects > 0,
        headers=raw.headers,
        body=body,
        request_headers=hop.headers,
        elapsed_ms=elapsed_ms,
        wire_bytes=len(raw.body),
    )


def _redirect(hop: _Hop, status: int, url: str) -> None:
    """Turn a hop into the next one, as node-fetch 2 does, but dropping credentials for any other origin."""
    origin = check_redirect(hop.origin, url)
    if origin.key != hop.origin.key:
        hop.headers = without_credentials(hop.headers)
    if status == 303 or (status in (301, 302) and hop.method == "POST"):
        hop.method, hop.body = "GET", None
        hop.headers = without_body_headers(hop.headers)
    hop.url, hop.origin, hop.target = url, origin, split_url(url)[1]
    hop.redirects += 1


def _timed_out(hop: _Hop, limit_ms: int) -> EgressError:
    if hop.phase == "body":
        message = f"Response timeout while trying to fetch {hop.url} (over {limit_ms}ms)"
        return EgressError("ETIMEDOUT", "body-timeout", message, network=True, phase="body")
    return EgressError("ETIMEDOUT", "request-timeout", f"network timeout at: {hop.url}", network=True)


def _header(headers: Headers, wanted: str) -> str | None:
    for name, value in headers:
        if name.lower() == wanted:
            return value
    return None


def _with_location(headers: Headers, url: str) -> Headers:
    return [(name, url if name.lower() == "location" else value) for name, value in headers]
