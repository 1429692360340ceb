"""Files of a stream that were damaged on the disk: never silently."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from kit.bus.connection import connect
from kit.bus.message import Message
from kit.bus.publish import Outgoing, Publisher
from kit.bus.puller import Puller
from kit.bus.stored import exists
from kit.bus.streams import events_stream, provision
from kit.embedded.data_folder import DataFolder
from kit.embedded.nats import EmbeddedNats
from kit.status.nats import judge_backlog, read_backlog
from kit.testing import servers
from kit.testing.eventually import eventually
from services.executor.consumers.continuity import Continuity

pytestmark = pytest.mark.integration

EVENTS = 200


def flip_a_bit(block: Path) -> None:
    data = bytearray(block.read_bytes())
    data[len(data) // 2] ^= 1
    block.write_bytes(data)


def cut_off_half(block: Path) -> None:
    os.truncate(block, block.stat().st_size // 2)


@pytest.mark.parametrize("damage", [flip_a_bit, cut_off_half])
async def test_damaged_events_are_told_and_the_others_come(
    data_folder: DataFolder, damage: Callable[[Path], None]
) -> None:
    """B5, for events: the server says what it knows of, the executor what it was not given."""
    server = EmbeddedNats(data_folder, servers.nats_users(data_folder))
    await server.start()
    bus = await connect(server.url(servers.TEST_USER), name="test")
    await provision(bus, [events_stream("acme")])
    messages = [Outgoing("events.acme.web", b'{"text":"%b"}' % (b"x" * 500), f"m-{n}") for n in range(EVENTS)]
    await Publisher(bus).publish_many(messages)
    await server.stop()
    (block,) = (data_folder.part("nats") / "store").rglob("*.blk")
    damage(block)
    await server.start()
    await bus.wait_connected(20)
    await Publisher(bus).publish("events.acme.web", b"{}", "after")

    continuity = Continuity(partial(exists, bus))
    got: list[int] = []

    def on_batch(batch: list[Message]) -> None:
        continuity.seen("EVENTS_acme", batch)
        got.extend(message.stream_seq for message in batch)

    puller = Puller(bus, "EVENTS_acme", "executor", batch=50, on_batch=on_batch)
    async with asyncio.TaskGroup() as group:
        group.create_task(puller.run())
        looking = group.create_task(continuity.run())
        await eventually(lambda: EVENTS + 1 in got, timeout_s=20)
        await eventually(lambda: continuity.missing > 0, timeout_s=20)
        await puller.stop()
        looking.cancel()
    lost = EVENTS + 1 - len(set(got))
    assert lost == (1 if damage is flip_a_bit else EVENTS // 2)
    if damage is cut_off_half:
        said = judge_backlog("events", [await read_backlog(bus, "EVENTS_acme", "executor")], 10**6, "", refills=True)
        assert "EVENTS_acme is damaged on NATS' disk: 100 messages missing" in said.message
    await bus.close()
    await server.stop()
