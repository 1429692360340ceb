"""fetch of user code: what it asks of the host, and what it makes of the answer, as node-fetch 2 does."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.executor.runtime.pool import Zygote
from tests.integration import runtime_world
from tests.integration.runtime_world import RejectionError, returned, script

pytestmark = pytest.mark.integration


@pytest.fixture
async def zygote() -> AsyncIterator[Zygote]:
    async with runtime_world.zygote() as started:
        yield started


def respond(body: bytes = b"", **fields: Any) -> dict[str, Any]:
    answer = {"status": 200, "statusText": "OK", "url": "http://h/", "redirected": False, "headers": []}
    return answer | {"body": base64.b64encode(body).decode()} | fields


def reject(**fields: Any) -> runtime_world.Answer:
    def answer(_: dict[str, Any]) -> Any:
        raise RejectionError(**fields)

    return answer


async def sent(zygote: Zygote, call: str) -> dict[str, Any]:
    """The one request that a fetch sends."""
    async with script(zygote, f"async function onTrack() {{ await {call} }}", lambda _: respond()) as running:
        (outcome,) = await running.track({})
    assert outcome.ok, outcome.error
    (payload,) = running.requests
    return payload


async def test_a_plain_fetch_sends_what_node_fetch_sends(zygote: Zygote) -> None:
    payload = await sent(zygote, "fetch('HTTP://Example.com/a b?q=1#f')")
    assert payload == {
        "id": 1,
        "method": "GET",
        "url": "http://example.com/a%20b?q=1#f",
        "headers": [
            ["Accept", "*/*"],
            ["User-Agent", "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)"],
            ["Accept-Encoding", "gzip,deflate"],
        ],
        "body": None,
        "redirect": "follow",
        "follow": 20,
        "timeout_ms": None,
        "size": 0,
        "compress": True,
        "plain": False,
    }


async def test_options_of_a_request_reach_the_host(zygote: Zygote) -> None:
    options = "{method:'delete', redirect:'manual', follow:2, timeout:70, compress:false, headers:{'X-A':['1','2']}}"
    payload = await sent(zygote, f"fetch(new Request('http://h/', {options}))")
    assert (payload["method"], payload["redirect"], payload["follow"]) == ("DELETE", "manual", 2)
    assert (payload["timeout_ms"], payload["compress"]) == (70, False)
    assert ["X-A", "1,2"] in payload["headers"]


@pytest.mark.parametrize(
    ("body", "expected", "content_type"),
    [
        ("'héllo'", "héllo".encode(), "text/plain;charset=UTF-8"),
        ("Buffer.from([0, 255])", b"\x00\xff", None),
        ("new Uint8Array([7, 8, 9]).subarray(1)", b"\x08\x09", None),
        ("new Uint8Array([5]).buffer", b"\x05", None),
        ("new URLSearchParams({a: 'b c'})", b"a=b+c", "application/x-www-form-urlencoded;charset=UTF-8"),
        ("new Blob(['x', 'y'], {type: 'a/b'})", b"xy", "a/b"),
        ("''", b"", "text/plain;charset=UTF-8"),
    ],
)
async def test_a_body_arrives_as_its_bytes(
    zygote: Zygote, body: str, expected: bytes, content_type: str | None
) -> None:
    payload = await sent(zygote, f"fetch('http://h/', {{method: 'POST', body: {body}}})")
    headers = dict(payload["headers"])
    assert base64.b64decode(payload["body"]) == expected
    assert headers.get("Content-Type") == content_type


async def test_a_form_is_sent_with_its_boundary_and_length(zygote: Zygote) -> None:
    parts = "f.append('a', 'é'); f.append('b', new Blob(['x'], {type: 'c/d'}), 'n.txt');"
    form = f"const f = new FormData(); f.setBoundary('BB'); {parts}"
    call = f"(() => {{ {form} return fetch('http://h/', {{method: 'POST', body: f}}) }})()"
    payload = await sent(zygote, call)
    body = base64.b64decode(payload["body"]).decode()
    assert body == (
        '--BB\r\nContent-Disposition: form-data; name="a"\r\n\r\né\r\n'
        '--BB\r\nContent-Disposition: form-data; name="b"; filename="n.txt"\r\nContent-Type: c/d\r\n\r\nx\r\n'
        "--BB--\r\n"
    )
    headers = dict(payload["headers"])
    assert headers["Content-Type"] == "multipart/form-data;boundary=BB"


async def test_the_web_methods_of_a_form_read_and_change_it(zygote: Zygote) -> None:
    body = """const f = new FormData(); f.append('a', 1); f.append('a', 2); f.append('b', 'x');
    f.set('a', 3); f.delete('b'); f.set('c', 'z');
    const parts = f.getBuffer().toString().split('name=').length - 1;
    return [f.get('a'), f.getAll('a'), f.has('b'), f.get('b'), [...f], [...f.keys()], parts]"""
    assert await returned(zygote, body) == ["3", ["3"], False, None, [["a", "3"], ["c", "z"]], ["a", "c"], 2]


async def test_a_request_is_sent_though_nobody_awaits_it(zygote: Zygote) -> None:
    code = """function onTrack() {
      const form = new FormData(); form.append('a', 'b');
      fetch('http://h/', {method: 'POST', body: form});
      fetch('http://h/2');
      return 1;
    }"""
    async with script(zygote, code, lambda _: respond()) as running:
        (outcome,) = await running.track({})
        assert outcome.value == b"1"
        assert [payload["method"] for payload in running.requests] == ["POST", "GET"]


async def test_a_response_reads_as_node_fetch_gives_it(zygote: Zygote) -> None:
    headers = [
        ["Content-Type", "a/b"],
        ["Set-Cookie", "x=1"],
        ["set-cookie", "y=2"],
        ["X-A", "1"],
        ["x-a", "2"],
        ["ETag", "1"],
        ["etag", "2"],
    ]
    body = """const r = await fetch('http://h/');
    const json = await r.clone().json();
    return [r.ok, r.status, r.statusText, r.url, r.redirected, r.headers.raw(), json, await r.text(), r.bodyUsed]"""
    answer = respond(b'{"a":1}', status=404, statusText="Gone away", headers=headers)
    assert await returned(zygote, body, lambda _: answer) == [
        False, 404, "Gone away", "http://h/", False,
        {"content-type": ["a/b"], "set-cookie": ["x=1", "y=2"], "x-a": ["1, 2"], "etag": ["1"]},
        {"a": 1}, '{"a":1}', True,
    ]  # fmt: skip


async def test_a_redirected_response_has_the_last_url(zygote: Zygote) -> None:
    answer = respond(redirected=True, url="http://other/x")
    body = "const r = await fetch('http://h/'); return [r.url, r.redirected]"
    assert await returned(zygote, body, lambda _: answer) == ["http://other/x", True]


async def test_bodies_read_as_bytes_of_every_kind(zygote: Zygote) -> None:
    body = """const get = () => fetch('http://h/'); const b = await (await get()).blob();
    let streamed = ''; for await (const chunk of (await get()).body) streamed += chunk.toString('hex');
    const bytes = await (await get()).arrayBuffer();
    const buffer = await (await get()).buffer();
    return [Buffer.isBuffer(buffer), bytes.byteLength, b instanceof Blob, b.size, b.type, streamed]"""
    answer = respond(b"\x00\xff", headers=[["content-type", "A/B"]])
    assert await returned(zygote, body, lambda _: answer) == [True, 2, True, 2, "a/b", "00ff"]


async def test_a_body_beyond_size_fails_where_node_fetch_fails(zygote: Zygote) -> None:
    body = """const r = await fetch('http://h/', {size: 2});
    try { await r.text() } catch (e) { return [r.ok, e.name, e.type, e.message] }"""
    assert await returned(zygote, body, lambda _: respond(b"abc")) == [
        True, "FetchError", "max-size", "content size at http://h/ over limit: 2",
    ]  # fmt: skip


CATCH = """try { await fetch('http://foo/') } catch (e) {
  return [e.name, e.type, e.code ?? null, e.errno ?? null, e.message, e instanceof Error]
}"""


@pytest.mark.parametrize(
    ("rejection", "expected"),
    [
        (
            {"type": "system", "code": "ENOTFOUND", "message": "getaddrinfo ENOTFOUND foo"},
            ["system", "ENOTFOUND", "request to http://foo/ failed, reason: getaddrinfo ENOTFOUND foo"],
        ),
        (
            {"type": "system", "code": "EGRESS_DENIED", "message": "address not allowed"},
            ["system", "EGRESS_DENIED", "request to http://foo/ failed, reason: address not allowed"],
        ),
        ({"type": "request-timeout", "message": ""}, ["request-timeout", None, "network timeout at: http://foo/"]),
        ({"type": "max-redirect", "message": ""}, ["max-redirect", None, "maximum redirect reached at: http://foo/"]),
        (
            {"type": "no-redirect", "message": ""},
            ["no-redirect", None, "uri requested responds with a redirect, redirect mode is set to error: http://foo/"],
        ),
    ],
)
async def test_a_refusal_is_a_fetch_error_in_nodes_words(
    zygote: Zygote, rejection: dict[str, Any], expected: list[Any]
) -> None:
    kind, code, message = expected
    found = await returned(zygote, CATCH, reject(**rejection))
    assert found == ["FetchError", kind, code, code, message, True]


@pytest.mark.parametrize(
    ("code", "network"), [("ECONNREFUSED", True), ("ETIMEDOUT", True), ("EGRESS_DENIED", False), ("TOO_LARGE", False)]
)
async def test_only_failures_of_the_network_count_as_such(zygote: Zygote, code: str, network: bool) -> None:
    handler = "async function onTrack() { await fetch('http://foo/') }"
    async with script(zygote, handler, reject(type="system", code=code, message="x")) as running:
        (outcome,) = await running.track({})
    assert outcome.error is not None
    assert outcome.error.network is network


async def test_an_object_that_looks_like_a_network_failure_is_none(zygote: Zygote) -> None:
    forged = "{name: 'FetchError', type: 'system', code: 'ECONNREFUSED'}"
    code = f"function onTrack() {{ throw Object.assign(new Error('x'), {forged}) }}"
    async with script(zygote, code) as running:
        (outcome,) = await running.track({})
    assert outcome.error is not None
    assert not outcome.error.network


async def test_aborting_rejects_at_once_and_drops_the_answer(zygote: Zygote) -> None:
    body = """const c = new AbortController(); const p = fetch('http://h/', {signal: c.signal}); c.abort();
    try { await p } catch (e) { return [e.name, e.type, e.message] }"""
    assert await returned(zygote, body, lambda _: respond()) == ["AbortError", "aborted", "The user aborted a request."]


async def test_overwriting_globals_does_not_break_fetch(zygote: Zygote) -> None:
    body = """Buffer = URL = TextEncoder = null;
    return (await fetch('http://h/', {method: 'POST', body: 'é'})).text()"""
    assert await returned(zygote, body, lambda _: respond(b"ok")) == "ok"


async def test_a_failed_fetch_names_the_line_that_waited_for_it(zygote: Zygote) -> None:
    code = """async function send(url) {
  return (await fetch(url)).status
}
async function onTrack(event) {
  if (event.all) return await Promise.all([fetch('http://h/')])
  return await send('http://h/')
}"""
    refuse = reject(code="ECONNREFUSED", type="system", message="connect ECONNREFUSED")
    async with script(zygote, code, refuse) as running:
        one, several = await running.track({}, {"all": True})
    assert one.error is not None
    assert one.error.stack.splitlines()[1:] == [
        "    at async send (function.js:2:11)",
        "    at async onTrack (function.js:6:10)",
    ]
    assert several.error is not None
    assert "at async onTrack (function.js:5:" in several.error.stack
