"""The egress broker against real servers on loopback: where it goes, what it sends and follows."""

import asyncio
import gzip
import ipaddress
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web

from kit.testing.eventually import eventually
from services.executor.runtime.egress import EgressError, EgressLimits, EgressRequest, EgressResponse
from tests.integration.egress_world import World, answering, redirecting, refused, resolve, scope

pytestmark = pytest.mark.integration


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield World(stack)


# -- what is sent and what comes back


async def test_a_post_arrives_as_sent_and_its_answer_comes_back(world: World) -> None:
    port = await world.app()
    broker = await world.broker()
    request = EgressRequest("post", f"http://127.0.0.1:{port}/echo?a=%20b&c=d#part", [("X-Mine", "Grüße")], b'{"a":1}')
    response = await broker.fetch(request, scope())
    assert (response.status, response.reason, response.redirected) == (200, "OK", False)
    assert response.url == request.url
    assert ("Content-Type", "application/json; charset=utf-8") in response.headers
    assert json.loads(response.body)["bytes"] == 7
    method, path, headers, body = world.seen[0]
    assert (method, path, body) == ("POST", "/echo?a=%20b&c=d", b'{"a":1}')
    assert headers["Host"] == f"127.0.0.1:{port}"
    assert headers["X-Mine"].encode("utf-8", "surrogateescape") == "Grüße".encode("latin-1")
    assert headers["Content-Length"] == "7"
    assert headers["Accept"] == "*/*"
    assert headers["Accept-Encoding"] == "gzip,deflate"
    assert headers["User-Agent"].startswith("node-fetch/1.0")


async def test_credentials_in_the_url_become_basic_authorization_and_bodyless_posts_say_so(world: World) -> None:
    port = await world.app()
    broker = await world.broker()
    await broker.fetch(EgressRequest("POST", f"http://us%65r:p%40ss@127.0.0.1:{port}/echo"), scope())
    headers = world.seen[0][2]
    assert headers["Authorization"] == "Basic dXNlcjpwQHNz"
    assert headers["Content-Length"] == "0"


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "deflate", "raw deflate"])
async def test_compressed_answers_are_decompressed(world: World, coding: str) -> None:
    plain = json.dumps(list(range(20_000))).encode()
    raw = zlib.compressobj(wbits=-15)
    data = {
        "gzip": gzip.compress(plain[:100]) + gzip.compress(plain[100:]) + b"\0" * 10,
        "x-gzip": gzip.compress(plain)[:-8],  # truncated ends are forgiven, as in node-fetch
        "deflate": zlib.compress(plain),
        "raw deflate": raw.compress(plain) + raw.flush(),
    }[coding]
    name = coding.removeprefix("raw ").encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (name, len(data))
    port = await world.raw(answering(head + data))
    broker = await world.broker()
    response = await broker.fetch(EgressRequest("GET", f"http://127.0.0.1:{port}/"), scope())
    assert response.body == plain
    assert response.wire_bytes == len(data)


