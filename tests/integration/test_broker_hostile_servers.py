"""The egress broker against servers that flood, stall, break off and talk nonsense."""

import asyncio
import gzip
import socket
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from aiohttp import web

from services.executor.runtime.egress import EgressLimits, EgressRequest
from tests.integration.egress_world import Handle, World, answering, refused, scope

pytestmark = pytest.mark.integration
PREMATURE = "ERR_STREAM_PREMATURE_CLOSE"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield World(stack)


# -- F11, F12, sizes


async def test_gzip_of_many_empty_members_ends_quickly(world: World) -> None:
    """F11"""
    member = gzip.compress(b"")
    data = member * (5_000_000 // len(member))
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(data)
    port = await world.raw(answering(head + data))
    async with asyncio.timeout(5):
        error = await refused(await world.broker(), f"http://127.0.0.1:{port}/")
    assert error.code == "Z_DATA_ERROR"


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_decompression_bomb_stops_at_the_limit(world: World, coding: str) -> None:
    """F12"""
    zeros = b"\0" * (64 << 20)
    data = gzip.compress(zeros) if coding == "gzip" else zlib.compress(zeros)
    del zeros
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (coding.encode(), len(data))
    port = await world.raw(answering(head + data))
    broker = await world.broker()
    tracemalloc.start()
    try:
        error = await refused(broker, f"http://127.0.0.1:{port}/")
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (error.code, error.type, error.network) == ("TOO_LARGE", "max-size", False)
    assert peak_bytes < 32 << 20


def flooding(head: bytes, chunk: bytes) -> tuple[Handle, list[int]]:
    """Sends without end; the list counts the bytes that were taken."""
    sent: list[int] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        while not writer.is_closing():
            writer.write(chunk)
            await writer.drain()
            sent.append(len(chunk))

    return handle, sent


FLOODS = {
    "an endless chunked body": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n", "TOO_LARGE"),
    "an endless body": (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536, "TOO_LARGE"),
    "an announced huge body": (b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n", b"x" * 65536, "TOO_LARGE"),
    "endless headers": (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 1000, "HPE_HEADER_OVERFLOW"),
    "one endless header": (b"HTTP/1.1 200 OK\r\nX-A: ", b"x" * 65536, "HPE_HEADER_OVERFLOW"),
    "an endless reason": (b"HTTP/1.1 200 ", b"x" * 65536, "HPE_HEADER_OVERFLOW"),
    "endless trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: b\r\n" * 1000, None),
    "endless chunk extensions": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=", b"x" * 65536, None),
    "informational answers without end": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10, "HPE_INVALID_CONSTANT"),
}  # fmt: skip


@pytest.mark.parametrize("name", FLOODS)
async def test_no_flood_is_read_to_its_end(world: World, name: str) -> None:
    """F12"""
    head, chunk, code = FLOODS[name]
    handle, sent = flooding(head, chunk)
    port = await world.raw(handle)
    broker = await world.broker(limits=EgressLimits(total_ms=3_000))
    error = await refused(broker, f"http://127.0.0.1:{port}/")
    assert sum(sent) < 64 << 20
    if code is not None:
        assert error.code == code


@pytest.mark.parametrize("together", [True, False])
async def test_a_head_past_its_limit_is_refused_however_it_arrives(world: World, together: bool) -> None:
    """F12"""
    headers = [b"X-%d: " % number + b"x" * 1000 + b"\r\n" for number in range(100)]
    data = b"HTTP/1.1 200 OK\r\n" + b"".join(headers) + b"Content-Length: 0\r\n\r\n"

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in [data] if together else [data[:50_000], data[50_000:]]:
            writer.write(part)
            await writer.drain()
        await reader.read(-1)

    port = await world.raw(handle)
    error = await refused(await world.broker(), f"http://127.0.0.1:{port}/")
    assert error.code == "HPE_HEADER_OVERFLOW"


async def test_own_limits_and_the_size_option_bound_bodies(world: World) -> None:
    async def big(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 2000)

    port = await world.app(big=big)
    broker = await world.broker(limits=EgressLimits(request_body_bytes_max=1000, response_body_bytes_max=3000))
    url = f"http://127.0.0.1:{port}/big"
    assert len((await broker.fetch(EgressRequest("GET", url), scope())).body) == 2000
    error = await refused(broker, url, size=1999)
    assert (error.code, error.type) == (None, "max-size")
    assert error.message == f"content size at {url} over limit: 1999"
    error = await refused(broker, url, body=b"x" * 1001)
    assert (error.code, error.type) == ("TOO_LARGE", "max-size")
    error = await refused(broker, url, headers=[("X-A", "x" * 70_000)])
    assert error.code == "TOO_LARGE"


