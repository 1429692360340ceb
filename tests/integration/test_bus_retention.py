"""A busy workspace: handled events make room for new ones, unhandled ones never do."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from kit.bus.acks import ack
from kit.bus.connection import Bus, connect
from kit.bus.message import Message
from kit.bus.publish import Outgoing, Publisher
from kit.bus.puller import Puller
from kit.bus.retention import make_room
from kit.bus.streams import events_stream, provision
from kit.testing.eventually import eventually

pytestmark = pytest.mark.integration

ROOM = 100_000
BODY = b"x" * 850


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    bus = await connect(nats_url, name="test")
    await provision(bus, [events_stream("acme", max_bytes=ROOM)])
    try:
        yield bus
    finally:
        await bus.close()


async def publish(bus: Bus, first: int, count: int) -> int:
    numbers = range(first, first + count)
    results = await Publisher(bus).publish_many(
        [Outgoing("events.acme.web", BODY, f"m-{number}") for number in numbers]
    )
    return sum(1 for result in results if not result.error)


async def handle(bus: Bus, count: int) -> None:
    """Acknowledges the next `count` messages."""
    handled: list[Message] = []

    def on_batch(batch: list[Message]) -> None:
        mine = batch[: count - len(handled)]
        handled.extend(mine)
        ack(bus, mine)

    puller = Puller(bus, "EVENTS_acme", "executor", batch=10, on_batch=on_batch)
    async with asyncio.TaskGroup() as group:
        group.create_task(puller.run())
        await eventually(lambda: len(handled) == count)
        await puller.stop()
    await bus.flush()


async def first_seq(bus: Bus) -> int:
    first: int = (await bus.api("STREAM.INFO.EVENTS_acme"))["state"]["first_seq"]
    return first


async def test_a_stream_with_room_is_left_alone(bus: Bus) -> None:
    await publish(bus, 0, 50)
    await handle(bus, 50)
    assert await make_room(bus, "acme") == 0


async def test_handled_events_make_room_for_new_ones(bus: Bus) -> None:
    assert await publish(bus, 0, 100) == 100
    assert await publish(bus, 100, 20) == 0
    await handle(bus, 100)
    assert await make_room(bus, "acme") == 25
    assert await publish(bus, 100, 20) == 20


async def test_unhandled_events_are_never_dropped(bus: Bus) -> None:
    await publish(bus, 0, 100)
    assert await make_room(bus, "acme") == 0
    await handle(bus, 10)
    assert await make_room(bus, "acme") == 10
    assert await first_seq(bus) == 11