async def test_a_corrupt_compressed_body_is_an_error(world: World) -> None:
    port = await world.raw(answering(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"))
    error = await refused(await world.broker(), f"http://127.0.0.1:{port}/")
    assert (error.code, error.phase, error.network) == ("Z_DATA_ERROR", "body", False)


@pytest.mark.parametrize(
    ("method", "data", "body"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
        ("GET", b"HTTP/1.0 200 OK\r\n\r\nuntil the end", b"until the end"),
        ("GET", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    ],
)  # fmt: skip
async def test_every_framing_of_a_body_is_read(world: World, method: str, data: bytes, body: bytes) -> None:
    port = await world.raw(answering(data))
    broker = await world.broker()
    response = await broker.fetch(EgressRequest(method, f"http://127.0.0.1:{port}/"), scope())
    assert response.body == body


# -- F1, F4, F7: where requests may go


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0", "0.0.0.0", "0.1.2.3", "[::1]",
     "[::]", "localhost", "localhost.", "foo.localhost", "①②⑦.⓪.⓪.①", "127。0。0。1", "169.254.169.254", "10.1.2.3",
     "api.test"],
)  # fmt: skip
async def test_internal_addresses_are_denied_in_every_form_with_one_text(world: World, host: str) -> None:
    """F1"""
    port = await world.app()
    error = await refused(await world.broker(), f"http://{host}:{port}/echo", scope(allowed_ranges=()))
    assert (error.code, error.type, error.network) == ("EGRESS_DENIED", "system", False)
    assert error.message == "connections to this address are not allowed"
    assert world.seen == []


@pytest.mark.parametrize("host", ["localhost", "localhost.", "foo.localhost"])
async def test_localhost_is_denied_by_the_systems_own_resolver_too(world: World, host: str) -> None:
    """F1"""
    error = await refused(await world.broker(resolve=None), f"http://{host}:1/", scope(allowed_ranges=()))
    assert error.code == "EGRESS_DENIED"


@pytest.mark.parametrize("host", ["both.test", "public-and-private.test"])
async def test_one_denied_answer_denies_the_name(world: World, host: str) -> None:
    """F4"""
    port = await world.app()
    error = await refused(await world.broker(), f"http://{host}:{port}/echo")
    assert error.code == "EGRESS_DENIED"
    assert world.seen == []


async def test_a_name_that_turns_to_an_internal_address_later_is_judged_again(world: World) -> None:
    """F4: DNS rebinding between two requests."""
    port = await world.app()
    answers = iter([["127.0.0.1"], ["127.0.0.1", "10.0.0.1"]])

    async def rebinding(host: str) -> list[str]:
        return next(answers)

    broker = await world.broker(resolve=rebinding)
    await broker.fetch(EgressRequest("GET", f"http://rebind.test:{port}/echo"), scope())
    error = await refused(broker, f"http://rebind.test:{port}/echo", scope(allowed_ranges=()))
    assert error.code == "EGRESS_DENIED"


async def test_the_ranges_of_one_workspace_open_nothing_for_another(world: World) -> None:
    """F16: not even over a connection that is already open."""
    port = await world.app()
    broker = await world.broker()
    await broker.fetch(EgressRequest("GET", f"http://127.0.0.1:{port}/echo"), scope())
    for stranger in (scope(workspace="other", allowed_ranges=()), scope(allowed_ranges=())):
        error = await refused(broker, f"http://127.0.0.1:{port}/echo", stranger)
        assert error.code == "EGRESS_DENIED"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "[::ffff:127.0.0.1]", "api.test"])
async def test_onwards_own_endpoints_are_denied_even_inside_allowed_ranges(world: World, host: str) -> None:
    """F7"""
    port = await world.app()
    broker = await world.broker(own_endpoints=[("localhost", port)])
    error = await refused(broker, f"http://{host}:{port}/echo")
    assert error.code == "EGRESS_DENIED"
    assert world.seen == []


async def test_an_own_endpoint_that_is_down_at_the_start_stays_closed_by_its_name(world: World) -> None:
    """F7"""
    names: dict[str, list[str]] = {}

    async def late(host: str) -> list[str]:
        return names[host] if host in names else await resolve(host)

    port = await world.app()
    broker = await world.broker(own_endpoints=[("postgres.test", port)], resolve=late)
    names["postgres.test"] = ["127.0.0.1"]
    for name in ("postgres.test", "Postgres.test", "postgres.test."):
        assert (await refused(broker, f"http://{name}:{port}/echo")).code == "EGRESS_DENIED"


async def test_the_next_address_is_tried_when_the_first_refuses(world: World) -> None:
    port = await world.app()
    broker = await world.broker()
    response = await broker.fetch(EgressRequest("GET", f"http://dead-first.test:{port}/echo"), scope())
    assert json.loads(response.body)["headers"]["Host"] == f"dead-first.test:{port}"


# -- F6: redirects


@pytest.mark.parametrize(
    "location",
    ["http://10.0.0.1/", "http://169.254.169.254/latest", "http://127.1:1/", "//both.test/", "file:///etc/passwd",
     "gopher://127.0.0.1/", "ftp://api.test/", "javascript:alert(1)", "http:\\\\10.0.0.1\\"],
)  # fmt: skip
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirects_to_denied_places_are_denied(world: World, status: int, location: str) -> None:
    """F6"""
    port = await world.app(away=redirecting(status, lambda _: location))
    narrow = (ipaddress.ip_network("127.0.0.1/32"),)
    own = [("127.0.0.1", 1)]
    broker = await world.broker(own_endpoints=own)
    error = await refused(broker, f"http://127.0.0.1:{port}/away", scope(allowed_ranges=narrow))
    assert error.code == "EGRESS_DENIED"


async def test_a_chain_of_thirty_redirects_ends_after_five(world: World) -> None:
    """F6"""
    hops: list[str] = []

    async def chain(request: web.Request) -> web.Response:
        hops.append(request.path_qs)
        return web.Response(status=302, headers={"Location": f"/chain?{len(hops)}"})

    port = await world.app(chain=chain)
    error = await refused(await world.broker(), f"http://127.0.0.1:{port}/chain", follow=30)
    assert (error.type, error.network) == ("max-redirect", False)
    assert error.message == f"maximum redirect reached at: http://127.0.0.1:{port}/chain?5"
    assert len(hops) == 6


