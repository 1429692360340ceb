"""The floor of the whole chain: the same messages published, pulled and acknowledged, with nothing done to them."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid

import psutil

from bench.system import System
from kit.bus.acks import ack
from kit.bus.connection import connect
from kit.bus.message import Message
from kit.bus.publish import Outgoing, Publisher
from kit.bus.puller import Puller
from kit.bus.streams import events_stream, provision

PUBLISH_EVENTS = 4000
PULL_EVENTS = 256
TIMEOUT_S = 300.0


async def floor_events_per_s(system: System, batch: list[bytes]) -> float:
    """Events a second from the first publish to the last ack; publisher and consumer in processes of their own."""
    workspace = f"floor-{uuid.uuid4().hex[:8]}"
    user = psutil.Process(system.pids["executor"]).environ()
    login = [system.client["nats_url"], user["ONWARD_NATS_USER"], user["ONWARD_NATS_PASSWORD"]]
    consumer = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.floor", json.dumps([*login, workspace, len(batch)]),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert consumer.stdout is not None
    await consumer.stdout.readline()
    bus = await connect(
        system.client["nats_url"], system.client["nats_user"], system.client["nats_password"], name="floor"
    )
    publisher = Publisher(bus)
    start = time.perf_counter()
    for first in range(0, len(batch), PUBLISH_EVENTS):
        part = batch[first : first + PUBLISH_EVENTS]
        subject = f"events.{workspace}.web"
        outgoing = [Outgoing(subject, data, f"{workspace}:{first + index}") for index, data in enumerate(part)]
        await publisher.publish_many(outgoing)
    async with asyncio.timeout(TIMEOUT_S):
        await consumer.stdout.readline()
    elapsed = time.perf_counter() - start
    await consumer.wait()
    await bus.close()
    return len(batch) / elapsed


async def _consume(url: str, user: str, password: str, workspace: str, count: int) -> None:
    bus = await connect(url, user, password, name="floor-consumer")
    stream = events_stream(workspace)
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
    await bus.api(f"STREAM.DELETE.{stream.name}")
    await bus.close()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_consume(*json.loads(sys.argv[1])))
