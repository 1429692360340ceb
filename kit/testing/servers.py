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
import psutil
from nats.aio.client import Client

from kit.auth.tokens import format_write_key, parse_write_key
from kit.embedded.data_folder import DataFolder
from kit.embedded.nats import EmbeddedNats
from kit.embedded.nats_users import NatsUser

T = TypeVar("T")

DISK = Path("/tmp")  # noqa: S108  the folders in it have random names
MEMORY = Path("/dev/shm")  # noqa: S108  likewise
# Postgres keeps 4 GiB of its log at most, NATS what one test publishes; in practice a process of tests needs one.
MEMORY_BYTES_MIN = 8 * 2**30
# What streams may promise together, which they never fill: several are made at once, and each promises anew.
STREAM_BYTES_PROMISED_MAX = 2**40

# The user of the tests' NATS server, who may do everything.
TEST_USER = "test"
# What publishers present to it; it may do everything, too, as there is no registry to be asked about it.
WRITE_KEY = format_write_key("publisher", "k" * 32)


def run_now(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end from a synchronous fixture, leaving pytest-asyncio's loops alone."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(coroutine)


@contextmanager
def short_lived_folder(parent: Path = DISK) -> Iterator[Path]:
    """A folder, removed afterwards.

    pytest's own tmp_path is too deep for a unix socket and closed to the user that runs Postgres for root.
    """
    path = Path(tempfile.mkdtemp(prefix="onward-", dir=parent))
    try:
        if os.geteuid() == 0:
            path.chmod(0o711)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def data_folder(parent: Path = DISK) -> Iterator[DataFolder]:
    """A DataFolder in a short-lived folder."""
    with short_lived_folder(parent) as path, DataFolder(path / "data") as folder:
        yield folder


def fastest_folder() -> Path:
    """Where servers sync for nothing: memory, where there is plenty.

    For those that no test takes the power from. A database is made, migrated and dropped there in 0.2 s; on a disk that
    syncs in milliseconds it takes 0.6 s, and thousands of tests have one each.
    """
    try:
        free = shutil.disk_usage(MEMORY).free
    except OSError:
        return DISK
    return MEMORY if min(free, psutil.virtual_memory().available) >= MEMORY_BYTES_MIN else DISK


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