@pytest.mark.parametrize(
    ("status", "method", "becomes"),
    [(301, "POST", "GET"), (302, "POST", "GET"), (303, "POST", "GET"), (303, "PUT", "GET"), (301, "PUT", "PUT"),
     (302, "DELETE", "DELETE"), (307, "POST", "POST"), (308, "PATCH", "PATCH")],
)  # fmt: skip
async def test_redirects_rewrite_methods_as_node_fetch_does(
    world: World, status: int, method: str, becomes: str
) -> None:
    port = await world.app(away=redirecting(status, lambda _: "echo"))
    broker = await world.broker()
    request = EgressRequest(method, f"http://127.0.0.1:{port}/away", [("Authorization", "Bearer t")], b"body")
    response = await broker.fetch(request, scope())
    assert response.redirected
    assert response.url == f"http://127.0.0.1:{port}/echo"
    seen_method, _, headers, body = world.seen[0]
    assert seen_method == becomes
    assert body == (b"body" if becomes == method else b"")
    assert headers["Authorization"] == "Bearer t"  # same origin


async def test_credentials_stay_behind_when_a_redirect_leaves_the_origin(world: World) -> None:
    """F6"""
    port = await world.app(away=redirecting(307, lambda request: f"http://other.test:{request.url.port}/echo"))
    broker = await world.broker()
    headers = [("authorization", "Bearer t"), ("COOKIE", "a=b"), ("X-Other", "kept")]
    await broker.fetch(EgressRequest("POST", f"http://api.test:{port}/away", headers, b"x"), scope())
    seen = {name.lower(): value for name, value in world.seen[0][2].items()}
    assert "authorization" not in seen
    assert "cookie" not in seen
    assert seen["x-other"] == "kept"
    assert seen["host"] == f"other.test:{port}"


async def test_redirect_modes_manual_and_error(world: World) -> None:
    port = await world.app(away=redirecting(302, lambda _: "echo?x=1"))
    broker = await world.broker()
    url = f"http://127.0.0.1:{port}/away"
    response = await broker.fetch(EgressRequest("GET", url, redirect="manual"), scope())
    assert response.status == 302
    assert ("Location", f"http://127.0.0.1:{port}/echo?x=1") in response.headers
    error = await refused(broker, url, redirect="error")
    assert error.type == "no-redirect"
    assert error.message == f"uri requested responds with a redirect, redirect mode is set to error: {url}"
    error = await refused(broker, url, follow=0)
    assert error.type == "max-redirect"


# -- F9: header injection


@pytest.mark.parametrize(
    "request_",
    [
        EgressRequest("GET", "http://api.test/", [("X-A\r\nX-B", "1")]),
        EgressRequest("GET", "http://api.test/", [("X-A", "1\r\nX-B: 2")]),
        EgressRequest("GET", "http://api.test/", [("X-A", "1\nX-B: 2")]),
        EgressRequest("GET", "http://api.test/", [("X-A", "1\0")]),
        EgressRequest("GET", "http://api.test/", [("X A", "1")]),
        EgressRequest("GET", "http://api.test/", [("", "1")]),
        EgressRequest("GET", "http://api.test/", [("X-A", "\u4e2d")]),
        EgressRequest("GET / HTTP/1.1\r\nX: y", "http://api.test/"),
        EgressRequest("CONNECT", "http://api.test/"),
        EgressRequest("GET", "http://api.test/\r\nX-B: 2"),
        EgressRequest("GET", "http://api.test/\0"),
        EgressRequest("GET", "http://api.test/a b"),
        EgressRequest("GET", "http://api.test\r\nX-B: 2/"),
        EgressRequest("GET", "http://api%0d%0a.test/"),
        EgressRequest("GET", "http://api.test:99999/"),
        EgressRequest("GET", "/relative"),
        EgressRequest("GET", "file:///etc/passwd"),
    ],
    ids=repr,
)
async def test_what_would_break_out_of_its_line_is_refused_as_a_type_error(
    world: World, request_: EgressRequest
) -> None:
    """F9"""
    broker = await world.broker()
    with pytest.raises(EgressError) as caught:
        await broker.fetch(request_, scope())
    assert caught.value.type == "type-error"
    assert not caught.value.network


