"""What one outgoing request costs by client: 1 KB JSON POSTs over kept connections, behind the same checks.

    python bench/egress.py [--requests 20000] [--at-once 32] [--json FILE]

The broker is measured as it is. Every other client gets what the broker does around its own: the URL taken apart, every
resolved address judged and the connection made to a judged one, headers checked, an Idempotency-Key, slots, a deadline
and a bound on the body. What a client cannot be told is in docs/adr/0007-egress-client.md. The receiver is a process of
its own; CPU time is the sender's alone, since that is what an executor pays. Clients that are not installed (pycurl,
primp and wreq are in no lock file: `pip install` them next to it) are left out.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.receiver import running_receiver
from services.executor.runtime.addresses import AddressPolicy
from services.executor.runtime.broker import Broker
from services.executor.runtime.connection_pool import Slots
from services.executor.runtime.egress import EgressLimits, EgressRequest, Scope
from services.executor.runtime.egress_url import split_url
from services.executor.runtime.request_head import outgoing_headers
from services.executor.runtime.resolution import Resolver

BODY = json.dumps({"event": "Order Completed", "filling": "x" * 980}).encode()
HEADERS = [("Content-Type", "application/json"), ("Authorization", "Bearer token")]
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
LIMITS = EgressLimits()
WARM_UP_EACH = 5

# Sends a body with these headers to this URL, at this judged address; gives the status.
Post = Callable[[str, dict[str, str], str], Awaitable[int]]
Send = Callable[[], Awaitable[int]]


class Checks:
    """What the broker does around its client, for a client of another make."""

    def __init__(self, post: Post, url: str) -> None:
        self._post = post
        self._url = url
        self._policy = AddressPolicy()
        self._resolver = Resolver()
        self._by_destination = Slots(LIMITS.per_destination)
        self._by_host = Slots(LIMITS.per_host)

    async def send(self) -> int:
        url = self._url
        scope = Scope("bench", "destination", LOOPBACK, "seed")
        origin, _ = split_url(url)
        headers = outgoing_headers(EgressRequest("POST", url, HEADERS, BODY), "POST", scope, LIMITS)
        async with (
            asyncio.timeout(LIMITS.total_ms / 1000),
            self._by_destination.held("destination"),
            self._by_host.held(origin.key),
        ):
            addresses = await self._resolver.addresses(origin.host)
            for address in addresses:
                assert self._policy.denial(address, origin.port, LOOPBACK) is None
            return await self._post(url, dict(headers), addresses[0])


async def broker(stack: AsyncExitStack, url: str) -> Send:
    """Ours, on aiohttp's parser."""
    made = Broker()
    await made.start()
    stack.push_async_callback(made.stop)

    async def send() -> int:
        scope = Scope("bench", "destination", LOOPBACK, "seed")
        return (await made.fetch(EgressRequest("POST", url, HEADERS, BODY), scope)).status

    return send


async def aiohttp_session(stack: AsyncExitStack, url: str) -> Send:
    """aiohttp's ClientSession."""
    import aiohttp

    connector = aiohttp.TCPConnector(limit=0, limit_per_host=0)
    jar = aiohttp.DummyCookieJar()
    session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector, cookie_jar=jar))

    async def post(url: str, headers: dict[str, str], _: str) -> int:
        async with session.post(url, data=BODY, headers=headers, allow_redirects=False) as response:
            body = await response.read()
            assert len(body) <= LIMITS.response_body_bytes_max
            return response.status

    return Checks(post, url).send


