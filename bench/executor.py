"""What the executor does beside what it must: `python -m bench.executor [--json FILE] [--plot FILE] [--only PART]`.

One sandboxed worker on one core, with the limits of production and the executor's side of the protocol; the same
events and handlers in Node itself, without isolation, in the same run. Fetches and memory are measured by the programs
beside this one. Rates are medians of several runs; docs/benchmarks.md explains each name.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import importlib
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import uvloop

from bench.plots import plot_targets
from bench.sandbox import MEASURE_S, RUNS, RUNTIME, Load, fail
from services.executor.runtime.pool import Job, Limits, Worker, Zygote
from services.executor.runtime.processes import cpu_ns
from tools.build_runtime import node_folder

DATA = Path(__file__).parent / "data"
EVENTS = DATA / "events.ndjson.gz"
HANDLERS = DATA / "handlers"
LODASH = "const onTrack = (event) => _.get(event, 'properties.total', 0);"
AWS_NAMED = "const s3 = new AWS.S3({ region: 'eu-central-1' }); const onTrack = () => typeof s3.putObject;"
COLD_STARTS = 20
# A worker that is forked and ready is there again after this, even on a machine that has other things to do.
REFILL_S = 0.25

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure must reach: at least, or at most where `most`."""

    figure: float
    most: bool = False

    def met(self, figure: float) -> bool:
        return figure <= self.figure if self.most else figure >= self.figure


TARGETS = {
    "trivial_batch1_events_per_s": Target(10_000),
    "trivial_batch10_events_per_s": Target(60_000),
    "trivial_batch100_events_per_s": Target(150_000),
    "moderate_batch100_events_per_s": Target(40_000),
    "attributed_batch100_events_per_s": Target(25_000),
    "fetch_deliveries_per_s": Target(3_000),
    "cold_start_ms": Target(5, most=True),
    "lodash_start_ms": Target(20, most=True),
    "aws_start_ms": Target(100, most=True),
    "function_mb": Target(4, most=True),
    "function_busy_mb": Target(30, most=True),
    "kill_overrun_ms": Target(250, most=True),
    "neighbour_p99_ratio": Target(1.25, most=True),
}


def _ignore(_: object) -> None:
    return None


# ---- rates -----------------------------------------------------------------------------------------------------------


async def ours(zygote: Zygote, code: str, events: list[bytes], batch: int) -> tuple[float, float]:
    """Events a second of one worker, and CPU time of both sides in us an event."""
    load = Load(events, batch)
    load.worker = await zygote.fork(code, b'{"apiKey":"k"}', Limits(), load.on_outcomes, _ignore, fail)
    await load.run()  # lets V8 compile what is hot
    runs = []
    for _ in range(RUNS):
        began_ns = cpu_ns(load.worker.pid) + time.process_time_ns()
        rate = await load.run()
        runs.append((rate, (cpu_ns(load.worker.pid) + time.process_time_ns() - began_ns) / load.ended / 1000))
    await load.worker.stop()
    return round(statistics.median(rate for rate, _ in runs)), round(statistics.median(us for _, us in runs), 1)


async def node_rate(handler: Path, batch: int) -> float:
    """Events a second of the same handler in Node itself."""
    arguments = handler, EVENTS, batch, MEASURE_S, RUNS
    child = await asyncio.create_subprocess_exec(
        node_folder() / "bin" / "node", DATA / "bare.cjs", *map(str, arguments), stdout=asyncio.subprocess.PIPE
    )
    rates, _ = await child.communicate()
    return float(statistics.median(json.loads(rates)))


async def rates() -> Figures:
    events = gzip.decompress(EVENTS.read_bytes()).splitlines()
    zygote = Zygote(RUNTIME)
    await zygote.start()
    figures: Figures = {}
    for name, batch in (("trivial", 1), ("trivial", 10), ("trivial", 100), ("moderate", 100), ("attributed", 100)):
        path = HANDLERS / f"{name}.js"
        case = f"{name}_batch{batch}"
        rate, cpu_us = await ours(zygote, path.read_text("utf-8"), events, batch)
        nodes = round(await node_rate(path, batch))
        figures |= {f"{case}_events_per_s": rate, f"{case}_cpu_us": cpu_us, f"node_{case}_events_per_s": nodes}
    await zygote.stop()
    ratio = figures["moderate_batch100_events_per_s"] / figures["node_moderate_batch100_events_per_s"]
    return {**figures, "node_ratio": round(ratio, 2)}


# ---- cold starts -----------------------------------------------------------------------------------------------------


async def cold_start(zygote: Zygote, code: str, event: bytes) -> float:
    """Milliseconds from a function that no worker knows to the outcome of its first event."""
    arrived = asyncio.Event()
    began_s = time.perf_counter()
    listeners = lambda _: arrived.set(), _ignore, _ignore
    worker: Worker = await zygote.fork(code, b"{}", Limits(), *listeners)
    worker.submit([Job(1, "track", event)])
    await arrived.wait()
    took_s = time.perf_counter() - began_s
    await worker.stop()
    await asyncio.sleep(REFILL_S)
    return took_s * 1000


async def cold_starts() -> Figures:
    event = gzip.decompress(EVENTS.read_bytes()).splitlines()[0]
    zygote = Zygote(RUNTIME)
    await zygote.start()
    trivial = (HANDLERS / "trivial.js").read_text("utf-8")
    figures: Figures = {}
    for name, code in (("cold", trivial), ("lodash", LODASH), ("aws", AWS_NAMED)):
        await cold_start(zygote, code, event)
        taken = [await cold_start(zygote, code, event) for _ in range(COLD_STARTS)]
        figures[f"{name}_start_ms"] = round(statistics.median(taken), 2)
    await zygote.stop()
    return figures


# ---- all of it -------------------------------------------------------------------------------------------------------


async def beside(program: str) -> Figures:
    """What another program of this folder measures; each takes minutes, and so is loaded only where it runs."""
    figures: Figures = await importlib.import_module(f"bench.{program}").measure()
    return figures


PARTS: dict[str, Callable[[], Awaitable[Figures]]] = {
    "rates": rates,
    "starts": cold_starts,
    "fetch": lambda: beside("executor_fetch"),
    "memory": lambda: beside("executor_memory"),
}


def show(figures: Figures) -> None:
    """A table beside the targets."""
    for name, figure in figures.items():
        target = TARGETS.get(name)
        wanted = f"{'<=' if target.most else '>='} {target.figure:,g}" if target else ""
        verdict = ("" if target.met(figure) else "missed") if target else ""
        print(f"{name:40} {figure:14,.2f}  {wanted:>12}  {verdict}".rstrip())


async def measure(only: str | None) -> Figures:
    figures: Figures = {}
    for name, part in PARTS.items():
        if only in (None, name):
            figures |= await part()
    return figures


def main() -> None:
    """Print the figures, and write them where --json and --plot say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--only", choices=PARTS)
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the services run
        figures = runner.run(measure(arguments.only))
    show(figures)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    if arguments.plot:
        shown = {
            name: (figures[name], target.figure, target.most) for name, target in TARGETS.items() if name in figures
        }
        plot_targets(shown, arguments.plot)


if __name__ == "__main__":
    main()