async def test_headers_that_frame_or_route_the_request_are_ours(world: World) -> None:
    """F9"""
    port = await world.app()
    broker = await world.broker()
    forged = [("Host", "evil.test"), ("content-length", "1"), ("Transfer-Encoding", "chunked"),
              ("Connection", "X-Kept"), ("Upgrade", "h2c"), ("TE", "trailers"), ("Expect", "100-continue"),
              ("X-Onward-Function-Id", "forged"), ("X-Kept", "yes")]  # fmt: skip
    await broker.fetch(EgressRequest("POST", f"http://127.0.0.1:{port}/echo", forged, b"12345"), scope())
    _, _, headers, body = world.seen[0]
    assert body == b"12345"
    assert headers["Host"] == f"127.0.0.1:{port}"
    assert headers["Content-Length"] == "5"
    assert headers["X-Kept"] == "yes"
    assert not {"Transfer-Encoding", "Connection", "Upgrade", "TE", "Expect", "X-Onward-Function-Id"} & headers.keys()


# -- F16: keep-alive


async def test_connections_are_reused_within_a_workspace_and_never_across(world: World) -> None:
    """F16"""
    peers: list[Any] = []

    async def who(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.append(request.transport.get_extra_info("peername"))
        return web.Response(headers={"Set-Cookie": "session=1"}, text=request.headers.get("Cookie", "none"))

    port = await world.app(who=who)
    broker = await world.broker()
    request = EgressRequest("GET", f"http://127.0.0.1:{port}/who")
    for workspace in ("acme", "acme", "other", "acme", "other"):
        response = await broker.fetch(request, scope(workspace=workspace))
        assert response.body == b"none"
    acme, other = {peers[0], peers[1], peers[3]}, {peers[2], peers[4]}
    assert len(acme) == 1
    assert len(other) == 1
    assert acme != other


async def test_idle_connections_are_closed(world: World) -> None:
    port = await world.app()
    broker = await world.broker(limits=EgressLimits(idle_ms=0))
    await broker.fetch(EgressRequest("GET", f"http://127.0.0.1:{port}/echo"), scope())
    assert broker.idle_connections == 1
    await eventually(lambda: broker.idle_connections == 0)


@pytest.mark.parametrize(("method", "seed", "again"), [("GET", None, True), ("POST", "s", True), ("POST", None, False)])
async def test_a_kept_connection_that_died_is_replaced_only_for_what_may_be_repeated(
    world: World, method: str, seed: str | None, again: bool
) -> None:
    requests: list[bytes] = []

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        # The second request on this connection is read, then dropped: the server's idle timeout fired.
        await reader.readuntil(b"\r\n\r\n")

    port = await world.raw(once)
    broker = await world.broker()
    request = EgressRequest(method, f"http://127.0.0.1:{port}/")
    await broker.fetch(request, scope(idempotency_seed=seed))
    if again:
        assert (await broker.fetch(request, scope(idempotency_seed=seed))).status == 200
        assert len(requests) == 2
    else:
        with pytest.raises(EgressError, match="socket hang up"):
            await broker.fetch(request, scope(idempotency_seed=seed))


async def test_bytes_that_nobody_asked_for_end_a_connection(world: World) -> None:
    """F16: a second answer must not be taken for the next request's."""
    one = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"
    connections: list[Any] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer.get_extra_info("peername"))
        await answering(one + b"mine" + one + b"evil", keep=True)(reader, writer)

    port = await world.raw(handle)
    broker = await world.broker()
    for number in range(1, 4):
        response = await broker.fetch(EgressRequest("GET", f"http://127.0.0.1:{port}/"), scope())
        assert response.body == b"mine"
        assert len(connections) == number


# -- F17: concurrency


async def test_a_slow_host_holds_only_its_own_slots(world: World) -> None:
    """F17"""
    running: list[int] = []
    release = asyncio.Event()
    at_once = 0

    async def slow(request: web.Request) -> web.Response:
        nonlocal at_once
        at_once += 1
        running.append(at_once)
        await release.wait()
        at_once -= 1
        return web.Response()

    slow_port, fast_port = await world.app(slow=slow), await world.app()
    broker = await world.broker(limits=EgressLimits(per_host=5))
    async with asyncio.TaskGroup() as group:
        waiting = [
            group.create_task(
                broker.fetch(
                    EgressRequest("GET", f"http://127.0.0.1:{slow_port}/slow"), scope(destination=f"d{number}")
                )
            )
            for number in range(100)
        ]
        await eventually(lambda: at_once == 5)
        fast = await broker.fetch(EgressRequest("GET", f"http://127.0.0.1:{fast_port}/echo"), scope(destination="d0"))
        assert fast.status == 200
        release.set()
    assert max(running) == 5
    assert all(task.result().status == 200 for task in waiting)


