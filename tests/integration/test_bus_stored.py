"""Reading a subject's messages backwards, out of a stream that others fill as well."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from kit.bus.connection import Bus, connect
from kit.bus.publish import Outgoing, Publisher
from kit.bus.stored import newest_first
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
