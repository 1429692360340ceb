"""How fast the bus carries events, beside a floor that does nothing with them.

    python -m bench.bus [--messages 20000] [--runs 5] [--relaxed] [--json FILE]

Medians of several runs with 1 KB messages on a server of its own. `cpu_us` is what this process used for each
message, `server_cpu_us` what nats-server used.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil

from kit.bus.acks import ack
from kit.bus.connection import Bus, connect
from kit.bus.message import Message
from kit.bus.publish import Outgoing, Publisher
from kit.bus.puller import Puller
from kit.bus.streams import EXECUTOR, StreamDeclaration, provision
from kit.embedded.nats import EmbeddedNats
from kit.embedded.nats_users import NatsUser
from kit.testing import servers

Figures = dict[str, float]

BODY = b'{"type": "track", "properties": "' + b"x" * 990 + b'"}'
STREAM = StreamDeclaration("BENCH", ("bench.>",), 3600, 8 * 1024**3, consumers=(EXECUTOR,))
PULL_BATCH = 500
FLOOR_WINDOW = 500


def outgoing(run: int, count: int) -> list[Outgoing]:
    return [Outgoing("bench.web", BODY, f"018f0000-{run:04d}-7000-8000-{n:012d}") for n in range(count)]


async def publish_many(bus: Bus, run: int, count: int) -> None:
    results = await Publisher(bus).publish_many(outgoing(run, count))
    assert not any(result.error or result.duplicate for result in results)


async def publish_floor(bus: Bus, run: int, count: int) -> None:
    """Ready-made bytes to a subject without a stream: what socket and server take."""
    chunk = (b"PUB floor %d\r\n%b\r\n" % (len(BODY), BODY)) * FLOOR_WINDOW
    for _ in range(count // FLOOR_WINDOW):
        bus.write(chunk)
        await bus.flush()


async def pull_and_ack(bus: Bus, run: int, count: int) -> None:
    done = asyncio.Event()
    handled = 0

    def on_batch(messages: list[Message]) -> None:
        nonlocal handled
        handled += len({message.stream_seq for message in messages})
        ack(bus, messages)
        if handled >= count:
            done.set()

    puller = Puller(bus, STREAM.name, EXECUTOR.name, batch=PULL_BATCH, on_batch=on_batch)
    async with asyncio.TaskGroup() as group:
        group.create_task(puller.run())
        await done.wait()
        await puller.stop()


async def pull_floor(bus: Bus, run: int, count: int) -> None:
    """One pull request for everything, every message acknowledged from the parser's own function."""
    done = asyncio.Event()
    replies: list[bytes] = []

    def sink(subject: bytes, reply: bytes, header: bytes, data: bytes) -> None:
        replies.append(reply)
        if len(replies) % FLOOR_WINDOW == 0 or len(replies) == count:
            bus.write(b"".join([b"PUB %b 4\r\n+ACK\r\n" % reply for reply in replies[-FLOOR_WINDOW:]]))
        if len(replies) == count:
            done.set()

    inbox = bus.new_inbox()
    subscription = await bus.subscribe(inbox, sink)
    bus.send(f"$JS.API.CONSUMER.MSG.NEXT.{STREAM.name}.{EXECUTOR.name}", b'{"batch": %d}' % count, inbox)
    await done.wait()
    await bus.unsubscribe(subscription)


async def measure(
    step: Callable[[Bus, int, int], Awaitable[None]], bus: Bus, server: psutil.Process, run: int, count: int
) -> Figures:
    own, theirs = psutil.Process().cpu_times(), server.cpu_times()
    start = time.perf_counter()
    await step(bus, run, count)
    seconds = time.perf_counter() - start
    used, served = psutil.Process().cpu_times(), server.cpu_times()
    per_message = 1e6 / count
    return {
        "per_s": count / seconds,
        "cpu_us": (used.user + used.system - own.user - own.system) * per_message,
        "server_cpu_us": (served.user + served.system - theirs.user - theirs.system) * per_message,
    }


async def run_all(count: int, runs: int, sync_always: bool) -> dict[str, Figures]:
    samples: dict[str, list[Figures]] = {}
    with servers.data_folder() as folder:
        nats = EmbeddedNats(folder, [NatsUser("bench", "bench")], sync_always=sync_always)
        await nats.start()
        bus = await connect(nats.url("bench"), name="bench")
        await provision(bus, [STREAM])
        server = psutil.Process(nats.pid)
        for run in range(2 * runs):
            pull = pull_and_ack if run % 2 else pull_floor
            for step in (publish_floor, publish_many, pull):
                samples.setdefault(step.__name__, []).append(await measure(step, bus, server, run, count))
        await bus.close()
        await nats.stop()
    return {
        name: {key: round(statistics.median(sample[key] for sample in steps), 1) for key in steps[0]}
        for name, steps in samples.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--relaxed", action="store_true", help="without sync_interval: always")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures = asyncio.run(run_all(options.messages, options.runs, not options.relaxed))
    for name, values in figures.items():
        print(f"{name:14}", "  ".join(f"{key} {value:>10,.1f}" for key, value in values.items()))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
