"""How fast the whole chain is: publisher, NATS, executor, V8, NATS, tracker, Postgres; beside the floor.

    python bench/pipeline.py [--events 60000] [--runs 3] [--json FILE] [--plot FILE]

The floor is the same publish, pull and ack of the same messages through the same server with no work in between: no
chain in Python on this machine and server can be faster. Everything runs on real servers, started as a user does.
Rates are medians of the runs. docs/benchmarks.md explains each figure.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import statistics
import sys
import time
import uuid
from pathlib import Path

import orjson

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.floor import floor_events_per_s
from bench.plots import plot_pipeline
from bench.system import WORKSPACE, System, connect_destination, running_system
from kit.bus.connection import Bus, connect
from kit.bus.publish import Outgoing, Publisher

DATA = Path(__file__).resolve().parent / "data"
# One call of publish_many: a few atomic batches, so that several are always under way.
PUBLISH_EVENTS = 4000
RECORDED_TIMEOUT_S = 300.0
LATENCY_EVENTS_PER_S = 500
LATENCY_SECONDS = 20
IDLE_SECONDS = 10.0

Figures = dict[str, float]


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


async def latencies_ms(system: System, bus: Bus, name: str, batch: list[tuple[str, bytes]]) -> list[float]:
    """From publish ack to the outcome's row being visible, at a steady rate. Seen by polling every 2 ms."""
    acked: dict[str, float] = {}
    visible: dict[str, float] = {}
    publisher = Publisher(bus)
    subject = f"events.{WORKSPACE}.{name}"

    async def one(key: str, data: bytes) -> None:
        await publisher.publish(subject, data, f"{name}:{key}")
        acked[key] = time.perf_counter()

    async def watch() -> None:
        connection = await system.database()
        sequence = await connection.fetchval("SELECT coalesce(max(stream_sequence), 0) FROM attempts")
        query = "SELECT stream_sequence, message_id FROM attempts WHERE workspace = $1 AND stream_sequence > $2"
        pending: set[int] = set()
        while len(visible) < len(batch):
            rows = await connection.fetch(query, WORKSPACE, sequence)
            now = time.perf_counter()
            for row in rows:
                visible.setdefault(row["message_id"], now)
                pending.add(row["stream_sequence"])
            while sequence + 1 in pending:
                sequence += 1
                pending.discard(sequence)
            await asyncio.sleep(0.002)
        await connection.close()

    async with asyncio.timeout(RECORDED_TIMEOUT_S), asyncio.TaskGroup() as group:
        group.create_task(watch())
        await asyncio.sleep(0.5)
        start = time.perf_counter()
        for number, (key, data) in enumerate(batch):
            group.create_task(one(key, data))
            await asyncio.sleep(max(0.0, start + (number + 1) / LATENCY_EVENTS_PER_S - time.perf_counter()))
    return sorted(max(0.0, (visible[key] - acked[key]) * 1000) for key, _ in batch)


async def idle_cpu_percent(system: System) -> float:
    """Percent of one core that all processes use together when there is nothing to do."""
    before = system.cpu_seconds()
    await asyncio.sleep(IDLE_SECONDS)
    after = system.cpu_seconds()
    return sum(after[name] - before[name] for name in after) / IDLE_SECONDS * 100


async def measure(count: int, runs: int, plot: Path | None) -> Figures:
    lines = events()
    figures: Figures = {"events": count, "runs": runs}
    async with running_system() as system:
        bus = await connect(
            system.client["nats_url"], system.client["nats_user"], system.client["nats_password"], name="bench"
        )
        for name in ("trivial", "moderate"):
            await connect_destination(system, name, (DATA / "handlers" / f"{name}.js").read_text())
            await throughput(system, bus, name, fresh(lines, 2000))
        await asyncio.sleep(2)
        figures["idle_cpu_percent"] = await idle_cpu_percent(system)
        memory = system.pss_mb()
        figures |= {f"pss_mb_{part}": size for part, size in memory.items()}
        figures["pss_mb"] = sum(memory.values())
        ordered = await latencies_ms(system, bus, "trivial", fresh(lines, LATENCY_EVENTS_PER_S * LATENCY_SECONDS))
        figures["latency_ms_p50"] = ordered[len(ordered) // 2]
        figures["latency_ms_p99"] = ordered[int(len(ordered) * 0.99)]
        rates: dict[str, list[float]] = {"trivial": [], "moderate": [], "floor": []}
        cpu_us: dict[str, list[float]] = {}
        for _ in range(runs):
            before = system.cpu_seconds()
            rates["trivial"].append(await throughput(system, bus, "trivial", fresh(lines, count)))
            after = system.cpu_seconds()
            for part in after:
                cpu_us.setdefault(part, []).append((after[part] - before[part]) / count * 1e6)
            rates["moderate"].append(await throughput(system, bus, "moderate", fresh(lines, count)))
            rates["floor"].append(await floor_events_per_s(system, [data for _, data in fresh(lines, count)]))
        for name, values in rates.items():
            figures[f"{name}_events_per_s"] = statistics.median(values)
        figures["trivial_of_floor"] = figures["trivial_events_per_s"] / figures["floor_events_per_s"]
        figures["moderate_of_floor"] = figures["moderate_events_per_s"] / figures["floor_events_per_s"]
        for part, spent in cpu_us.items():
            figures[f"cpu_us_per_event_{part}"] = statistics.median(spent)
        memory = system.pss_mb()
        figures |= {f"pss_mb_after_load_{part}": size for part, size in memory.items()}
        figures["pss_mb_after_load"] = sum(memory.values())
        await bus.close()
    if plot is not None:
        plot_pipeline(figures, rates, ordered, plot)
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
