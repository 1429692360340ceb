"""Publishing against a real server: stored, duplicate or refused, and never in doubt."""

import contextlib
from collections.abc import AsyncIterator

import pytest

from kit.bus.connection import Bus, connect
from kit.bus.errors import NoResponders, StreamFull
from kit.bus.publish import BATCH_MESSAGES_MIN, MESSAGE_BYTES_MAX, ONE_TRY, Outgoing, Publisher
from kit.bus.streams import StreamDeclaration, events_stream, provision
from kit.errors import DeadlineExceeded, InvalidArgument

pytestmark = pytest.mark.integration


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    bus = await connect(nats_url, name="test")
    await provision(bus, [events_stream("acme"), events_stream("globex")])
    try:
        yield bus
    finally:
        await bus.close()


def messages(numbers: range, workspace: str = "acme") -> list[Outgoing]:
    return [Outgoing(f"events.{workspace}.web", b"{}", f"m-{number}") for number in numbers]


async def stored(bus: Bus, stream: str = "EVENTS_acme") -> int:
    count: int = (await bus.api(f"STREAM.INFO.{stream}"))["state"]["messages"]
    return count


async def test_the_same_message_id_is_stored_once_and_said_to_be_a_duplicate(bus: Bus) -> None:
    """A2, B9"""
    publisher = Publisher(bus)
    first = await publisher.publish("events.acme.web", b"1", "id")
    second = await publisher.publish("events.acme.web", b"another body", "id")
    assert (first.stream, first.seq, first.duplicate) == ("EVENTS_acme", 1, False)
    assert (second.seq, second.duplicate) == (1, True)
    assert await stored(bus) == 1


async def test_many_messages_are_stored_in_order_each_with_its_sequence(bus: Bus) -> None:
    results = await Publisher(bus).publish_many(messages(range(1_234)))
    assert [result.seq for result in results] == list(range(1, 1_235))
    assert await stored(bus) == 1_234


async def test_many_messages_of_several_workspaces_go_to_their_streams(bus: Bus) -> None:
    mixed = [
        message for pair in zip(messages(range(50)), messages(range(50), "globex"), strict=True) for message in pair
    ]
    results = await Publisher(bus).publish_many(mixed)
    assert [result.stream for result in results] == ["EVENTS_acme", "EVENTS_globex"] * 50
    assert (await stored(bus), await stored(bus, "EVENTS_globex")) == (50, 50)


async def test_one_duplicate_in_a_batch_does_not_keep_the_others_out(bus: Bus) -> None:
    publisher = Publisher(bus)
    await publisher.publish("events.acme.web", b"{}", "m-17")
    results = await publisher.publish_many(messages(range(50)))
    assert [index for index, result in enumerate(results) if result.duplicate] == [17]
    assert not any(result.error for result in results)
    assert await stored(bus) == 50


async def test_one_message_that_is_too_large_fails_alone(bus: Bus) -> None:
    batch = messages(range(20))
    batch[3] = Outgoing("events.acme.web", b"x" * 600_000, "m-3")
    batch[4] = Outgoing("events.acme.web", b"x" * (MESSAGE_BYTES_MAX + 1), "m-4")
    results = await Publisher(bus).publish_many(batch)
    assert [index for index, result in enumerate(results) if result.error] == [3, 4]
    assert isinstance(results[3].error, InvalidArgument)
    assert isinstance(results[4].error, InvalidArgument)
    assert await stored(bus) == 18


async def test_large_batches_are_cut_to_what_the_server_takes(bus: Bus) -> None:
    batch = [Outgoing("events.acme.web", b"x" * 400_000, f"m-{number}") for number in range(20)]
    results = await Publisher(bus).publish_many(batch)
    assert not any(result.error for result in results)
    assert await stored(bus) == 20


async def test_a_stream_without_batches_takes_them_one_by_one(bus: Bus) -> None:
    await provision(bus, [StreamDeclaration("PLAIN", ("plain.>",), 3600, 10_000_000, allow_atomic=False)])
    publisher = Publisher(bus)
    for start in (0, 100):
        batch = [Outgoing("plain.x", b"{}", f"m-{number}") for number in range(start, start + 100)]
        assert not any(result.error for result in await publisher.publish_many(batch))
    assert await stored(bus, "PLAIN") == 200


