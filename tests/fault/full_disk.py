"""What a full disk does, on a small file system of its own: `python -m tests.fault.full_disk nats|postgres FOLDER`.

A ballast file fills it; what was written before stays, what is written meanwhile waits, and all of it is there when the
ballast is gone. `test_full_disk.py` runs it below `unshare`, so that the file system is seen by nobody else.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import asyncpg

import onward
from kit.bus.connection import connect
from kit.bus.streams import events_stream, provision
from kit.embedded.data_folder import DataFolder
from kit.embedded.nats import EmbeddedNats
from kit.embedded.nats_disk import read_write_error
from kit.embedded.postgres import EmbeddedPostgres
from kit.embedded.supervisor import Supervisor
from kit.testing import servers
from kit.testing.eventually import eventually
from onward.executor.v1 import outcomes_pb2 as pb
from tests.integration.delivery_world import attempt, batch, running

EVENTS = 3000
# Together twice as much as the room that the ballast leaves.
EVENT_BYTES = 5000
ROOM_BYTES = 8_000_000
RECOVERY_S = 60.0
# Of all streams together; nobody fills one here.
PROMISED_BYTES_MAX = 1 << 50
NO_ROOM = os.strerror(errno.ENOSPC).encode()


def fill(folder: Path) -> Path:
    ballast = folder / "ballast"
    with ballast.open("wb") as file:
        file.write(bytes(shutil.disk_usage(folder).free - ROOM_BYTES))
    return ballast


async def full_nats(path: Path) -> None:
    """Publishers wait and lose nothing; the server is started again when there is room."""
    with DataFolder(path / "data") as folder:
        server = EmbeddedNats(folder, servers.nats_users(folder), file_store_bytes_max=PROMISED_BYTES_MAX)
        async with Supervisor() as supervisor:
            await supervisor.start(server)
            bus = await connect(server.url(servers.TEST_USER), name="test")
            await provision(bus, [events_stream("acme")])
            ballast = fill(path)
            async with onward.Publisher(
                server.address, servers.WRITE_KEY, source="web", workspace="acme", events_max=EVENTS
            ) as publisher:
                for number in range(EVENTS):
                    event = {"type": "page", "userId": "u", "messageId": f"m-{number}", "context": "x" * EVENT_BYTES}
                    await publisher.publish(event)
                # Only little room left is not enough: without a write that failed, the server needs no new start.
                await eventually(lambda: read_write_error(server.monitor_url), timeout_s=RECOVERY_S)
                assert publisher.counts.settled < EVENTS, "the disk was not full"
                ballast.unlink()
                await publisher.flush(RECOVERY_S)
            counts = publisher.counts
            assert counts.published + counts.duplicates == EVENTS, counts
            state = (await bus.api("STREAM.INFO.EVENTS_acme"))["state"]
            assert state["messages"] == EVENTS, state
            assert supervisor.restarts("nats") == 1
            await bus.close()


async def full_postgres(path: Path) -> None:
    """Outcomes wait in JetStream, which is elsewhere, and are applied once each when there is room."""
    with servers.data_folder() as elsewhere, DataFolder(path / "data") as folder:
        nats, postgres = EmbeddedNats(elsewhere, servers.nats_users(elsewhere)), EmbeddedPostgres(folder)
        async with Supervisor() as supervisor:
            await supervisor.start(nats)
            await supervisor.start(postgres)
            await postgres.create_database("tracker", template="template0")
            log = folder.log_path("postgres")
            async with running(postgres.dsn("tracker"), nats.url(servers.TEST_USER)) as world:
                await world.report(batch(attempt(1)))
                ballast = fill(path)
                for start in range(2, EVENTS, 100):
                    numbers = range(start, min(start + 100, EVENTS))
                    await world.publish(batch(*[failed(number) for number in numbers]))
                # Its end gives room back, so the room that is left tells nothing.
                await eventually(lambda: NO_ROOM in log.read_bytes(), timeout_s=RECOVERY_S)
                ballast.unlink()
                count = "SELECT count(*) FROM attempts"

                async def applied() -> bool:
                    # Without room for its log, Postgres ends, and recovers when it has some.
                    with suppress(OSError, asyncpg.PostgresError):
                        return bool(await world.value(count) == EVENTS - 1)
                    return False

                await eventually(applied, timeout_s=RECOVERY_S, interval_s=0.5)
                assert await world.value("SELECT sum(count)::int FROM rollups") == EVENTS - 1


def failed(number: int) -> pb.Attempt:
    """An attempt that takes room: Postgres compresses what can be compressed."""
    event = b'{"x":"%b"}' % os.urandom(EVENT_BYTES // 2).hex().encode()
    detail = pb.AttemptDetail(event=event, error_message="it broke")
    return attempt(number, 1, pb.RESULT_FAILED, detail=detail)


if __name__ == "__main__":
    asyncio.run({"nats": full_nats, "postgres": full_postgres}[sys.argv[1]](Path(sys.argv[2])))
