"""Tests of the NATS server that `onward up` runs, and of what its users may do."""

import asyncio
import json
import os
import socket
import stat
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest
from nats.aio.client import Client

from kit.embedded.data_folder import DataFolder
from kit.embedded.errors import EmbeddedError
from kit.embedded.nats import EmbeddedNats
from tests.integration.nats_world import Keys, answering, connected, embedded, running

pytestmark = pytest.mark.integration


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


async def test_it_collects_seldom_unless_the_environment_says_otherwise(
    data_folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOGC", "GOMAXPROCS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOMEMLIMIT", "1GiB")
    monkeypatch.setenv("ONWARD_SECRET", "not the server's")
    async with running(embedded(data_folder)) as server:
        assert server._process is not None
        given = psutil.Process(server._process.pid).environ()
    threads = str(2 * (os.cpu_count() or 1))
    assert given == {"GOGC": "400", "GOMEMLIMIT": "1GiB", "GOMAXPROCS": threads, "PATH": os.environ["PATH"]}


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
    async with answering(server, Keys()):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert json.loads((await reader.readline()).removeprefix(b"INFO "))["auth_required"] is True
        writer.write(f"CONNECT {credentials}\r\nPING\r\n".encode())
        assert await reader.readline() == b"-ERR 'Authorization Violation'\r\n"
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_streams_of_a_folder_of_before_there_were_accounts_are_kept(data_folder: DataFolder) -> None:
    async with running(embedded(data_folder)) as server:
        await publish_one(server)
    store = data_folder.path / "nats" / "store" / "jetstream"
    (store / "ONWARD").rename(store / "$G")
    async with running(embedded(data_folder)) as server:
        assert await stored(server) == 1


async def test_each_test_finds_no_streams(nats_client: Client) -> None:
    assert await nats_client.jsm().streams_info() == []
    await nats_client.jetstream().add_stream(name="LEFT_BEHIND", subjects=["left"])


async def test_each_test_finds_no_streams_of_the_one_before(nats_client: Client) -> None:
    assert await nats_client.jsm().streams_info() == []
    await nats_client.jetstream().add_stream(name="LEFT_BEHIND", subjects=["left"])
