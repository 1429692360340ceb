"""How fast the tracker applies outcomes.

    python -m bench.tracker [--attempts 200000] [--destinations 4] [--runs 3] [--json FILE]

OUTCOMES is filled with batches of 500 trivial successes, then the tracker is started on servers of its own.
`cpu_us` is what its process used for each attempt, `postgres_cpu_us` and `nats_cpu_us` what the servers used.
"""

import argparse
import asyncio
import json
import statistics
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import uvloop
from pydantic import SecretStr

from bench.own_servers import DATABASE, own_servers
from kit.bus.connection import Bus, connect
from kit.bus.publish import Outgoing, Publisher
from kit.bus.streams import OUTCOMES, provision
from kit.ids import uuid7
from kit.testing import servers
from onward.executor.v1 import outcomes_pb2 as pb
from services.delivery.app import build, calm_collector
from services.delivery.settings import Settings

BATCH = 500


def batches(run: int, count: int, destinations: int) -> list[Outgoing]:
    """Every event goes to each destination, each destination's attempts in batches of their own."""
    now_us = time.time_ns() // 1000
    made = []
    for start in range(0, count // destinations, BATCH):
        for destination in range(destinations):
            batch = pb.OutcomeBatch(batch_id=uuid7(), workspace="bench")
            header = batch.destinations.add(destination=f"d-{destination}", source="web", function="to-crm", version=3)
            for number in range(start, min(start + BATCH, count // destinations)):
                header.attempts.add(
                    stream_sequence=run * 10_000_000 + number, attempt=1, type=pb.EVENT_TYPE_TRACK,
                    message_id=f"018f0000-{run:04d}-7000-8000-{number:012d}", event_name="Order Completed",
                    received_at_us=now_us + number, ended_at_us=now_us + number + 40_000, wall_us=80, cpu_us=60,
                    result=pb.RESULT_DELIVERED,
                )  # fmt: skip
            made.append(Outgoing("outcomes.bench", batch.SerializeToString(), batch.batch_id))
    return made


def cpu_s(pid: int) -> float:
    """CPU time of a process and all that it has or had started."""
    process = psutil.Process(pid)
    ended = process.cpu_times()
    running = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return ended.children_user + ended.children_system + sum(one.user + one.system for one in running)


def clocks(pids: SimpleNamespace) -> tuple[float, ...]:
    return time.perf_counter(), time.process_time(), cpu_s(pids.postgres), cpu_s(pids.nats)


async def measure(
    bus: Bus, settings: Settings, pids: SimpleNamespace, run: int, options: argparse.Namespace
) -> dict[str, float]:
    acks = await Publisher(bus).publish_many(batches(run, options.attempts, options.destinations), timeout_s=120)
    assert not any(one.error for one in acks)
    app = await build(settings)
    await app.start()
    before = clocks(pids)
    running = asyncio.create_task(app.run())
    while app.applied < options.attempts:
        await asyncio.sleep(0.01)
    after = clocks(pids)
    running.cancel()
    await asyncio.wait([running])
    await app.stop()
    wall_us, *each_us = (1e6 * (end - start) / options.attempts for start, end in zip(before, after, strict=True))
    names = ("cpu_us", "postgres_cpu_us", "nats_cpu_us")
    return {"attempts_per_s": 1e6 / wall_us} | dict(zip(names, each_us, strict=True))


async def measure_outcomes(attempts: int = 200_000, destinations: int = 4, runs: int = 3) -> dict[str, float]:
    """`outcomes_per_s` and the CPU times of an outcome."""
    calm_collector()
    options = argparse.Namespace(attempts=attempts, destinations=destinations, runs=runs)
    figures = await bench(options)
    return {"outcomes_per_s": figures.pop("attempts_per_s")} | {f"outcomes_{name}": us for name, us in figures.items()}


async def bench(options: argparse.Namespace) -> dict[str, float]:
    async with own_servers() as (postgres, nats):
        url = nats.url(servers.TEST_USER)
        dsn, token = SecretStr(postgres.dsn(DATABASE)), SecretStr("x" * 16)
        varz = nats.monitor_url
        settings = Settings(postgres_dsn=dsn, nats_url=url, nats_monitoring_url=varz, service_token=token)
        bus = await connect(url, name="bench")
        await provision(bus, [OUTCOMES])
        pids = SimpleNamespace(postgres=postgres.pid, nats=nats.pid)
        runs = [await measure(bus, settings, pids, run, options) for run in range(options.runs)]
        await bus.close()
    return {name: round(statistics.median(run[name] for run in runs), 2) for name in runs[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("--attempts", 200_000), ("--destinations", 4), ("--runs", 3)):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    calm_collector()
    figures = uvloop.run(bench(options))
    print(text := json.dumps(figures, indent=2))
    if options.json:
        options.json.write_text(text)


if __name__ == "__main__":
    main()
