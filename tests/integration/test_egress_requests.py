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
from services.executor.handlers import egress as requests
from services.executor.handlers.egress import FETCHES_MAX, Egress, Exchange, forsake
from services.executor.runtime.egress import EgressLimits
from services.executor.runtime.jobs import HostRequest, Outcome, UserError
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


def ended(kind: str = "") -> Outcome:
    """How a handler ended: it returned, or this was thrown for it."""
    error = UserError(kind, kind, "", "") if kind else None
    return Outcome(1, ok=error is None, wall_us=0, cpu_us=0, logs=[], value=None, error=error)


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
    forsake(cast("Any", desk.attempt), ended())
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


@pytest.mark.parametrize("kind", ["Timeout", "OutOfMemory", "Internal"])
async def test_requests_of_an_attempt_that_was_cut_end_and_those_that_wait_are_never_sent(
    world: World, kind: str
) -> None:
    seen: list[bytes] = []

    async def hanging(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        await reader.read()

    port = await world.raw(hanging)
    egress = Egress(await world.broker(limits=EgressLimits(per_host=1)), SystemClock())
    running = asyncio.ensure_future(egress.run())
    await asyncio.sleep(0)
    desk = Desk(egress)
    for number in (1, 2, 3):
        desk.fetch(number, f"http://127.0.0.1:{port}/{number}")
    await eventually(lambda: len(seen) == 1)
    forsake(cast("Any", desk.attempt), ended(kind))
    await eventually(lambda: set(desk.worker.errors) == {1, 2, 3})
    assert [one.awaited for one in desk.attempt.exchanges] == [True] * 3
    assert {one.error.message for one in desk.attempt.exchanges if one.error} == {
        "the attempt ended before an answer came"
    }
    # The slot is free, and what waited for it does not come.
    desk.fetch(4, f"http://127.0.0.1:{port}/4")
    await eventually(lambda: len(seen) == 2)
    assert seen[1].startswith(b"GET /4 ")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_what_nobody_awaits_does_not_hang_for_long(
    world: World, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "FORSAKEN_S", 0.05)
    gone = asyncio.Event()

    async def hanging(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        gone.set()

    desk.fetch(1, f"http://127.0.0.1:{await world.raw(hanging)}/")
    forsake(cast("Any", desk.attempt), ended("Error"))
    async with asyncio.timeout(10):
        await gone.wait()
    assert not desk.attempt.exchanges[0].awaited


async def test_a_head_that_no_server_takes_is_refused_before_it_is_kept(desk: Desk) -> None:
    desk.ask(1, "fetch", {"id": 1, "method": "GET", "url": "http://127.0.0.1/" + "u" * 200_000, "headers": []})
    headers = [[f"x-{number}", "v" * 1000] for number in range(200)]
    desk.ask(2, "fetch", {"id": 2, "method": "GET", "url": "http://127.0.0.1/", "headers": headers})
    assert [desk.worker.errors[number]["code"] for number in (1, 2)] == ["TOO_LARGE", "TOO_LARGE"]
    assert desk.attempt.exchanges == []


async def test_what_is_kept_of_a_request_is_what_a_trace_shows_of_it(world: World, desk: Desk) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + b"".join(b"x-%d: %b\r\n" % (n, b"v" * 100) for n in range(150))
    port = await world.raw(answering(head + b"Retry-After: 7\r\n\r\n"))
    url = f"http://127.0.0.1:{port}/" + "u" * 30_000
    desk.ask(1, "fetch", {"id": 1, "method": "GET", "url": url, "headers": [["x-long", "v" * 20_000]]})
    await eventually(lambda: 1 in desk.worker.results)
    (exchange,) = desk.attempt.exchanges
    assert exchange.response is not None
    assert len(exchange.request.url) < 5_000
    assert len(exchange.request.headers[0][1]) < 5_000
    assert len(exchange.response.headers) < 105
    assert ("Retry-After", "7") in exchange.response.headers
