"""What a delivery costs whose handler makes one request: the executor, from NATS to the outcome, beside Node's fetch.

    python bench/executor_fetch.py [--events 6000] [--runs 3] [--json FILE]

The whole system is started as a user does, and publisher, executor, NATS and receiver share the machine. Tracker and
audit are stopped while it is measured, since the executor alone is; they catch up afterwards, and every event must have
reached the receiver then. What the executor deferred meanwhile (the machine stalled) is told, and counts as not done.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.pipeline import events, fresh, publish
from bench.receiver import Receiver, running_receiver
from bench.system import WORKSPACE, System, connect_destination, running_system
from kit.bus.connection import Bus
from kit.ids import uuid7
from kit.rpc.client import open_channel
from onward.registry.v1 import operator_service_pb2 as operator
from onward.registry.v1 import operator_service_pb2_grpc as operator_rpc
from tools.build_runtime import node_folder

DATA = Path(__file__).resolve().parent / "data"
HANDLER = DATA / "handlers" / "fetch.js"
NAME = "fetch"
EVENTS = 6_000
RUNS = 3
WARM_UP_EVENTS = 1_000
# Half of what a lane lets its queue wait for somebody else's API (lanes.py) at the rate that is the goal: nothing is
# deferred.
UNDER_WAY_MAX = 350
PUBLISH_EVENTS = 100
# What one destination may have under way at once, so that Node has the same.
AT_ONCE = 50
POLL_S = 0.002
# The receiver hears nothing for so long: whatever is missing was deferred.
STALL_S = 2.0
TIMEOUT_S = 120.0

Figures = dict[str, float]


async def allow_loopback(system: System) -> None:
    channel = open_channel(
        system.client["addresses"]["registry"], system.client["operator_token"], credentials=system.credentials()
    )
    try:
        stub: operator_rpc.OperatorServiceAsyncStub = operator_rpc.OperatorServiceStub(channel)
        await stub.AllowEgressRange(
            operator.AllowEgressRangeRequest(name=f"workspaces/{WORKSPACE}", range="127.0.0.0/8", request_id=uuid7())
        )
    finally:
        await channel.close()


@contextmanager
def paused(system: System, *names: str) -> Iterator[None]:
    """Stop the processes of these parts, which are this bench's own, for a while."""
    processes = [process for name in names for process in system.tree(name)]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


async def deliver(bus: Bus, receiver: Receiver, lines: list[bytes], count: int) -> tuple[float, int]:
    """Publish so many events, a few at a time, until the receiver has seen them or sees no more.

    Gives deliveries a second, and how many were seen.
    """
    batch = fresh(lines, count)
    progress = _Progress(receiver)
    async with asyncio.timeout(TIMEOUT_S):
        for start in range(0, count, PUBLISH_EVENTS):
            while start - progress.seen() > UNDER_WAY_MAX and not progress.stalled:
                await asyncio.sleep(POLL_S)
            await publish(bus, NAME, batch[start : start + PUBLISH_EVENTS])
        while progress.seen() < count and not progress.stalled:
            await asyncio.sleep(POLL_S)
    return progress.rate, progress.seen()


class _Progress:
    """What a receiver has seen since now, and when it last saw something."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._before = receiver.count
        self._started = self._last = time.perf_counter()
        self._seen = 0

    def seen(self) -> int:
        seen = self._receiver.count - self._before
        if seen != self._seen:
            self._seen, self._last = seen, time.perf_counter()
        return seen

    @property
    def stalled(self) -> bool:
        return time.perf_counter() - self._last > STALL_S

    @property
    def rate(self) -> float:
        return self._seen / (self._last - self._started)


async def node(receiver: Receiver, lines: list[bytes], count: int) -> tuple[float, float]:
    """Deliveries a second and CPU microseconds of each, under Node."""
    command = [node_folder() / "bin" / "node", DATA / "node_fetch.mjs", HANDLER, f"{receiver.url}/v1", count, AT_ONCE]
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate(b"\n".join(data for _, data in fresh(lines, 2000)))
    assert process.returncode == 0, "the handler failed under Node"
    found = json.loads(output)
    return found["rate"], found["cpu_us"]


def _cpu_s(system: System) -> dict[str, float]:
    """CPU time of the executor's own process, and of its workers."""
    parent, *others = system.tree("executor")
    return {"main": _of(parent), "workers": sum(map(_of, others))}


def _of(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


async def measure_run(system: System, bus: Bus, receiver: Receiver, lines: list[bytes], count: int) -> Figures:
    before_count = receiver.count
    with paused(system, "delivery", "audit"):
        # The executor finds out that the tracker does not answer its questions about repetitions, which takes a second.
        await deliver(bus, receiver, lines, PUBLISH_EVENTS)
        before, received = _cpu_s(system), receiver.cpu_s()
        rate, seen = await deliver(bus, receiver, lines, count)
    spent = {part: (after - before[part]) / seen * 1e6 for part, after in _cpu_s(system).items()}
    receiver_us = (receiver.cpu_s() - received) / seen * 1e6
    await _all_arrive(receiver, before_count + PUBLISH_EVENTS + count)
    node_rate, node_us = await node(receiver, lines, count)
    return {
        "fetch_deliveries_per_s": rate,
        "fetch_node_per_s": node_rate,
        "fetch_ratio_to_node": rate / node_rate,
        "fetch_deferred": count - seen,
        "fetch_cpu_us_main": spent["main"],
        "fetch_cpu_us_workers": spent["workers"],
        "fetch_cpu_us_receiver": receiver_us,
        "fetch_cpu_us_node": node_us,
    }


async def _all_arrive(receiver: Receiver, count: int) -> None:
    """Wait until what was deferred has come back from the tracker and been sent, too."""
    async with asyncio.timeout(TIMEOUT_S):
        while receiver.count < count:
            await asyncio.sleep(POLL_S)


async def _measure(receiver: Receiver, count: int, runs: int) -> Figures:
    lines = [line for line in events() if b'"type":"track"' in line]
    async with running_system() as system:
        code = HANDLER.read_text().replace("settings.url", f"'{receiver.url}/v1'")
        bus = await connect_destination(system, NAME, code)
        try:
            await allow_loopback(system)
            await deliver(bus, receiver, lines, WARM_UP_EVENTS)
            await _all_arrive(receiver, WARM_UP_EVENTS)
            done = [await measure_run(system, bus, receiver, lines, count) for _ in range(runs)]
        finally:
            await bus.close()
    return {name: statistics.median(run[name] for run in done) for name in done[0]}


async def measure(count: int = EVENTS, runs: int = RUNS) -> dict[str, float]:
    """Medians of the runs: rates, the ratio to Node, and CPU microseconds of a delivery by part."""
    with running_receiver() as receiver:
        return await _measure(receiver, count, runs)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure deliveries whose handler makes one request.")
    parser.add_argument("--events", type=int, default=EVENTS, help=f"events a run (default {EVENTS:,})")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"runs; figures are their medians (default {RUNS})")
    parser.add_argument("--json", type=Path, help="write the figures there as one flat object")
    arguments = parser.parse_args()
    figures = asyncio.run(measure(arguments.events, arguments.runs))
    for name, value in figures.items():
        print(f"{name:32} {value:12,.2f}")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    main()
