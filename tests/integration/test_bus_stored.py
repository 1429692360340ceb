"""Reading a subject's messages without a consumer, out of a stream that others fill as well."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from kit.bus.connection import Bus, connect
from kit.bus.publish import Outgoing, Publisher
from kit.bus.stored import newest_first, next_page
from kit.bus.streams import StreamDeclaration, events_stream, provision
from kit.errors import Unavailable

pytestmark = pytest.mark.integration

STREAM, WEB = "EVENTS_acme", "events.acme.web"


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    bus = await connect(nats_url, name="stored")
    await provision(bus, [events_stream("acme")])
    yield bus
    await bus.close()


async def publish(bus: Bus, *messages: tuple[str, bytes]) -> None:
    await Publisher(bus).publish_many([Outgoing(f"events.acme.{source}", data) for source, data in messages])


async def read(bus: Bus, subject: str = WEB) -> list[tuple[int, bytes]]:
    return [(one.sequence, one.data) async for one in newest_first(bus, STREAM, subject)]


async def test_messages_of_a_subject_come_from_the_newest_to_the_first(bus: Bus) -> None:
    await publish(bus, ("web", b"a"), ("ios", b"b"), ("ios", b"c"), ("web", b"d"), ("ios", b"e"))
    assert await read(bus) == [(4, b"d"), (1, b"a")]


async def test_a_subject_without_messages_has_none(bus: Bus) -> None:
    assert await read(bus) == []
    await publish(bus, ("ios", b"a"))
    assert await read(bus) == []


async def test_what_was_deleted_meanwhile_is_passed_over(bus: Bus) -> None:
    await publish(bus, ("web", b"a"), ("web", b"b"), ("web", b"c"))
    found = newest_first(bus, STREAM, WEB)
    assert (await anext(found)).data == b"c"
    await bus.api(f"STREAM.PURGE.{STREAM}", {"seq": 2})
    assert [one.data async for one in found] == [b"b"]


async def test_a_message_tells_when_it_was_stored(bus: Bus) -> None:
    before = datetime.now(UTC).timestamp()
    await publish(bus, ("web", b"a"))
    (found,) = [one async for one in newest_first(bus, STREAM, WEB)]
    assert before - 1 < found.timestamp_ns / 1e9 < datetime.now(UTC).timestamp() + 1


async def test_a_stream_that_is_not_there_or_not_declared_so_can_not_be_read(bus: Bus) -> None:
    await provision(bus, [StreamDeclaration("PLAIN", ("plain.>",), 3600, 1_000_000)])
    for stream in ("EVENTS_none", "PLAIN"):
        with pytest.raises(Unavailable, match=stream):
            await anext(newest_first(bus, stream, WEB))


async def test_pages_go_upwards_from_a_sequence_or_a_time_and_tell_what_is_left(bus: Bus) -> None:
    for number in range(5):
        await publish(bus, ("web", b"%d" % number), ("ios", b"x"))
    page = await next_page(bus, STREAM, WEB, messages_max=2, bytes_max=1_000_000)
    assert ([one.sequence for one in page.messages], page.pending) == ([1, 3], 3)
    page = await next_page(bus, STREAM, WEB, first=4, messages_max=10, bytes_max=1_000_000)
    assert ([one.data for one in page.messages], page.pending) == ([b"2", b"3", b"4"], 0)
    since_us = page.messages[1].timestamp_ns // 1000
    later = await next_page(bus, STREAM, WEB, since_us=since_us, messages_max=10, bytes_max=1_000_000)
    assert [one.data for one in later.messages] == [b"3", b"4"]
    over = await next_page(bus, STREAM, WEB, first=11, messages_max=10, bytes_max=1_000_000)
    assert (over.messages, over.pending) == ([], 0)


async def test_a_page_ends_where_it_has_enough_bytes(bus: Bus) -> None:
    await publish(bus, *[("web", b"x" * 1000)] * 10)
    page = await next_page(bus, STREAM, WEB, messages_max=10, bytes_max=3000)
    assert 0 < len(page.messages) < 10
    assert page.pending == 10 - len(page.messages)


async def test_a_page_of_a_stream_that_is_not_there_is_unavailable(bus: Bus) -> None:
    with pytest.raises(Unavailable):
        await next_page(bus, "EVENTS_none", WEB, messages_max=10, bytes_max=1_000_000)