# -- errors, in Node's words


async def test_refused_unknown_and_hanging_hosts_are_worded_as_node_words_them(world: World) -> None:
    broker = await world.broker()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    error = await refused(broker, f"http://127.0.0.1:{port}/")
    assert (error.code, error.message) == ("ECONNREFUSED", f"connect ECONNREFUSED 127.0.0.1:{port}")
    assert error.network
    for host in ("unknown.test", "none.test"):
        error = await refused(broker, f"http://{host}/")
        assert (error.code, error.message) == ("ENOTFOUND", f"getaddrinfo ENOTFOUND {host}")
        assert error.network


async def test_a_slow_host_times_out_at_the_timeout_option_or_the_brokers_own(world: World) -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    port = await world.raw(stall)
    url = f"http://127.0.0.1:{port}/slow"
    broker = await world.broker(limits=EgressLimits(total_ms=100))
    for timeout_ms in (50, 0, 10_000):
        error = await refused(broker, url, timeout_ms=timeout_ms)
        assert (error.type, error.message, error.network) == ("request-timeout", f"network timeout at: {url}", True)


async def test_a_body_that_drips_ends_at_the_deadline(world: World) -> None:
    """F12"""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1\r\nx\r\n")
            await writer.drain()
            await asyncio.sleep(0.002)

    port = await world.raw(drip)
    broker = await world.broker(limits=EgressLimits(total_ms=150))
    for timeout_ms in (0, 60_000, 100):
        error = await refused(broker, f"http://127.0.0.1:{port}/", timeout_ms=timeout_ms)
        assert (error.type, error.phase, error.network) == ("body-timeout", "body", True)
        assert error.response is not None
        assert error.response.status == 200


async def test_a_timeout_is_that_of_the_head_and_again_that_of_the_body(world: World) -> None:
    # Together they take longer than it; either has 0.8 s to spare on a machine that stalls.
    async def halves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(1.0)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        await asyncio.sleep(1.0)
        writer.write(b"ok")

    port = await world.raw(halves)
    request = EgressRequest("GET", f"http://127.0.0.1:{port}/", timeout_ms=1_800)
    assert (await (await world.broker()).fetch(request, scope())).body == b"ok"


async def test_a_body_that_stalls_is_a_body_timeout(world: World) -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await reader.read(-1)

    port = await world.raw(stall)
    url = f"http://127.0.0.1:{port}/"
    error = await refused(await world.broker(), url, timeout_ms=100)
    assert (error.type, error.phase) == ("body-timeout", "body")
    assert error.message == f"Response timeout while trying to fetch {url} (over 100ms)"


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    writer.transport.abort()


@pytest.mark.parametrize(
    ("data", "reset", "code", "message"),
    [
        (b"", False, "ECONNRESET", "socket hang up"),
        (b"", True, "ECONNRESET", "read ECONNRESET"),
        (b"HTTP/1.1 200 OK\r\nX-A", False, "ECONNRESET", "socket hang up"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", False, "ECONNRESET", "aborted"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", True, "ECONNRESET", "aborted"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf", False, PREMATURE, "Premature close"),
    ],
)  # fmt: skip
async def test_connections_that_break_are_network_errors(
    world: World, data: bytes, reset: bool, code: str, message: str
) -> None:
    """F14: reset, early close, truncated Content-Length."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await writer.drain()
        if reset:
            _reset(writer)
        else:
            writer.close()
            await writer.wait_closed()

    port = await world.raw(handle)
    url = f"http://127.0.0.1:{port}/"
    error = await refused(await world.broker(), url)
    assert (error.code, error.network) == (code, True)
    if message in ("aborted", "Premature close"):
        message = f"Invalid response body while trying to fetch {url}: {message}"
        assert error.phase == "body"
        assert error.response is not None
        assert error.response.status == 200
    assert error.message == message


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 101 Switch\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    ],
)  # fmt: skip
async def test_what_is_no_http_answer_is_a_parse_error(world: World, data: bytes) -> None:
    """F14"""
    port = await world.raw(answering(data))
    error = await refused(await world.broker(), f"http://127.0.0.1:{port}/")
    assert error.code is not None
    assert error.code.startswith("HPE_")
    assert "\n" not in error.message
