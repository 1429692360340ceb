"""What an acknowledgement is worth: counted at the system calls of the server."""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path

import pytest

from kit.bus.connection import connect
from kit.bus.publish import Publisher
from kit.bus.streams import events_stream, provision
from kit.embedded.data_folder import DataFolder
from kit.embedded.nats import EmbeddedNats
from kit.testing import servers
from kit.testing.eventually import eventually

pytestmark = [pytest.mark.fault]

PUBLISHES = 100


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed, which counts system calls")
async def test_every_single_publish_is_synced_before_it_is_acknowledged(
    data_folder: DataFolder, tmp_path: Path
) -> None:
    """B2."""
    server = EmbeddedNats(data_folder, servers.nats_users(data_folder))
    await server.start()
    bus = await connect(server.url(servers.TEST_USER), name="test")
    await provision(bus, [events_stream("acme")])
    calls = tmp_path / "calls"
    tracer = await asyncio.create_subprocess_exec(
        "strace", "-f", "-e", "trace=fsync,fdatasync", "-o", str(calls), "-p", str(server.pid),
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert tracer.stderr is not None
        said = await tracer.stderr.readline()
        if b"attached" not in said:
            pytest.skip(f"this user may not trace: {said.decode()}")
        for number in range(PUBLISHES):
            await Publisher(bus).publish("events.acme.web", b"{}", f"m-{number}")
        await eventually(lambda: synced(calls) >= PUBLISHES)
    finally:
        if tracer.returncode is None:
            tracer.send_signal(signal.SIGINT)
        await tracer.communicate()
        await bus.close()
        await server.stop()


def synced(calls: Path) -> int:
    """How many calls have returned; one that was interrupted by another thread's has two lines."""
    return sum("= 0" in line for line in calls.read_text().splitlines())