class Multi:
    """libcurl's multi interface on an event loop: its sockets are watched, its timer kept."""

    def __init__(self) -> None:
        pycurl = self.curl = import_module("pycurl")
        self._loop = asyncio.get_running_loop()
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._later)
        self._timer: asyncio.TimerHandle | None = None
        self._ended: dict[Any, asyncio.Future[int]] = {}
        self._watched: dict[int, int] = {}
        self._idle: list[Any] = []

    async def post(self, url: str, headers: dict[str, str], address: str) -> int:
        curl = self.curl
        handle = self._idle.pop() if self._idle else self._new()
        received: list[bytes] = []
        handle.setopt(curl.URL, url)
        handle.setopt(curl.HTTPHEADER, [f"{name}: {value}" for name, value in headers.items()])
        handle.setopt(curl.POSTFIELDS, BODY)
        handle.setopt(curl.WRITEFUNCTION, received.append)
        handle.setopt(curl.CONNECT_TO, [f"::{address}:"])
        self._ended[handle] = self._loop.create_future()
        self._multi.add_handle(handle)
        try:
            return await self._ended[handle]
        finally:
            del self._ended[handle]
            self._multi.remove_handle(handle)
            self._idle.append(handle)

    def _new(self) -> Any:
        handle = self.curl.Curl()
        handle.setopt(self.curl.PROTOCOLS, self.curl.PROTO_HTTP | self.curl.PROTO_HTTPS)
        handle.setopt(self.curl.PROXY, "")
        handle.setopt(self.curl.MAXFILESIZE, LIMITS.response_body_bytes_max)
        handle.setopt(self.curl.POST, 1)
        return handle

    def _watch(self, event: int, descriptor: int, *_: object) -> None:
        before = self._watched.get(descriptor, 0)
        if before & self.curl.POLL_IN:
            self._loop.remove_reader(descriptor)
        if before & self.curl.POLL_OUT:
            self._loop.remove_writer(descriptor)
        self._watched[descriptor] = 0 if event == self.curl.POLL_REMOVE else event
        if self._watched[descriptor] & self.curl.POLL_IN:
            self._loop.add_reader(descriptor, self._act, descriptor, self.curl.CSELECT_IN)
        if self._watched[descriptor] & self.curl.POLL_OUT:
            self._loop.add_writer(descriptor, self._act, descriptor, self.curl.CSELECT_OUT)

    def _later(self, timeout_ms: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if timeout_ms >= 0:
            self._timer = self._loop.call_later(timeout_ms / 1000, self._act, self.curl.SOCKET_TIMEOUT, 0)

    def _act(self, descriptor: int, events: int) -> None:
        self._multi.socket_action(descriptor, events)
        _, done, failed = self._multi.info_read()
        for handle in done:
            self._ended[handle].set_result(handle.getinfo(self.curl.RESPONSE_CODE))
        for handle, _, reason in failed:
            self._ended[handle].set_exception(OSError(reason))


async def pycurl_multi(stack: AsyncExitStack, url: str) -> Send:
    """libcurl."""
    return Checks(Multi().post, url).send


async def primp(stack: AsyncExitStack, url: str) -> Send:
    """reqwest, in Rust."""
    client = import_module("primp").AsyncClient(follow_redirects=False, cookie_store=False)

    async def post(url: str, headers: dict[str, str], _: str) -> int:
        response = await client.post(url, headers=headers, content=BODY)
        body = response.content
        assert len(body if isinstance(body, bytes) else await body) <= LIMITS.response_body_bytes_max
        return int(response.status_code)

    return Checks(post, url).send


async def wreq(stack: AsyncExitStack, url: str) -> Send:
    """Another of Rust, on hyper."""
    client = import_module("wreq").Client(allow_redirects=False, no_proxy=True)

    async def post(url: str, headers: dict[str, str], _: str) -> int:
        response = await client.post(url, headers=headers, body=BODY)
        assert len(await response.bytes()) <= LIMITS.response_body_bytes_max
        return int(response.status.as_int())

    return Checks(post, url).send


SENDERS = {"broker": broker, "aiohttp": aiohttp_session, "pycurl": pycurl_multi, "primp": primp, "wreq": wreq}


async def measure(name: str, url: str, requests: int, at_once: int) -> dict[str, float]:
    latencies_ms: list[float] = []
    async with AsyncExitStack() as stack:
        send = await SENDERS[name](stack, url)

        async def sender(count: int) -> None:
            for _ in range(count):
                began = time.perf_counter()
                assert await send() == 200
                latencies_ms.append((time.perf_counter() - began) * 1000)

        await asyncio.gather(*(sender(WARM_UP_EACH) for _ in range(at_once)))  # connections and caches, not counted
        latencies_ms.clear()
        wall, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(sender(requests // at_once) for _ in range(at_once)))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    sent = len(latencies_ms)
    p50, p99 = (statistics.quantiles(latencies_ms, n=100)[index] for index in (49, 98))
    return {"requests_s": round(sent / wall), "cpu_us": round(cpu / sent * 1e6, 1), "p50_ms": p50, "p99_ms": p99}


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare HTTP clients behind the broker's checks.")
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    names = [name for name in SENDERS if name == "broker" or find_spec(name) is not None]
    with running_receiver() as receiver:
        url = f"{receiver.url}/v1/track"
        results = {name: uvloop.run(measure(name, url, options.requests, options.at_once)) for name in names}
    for name, result in results.items():
        print(f"{name:8}", "  ".join(f"{key} {value:,.2f}" for key, value in result.items()))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