async def test_a_full_stream_refuses_with_an_error_of_its_own(bus: Bus) -> None:
    await provision(bus, [StreamDeclaration("SMALL", ("small.>",), 3600, max_bytes=10_000)])
    publisher = Publisher(bus)
    accepted = 0
    with contextlib.suppress(StreamFull):
        while accepted < 100:
            await publisher.publish("small.x", b"x" * 1_000, f"s-{accepted}")
            accepted += 1
    with pytest.raises(StreamFull, match="maximum bytes"):
        await publisher.publish("small.x", b"x" * 1_000, "one more")
    results = await publisher.publish_many([Outgoing("small.x", b"x" * 1_000, f"b-{number}") for number in range(20)])
    assert all(isinstance(result.error, StreamFull) for result in results)
    assert 0 < accepted < 100
    assert await stored(bus, "SMALL") == accepted


async def test_a_subject_without_a_stream_is_unavailable_once_the_time_is_over(bus: Bus) -> None:
    publisher = Publisher(bus)
    with pytest.raises(NoResponders):
        await publisher.publish("nobody.listens", b"", "id", timeout_s=0.2)
    results = await publisher.publish_many(
        [Outgoing("nobody.listens", b"", f"m-{number}") for number in range(BATCH_MESSAGES_MIN)], timeout_s=0.2
    )
    assert len(results) == BATCH_MESSAGES_MIN
    assert all(isinstance(result.error, NoResponders) for result in results)


async def test_who_repeats_by_himself_has_one_try(bus: Bus) -> None:
    heard: list[bytes] = []
    await bus.subscribe("deaf.>", lambda subject, reply, header, data: heard.append(data))
    with pytest.raises(DeadlineExceeded):
        await Publisher(bus, try_timeout_s=0.05).publish("deaf.x", b"once", "id", timeout_s=ONE_TRY)
    assert heard == [b"once"]


async def test_an_answer_that_never_comes_is_a_deadline_and_not_a_hang(bus: Bus) -> None:
    heard: list[bytes] = []
    await bus.subscribe("deaf.>", lambda subject, reply, header, data: heard.append(subject))
    publisher = Publisher(bus, try_timeout_s=0.05)
    with pytest.raises(DeadlineExceeded):
        await publisher.publish("deaf.x", b"", "id", timeout_s=0.2)
    assert len(heard) > 1
    results = await publisher.publish_many([Outgoing("deaf.y", b"")] * BATCH_MESSAGES_MIN, timeout_s=0.2)
    assert all(isinstance(result.error, DeadlineExceeded) for result in results)
    # Without ids nobody could tell which of them had been stored before.
    assert heard.count(b"deaf.y") == BATCH_MESSAGES_MIN
    named = [Outgoing("deaf.z", b"", f"m-{number}") for number in range(BATCH_MESSAGES_MIN)]
    results = await publisher.publish_many(named, timeout_s=0.2)
    assert all(isinstance(result.error, DeadlineExceeded) for result in results)
    assert heard.count(b"deaf.z") > BATCH_MESSAGES_MIN


@pytest.mark.parametrize("subject", ["", "a b", "a\r\nPUB b 0\r\n"])
async def test_protocol_commands_in_a_subject_are_refused(bus: Bus, subject: str) -> None:
    with pytest.raises(InvalidArgument):
        await Publisher(bus).publish(subject, b"")


async def test_protocol_commands_in_headers_are_refused(bus: Bus) -> None:
    with pytest.raises(InvalidArgument):
        await Publisher(bus).publish("events.acme.web", b"", "id\r\nNats-Rollup: all")
    with pytest.raises(InvalidArgument):
        await Publisher(bus).publish("events.acme.web", b"", None, {"a": "b\r\n\r\nPUB"})


async def test_headers_go_through_batches(bus: Bus) -> None:
    batch = [Outgoing("events.acme.web", b"{}", f"m-{number}", {"n": str(number)}) for number in range(20)]
    await Publisher(bus).publish_many(batch)
    message = (await bus.api("STREAM.MSG.GET.EVENTS_acme", {"seq": 7}))["message"]
    assert message["seq"] == 7
    assert "hdrs" in message
