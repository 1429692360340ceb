"""Servers of every kind of manners, and a broker to send against them."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from services.executor.runtime.broker import Broker
from services.executor.runtime.egress import EgressError, EgressRequest, Scope

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
NAMES = {
    "api.test": ["127.0.0.1"],
    "other.test": ["127.0.0.1"],
    "both.test": ["127.0.0.1", "10.0.0.1"],
    "public-and-private.test": ["8.8.8.8", "10.0.0.1"],
    "dead-first.test": ["127.0.0.9", "127.0.0.1"],
    "none.test": [],
}

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def resolve(host: str) -> list[str]:
    if host in NAMES:
        return NAMES[host]
    if host == "localhost":
        return ["127.0.0.1", "::1"]
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def scope(**changes: Any) -> Scope:
    fields: dict[str, Any] = {"workspace": "acme", "destination": "crm", "allowed_ranges": LOOPBACK}
    return Scope(**(fields | changes))


@dataclass
class World:
    """Brokers and servers of one test, closed at its end."""

    stack: AsyncExitStack
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    async def broker(self, **options: Any) -> Broker:
        options.setdefault("resolve", resolve)
        broker = Broker(**options)
        await broker.start()
        self.stack.push_async_callback(broker.stop)
        return broker

    async def raw(self, handle: Handle, **options: Any) -> int:
        """A server that does what `handle` does with each connection."""
        tasks: set[asyncio.Task[None]] = set()

        async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                await handle(reader, writer)
            except (OSError, EOFError, asyncio.CancelledError):
                pass
            finally:
                writer.transport.abort()
                tasks.discard(task)

        server = await asyncio.start_server(guarded, "127.0.0.1", 0, **options)

        async def close() -> None:
            server.close()
            for task in tasks.copy():
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.stack.push_async_callback(close)
        return int(server.sockets[0].getsockname()[1])

    async def app(self, **routes: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> int:
        """An aiohttp server: `echo` and what is given, each at /<name>."""
        application = web.Application(client_max_size=64 << 20)

        async def echo(request: web.Request) -> web.Response:
            body = await request.read()
            self.seen.append((request.method, request.path_qs, dict(request.headers), body))
            return web.json_response({"method": request.method, "headers": dict(request.headers), "bytes": len(body)})

        for name, handler in ({"echo": echo} | routes).items():
            application.router.add_route("*", f"/{name}", handler)
        runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        self.stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return int(runner.addresses[0][1])


async def refused(broker: Broker, url: str, in_scope: Scope | None = None, **options: Any) -> EgressError:
    with pytest.raises(EgressError) as caught:
        await broker.fetch(EgressRequest("GET", url, **options), in_scope or scope())
    return caught.value


def answering(data: bytes, *, keep: bool = False) -> Handle:
    """Answers every request head with the same bytes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(data)
            await writer.drain()
            if not keep:
                writer.close()
                await writer.wait_closed()
                return

    return handle


def redirecting(
    status: int, location: Callable[[web.Request], str]
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": location(request)})

    return handler
