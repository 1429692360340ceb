"""Tests of the NATS server that `onward up` runs, and of what its users may do."""

import asyncio
import json
import socket
import stat
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from nats.aio.client import Client

from kit.embedded.data_folder import DataFolder
from kit.embedded.errors import EmbeddedError
from kit.embedded.nats import EmbeddedNats
from kit.embedded.nats_users import USER_NAMES, NatsUser, inbox_prefix, service_users
from kit.testing.eventually import eventually

pytestmark = pytest.mark.integration

SERVICE_NAMES = [name for name in USER_NAMES if name != "publisher"]


def embedded(folder: DataFolder, **options: Any) -> EmbeddedNats:
    users = service_users({name: folder.secret(f"nats {name}") for name in USER_NAMES})
    return EmbeddedNats(folder, [*users, NatsUser("test", folder.secret("nats test"))], **options)


@asynccontextmanager
async def running(server: EmbeddedNats) -> AsyncIterator[EmbeddedNats]:
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


class Connection:
    """A client that remembers what the server has refused it."""

    def __init__(self) -> None:
        self.client = Client()
        self.errors: list[str] = []

    async def remember(self, error: Exception) -> None:
        self.errors.append(str(error).lower())

    async def is_refused(self, subject: str) -> bool:
        await eventually(lambda: any("permissions violation" in e and subject.lower() in e for e in self.errors))
        return True


@asynccontextmanager
async def connected(server: EmbeddedNats, user: str) -> AsyncIterator[Connection]:
    connection = Connection()
    await connection.client.connect(
        server.url(user),
        allow_reconnect=False,
        inbox_prefix=inbox_prefix(user).encode(),
        error_cb=connection.remember,
    )
    try:
        yield connection
    finally:
        await connection.client.close()


@pytest.fixture
async def server(data_folder: DataFolder) -> AsyncIterator[EmbeddedNats]:
    async with running(embedded(data_folder)) as server:
        yield server


async def publish_one(server: EmbeddedNats) -> None:
    async with connected(server, "test") as test:
        await test.client.jetstream().add_stream(name="KEPT", subjects=["kept"])
        await test.client.jetstream().publish("kept", b"1")


async def stored(server: EmbeddedNats) -> int:
    async with connected(server, "test") as test:
        return (await test.client.jetstream().stream_info("KEPT")).state.messages


async def test_a_stop_and_a_start_keep_messages_and_address(data_folder: DataFolder) -> None:
    async with running(embedded(data_folder)) as first:
        await publish_one(first)
    assert first.pid is None
    async with running(embedded(data_folder)) as second:
        assert (second.port, second.monitor_port) == (first.port, first.monitor_port)
        assert await stored(second) == 1


async def test_a_crash_keeps_what_was_acknowledged(server: EmbeddedNats) -> None:
    await publish_one(server)
    server.crash()
    assert server.pid is None
    await server.start()
    assert await stored(server) == 1


def varz(server: EmbeddedNats) -> Any:
    with urllib.request.urlopen(f"{server.monitor_url}/varz", timeout=5) as answer:
        return json.load(answer)


async def test_it_says_that_every_write_is_synced(server: EmbeddedNats) -> None:
    assert (await asyncio.to_thread(varz, server))["jetstream"]["config"]["sync_always"] is True


async def test_a_relaxed_server_does_not_say_so(data_folder: DataFolder) -> None:
    async with running(embedded(data_folder, sync_always=False)) as server:
        assert "sync_always" not in (await asyncio.to_thread(varz, server))["jetstream"]["config"]


