"""Postgres and NATS for a bench that measures one service on servers of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kit.embedded.nats import EmbeddedNats
from kit.embedded.nats_users import NatsUser
from kit.embedded.postgres import EmbeddedPostgres
from kit.testing import servers

DATABASE = "bench"


@asynccontextmanager
async def own_servers() -> AsyncIterator[tuple[EmbeddedPostgres, EmbeddedNats]]:
    """Both, with an empty database DATABASE and the one NATS user `servers.TEST_USER`."""
    with servers.data_folder() as folder:
        users = [NatsUser(servers.TEST_USER, folder.secret("nats bench"))]
        # Streams promise more than they will ever hold here, on any disk.
        nats = EmbeddedNats(folder, users, file_store_bytes_max=servers.STREAM_BYTES_PROMISED_MAX)
        postgres = EmbeddedPostgres(folder)
        try:
            await nats.start()
            await postgres.start()
            await postgres.create_database(DATABASE, template="template0")
            yield postgres, nats
        finally:
            await postgres.stop()
            await nats.stop()
