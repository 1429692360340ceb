"""Embedded servers for tests, in folders that come and go."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import nats
from nats.aio.client import Client

from kit.auth.tokens import format_write_key, parse_write_key
from kit.embedded.data_folder import DataFolder
from kit.embedded.nats import EmbeddedNats
from kit.embedded.nats_users import NatsUser

T = TypeVar("T")

# The user of the tests' NATS server, who may do everything.
TEST_USER = "test"
# What publishers present to it; it may do everything, too, as there is no registry to be asked about it.
WRITE_KEY = format_write_key("publisher", "k" * 32)


def run_now(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end from a synchronous fixture, leaving pytest-asyncio's loops alone."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(coroutine)


@contextmanager
def short_lived_folder() -> Iterator[Path]:
    """A folder under /tmp, removed afterwards.

    pytest's own tmp_path is too deep for a unix socket and closed to the user that runs Postgres for root.
    """
    path = Path(tempfile.mkdtemp(prefix="onward-", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            path.chmod(0o711)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def data_folder() -> Iterator[DataFolder]:
    """A DataFolder in a short-lived folder."""
    with short_lived_folder() as path, DataFolder(path / "data") as folder:
        yield folder


def nats_users(folder: DataFolder) -> list[NatsUser]:
    """The users of a test's NATS server: TEST_USER, and whoever presents WRITE_KEY."""
    return [
        NatsUser(TEST_USER, folder.secret("nats test")),
        NatsUser(parse_write_key(WRITE_KEY).id, WRITE_KEY),
    ]


async def connect_nats(server: EmbeddedNats, user: str = TEST_USER) -> Client:
    """A client of the tests' server that fails at once instead of waiting for a server that is down."""
    return await nats.connect(server.url(user), allow_reconnect=False)


async def delete_streams(client: Client) -> None:
    """Delete every stream, and with them their consumers and messages."""
    manager = client.jsm()
    for stream in await manager.streams_info():
        assert stream.config.name is not None
        await manager.delete_stream(stream.config.name)
