"""No URL makes the broker connect to a denied address, and it sees the host that the parser of user code sees."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import random
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from services.executor.runtime.addresses import classify
from services.executor.runtime.egress import EgressError, EgressRequest, Scope
from services.executor.runtime.egress_url import split_url
from services.executor.runtime.resolution import literal_address
from tests.integration import runtime_world
from tests.integration.egress_world import World

pytestmark = pytest.mark.integration

SEED = 20_26
URLS = 3_000
PARTS = [
    "http:", "https:", "//", "/", "\\", "@", ":", "?", "#", ".", "..", "%2e", "%00", "%0d%0a", " ", "\t", "\n", "[",
    "]", "127.0.0.1", "127.1", "0x7f.1", "2130706433", "017700000001", "①②⑦.⓪.⓪.①", "localhost", "foo.localhost",
    "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "169.254.169.254", "metadata.test", "evil.test", "good.test",
    "mixed.test", "user", "p%40ss", "80", "443", "8080", "65536", "00080", "é", "ß.test", "xn--bcher-kva.test",
    "a_b.test", "-a.test", "EXAMPLE.test", "good.test.", "10.0.0.1", "8.8.8.8", "8.8.8.8.", "0", "256.1.1.1",
    "1.2.3.4.5", "path", "q=1", "{x}", "|", "^", "`", "'", '"', "<", ">", "☃",
]  # fmt: skip
ANSWERS = {
    "good.test": ["8.8.8.8", "2606:4700::1111"],
    "evil.test": ["127.0.0.1"],
    "mixed.test": ["8.8.8.8", "10.0.0.1"],
    "metadata.test": ["169.254.169.254"],
    "localhost": ["127.0.0.1", "::1"],
}


def urls(count: int = URLS) -> list[str]:
    """Pieces in every order, most of them after a scheme and slashes; the same in every run."""
    chance = random.Random(SEED)
    made = []
    for _ in range(count):
        start = chance.choice(["http://", "https://", "http://", "", "http:/", "HTTP:\\\\"])
        made.append(start + "".join(chance.choice(PARTS) for _ in range(chance.randint(1, 6))))
    return made


async def resolve(host: str) -> list[str]:
    """A name server that also answers for numbers in forms of its own, as some do."""
    name = host.lower().rstrip(".")
    if name in ANSWERS:
        return ANSWERS[name]
    if any(part in name for part in ("127", "0x7f", "2130706433", "10.0")):
        return ["127.0.0.1"]
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield World(stack)


async def test_no_url_makes_the_broker_connect_to_a_denied_address(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F1, F4"""
    reached: list[str] = []

    async def connect(_factory: Any, host: str, port: int, **_: Any) -> Any:
        reached.append(host)
        raise ConnectionRefusedError(111, "refused")

    broker = await world.broker(resolve=resolve)
    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", connect)
    codes: set[str | None] = set()
    for url in urls():
        for text in (url, url.replace("\\", "/")):
            with pytest.raises(EgressError) as caught:
                await broker.fetch(EgressRequest("GET", text), Scope("acme", "crm"))
            codes.add(caught.value.code)
    assert reached, "none of the URLs was a good one"
    assert {address for address in reached if not classify(address).allowed} == set()
    assert {"EGRESS_DENIED", "ECONNREFUSED", "ENOTFOUND", "ERR_INVALID_URL"} <= codes


JUDGE = """return event.map((text) => {
  try {
    const request = new Request(text);
    const url = new URL(text);
    return [request.url, url.hostname, url.port, url.protocol, url.href];
  } catch (error) {
    return null;
  }
})"""


async def test_the_broker_sees_the_host_and_port_that_the_parser_of_user_code_sees() -> None:
    """F1: two parsers that differ are how requests get where they were not checked."""
    agreed = 0
    async with runtime_world.zygote() as zygote:
        code = f"function onTrack(event) {{ event = event.urls; {JUDGE}\n}}"
        async with runtime_world.script(zygote, code) as running:
            every = urls()
            for start in range(0, len(every), 50):
                (outcome,) = await running.track({"urls": every[start : start + 50]})
                agreed += _compared(outcome)
    assert agreed > URLS / 10


def _compared(outcome: Any) -> int:
    assert outcome.ok, outcome.error
    parsed = [one for one in json.loads(outcome.value) if one is not None and one[3] in ("http:", "https:")]
    for url, hostname, port, protocol, href in parsed:
        origin, target = split_url(url)
        assert origin.host == hostname.strip("[]"), url
        assert origin.port == int(port or {"http:": 80, "https:": 443}[protocol]), url
        assert _escaped(href) == url
        if (address := literal_address(origin.host)) is not None:
            assert ipaddress.ip_address(address) == ipaddress.ip_address(origin.host)
        assert target.isascii()
    return len(parsed)


def _escaped(href: str) -> str:
    """As node-fetch writes it: the legacy parser escapes a few characters after the authority."""
    scheme, _, rest = href.partition("://")
    ends = [at for at in (rest.find(mark) for mark in "/?#") if at >= 0]
    cut = min(ends)
    tail = "".join(f"%{ord(c):02X}" if c in "{}|\\^`<>\"' " else c for c in rest[cut:])
    return f"{scheme}://{rest[:cut]}{tail}"
