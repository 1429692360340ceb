"""The connection against real servers that come, go and refuse."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable

import pytest
from structlog.testing import capture_logs

from kit.bus.acks import ack
from kit.bus.connection import connect
from kit.bus.durability import read_durability, require_durability
from kit.bus.errors import ConnectionLost
from kit.bus.message import Message
from kit.bus.publish import Publisher
from kit.bus.puller import Puller
from kit.bus.streams import events_stream, provision
from kit.embedded.data_folder import DataFolder
from kit.embedded.nats import PAYLOAD_BYTES_MAX, EmbeddedNats
from kit.embedded.nats_users import NatsUser
from kit.errors import DeadlineExceeded, Overloaded, PermissionDenied, Unavailable, WrongState
from kit.testing.eventually import eventually

pytestmark = pytest.mark.integration

USERS = [
    NatsUser("test", "secret"),
    NatsUser("publisher", "secret", ["events.acme.>"], ["_INBOX_publisher.>"]),
]


@pytest.fixture
async def server(data_folder: DataFolder) -> AsyncIterator[EmbeddedNats]:
    server = EmbeddedNats(data_folder, USERS)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def test_a_client_that_nats_py_closed_for_good_is_replaced_and_pulls_go_on(
    server: EmbeddedNats,
) -> None:
    bus = await connect(server.url("test"), name="test")
    await provision(bus, [events_stream("acme")])
    seen: list[Message] = []
    reconnects: list[bool] = []
    bus.on_reconnect(lambda: reconnects.append(bus.connected))

    def on_batch(batch: list[Message]) -> None:
        seen.extend(batch)
        ack(bus, batch)

    puller = Puller(bus, "EVENTS_acme", "executor", batch=10, on_batch=on_batch)
    async with asyncio.TaskGroup() as group:
        group.create_task(puller.run())
        await eventually(lambda: puller.outstanding)
        first_client = bus.client
        # The server answers "Maximum Payload Violation", upon which nats-py gives up.
        bus.send("events.acme.web", b"x" * (PAYLOAD_BYTES_MAX + 1))
        await eventually(lambda: bus.rebuilds == 1)
        assert first_client.is_closed
        assert reconnects == [True]
        await Publisher(bus).publish("events.acme.web", b"after", "id")
        await eventually(lambda: [message.data for message in seen] == [b"after"])
        await puller.stop()
    await bus.close()


async def test_requests_in_flight_fail_at_once_when_the_connection_is_lost(server: EmbeddedNats) -> None:
    bus = await connect(server.url("test"), name="test")
    await bus.subscribe("deaf", lambda subject, reply, header, data: None)
    async with asyncio.TaskGroup() as group:
        request = group.create_task(_error_of(bus.request("deaf", timeout_s=30.0)))
        await bus.flush()
        server.crash()
    assert isinstance(request.result(), ConnectionLost)
    with pytest.raises(Unavailable):
        await bus.request("deaf", timeout_s=0.05)
    await server.start()
    await bus.wait_connected(10.0)
    with pytest.raises(DeadlineExceeded):
        await bus.request("deaf", timeout_s=0.05)
    await bus.close()


async def _error_of(awaitable: Awaitable[object]) -> BaseException | None:
    try:
        await awaitable
    except Unavailable as error:
        return error
    return None


async def test_a_wrong_password_is_refused_at_once(server: EmbeddedNats) -> None:
    with pytest.raises(Unavailable, match="cannot connect"):
        await connect(server.address, "test", "wrong", name="test")


async def test_without_a_server_the_start_fails_within_its_time(server: EmbeddedNats) -> None:
    await server.stop()
    with pytest.raises(Unavailable, match="cannot connect"):
        await connect(server.url("test"), name="test", timeout_s=0.3)


async def test_without_a_server_attempts_get_rarer_and_the_log_does_not_fill(server: EmbeddedNats) -> None:
    await server.stop()
    with capture_logs() as lines, pytest.raises(Unavailable):
        await connect(server.url("test"), name="test", timeout_s=1.0)
    attempts = [one for one in lines if one["event"] == "bus_error"]
    # Of 20 ms that are doubled each time, at least half is waited; a second has room for six waits.
    assert 2 <= len(attempts) <= 8


async def test_a_publisher_is_confined_to_its_subjects_and_told_so(server: EmbeddedNats) -> None:
    """H9"""
    admin = await connect(server.url("test"), name="admin")
    await provision(admin, [events_stream("acme"), events_stream("globex")])
    bus = await connect(server.url("publisher"), name="publisher")
    publisher = Publisher(bus, try_timeout_s=1.0)
    assert (await publisher.publish("events.acme.web", b"", "1")).seq == 1
    with pytest.raises(PermissionDenied):
        await publisher.publish("events.globex.web", b"", "2")
    with pytest.raises(PermissionDenied):
        await bus.api("STREAM.DELETE.EVENTS_acme")
    await bus.close()
    await admin.close()


async def test_a_server_that_hangs_is_noticed_though_our_bytes_never_leave(
    server: EmbeddedNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kit.bus.connection.PING_INTERVAL_S", 0.2)
    bus = await connect(server.url("test"), name="test")
    await provision(bus, [events_stream("acme")])
    lost: list[bool] = []
    bus.on_disconnect(lambda: lost.append(True))
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    try:
        # More than the sockets' buffers hold, so that an orderly close would wait for ever.
        for _ in range(30):
            bus.send("anywhere", b"x" * 1_000_000)
        await eventually(lambda: lost)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert (await Publisher(bus).publish("events.acme.web", b"", "id")).seq == 1
    await bus.close()


async def test_a_failing_listener_keeps_neither_others_nor_the_connection_from_working(
    server: EmbeddedNats,
) -> None:
    bus = await connect(server.url("test"), name="test")
    told: list[str] = []

    def broken() -> None:
        raise RuntimeError("broken")

    async def good() -> None:
        told.append("reconnected")

    bus.on_reconnect(broken)
    forget = bus.on_reconnect(good)
    bus.on_disconnect(lambda: told.append("disconnected"))
    server.crash()
    await server.start()
    await eventually(lambda: told == ["disconnected", "reconnected"])
    forget()
    await bus.close()


async def test_a_relaxed_server_is_refused_under_strict_and_named_otherwise(data_folder: DataFolder) -> None:
    """B1"""
    server = EmbeddedNats(data_folder, USERS, sync_always=False)
    await server.start()
    try:
        assert await read_durability(server.monitor_url) == "relaxed"
        with pytest.raises(WrongState, match="sync_interval: always"):
            await require_durability("strict", server.monitor_url)
        assert await require_durability("relaxed", server.monitor_url) == "relaxed"
    finally:
        await server.stop()


async def test_a_strict_server_is_accepted(server: EmbeddedNats) -> None:
    """B1"""
    assert await require_durability("strict", server.monitor_url) == "strict"


async def test_a_server_that_cannot_be_asked_is_unavailable(server: EmbeddedNats) -> None:
    monitor_url = server.monitor_url
    await server.stop()
    with pytest.raises(Unavailable):
        await read_durability(monitor_url)
    with pytest.raises(Unavailable):
        await read_durability("file:///etc/passwd")


async def test_what_a_server_does_not_take_waits_in_order_and_is_bounded() -> None:
    taken: list[bytes] = []
    takes = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"max_payload":1048576}\r\n')
        while line := await reader.readline():
            if line == b"PING\r\n":
                taken.append(line)
                writer.write(b"PONG\r\n")
            elif line.startswith(b"PUB"):
                taken.append((await reader.readexactly(int(line.split()[-1]) + 2))[:4])
                await takes.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    bus = await connect(f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}", name="test")
    taken.clear()
    try:
        bus.send("a", b"0000")
        assert bus.client.buffered_bytes == 0
        count = 1

        async def overload() -> None:
            nonlocal count
            while True:
                bus.send("a", b"%04d" % count + bytes(100_000))
                count += 1
                await asyncio.sleep(0)

        with pytest.raises(Overloaded):
            await overload()
        assert count > 500
        takes.set()
        # None of these overtakes what waits.
        while bus.client.buffered_bytes or count % 100:
            with contextlib.suppress(Overloaded):
                bus.send("a", b"%04d" % count)
                count += 1
            await asyncio.sleep(0)
        await bus.flush()
        assert taken == [*(b"%04d" % number for number in range(count)), b"PING\r\n"]
    finally:
        await bus.close()
        server.close()
