"""Idle connections, kept apart by workspace, and the caps on what runs at once."""

import asyncio
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field

from services.executor.runtime.addresses import Network
from services.executor.runtime.egress import EgressLimits, Scope
from services.executor.runtime.http_connection import Connection

OriginKey = tuple[str, str, int]


@dataclass(slots=True)
class _WorkspacePool:
    """Connections were checked against these ranges; when the ranges change, they are all dropped."""

    allowed_ranges: tuple[Network, ...]
    idle: dict[OriginKey, list[Connection]] = field(default_factory=dict)

    def close(self) -> None:
        for connections in self.idle.values():
            for connection in connections:
                connection.abort()
        self.idle.clear()


class ConnectionPool:
    """Last in, first out, so that connections in excess grow old and are closed by `sweep`."""

    def __init__(self, limits: EgressLimits) -> None:
        self._limits = limits
        self._workspaces: dict[str, _WorkspacePool] = {}
        self._idle_count = 0
        self._closed = False

    @property
    def idle_count(self) -> int:
        return self._idle_count

    def take(self, scope: Scope, origin: OriginKey) -> Connection | None:
        """A live connection that this workspace has used for the same origin, or None."""
        stack = self._pool(scope).idle.get(origin)
        while stack:
            connection = stack.pop()
            self._idle_count -= 1
            if connection.reusable:
                return connection
            connection.abort()
        return None

    def put(self, scope: Scope, origin: OriginKey, connection: Connection, now: float) -> None:
        """Keep a connection for later, or close it when it can't be reused or enough are kept."""
        stack = self._pool(scope).idle.setdefault(origin, [])
        full = len(stack) >= self._limits.idle_per_host_max or self._idle_count >= self._limits.idle_max
        if full or self._closed or not connection.reusable:
            connection.abort()
            return
        connection.idle_since = now
        stack.append(connection)
        self._idle_count += 1

    def sweep(self, now: float) -> None:
        """Close what has been idle too long, and forget workspaces and origins without connections."""
        oldest = now - self._limits.idle_ms / 1000
        for workspace, pool in list(self._workspaces.items()):
            for origin, stack in list(pool.idle.items()):
                fresh = [item for item in stack if item.idle_since > oldest and item.reusable]
                for connection in set(stack).difference(fresh):
                    connection.abort()
                self._idle_count -= len(stack) - len(fresh)
                pool.idle[origin] = fresh
                if not fresh:
                    del pool.idle[origin]
            if not pool.idle:
                del self._workspaces[workspace]

    def close(self) -> None:
        self._closed = True
        for pool in self._workspaces.values():
            pool.close()
        self._workspaces.clear()
        self._idle_count = 0

    def _pool(self, scope: Scope) -> _WorkspacePool:
        pool = self._workspaces.get(scope.workspace)
        if pool is None or (
            pool.allowed_ranges is not scope.allowed_ranges and pool.allowed_ranges != scope.allowed_ranges
        ):
            if pool is not None:
                self._idle_count -= sum(map(len, pool.idle.values()))
                pool.close()
            pool = self._workspaces[scope.workspace] = _WorkspacePool(scope.allowed_ranges)
        return pool


class Slots:
    """At most `limit` holders of each key at once, first come first served; keys not in use cost nothing."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[Hashable, int] = {}
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}

    def held(self, key: Hashable) -> "Slot":
        """One slot of this key, as an async context manager."""
        return Slot(self, key)

    async def acquire(self, key: Hashable) -> None:
        held = self._held.get(key, 0)
        if held < self._limit:
            self._held[key] = held + 1
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.release(key)  # the slot had been handed over already
            raise

    def release(self, key: Hashable) -> None:
        """Hand the slot to the first who still waits, or free it."""
        queue = self._waiting.get(key)
        while queue:
            waiter = queue.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._waiting.pop(key, None)
        held = self._held[key] - 1
        if held:
            self._held[key] = held
        else:
            del self._held[key]


class Slot:
    """A slot for the time of an `async with`; contextlib's generator costs five times as much."""

    __slots__ = ("_key", "_slots")

    def __init__(self, slots: Slots, key: Hashable) -> None:
        self._slots = slots
        self._key = key

    async def __aenter__(self) -> None:
        await self._slots.acquire(self._key)

    async def __aexit__(self, *_: object) -> None:
        self._slots.release(self._key)
