"""Requests of workers between their link and the broker: counted, aborted, kept for the trace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from kit.clock import SystemClock
from kit.testing.eventually import eventually
from services.executor.handlers.egress import FETCHES_MAX, Egress, Exchange, forsake
from services.executor.runtime.jobs import HostRequest
from services.executor.runtime.worker_link import Worker
from tests.integration.egress_world import World, answering, scope

pytestmark = pytest.mark.integration

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Answers:
    """What a worker would have been told, by the number of the request."""

    results: dict[int, Any] = field(default_factory=dict)
    errors: dict[int, Any] = field(default_factory=dict)

    def answer(self, request_id: int, *, result: Any = None, error: Any = None) -> None:
        (self.results if error is None else self.errors)[request_id] = result if error is None else error


@dataclass
class Attempt:
    exchanges: list[Exchange] = field(default_factory=list)


@dataclass
class Desk:
    """One running Egress, a worker and an attempt."""

    egress: Egress
    worker: Answers = field(default_factory=Answers)
    attempt: Attempt = field(default_factory=Attempt)

    def ask(self, request_id: int, kind: str, payload: Any) -> None:
        request = HostRequest(1, request_id, kind, payload)
        self.egress.begin(cast("Worker", self.worker), request, self.attempt, scope())

    def fetch(self, number: int, url: str) -> None:
        self.ask(number, "fetch", {"id": number, "method": "GET", "url": url, "headers": []})


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield World(stack)


@pytest.fixture
async def desk(world: World) -> AsyncIterator[Desk]:
    egress = Egress(await world.broker(), SystemClock())
    running = asyncio.ensure_future(egress.run())
    await asyncio.sleep(0)
    yield Desk(egress)
    assert not running.done(), "one request must not end the others"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_an_aborted_request_ends_at_the_server_too(world: World, desk: Desk) -> None:
    ended: list[bool] = []

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        ended.append(False)
        await reader.read(-1)
        ended.append(True)

    port = await world.raw(hang)
    desk.fetch(1, f"http://127.0.0.1:{port}/")
    await eventually(lambda: ended == [False])
    desk.ask(2, "abort", {"id": 1})
    await eventually(lambda: ended == [False, True])
    await eventually(lambda: 1 in desk.worker.errors)
    assert desk.worker.errors[1]["type"] == "aborted"
    assert 2 in desk.worker.results
    (exchange,) = desk.attempt.exchanges
    assert exchange.error is not None
    assert exchange.task is None


@pytest.mark.parametrize("payload", [None, [], "1", {}, {"id": 7}, {"id": None}, {"id": [1]}])
async def test_an_abort_of_nothing_does_nothing(desk: Desk, payload: Any) -> None:
    desk.fetch(1, "http://127.0.0.1:1/")
    desk.ask(2, "abort", payload)
    await eventually(lambda: 1 in desk.worker.errors)
    assert desk.worker.errors[1]["code"] == "ECONNREFUSED"


async def test_a_worker_that_asks_for_too_many_requests_is_refused_here_too(world: World, desk: Desk) -> None:
    port = await world.raw(answering(OK, keep=True))
    for number in range(FETCHES_MAX + 5):
        desk.fetch(number, f"http://127.0.0.1:{port}/")
    await eventually(lambda: len(desk.worker.results) == FETCHES_MAX)
    assert len(desk.attempt.exchanges) == FETCHES_MAX
    assert {error["code"] for error in desk.worker.errors.values()} == {"LIMIT"}
    assert len(desk.worker.errors) == 5


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 Gr\xfc\xdfe \xff\r\nX-A: \xff\xfe\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 302 Found\r\nLocation: http://[bad\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 302 Found\r\nLocation: \xff\xfe://\xf0\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 302 Found\r\nLocation: http://\xff\xfe..\xf0/\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 302 Found\r\nLocation: http://a:b@c:d:e/\r\nContent-Length: 2\r\n\r\nok",
    ],
)
async def test_no_bytes_of_a_server_end_the_requests_of_others(world: World, desk: Desk, head: bytes) -> None:
    """F14"""
    port = await world.raw(answering(head, keep=True))
    desk.fetch(1, f"http://127.0.0.1:{port}/")
    await eventually(lambda: bool(desk.worker.results or desk.worker.errors))
    error = desk.worker.errors.get(1, {})
    assert error.get("code") != "ECONNABORTED", "it failed inside"


async def test_a_request_that_nobody_awaits_is_sent_and_marked(world: World, desk: Desk) -> None:
    seen: list[bytes] = []
    release = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        await release.wait()
        writer.write(OK)

    port = await world.raw(slow)
    desk.fetch(1, f"http://127.0.0.1:{port}/first")
    forsake(cast("Any", desk.attempt))  # its handler has ended
    await eventually(lambda: len(seen) == 1)
    release.set()
    await eventually(lambda: 1 in desk.worker.results)
    (exchange,) = desk.attempt.exchanges
    assert not exchange.awaited
    assert exchange.response is not None
    assert exchange.response.body == b"ok"


async def test_the_head_of_an_answer_whose_body_fails_is_kept(world: World, desk: Desk) -> None:
    port = await world.raw(answering(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 9\r\n\r\nhalf"))
    desk.fetch(1, f"http://127.0.0.1:{port}/")
    await eventually(lambda: 1 in desk.worker.errors)
    (exchange,) = desk.attempt.exchanges
    assert exchange.response is not None
    assert exchange.response.status == 503
    assert desk.worker.errors[1]["response"]["status"] == 503
