"""What a bad destination, a thousand of them and a spike do to others: `python -m bench.neighbours [--json FILE]`.

The whole system is started as a user does, with strict durability; publishers, system and receiver share the machine.
A dead destination's handler waits for an answer that never comes, until its timeout.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import orjson

from bench.flood import flood
from bench.population import (
    Source,
    Workspace,
    latency_ms,
    publish_all,
    publish_steadily,
    together,
    until_ended,
    workspace,
)
from bench.system import System, running_system

WORKS = "async function onTrack(event) { return event.event; }"
HANGS = "async function onTrack() { await fetch('%s'); }"
# As short as a policy may sensibly be, so that many timeouts are seen.
TIMEOUT_MS = 2_000
TEN = 10
RUNS = 5
EVENTS = 10_000
STEADY_PER_S = 100.0
STEADY_S = 8.0
MANY = 1_000
MANY_EVENTS = 20_000
# Of each source's events, so that few and many sources publish in batches of one size.
MANY_BATCH = 20
DEAD_OF_MANY = 100
SPIKE_EVENTS = 1_000_000
TIMEOUT_S = 900.0
# After a change: until executors run it.
SETTLE_S = 1.5

Figures = dict[str, float]


@asynccontextmanager
async def black_hole() -> AsyncIterator[str]:
    """A server that takes requests and never answers; gives its URL."""

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            pass
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


def now_us() -> int:
    return time.time_ns() // 1000


async def steady_p99_ms(system: System, at: Workspace, sources: Sequence[Source], names: Sequence[str]) -> float:
    """p99 of these destinations at a fixed rate; each source has deliveries to as many of them."""
    began_us = now_us()
    await publish_steadily(sources, STEADY_PER_S, STEADY_S)
    await asyncio.sleep(SETTLE_S)
    return await latency_ms(system, at.name, names, began_us, 0.99)


class Fan:
    """One source, ten destinations."""

    def __init__(self, system: System, at: Workspace, source: Source) -> None:
        self._system = system
        self._at = at
        self._source = source
        self.names = [f"fan-{number}" for number in range(TEN)]
        self.others = self.names[1:]
        self._published = 0

    async def rate(self) -> float:
        """Deliveries a second of the other nine."""
        self._published += EVENTS
        began = time.perf_counter()
        await publish_all([(self._source, EVENTS)])
        await until_ended(self._system, self._at.name, self.others, self._published * len(self.others), TIMEOUT_S)
        return EVENTS * len(self.others) / (time.perf_counter() - began)

    async def p99_ms(self) -> float:
        self._published += round(STEADY_PER_S * STEADY_S)
        return await steady_p99_ms(self._system, self._at, [self._source], self.others)


async def dead_one(system: System, hole: str) -> Figures:
    """Ten destinations that work, then with one of them dead."""
    async with workspace(system, "fan") as at:
        await at.function("works", WORKS)
        await at.function("hangs", HANGS % hole, TIMEOUT_MS)
        fan = Fan(system, at, await at.source("fan"))
        for name in fan.names:
            await at.destination(name, "works", "fan")
        await asyncio.sleep(SETTLE_S)
        await fan.rate()
        well = [await fan.rate() for _ in range(RUNS)], [await fan.p99_ms() for _ in range(RUNS)]
        await at.disconnect(fan.names[0])
        await at.destination("fan-dead", "hangs", "fan")
        await asyncio.sleep(SETTLE_S)
        await fan.rate()
        beside = [await fan.rate() for _ in range(RUNS)], [await fan.p99_ms() for _ in range(RUNS)]
        await at.disconnect("fan-dead")
    (rate, p99), (rate_beside, p99_beside) = (tuple(map(statistics.median, pair)) for pair in (well, beside))
    return {
        "neighbours_per_s": rate,
        "neighbours_beside_per_s": rate_beside,
        "neighbours_throughput_ratio": rate_beside / rate,
        "neighbours_p99_ms": p99,
        "neighbours_beside_p99_ms": p99_beside,
        "neighbours_p99_ratio": p99_beside / p99,
    }


class Many:
    """Sources with a destination each."""

    def __init__(self, system: System, at: Workspace, sources: Sequence[Source]) -> None:
        self._system = system
        self._at = at
        self.sources = sources
        self.names = [source.name for source in sources]
        self._published = 0

    async def rate(self, count: int) -> float:
        each = count // len(self.sources)
        self._published += each * len(self.sources)
        began = time.perf_counter()
        await publish_all([(source, each) for source in self.sources], MANY_BATCH)
        await until_ended(self._system, self._at.name, self.names, self._published, TIMEOUT_S)
        return each * len(self.sources) / (time.perf_counter() - began)

    async def p99_ms(self, dead: int) -> float:
        """Of all but the first ones, which get their events as well."""
        self._published += round(STEADY_PER_S * STEADY_S)
        return await steady_p99_ms(self._system, self._at, self.sources, self.names[dead:])


@asynccontextmanager
async def many(system: System, name: str, count: int) -> AsyncIterator[tuple[Workspace, Many]]:
    async with workspace(system, name) as at:
        await at.function("works", WORKS)
        names = [f"{name}-{number}" for number in range(count)]
        sources = await together([at.source(one) for one in names])
        await together([at.destination(one, "works", one) for one in names])
        await asyncio.sleep(SETTLE_S)
        population = Many(system, at, sources)
        await population.rate(count * 2)
        yield at, population


async def thousand(system: System, hole: str, count: int) -> Figures:
    """Saturation with ten and with many destinations, and many of which a tenth hangs."""
    async with many(system, "few", TEN) as (_, few):
        rate_few = statistics.median([await few.rate(MANY_EVENTS) for _ in range(3)])
    async with many(system, "many", count) as (at, population):
        rate_many = statistics.median([await population.rate(MANY_EVENTS) for _ in range(3)])
        dead = count * DEAD_OF_MANY // MANY
        p99 = statistics.median([await population.p99_ms(dead) for _ in range(RUNS)])
        # The same function for all of them: those that are to hang get one of their own.
        await at.function("hangs", HANGS % hole, TIMEOUT_MS)
        await together([at.disconnect(one) for one in population.names[:dead]])
        await together([at.destination(f"{one}-dead", "hangs", one) for one in population.names[:dead]])
        await asyncio.sleep(SETTLE_S)
        beside = statistics.median([await population.p99_ms(dead) for _ in range(RUNS)])
    return {
        "destinations_10_per_s": rate_few,
        "destinations_1000_per_s": rate_many,
        "destinations_1000_ratio": rate_many / rate_few,
        "destinations_1000_p99_ms": p99,
        "destinations_1000_beside_dead_p99_ms": beside,
        "dead_100_p99_ratio": beside / p99,
    }


@asynccontextmanager
async def busy_core() -> AsyncIterator[None]:
    """A process that computes: what anything does to others that takes a whole CPU of the machine."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "while True: pass")
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def spike(system: System, count: int) -> Figures:
    """A workspace whose neighbour publishes a great many events as fast as it can."""
    async with workspace(system, "calm") as calm, workspace(system, "spike") as wild:
        sources = []
        for at in (calm, wild):
            await at.function("works", WORKS)
            sources.append(await at.source(at.name))
            await at.destination(at.name, "works", at.name)
        await asyncio.sleep(SETTLE_S)

        async def p99_ms() -> float:
            return await steady_p99_ms(system, calm, sources[:1], [calm.name])

        await p99_ms()
        before = statistics.median([await p99_ms() for _ in range(RUNS)])
        async with busy_core():
            busy = statistics.median([await p99_ms() for _ in range(RUNS)])
        async with flood(system.client["nats_url"], sources[1], count) as wave:
            began = time.perf_counter()
            publishing = asyncio.create_task(wave.publish())
            during: list[float] = []
            while not publishing.done() or not during:
                during.append(await p99_ms())
            published_s = await publishing
        await until_ended(system, wild.name, [wild.name], count, TIMEOUT_S)
        drained_s = time.perf_counter() - began
    return {
        "spike_events": count,
        "spike_published_per_s": count / published_s,
        "spike_drained_per_s": count / drained_s,
        "spike_calm_p99_ms": before,
        "spike_beside_p99_ms": statistics.median(during),
        "spike_neighbour_p99_ratio": statistics.median(during) / before,
        "busy_core_p99_ms": busy,
        "busy_core_p99_ratio": busy / before,
        "spike_peak_rss_mb": sum(system.peak_rss_mb().values()),
    }


async def measure_neighbours(destinations: int = MANY, spike_events: int = SPIKE_EVENTS) -> Figures:
    figures: Figures = {}
    async with black_hole() as hole:
        parts: Sequence[Callable[[System], Awaitable[Figures]]] = (
            lambda system: dead_one(system, hole),
            lambda system: spike(system, spike_events),
            lambda system: thousand(system, hole, destinations),
        )
        for part in parts:
            async with running_system() as system:
                found = await part(system)
            for name, value in found.items():
                print(f"{name:40} {value:12,.2f}", flush=True)
            figures |= found
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what bad destinations and spikes do to others.")
    parser.add_argument("--destinations", type=int, default=MANY)
    parser.add_argument("--spike-events", type=int, default=SPIKE_EVENTS)
    parser.add_argument("--json", type=Path, help="write the figures there as one flat object")
    arguments = parser.parse_args()
    figures = asyncio.run(measure_neighbours(arguments.destinations, arguments.spike_events))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    main()
