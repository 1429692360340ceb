"""What one sandboxed worker does: events a second, round trip, start. `python -m bench.sandbox [--json FILE]`.

Each figure is the median of several runs. The parent's side of the protocol is included, as it runs in production.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from services.executor.runtime.pool import Job, Limits, Outcome, Worker, Zygote

HERE = Path(__file__).parent
RUNTIME = HERE.parent / "build" / "runtime"
RUNS = 5
# Batches that a worker holds at a time: one runs while the next waits in its socket.
PIPELINED = 2
MEASURE_S = 0.6
# Named, so that every event gets a turn of its own; never called.
ATTRIBUTED = "\nconst neverCalled = () => console.log('');\n"


class Load:
    """Keeps one worker busy with batches, and counts."""

    def __init__(self, events: list[bytes], batch: int) -> None:
        self.batches = [
            [Job(number, "track", event) for number, event in enumerate(events[at : at + batch])]
            for at in range(0, len(events) - batch + 1, batch)
        ]
        self.worker: Worker | None = None
        self.ended = self.turn = self.failed = 0
        self.until_s = 0.0
        self.finished = asyncio.Event()

    def on_outcomes(self, outcomes: list[Outcome]) -> None:
        self.ended += len(outcomes)
        self.failed += sum(not outcome.ok for outcome in outcomes)
        assert self.worker is not None
        if time.perf_counter() < self.until_s:
            self.submit()
        elif not self.worker.in_flight:
            self.finished.set()

    def submit(self) -> None:
        assert self.worker is not None
        while self.worker.in_flight <= len(self.batches[0]) * (PIPELINED - 1):
            self.worker.submit(self.batches[self.turn % len(self.batches)])
            self.turn += 1

    async def run(self) -> float:
        """Events a second."""
        self.finished.clear()
        self.ended = 0
        began_s = time.perf_counter()
        self.until_s = began_s + MEASURE_S
        self.submit()
        await self.finished.wait()
        assert not self.failed, f"{self.failed} events failed"
        return self.ended / (time.perf_counter() - began_s)


def _ignore(_: object) -> None:
    return None


def fail(exit_: object) -> None:
    if getattr(exit_, "reason", None) != "stopped":
        raise SystemExit(f"the worker ended: {exit_}")


async def throughput(zygote: Zygote, code: str, events: list[bytes], batch: int) -> float:
    load = Load(events, batch)
    load.worker = await zygote.fork(code, b'{"apiKey":"k"}', Limits(), load.on_outcomes, _ignore, fail)
    await load.run()  # lets V8 compile what is hot
    rates = [await load.run() for _ in range(RUNS)]
    await load.worker.stop()
    return round(statistics.median(rates))


async def _median_us(action: Callable[[], Awaitable[float]], runs: int) -> float:
    return round(statistics.median([await action() for _ in range(runs)]) * 1e6, 1)


async def round_trip(zygote: Zygote, code: str, events: list[bytes]) -> float:
    """Microseconds from submit to outcome, one event at a time."""
    arrived = asyncio.Event()
    worker = await zygote.fork(code, b"{}", Limits(), lambda _: arrived.set(), _ignore, fail)

    async def once() -> float:
        arrived.clear()
        began_s = time.perf_counter()
        worker.submit([Job(1, "track", events[0])])
        await arrived.wait()
        return time.perf_counter() - began_s

    await _median_us(once, 500)
    result = await _median_us(once, 2000)
    await worker.stop()
    return result


async def cold_start(code: str) -> float:
    """Microseconds from the request for a worker to its handlers, without a spare one."""
    zygote = Zygote(RUNTIME, spares=0)
    await zygote.start()

    async def once() -> float:
        began_s = time.perf_counter()
        worker = await zygote.fork(code, b"{}", Limits(), _ignore, _ignore, _ignore)
        took_s = time.perf_counter() - began_s
        await worker.stop()
        return took_s

    await once()  # takes the worker that was made to see what the kernel allows
    result = await _median_us(once, 20)
    await zygote.stop()
    return result


async def measure() -> dict[str, float]:
    events = gzip.decompress((HERE / "data/events.ndjson.gz").read_bytes()).splitlines()
    zygote = Zygote(RUNTIME)
    await zygote.start()
    figures: dict[str, float] = {}
    for handler in (HERE / "data/handlers" / name for name in ("moderate.js", "trivial.js")):
        code = handler.read_text("utf-8")
        for batch in (1, 10, 100):
            figures[f"{handler.stem}_batch_{batch}_per_s"] = await throughput(zygote, code, events, batch)
        figures[f"{handler.stem}_attributed_per_s"] = await throughput(zygote, code + ATTRIBUTED, events, 100)
    figures["round_trip_us"] = await round_trip(zygote, (HERE / "data/handlers/trivial.js").read_text(), events)
    await zygote.stop()
    figures["cold_start_us"] = await cold_start((HERE / "data/handlers/trivial.js").read_text())
    return figures


def main() -> None:
    """Print the figures, and write them where --json says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the services run
        figures = runner.run(measure())
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
