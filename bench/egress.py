"""What one outgoing request costs: the egress broker against plain aiohttp, 1 KB JSON POSTs over kept connections.

    python -m bench.egress --requests 20000 --json egress.json

The receiver is a process of its own. CPU time is the sender's alone, since that is what an executor pays.
"""

import argparse
import asyncio
import ipaddress
import json
import multiprocessing
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from multiprocessing.connection import Connection
from pathlib import Path

import aiohttp
import uvloop

from services.executor.runtime.broker import Broker
from services.executor.runtime.egress import EgressRequest, Scope

BODY = json.dumps({"event": "Order Completed", "filling": "x" * 980}).encode()
HEADERS = [("Content-Type", "application/json"), ("Authorization", "Bearer token")]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n" + b'{"success":true}'
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)

Send = Callable[[], Awaitable[int]]


class Receiver(asyncio.Protocol):
    """Answers each request of the one known length at once, so that the sender is what is measured."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0 and len(self.received) >= end + 4 + len(BODY):
            self.received = self.received[end + 4 + len(BODY) :]
            self.transport.write(ANSWER)  # type: ignore[attr-defined]  # asyncio gives a Transport


def receive(ready: Connection) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(main())


async def broker_sender(stack: AsyncExitStack, url: str) -> Send:
    broker = Broker()
    await broker.start()
    stack.push_async_callback(broker.stop)

    async def send() -> int:
        scope = Scope("bench", "destination", LOOPBACK, "seed")
        return (await broker.fetch(EgressRequest("POST", url, HEADERS, BODY), scope)).status

    return send


async def aiohttp_sender(stack: AsyncExitStack, url: str) -> Send:
    session = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))

    async def send() -> int:
        async with session.post(url, data=BODY, headers=HEADERS, allow_redirects=False) as response:
            await response.read()
            return response.status

    return send


SENDERS = {"broker": broker_sender, "aiohttp": aiohttp_sender}


async def measure(name: str, url: str, requests: int, at_once: int) -> dict[str, float]:
    latencies_ms: list[float] = []
    async with AsyncExitStack() as stack:
        send = await SENDERS[name](stack, url)

        async def sender(count: int) -> None:
            for _ in range(count):
                began = time.perf_counter()
                assert await send() == 200
                latencies_ms.append((time.perf_counter() - began) * 1000)

        await asyncio.gather(*(sender(5) for _ in range(at_once)))  # connections and caches, not counted
        latencies_ms.clear()
        wall, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(sender(requests // at_once) for _ in range(at_once)))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    sent = len(latencies_ms)
    p50, p99 = (statistics.quantiles(latencies_ms, n=100)[index] for index in (49, 98))
    return {"requests_s": round(sent / wall), "cpu_us": round(cpu / sent * 1e6, 1), "p50_ms": p50, "p99_ms": p99}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    ready, ready_there = multiprocessing.Pipe()
    receiver = multiprocessing.get_context("spawn").Process(target=receive, args=(ready_there,), daemon=True)
    receiver.start()
    url = f"http://127.0.0.1:{ready.recv()}/v1/track"
    results = {name: uvloop.run(measure(name, url, options.requests, options.at_once)) for name in SENDERS}
    receiver.terminate()
    for name, result in results.items():
        print(f"{name:8}", "  ".join(f"{key} {value:,.2f}" for key, value in result.items()))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
