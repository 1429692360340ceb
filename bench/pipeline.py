"""How fast the whole chain is: publisher, NATS, executor, V8, NATS, tracker, Postgres; beside the floor.

    python bench/pipeline.py [--events 60000] [--runs 3] [--json FILE] [--plot FILE]

The floor is the same publish, pull and ack of the same messages through a server of the same kind with no work in
between: no chain in Python on this machine and server can be faster. Everything runs on real servers, started as a user
does. Rates are medians of the runs. docs/benchmarks.md explains each figure.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import statistics
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import orjson

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import latency
from bench.floor import floor_events_per_s
from bench.plots import plot_pipeline
from bench.system import WORKSPACE, System, connect_destination, running_system
from kit.bus.connection import Bus
from kit.bus.publish import Outgoing, Publisher

DATA = Path(__file__).resolve().parent / "data"
# One call of publish_many: a few atomic batches, so that several are always under way.
PUBLISH_EVENTS = 4000
RECORDED_TIMEOUT_S = 300.0
# Of each handler, before anything is measured.
WARM_UP_EVENTS = 2000
SETTLE_S = 2.0
IDLE_SECONDS = 10.0

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Run:
    """One run: events a second of both handlers and of the floor, and CPU time by part of the trivial one."""

    rates: dict[str, float]
    cpu_s: dict[str, float]


def events() -> list[bytes]:
    return gzip.decompress((DATA / "events.ndjson.gz").read_bytes()).splitlines()


def fresh(lines: list[bytes], count: int) -> list[tuple[str, bytes]]:
    """Give `count` events with messageIds of their own: the input cycles, and duplicates would be dropped."""
    run = uuid.uuid4().hex[:8]
    made = []
    for number in range(count):
        line = lines[number % len(lines)]
        start = line.index(b'"messageId":"') + 13
        end = line.index(b'"', start)
        message_id = f"{run}-{number:010d}"
        made.append((message_id, line[:start] + message_id.encode() + line[end:]))
    return made


async def publish(bus: Bus, source: str, batch: list[tuple[str, bytes]]) -> None:
    publisher = Publisher(bus)
    subject = f"events.{WORKSPACE}.{source}"
    for start in range(0, len(batch), PUBLISH_EVENTS):
        part = batch[start : start + PUBLISH_EVENTS]
        results = await publisher.publish_many([Outgoing(subject, data, f"{source}:{key}") for key, data in part])
        failed = next((result.error for result in results if result.error), None)
        if failed is not None:
            raise failed


async def recorded(system: System, destination: str) -> int:
    """Count the deliveries of a destination that ended, as Postgres has them."""
    connection = await system.database()
    try:
        query = "SELECT coalesce(sum(count), 0) FROM rollups WHERE workspace = $1 AND destination = $2"
        return int(await connection.fetchval(query, WORKSPACE, destination))
    finally:
        await connection.close()


async def throughput(system: System, bus: Bus, name: str, batch: list[tuple[str, bytes]]) -> float:
    """Events a second from the first publish to the last outcome in Postgres."""
    before = await recorded(system, name)
    start = time.perf_counter()
    await publish(bus, name, batch)
    async with asyncio.timeout(RECORDED_TIMEOUT_S):
        while await recorded(system, name) < before + len(batch):
            await asyncio.sleep(0.02)
    return len(batch) / (time.perf_counter() - start)


async def idle_cpu_percent(system: System) -> float:
    """Percent of one core that all processes use together when there is nothing to do."""
    before = system.cpu_seconds()
    await asyncio.sleep(IDLE_SECONDS)
    after = system.cpu_seconds()
    return sum(after[name] - before[name] for name in after) / IDLE_SECONDS * 100


async def at_rest(system: System) -> Figures:
    """CPU and memory of a system that has seen a few events and has nothing to do."""
    await asyncio.sleep(SETTLE_S)
    return {"idle_cpu_percent": await idle_cpu_percent(system)} | by_part("pss_mb", system.pss_mb())


def by_part(name: str, sizes: dict[str, float]) -> Figures:
    """Name each part's size, and the sum."""
    return {f"{name}_{part}": size for part, size in sizes.items()} | {name: sum(sizes.values())}


async def prepare(system: System, lines: list[bytes]) -> dict[str, Bus]:
    """Connect both handlers and run some events through them, so that nothing is measured cold.

    Gives a publisher's bus for each handler's source.
    """
    buses: dict[str, Bus] = {}
    for name in ("trivial", "moderate"):
        code = (DATA / "handlers" / f"{name}.js").read_text()
        buses[name] = await connect_destination(system, name, code)
        await throughput(system, buses[name], name, fresh(lines, WARM_UP_EVENTS))
    return buses


async def measure_run(system: System, buses: dict[str, Bus], lines: list[bytes], count: int) -> Run:
    """Measure each chain and the floor once, one after the other."""
    before = system.cpu_seconds()
    trivial = await throughput(system, buses["trivial"], "trivial", fresh(lines, count))
    cpu_s = {part: spent - before[part] for part, spent in system.cpu_seconds().items()}
    moderate = await throughput(system, buses["moderate"], "moderate", fresh(lines, count))
    floor = await floor_events_per_s([data for _, data in fresh(lines, count)])
    return Run({"trivial": trivial, "moderate": moderate, "floor": floor}, cpu_s)


def medians(runs: list[Run], count: int) -> Figures:
    """Give rates, each chain as a part of the floor, and each part's CPU time of the trivial run."""
    figures = {f"{name}_events_per_s": statistics.median(run.rates[name] for run in runs) for name in runs[0].rates}
    for name in ("trivial", "moderate"):
        figures[f"{name}_of_floor"] = figures[f"{name}_events_per_s"] / figures["floor_events_per_s"]
    for part in runs[0].cpu_s:
        figures[f"cpu_s_{part}"] = statistics.median(run.cpu_s[part] for run in runs)
        figures[f"cpu_us_per_event_{part}"] = figures[f"cpu_s_{part}"] / count * 1e6
    return figures


async def measure(count: int, runs: int, plot: Path | None) -> Figures:
    lines = events()
    figures: Figures = {"events": count, "runs": runs}
    async with running_system() as system:
        buses = await prepare(system, lines)
        figures |= await at_rest(system)
        steady = fresh(lines, latency.EVENTS_PER_S * latency.SECONDS)
        ordered = await latency.latencies_ms(system, buses["trivial"], "trivial", steady)
        figures["latency_ms_p50"] = ordered[len(ordered) // 2]
        figures["latency_ms_p99"] = ordered[int(len(ordered) * 0.99)]
        done = [await measure_run(system, buses, lines, count) for _ in range(runs)]
        figures |= medians(done, count)
        figures |= by_part("pss_mb_after_load", system.pss_mb()) | by_part("peak_rss_mb", system.peak_rss_mb())
        for bus in buses.values():
            await bus.close()
    if plot is not None:
        plot_pipeline(figures, {name: [run.rates[name] for run in done] for name in done[0].rates}, ordered, plot)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the whole chain beside its floor.")
    parser.add_argument("--events", type=int, default=60_000, help="events a run (default 60,000)")
    parser.add_argument("--runs", type=int, default=3, help="runs; rates are their medians (default 3)")
    parser.add_argument("--json", type=Path, help="write the figures there as one flat object")
    parser.add_argument("--plot", type=Path, default=Path("build/bench/pipeline.png"), help="write the plot there")
    arguments = parser.parse_args()
    figures = asyncio.run(measure(arguments.events, arguments.runs, arguments.plot))
    for name, value in figures.items():
        print(f"{name:32} {value:12,.2f}")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    main()
