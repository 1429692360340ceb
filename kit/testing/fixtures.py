"""The fixtures of the integration tests; tests/conftest.py loads them.

`postgres_server` and `nats_server` run for the whole session (do not stop them: a fault test starts its own
in `data_folder`); `database` and `nats_client` are fresh for each test.
"""

import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from nats.aio.client import Client

from kit.embedded.data_folder import DataFolder
from kit.embedded.nats import EmbeddedNats
from kit.embedded.postgres import EmbeddedPostgres
from kit.testing import servers

TEMPLATE_DATABASE = "template0"


@pytest.fixture
def data_folder() -> Iterator[DataFolder]:
    """A data folder of the test's own, for servers that it starts and kills itself."""
    with servers.data_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """One Postgres for all tests."""
    with servers.data_folder(servers.fastest_folder()) as folder:
        server = EmbeddedPostgres(folder)
        servers.run_now(server.start())
        try:
            yield server
        finally:
            servers.run_now(server.stop())


@pytest.fixture
async def database(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    """The dsn of an empty database of the test's own."""
    name = f"test_{uuid.uuid4().hex}"
    await postgres_server.create_database(name, template=TEMPLATE_DATABASE)
    try:
        yield postgres_server.dsn(name)
    finally:
        await postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def nats_server() -> Iterator[EmbeddedNats]:
    """One NATS server for all tests: strict durability, a user `test` who may do everything."""
    with servers.data_folder(servers.fastest_folder()) as folder:
        server = EmbeddedNats(
            folder, servers.nats_users(folder), file_store_bytes_max=servers.STREAM_BYTES_PROMISED_MAX
        )
        servers.run_now(server.start())
        try:
            yield server
        finally:
            servers.run_now(server.stop())


@pytest.fixture
async def nats_url(nats_server: EmbeddedNats) -> AsyncIterator[str]:
    """The address of the NATS server with credentials; every stream is deleted after the test."""
    try:
        yield nats_server.url(servers.TEST_USER)
    finally:
        client = await servers.connect_nats(nats_server)
        await servers.delete_streams(client)
        await client.close()


@pytest.fixture
async def nats_client(nats_server: EmbeddedNats, nats_url: str) -> AsyncIterator[Client]:
    """A connected client; every stream is deleted after the test."""
    client = await servers.connect_nats(nats_server)
    try:
        yield client
    finally:
        await client.close()