async def test_a_thousand_destinations_on_one_slow_host_leave_others_their_connections(world: World) -> None:
    """F17: of one workspace and of a thousand; the rest of all connections stays free."""
    at_once, most = 0, 0
    release = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal at_once, most
        while await reader.readuntil(b"\r\n\r\n"):
            at_once += 1
            most = max(most, at_once)
            await release.wait()
            at_once -= 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    slow_port, fast_port = await world.raw(slow), await world.app()
    broker = await world.broker(limits=EgressLimits(per_host=20, per_host_of_all=60, requests_max=70))
    request = EgressRequest("GET", f"http://127.0.0.1:{slow_port}/")
    scopes = [scope(destination=f"d{number}") for number in range(1000)]
    scopes += [scope(workspace=f"w{number}") for number in range(1000)]
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(broker.fetch(request, one)) for one in scopes]
        await eventually(lambda: at_once == 60)
        for one in (scopes[0], scopes[-1], scope(workspace="another")):
            fast = await broker.fetch(EgressRequest("GET", f"http://127.0.0.1:{fast_port}/echo"), one)
            assert fast.status == 200
        release.set()
    assert most == 60
    assert all(task.result().status == 200 for task in waiting)


async def test_a_destination_has_its_own_cap_and_cancelled_waiters_give_theirs_up(world: World) -> None:
    """F17"""
    release = asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    port = await world.app(slow=slow)
    broker = await world.broker(limits=EgressLimits(per_destination=2))
    request = EgressRequest("GET", f"http://127.0.0.1:{port}/slow")
    tasks = [asyncio.ensure_future(broker.fetch(request, scope())) for _ in range(6)]
    await asyncio.sleep(0)
    for task in tasks[:4]:
        task.cancel()
    release.set()
    results: list[EgressResponse | BaseException] = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) for result in results] == [True] * 4 + [False] * 2
    assert (await broker.fetch(request, scope())).status == 200


# -- idempotency keys


async def test_each_attempt_of_a_delivery_sends_the_same_idempotency_keys(world: World) -> None:
    """A7"""
    port = await world.app()
    broker = await world.broker()

    async def attempt(seed: str | None) -> list[str | None]:
        world.seen.clear()
        of_attempt = scope(idempotency_seed=seed)
        for method in ("POST", "POST", "PATCH", "GET"):
            await broker.fetch(EgressRequest(method, f"http://127.0.0.1:{port}/echo"), of_attempt)
        return [headers.get("Idempotency-Key") for _, _, headers, _ in world.seen]

    first = await attempt("delivery-1")
    assert first == await attempt("delivery-1")
    assert first[3] is None
    assert len(set(first)) == 4
    assert not set(await attempt("delivery-2")) & set(first[:3])
    assert await attempt(None) == [None] * 4


async def test_the_functions_own_idempotency_key_is_kept(world: World) -> None:
    port = await world.app()
    broker = await world.broker()
    request = EgressRequest("POST", f"http://127.0.0.1:{port}/echo", [("idempotency-key", "mine")])
    response = await broker.fetch(request, scope(idempotency_seed="seed"))
    assert json.loads(response.body)["headers"]["idempotency-key"] == "mine"
    assert ("idempotency-key", "mine") in response.request_headers


async def test_one_workspace_with_many_hosts_leaves_others_their_connections(world: World) -> None:
    """F17: of hosts of its own, each below its cap."""
    at_once = 0
    release = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal at_once
        while await reader.readuntil(b"\r\n\r\n"):
            at_once += 1
            await release.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    ports = [await world.raw(slow) for _ in range(10)]
    fast_port = await world.app()
    broker = await world.broker(limits=EgressLimits(per_host=10, per_workspace=30, requests_max=50))
    async with asyncio.TaskGroup() as group:
        for number in range(100):
            request = EgressRequest("GET", f"http://127.0.0.1:{ports[number % 10]}/")
            group.create_task(broker.fetch(request, scope(destination=f"d{number}")))
        await eventually(lambda: at_once == 30)
        request = EgressRequest("GET", f"http://127.0.0.1:{fast_port}/echo", timeout_ms=10_000)
        assert (await broker.fetch(request, scope(workspace="another"))).status == 200
        release.set()
