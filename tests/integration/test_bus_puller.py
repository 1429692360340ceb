"""The puller against a real server: everything once, in order, through crashes."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from itertools import accumulate

import pytest

from kit.bus.acks import ack, in_progress, nak
from kit.bus.connection import Bus, connect
from kit.bus.message import Message
from kit.bus.publish import Outgoing, Publisher
from kit.bus.puller import Puller
from kit.bus.streams import ConsumerDeclaration, StreamDeclaration, events_stream, provision
from kit.embedded.data_folder import DataFolder
from kit.embedded.nats import EmbeddedNats
from kit.embedded.nats_users import NatsUser
from kit.testing.eventually import eventually

pytestmark = pytest.mark.integration

STREAM = "EVENTS_acme"
QUICK = ConsumerDeclaration("quick", ack_wait_s=1, acks_pending_max=1_000)

OnBatch = Callable[[list[Message]], Awaitable[None] | None]


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    bus = await connect(nats_url, name="test")
    await provision(bus, [events_stream("acme")])
    try:
        yield bus
    finally:
        await bus.close()


@pytest.fixture
async def own_server(data_folder: DataFolder) -> AsyncIterator[EmbeddedNats]:
    """A server that the test may kill."""
    server = EmbeddedNats(data_folder, [NatsUser("test", "secret")])
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@contextlib.asynccontextmanager
async def pulling(puller: Puller) -> AsyncIterator[Puller]:
    async with asyncio.TaskGroup() as group:
        group.create_task(puller.run())
        try:
            yield puller
        finally:
            await puller.stop()


def executor(bus: Bus, on_batch: OnBatch, *, batch: int = 100, durable: str = "executor") -> Puller:
    return Puller(bus, STREAM, durable, batch=batch, on_batch=on_batch)


def messages(count: int, prefix: str = "m", size: int = 100) -> list[Outgoing]:
    return [Outgoing("events.acme.web", b"x" * size, f"{prefix}-{index}") for index in range(count)]


async def store(bus: Bus, count: int, prefix: str = "m", size: int = 100) -> None:
    acks = await Publisher(bus).publish_many(messages(count, prefix, size))
    assert all(not result.error for result in acks)


async def test_five_thousand_messages_arrive_once_and_in_order(bus: Bus) -> None:
    seen: list[int] = []

    def on_batch(batch: list[Message]) -> None:
        seen.extend(message.stream_seq for message in batch)
        ack(bus, batch)

    async with pulling(executor(bus, on_batch)):
        await store(bus, 5_000)
        await eventually(lambda: len(seen) >= 5_000)
    assert seen == list(range(1, 5_001))


async def test_a_message_carries_what_was_published(bus: Bus) -> None:
    got: list[Message] = []
    began = time.monotonic()
    async with pulling(executor(bus, got.extend)):
        await Publisher(bus).publish("events.acme.web", b"body", "id-1", {"traceparent": "00-1"})
        await eventually(lambda: got)
    (message,) = got
    assert began <= message.arrived_at <= time.monotonic()
    assert (message.subject, message.data, message.msg_id) == ("events.acme.web", b"body", "id-1")
    assert message.headers == {"Nats-Msg-Id": "id-1", "traceparent": "00-1"}
    assert (message.stream, message.stream_seq, message.delivered) == (STREAM, 1, 1)


async def test_a_batch_never_exceeds_its_size_and_a_slow_handler_holds_back_the_pull(bus: Bus) -> None:
    sizes: list[int] = []
    gate = asyncio.Event()

    async def on_batch(batch: list[Message]) -> None:
        sizes.append(len(batch))
        await gate.wait()
        ack(bus, batch)

    async with pulling(executor(bus, on_batch, batch=10)) as puller:
        await store(bus, 100)
        await eventually(lambda: puller.outstanding == 0 and sizes)
        # Ten with the handler, at most twice as many requested or waiting.
        assert puller.received <= 30
        gate.set()
        await eventually(lambda: sum(sizes) == 100)
    assert max(sizes) <= 10


async def test_a_puller_asks_for_as_little_as_it_is_told_and_for_more_again(bus: Bus) -> None:
    sizes: list[int] = []

    def on_batch(batch: list[Message]) -> None:
        sizes.append(len(batch))
        ack(bus, batch)

    async with pulling(executor(bus, on_batch, batch=10)) as puller:
        await eventually(lambda: puller.outstanding == 20)
        puller.ask_for(2)
        await store(bus, 100)
        await eventually(lambda: sum(sizes) == 100)
        # What was on its way before comes as it would have.
        assert all(size <= 4 for size, upto in zip(sizes, accumulate(sizes), strict=True) if upto > 20)
        assert puller.outstanding <= 4
        puller.ask_for(1000)
        await store(bus, 100, "n")
        await eventually(lambda: sum(sizes) == 200)
        assert 10 < puller.outstanding <= 20


async def test_a_consumer_that_acknowledges_nothing_is_given_no_more_than_its_bound(bus: Bus) -> None:
    """B10: the rest waits at the server, which says how much it is, and comes when there is room."""
    narrow = ConsumerDeclaration("narrow", ack_wait_s=60, acks_pending_max=50)
    await provision(bus, [replace(events_stream("acme"), consumers=(narrow,))])
    held: list[Message] = []
    async with pulling(executor(bus, held.extend, durable="narrow")):
        await store(bus, 200)
        await eventually(lambda: len(held) == 50)
        info = await bus.api(f"CONSUMER.INFO.{STREAM}.narrow")
        assert (info["num_ack_pending"], info["num_pending"]) == (50, 150)
        while len(held) < 200:
            ack(bus, held)
            count = len(held)
            await eventually(lambda: len(held) > count)  # noqa: B023  awaited at once
        assert len({message.stream_seq for message in held}) == 200


async def test_a_paused_puller_takes_only_what_it_had_asked_for(bus: Bus) -> None:
    seen: list[Message] = []

    def on_batch(batch: list[Message]) -> None:
        seen.extend(batch)
        ack(bus, batch)

    async with pulling(executor(bus, on_batch, batch=10)) as puller:
        await eventually(lambda: puller.outstanding == 20)
        puller.pause()
        await store(bus, 100)
        await eventually(lambda: puller.outstanding == 0)
        # The server has answered everything that was asked; a round trip later nothing more has come.
        await bus.flush()
        assert len(seen) == 20
        puller.resume()
        await eventually(lambda: len(seen) == 100)


async def test_what_was_received_before_stop_goes_through_the_handler(bus: Bus) -> None:
    seen: list[int] = []
    gate = asyncio.Event()

    async def on_batch(batch: list[Message]) -> None:
        await gate.wait()
        seen.extend(message.stream_seq for message in batch)
        ack(bus, batch)

    puller = executor(bus, on_batch, batch=10)
    async with asyncio.TaskGroup() as group:
        group.create_task(puller.run())
        await store(bus, 100)
        await eventually(lambda: puller.received == 30 or puller.outstanding == 0)
        stopping = group.create_task(puller.stop())
        await eventually(lambda: puller.stopping)
        gate.set()
        await stopping
    assert len(seen) == puller.received
    await bus.flush()
    info = await bus.api(f"CONSUMER.INFO.{STREAM}.executor")
    assert info["num_ack_pending"] == 0
    assert info["num_waiting"] == 0


async def test_what_arrives_while_it_stops_goes_through_the_handler_too(bus: Bus) -> None:
    seen: list[Message] = []

    def on_batch(batch: list[Message]) -> None:
        seen.extend(batch)
        ack(bus, batch)

    puller = executor(bus, on_batch, batch=1_000)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(puller.run())
        await eventually(lambda: puller.outstanding)
        publishing = group.create_task(store(bus, 2_000, size=1_000))
        await eventually(lambda: seen, interval_s=0)
        await puller.stop()
        await publishing
        await running
    assert len(seen) == puller.received
    # What the server had sent to the inbox in the moment of leaving is not ours any more: it comes again to others.


async def test_a_handler_that_fails_gets_its_batch_again(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kit.bus.puller.FAILED_BATCH_DELAY_S", 0.01)
    handled: list[Message] = []

    def on_batch(batch: list[Message]) -> None:
        if batch[0].delivered == 1:
            raise RuntimeError("the database is away")
        handled.extend(batch)
        ack(bus, batch)

    async with pulling(executor(bus, on_batch)):
        await store(bus, 10)
        # Sooner than the consumer's ack_wait of ten seconds would bring them back.
        await eventually(lambda: len(handled) == 10, timeout_s=5.0)
    assert {message.delivered for message in handled} == {2}


async def test_in_progress_keeps_a_message_and_nak_gives_it_back(bus: Bus) -> None:
    await provision(bus, [StreamDeclaration("Q", ("q.>",), 3600, 1_000_000, consumers=(QUICK,))])
    seen: list[Message] = []
    async with pulling(Puller(bus, "Q", "quick", batch=10, on_batch=seen.extend)):
        await Publisher(bus).publish("q.kept", b"")
        await Publisher(bus).publish("q.given_back", b"")
        await eventually(lambda: len(seen) == 2)
        nak(bus, seen[1:2])
        await eventually(lambda: len(seen) == 3)
        assert (seen[2].subject, seen[2].delivered) == ("q.given_back", 2)
        ack(bus, [seen[2]])
        # Without the extensions, the first would come again after a second.
        for _ in range(15):
            in_progress(bus, [seen[0]])
            await asyncio.sleep(0.1)
        assert len(seen) == 3
        await eventually(lambda: len(seen) == 4)
        assert (seen[3].subject, seen[3].delivered) == ("q.kept", 2)


async def test_large_messages_arrive_though_a_request_is_bounded_in_bytes(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kit.bus.puller.PULL_BYTES_MAX", 250_000)
    seen: list[int] = []

    def on_batch(batch: list[Message]) -> None:
        seen.extend(message.stream_seq for message in batch)
        ack(bus, batch)

    await store(bus, 40, size=100_000)
    async with pulling(executor(bus, on_batch, batch=100)):
        await eventually(lambda: len(seen) >= 40)
    assert seen == list(range(1, 41))


async def test_requests_that_expire_are_made_again(bus: Bus) -> None:
    seen: list[Message] = []
    puller = Puller(bus, STREAM, "executor", batch=10, on_batch=seen.extend, expires_s=0.3, heartbeat_s=0.1)
    async with pulling(puller):
        await eventually(lambda: puller.requests >= 4)
        assert puller.outstanding == 20
        await store(bus, 5)
        await eventually(lambda: len(seen) == 5)


async def test_a_puller_of_a_missing_consumer_waits_until_there_is_one(bus: Bus) -> None:
    seen: list[Message] = []
    async with pulling(executor(bus, seen.extend, durable="later")) as puller:
        await eventually(lambda: puller.refusals >= 2)
        consumer = ConsumerDeclaration("later", ack_wait_s=10, acks_pending_max=100)
        await provision(bus, [replace(events_stream("acme"), consumers=(consumer,))])
        await store(bus, 5)
        await eventually(lambda: len(seen) == 5)


async def test_a_killed_server_loses_nothing_acknowledged_and_pulls_go_on_at_once(
    own_server: EmbeddedNats,
) -> None:
    """B3: every publish that was confirmed is delivered, across kill -9 in the middle of both."""
    bus = await connect(own_server.url("test"), name="test")
    await provision(bus, [replace(events_stream("acme"), consumers=(QUICK,))])
    publisher = Publisher(bus, try_timeout_s=1.0)
    seen: set[str | None] = set()
    confirmed: set[str] = set()

    def on_batch(batch: list[Message]) -> None:
        seen.update(message.msg_id for message in batch)
        ack(bus, batch)

    async def publish(prefix: str) -> None:
        outgoing = messages(1_000, prefix)
        for message, result in zip(outgoing, await publisher.publish_many(outgoing), strict=True):
            if not result.error:
                confirmed.add(str(message.msg_id))

    async with pulling(executor(bus, on_batch, durable=QUICK.name)):
        for crash in range(3):
            async with asyncio.TaskGroup() as group:
                group.create_task(publish(f"during-{crash}"))
                await eventually(lambda: own_server.pid and bus.connected)
                await asyncio.sleep(0.01 * crash)
                own_server.crash()
                await own_server.start()
            await publish(f"after-{crash}")
        assert len(confirmed) == 6_000
        await eventually(lambda: confirmed <= seen)
    await bus.close()


async def test_an_idle_puller_costs_next_to_nothing(bus: Bus) -> None:
    """Two requests in thirty seconds: what isn't sent can't cost anything."""
    async with pulling(executor(bus, lambda batch: None)) as puller:
        await eventually(lambda: puller.outstanding == 200)
        await bus.flush()
        assert puller.requests == 1