async def test_the_configuration_with_its_passwords_is_closed_to_others(
    data_folder: DataFolder, server: EmbeddedNats
) -> None:
    conf = data_folder.path / "nats" / "nats.conf"
    assert data_folder.secret("nats registry") in conf.read_text()
    assert stat.S_IMODE(conf.stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", ["port", "monitor_port"])
async def test_a_taken_port_is_named_in_one_line(data_folder: DataFolder, kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = embedded(data_folder, **{kind: port})
        with pytest.raises(EmbeddedError, match=f"port {port}, .* is taken by another program") as caught:
            await server.start()
    assert "\n" not in str(caught.value)
    assert server.pid is None


async def test_a_server_that_can_not_start_says_why_in_one_line(data_folder: DataFolder) -> None:
    (data_folder.part("nats") / "store").write_text("a file, where the store should be")
    with pytest.raises(EmbeddedError, match=r"NATS did not start: .*storage directory is not a directory") as caught:
        await embedded(data_folder).start()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("credentials", ["{}", '{"user": "test", "pass": "guessed"}'])
async def test_a_client_without_credentials_is_refused(server: EmbeddedNats, credentials: str) -> None:
    # Spoken by hand: a refused nats-py client leaves its socket open.
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    assert json.loads((await reader.readline()).removeprefix(b"INFO "))["auth_required"] is True
    writer.write(f"CONNECT {credentials}\r\nPING\r\n".encode())
    assert await reader.readline() == b"-ERR 'Authorization Violation'\r\n"
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_the_publisher_publishes_events_and_gets_their_acknowledgement(server: EmbeddedNats) -> None:
    async with connected(server, "registry") as registry, connected(server, "publisher") as publisher:
        await registry.client.jetstream().add_stream(name="EVENTS_acme", subjects=["events.acme.>"])
        ack = await publisher.client.jetstream().publish("events.acme.web", b"{}")
        assert ack.stream == "EVENTS_acme"
        assert publisher.errors == []


@pytest.mark.parametrize("subject", ["facts.registry.acme.X", "outcomes.x", "due.x", "$JS.API.INFO"])
async def test_the_publisher_can_publish_nothing_else(server: EmbeddedNats, subject: str) -> None:
    async with connected(server, "test") as test, connected(server, "publisher") as publisher:
        heard = await test.client.subscribe(subject)
        await test.client.flush()
        await publisher.client.publish(subject, b"forged")
        assert await publisher.is_refused(subject)
        assert heard.pending_msgs == 0


@pytest.mark.parametrize("subject", ["_INBOX.>", "_INBOX_executor.>", "events.>", "facts.>", ">"])
async def test_the_publisher_can_not_listen(server: EmbeddedNats, subject: str) -> None:
    async with connected(server, "publisher") as publisher:
        await publisher.client.subscribe(subject)
        assert await publisher.is_refused(subject)


@pytest.mark.parametrize("name", SERVICE_NAMES)
async def test_a_service_pulls_and_acknowledges_through_its_own_inbox(server: EmbeddedNats, name: str) -> None:
    async with connected(server, "test") as test, connected(server, name) as service:
        await test.client.jetstream().add_stream(name="FACTS", subjects=["facts.>"])
        await test.client.jetstream().publish("facts.registry.acme.X", b"{}")
        pull = await service.client.jetstream().pull_subscribe("facts.>", durable=name, stream="FACTS")
        [message] = await pull.fetch(1, timeout=5)
        await message.ack_sync()
        assert service.errors == []


@pytest.mark.parametrize("name", SERVICE_NAMES)
async def test_a_service_can_not_listen_on_anothers_inbox(server: EmbeddedNats, name: str) -> None:
    async with connected(server, name) as service:
        for subject in ("_INBOX.>", *(f"{inbox_prefix(other)}.>" for other in USER_NAMES if other != name)):
            await service.client.subscribe(subject)
            assert await service.is_refused(subject)


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("registry", "facts.delivery.acme.X"),
        ("executor", "facts.registry.acme.X"),
        ("executor", "events.acme.web"),
        ("delivery", "facts.registry.acme.X"),
        ("delivery", "outcomes.x"),
        ("audit", "facts.registry.acme.X"),
    ],
)
async def test_a_service_can_not_speak_for_another(server: EmbeddedNats, name: str, subject: str) -> None:
    async with connected(server, name) as service:
        await service.client.publish(subject, b"forged")
        assert await service.is_refused(subject)


async def test_each_test_finds_no_streams(nats_client: Client) -> None:
    assert await nats_client.jsm().streams_info() == []
    await nats_client.jetstream().add_stream(name="LEFT_BEHIND", subjects=["left"])


async def test_each_test_finds_no_streams_of_the_one_before(nats_client: Client) -> None:
    assert await nats_client.jsm().streams_info() == []
    await nats_client.jetstream().add_stream(name="LEFT_BEHIND", subjects=["left"])
