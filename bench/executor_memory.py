"""What a population of functions costs, and what one does to others: `python -m bench.executor_memory [--json FILE]`.

The workers are forked, sandboxed and fed as in production; only the servers around the executor are missing.
Memory is Private_Dirty of smaps_rollup, which needs root, or the executor's own user without a sandbox.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import logging
import math
import statistics
import time
from pathlib import Path

import structlog

from bench.executor_house import House, house
from onward.executor.v1 import outcomes_pb2 as pb
from services.executor.handlers.places import TRIM_AFTER_S

TRIVIAL = "async function onTrack(event) { return event.event; }"
MODERATE = (Path(__file__).parent / "data" / "handlers" / "moderate.js").read_text()
# Each of these has to be killed in its own way: by the worker, and by the executor alone.
RUNAWAYS = (
    "function onTrack() { for (;;); }",
    "function onTrack() { return Array.prototype.indexOf.call({length: 2 ** 53 - 1}, 1); }",
)
MEASURED = 100
WARM = 1_000
BUSY_EVENTS = 1_000
KILLS = 20
LIMIT_MS = 1_000
PLACES = 40
OVERSUBSCRIBED_S = 5.0
NEIGHBOUR_RATE = 200
NEIGHBOUR_S = 2.0
NEIGHBOUR_RUNS = 11
MIB = 1 << 20


def private_mb(pid: int) -> float:
    """What a process has for itself."""
    lines = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return sum(int(fields[1]) for fields in lines if fields[0] == "Private_Dirty:") / 1024


async def _warm(at: House, count: int, code: str, prefix: str) -> None:
    """Have so many destinations with a worker each."""
    before, taken = at.outcomes.count, at.places.taken
    for number in range(count):
        at.connect("acme", f"{prefix}{number}", code)
        at.push("acme", f"{prefix}{number}")
    await at.settled(before + count)
    while len(_worker_pids(at)) < taken + count:
        await asyncio.sleep(0.01)


def _worker_pids(at: House) -> list[int]:
    return [place.pid for place in at.places.held if place.pid]


async def memory() -> dict[str, float]:
    """Idle and busy workers, and a thousand of them."""
    found: dict[str, float] = {}
    async with house() as at:
        await _warm(at, MEASURED, MODERATE, "idle")
        idle = _worker_pids(at)
        await asyncio.sleep(TRIM_AFTER_S + 2.0)
        found["function_mb"] = statistics.median(map(private_mb, idle))
        before = at.outcomes.count
        for _ in range(BUSY_EVENTS // 100):
            for number in range(10):
                at.push("acme", f"idle{number}", 100)
            before += 1_000
            await at.settled(before)
        found["function_busy_mb"] = max(map(private_mb, idle[:MEASURED]))
        began = time.perf_counter()
        await _warm(at, WARM - MEASURED, TRIVIAL, "more")
        found["warm_functions_s"] = time.perf_counter() - began
        found["warm_functions"] = len(_worker_pids(at))
        await asyncio.sleep(TRIM_AFTER_S + 5.0)
        found["warm_functions_mb"] = at.places.used_bytes / MIB
        found["warm_functions_private_mb"] = sum(map(private_mb, _worker_pids(at)))
        began = time.perf_counter()
        before = at.outcomes.count
        for number in range(MEASURED):
            at.push("acme", f"idle{number}")
        await at.settled(before + MEASURED)
        found["warm_again_s"] = time.perf_counter() - began
    return found


async def oversubscribed() -> dict[str, float]:
    """Twice as many active destinations as places: events a second, and how many forks that took."""
    async with house(most=PLACES) as at:
        active = [f"d{number}" for number in range(2 * PLACES)]
        for destination in active:
            at.connect("acme", destination, TRIVIAL)
        began = time.perf_counter()
        pushed = 0
        while time.perf_counter() - began < OVERSUBSCRIBED_S:
            for destination in active:
                at.push("acme", destination, 5)
            pushed += 5 * len(active)
            # What is held is bounded as intake bounds it.
            await at.settled(pushed - 8_000)
            await asyncio.sleep(0.01)
        taken_s = time.perf_counter() - began
        delivered = at.delivered()
        await at.settled(pushed)
        starved = sum(not any(result == pb.RESULT_DELIVERED for result in at.outcomes.results["acme", destination])
                      for destination in active)  # fmt: skip
        results = list(itertools.chain.from_iterable(at.outcomes.results.values()))
        return {
            "oversubscribed_events_per_s": delivered / taken_s,
            "oversubscribed_forks_per_s": at.places.evictions / taken_s,
            "oversubscribed_deferred": results.count(pb.RESULT_DEFERRED) / len(results),
            "oversubscribed_starved": starved,
        }


async def kills() -> dict[str, float]:
    """How long after its limit runaway code ends."""
    overruns = []
    async with house() as at:
        for number in range(KILLS):
            destination = f"runaway{number}"
            at.connect("acme", destination, RUNAWAYS[number % len(RUNAWAYS)], timeout_ms=LIMIT_MS)
            at.connect("acme", f"warm{number}", TRIVIAL)
            began_cold = time.perf_counter()
            at.push("acme", f"warm{number}")
            await at.settled(2 * number + 1)
            start_s = time.perf_counter() - began_cold
            began = time.perf_counter()
            at.push("acme", destination)
            await at.settled(2 * number + 2)
            overruns.append((time.perf_counter() - began - start_s) * 1000 - LIMIT_MS)
    return {"kill_overrun_ms": statistics.median(overruns), "kill_overrun_max_ms": max(overruns)}


async def _p99_ms(at: House, destination: str) -> float:
    """A steady trickle; the 99th percentile of its latencies."""
    latencies = at.outcomes.latencies_s["neighbour"]
    latencies.clear()
    count = int(NEIGHBOUR_RATE * NEIGHBOUR_S)
    began = time.perf_counter()
    for number in range(count):
        await asyncio.sleep(max(0.0, began + number / NEIGHBOUR_RATE - time.perf_counter()))
        at.push("neighbour", destination)
    while len(latencies) < count:
        await asyncio.sleep(0.01)
    return sorted(latencies)[math.ceil(0.99 * count) - 1] * 1000


async def neighbours(runaways: int = 1) -> dict[str, float]:
    """The 99th percentile of a steady neighbour beside runaway code, divided by that without."""
    async with house() as at:
        at.connect("neighbour", "steady", MODERATE)
        for number in range(runaways):
            at.connect("acme", f"runaway{number}", RUNAWAYS[0], timeout_ms=LIMIT_MS)
        await _p99_ms(at, "steady")
        alone, beside = [], []
        for _ in range(NEIGHBOUR_RUNS):
            alone.append(await _p99_ms(at, "steady"))
            stop = asyncio.Event()
            feeding = asyncio.ensure_future(_feed_runaways(at, runaways, stop))
            await asyncio.sleep(0.1)
            beside.append(await _p99_ms(at, "steady"))
            stop.set()
            await feeding
        return {
            "neighbour_p99_ms": statistics.median(alone),
            "neighbour_beside_p99_ms": statistics.median(beside),
            "neighbour_p99_ratio": statistics.median(beside) / statistics.median(alone),
        }


async def _feed_runaways(at: House, runaways: int, stop: asyncio.Event) -> None:
    """Keep each of them running: one event at a time."""
    given = {f"runaway{number}": 0 for number in range(runaways)}
    ended = at.outcomes.results
    before = {name: len(ended["acme", name]) for name in given}
    while not stop.is_set():
        for name in given:
            if len(ended["acme", name]) - before[name] >= given[name]:
                at.push("acme", name)
                given[name] += 1
        await asyncio.sleep(0.01)
    while any(len(ended["acme", name]) - before[name] < given[name] for name in given):
        await asyncio.sleep(0.01)


async def measure() -> dict[str, float]:
    """Everything; about two minutes."""
    found: dict[str, float] = {}
    for part in (memory, oversubscribed, kills, neighbours):
        found |= await part()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--only", choices=["memory", "oversubscribed", "kills", "neighbours"])
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    parts = {"memory": memory, "oversubscribed": oversubscribed, "kills": kills, "neighbours": neighbours}
    found = asyncio.run(parts[arguments.only]() if arguments.only else measure())
    for name, figure in found.items():
        print(f"{name:32} {figure:12.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
