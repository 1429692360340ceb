"""The floor of the whole chain: the same messages published, pulled and acknowledged, with nothing done to them."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from kit.bus.acks import ack
from kit.bus.connection import connect
from kit.bus.message import Message
from kit.bus.publish import Outgoing, Publisher
from kit.bus.puller import Puller
from kit.bus.streams import events_stream, provision
from kit.embedded.nats import EmbeddedNats
from kit.embedded.nats_users import NatsUser
from kit.testing import servers

PUBLISH_EVENTS = 4000
PULL_EVENTS = 256
TIMEOUT_S = 300.0
WORKSPACE = USER = "floor"


async def floor_events_per_s(batch: list[bytes]) -> float:
    """Events a second from the first publish to the last ack; publisher and consumer in processes of their own.

    The server is started as `onward up` starts its own, which has no user that may do both.
    """
    with servers.data_folder() as folder:
        server = EmbeddedNats(folder, [NatsUser(USER, folder.secret(USER))])
        await server.start()
        try:
            return await _measure([server.address, USER, folder.secret(USER)], batch)
        finally:
            await server.stop()


async def _measure(login: list[str], batch: list[bytes]) -> float:
    consumer = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.floor", json.dumps([*login, len(batch)]),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert consumer.stdout is not None
    await consumer.stdout.readline()
    url, user, password = login
    bus = await connect(url, user, password, name="floor")
    publisher = Publisher(bus)
    start = time.perf_counter()
    for first in range(0, len(batch), PUBLISH_EVENTS):
        part = batch[first : first + PUBLISH_EVENTS]
        subject = f"events.{WORKSPACE}.web"
        outgoing = [Outgoing(subject, data, f"web:{first + index}") for index, data in enumerate(part)]
        await publisher.publish_many(outgoing)
    async with asyncio.timeout(TIMEOUT_S):
        await consumer.stdout.readline()
    elapsed = time.perf_counter() - start
    await consumer.wait()
    await bus.close()
    return len(batch) / elapsed


async def _consume(url: str, user: str, password: str, count: int) -> None:
    bus = await connect(url, user, password, name="floor-consumer")
    stream = events_stream(WORKSPACE)
    await provision(bus, [stream])
    seen = 0
    done = asyncio.Event()

    def on_batch(messages: list[Message]) -> None:
        nonlocal seen
        seen += len(messages)
        ack(bus, messages)
        if seen >= count:
            done.set()

    puller = Puller(bus, stream.name, "executor", batch=PULL_EVENTS, on_batch=on_batch)
    async with asyncio.TaskGroup() as group:
        group.create_task(puller.run())
        print("ready", flush=True)
        await done.wait()
        await bus.flush()
        print("done", flush=True)
        await puller.stop()
    await bus.close()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_consume(*json.loads(sys.argv[1])))
