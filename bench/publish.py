"""How fast `onward events publish` is, with either durability of the server.

    python -m bench.publish [--events 100000] [--runs 3] [--json FILE]

The command runs as a process of its own against a server of its own, so that both cores are theirs and nobody reads
what is published. Its rate is what it says itself: from the first line read to the last acknowledgement, without its
start. `publish_cpu_us_per_event` is what the command and the server used together, starts included.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import sys
import tempfile
from pathlib import Path

import orjson

from bench.pipeline import events, fresh
from kit.auth.tokens import format_write_key
from kit.bus.connection import connect
from kit.bus.streams import StreamDeclaration, provision
from kit.embedded.nats import EmbeddedNats
from kit.embedded.nats_users import NatsUser
from kit.testing import servers

EVENTS = 100_000
RUNS = 3
WORKSPACE, SOURCE = "bench", "web"
KEY_ID = "publisher"
# As a workspace's, for an hour, and without the executor's consumer.
STREAM = StreamDeclaration("EVENTS_bench", ("events.bench.>",), max_age_s=3600, max_bytes=4 * 2**30)


async def rate(url: str, key: str, path: Path) -> float:
    """Events a second of one run of the command."""
    onward = [sys.executable, "-c", "import sys; from cli.main import main; sys.exit(main())"]
    words = ["events", "publish", SOURCE, str(path), "--workspace", WORKSPACE, "--nats", url, "--json"]
    process = await asyncio.create_subprocess_exec(
        *onward, *words, env={"ONWARD_WRITE_KEY": key}, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, "publishing failed; its message is above"
    said = orjson.loads(out)
    return float(said["published"]) / float(said["seconds"])


async def measure(*, strict: bool, count: int, runs: int) -> float:
    """The median rate of some runs, each with other events."""
    with servers.data_folder() as folder, tempfile.TemporaryDirectory(prefix="onward-bench-") as files:
        key = format_write_key(KEY_ID, "k" * 32)
        server = EmbeddedNats(folder, [NatsUser(KEY_ID, key)], sync_always=strict)
        await server.start()
        try:
            bus = await connect(server.address, KEY_ID, key, name="bench")
            await provision(bus, [STREAM])
            await bus.close()
            rates = []
            for run in range(runs):
                path = Path(files) / f"{run}.ndjson"
                path.write_bytes(b"\n".join(line for _, line in fresh(events(), count)))
                rates.append(await rate(server.address, key, path))
            return statistics.median(rates)
        finally:
            await server.stop()


async def measure_publish(count: int = EVENTS, runs: int = RUNS) -> dict[str, float]:
    """The rates by their names in the project's figures, and the publisher's CPU time for an event."""
    relaxed = await measure(strict=False, count=count, runs=runs)
    strict = await measure(strict=True, count=count, runs=runs)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    # NATS is a child too, ended by now; what is told is both together.
    both_us = (used.ru_utime + used.ru_stime) / (2 * runs * count) * 1e6
    return {"publish_relaxed_per_s": relaxed, "publish_strict_per_s": strict, "publish_cpu_us_per_event": both_us}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure `onward events publish`.")
    parser.add_argument("--events", type=int, default=EVENTS, help="events a run (default 100,000)")
    parser.add_argument("--runs", type=int, default=RUNS, help="runs; rates are their medians (default 3)")
    parser.add_argument("--json", type=Path, help="write the figures there as one flat object")
    arguments = parser.parse_args()
    figures = asyncio.run(measure_publish(arguments.events, arguments.runs))
    for name, value in figures.items():
        print(f"{name:32} {value:12,.1f}")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    main()
