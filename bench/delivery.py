"""Delivery's figures beside what they have to reach: `python -m bench.delivery [--only PART] [--json FILE]`.

Each part is a program of its own, which docs/benchmarks.md explains; all of them take half an hour.
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import orjson
import uvloop

from bench import delivery_summary, neighbours, publish, retries, tracker
from bench.own_servers import DATABASE, own_servers

Figures = dict[str, float]


async def summary() -> Figures:
    async with own_servers() as (postgres, _):
        return await delivery_summary.measure_summary(postgres.dsn(DATABASE))


# The least, or with True the most, that a figure has to be.
WANTED: Mapping[str, tuple[float, bool]] = {
    "publish_relaxed_per_s": (20_000, False),
    "publish_strict_per_s": (20_000, False),
    "outcomes_per_s": (40_000, False),
    "neighbours_throughput_ratio": (0.9, False),
    "neighbours_p99_ratio": (1.25, True),
    "destinations_1000_ratio": (0.5, False),
    "dead_100_p99_ratio": (1.5, True),
    "spike_neighbour_p99_ratio": (2.0, True),
    "retry_lateness_ms_p99": (1_000, True),
    "summary_ms_p95": (100, True),
}
PARTS: Mapping[str, Callable[[], Awaitable[Figures]]] = {
    "publish": publish.measure_publish,
    "outcomes": tracker.measure_outcomes,
    "summary": summary,
    "retries": retries.measure_retries,
    "neighbours": neighbours.measure_neighbours,
}


def line(name: str, value: float) -> str:
    if name not in WANTED:
        return f"{name:40} {value:14,.2f}"
    wanted, most = WANTED[name]
    reached = value <= wanted if most else value >= wanted
    return f"{name:40} {value:14,.2f}    {'<=' if most else '>='} {wanted:,}{'' if reached else '  missed'}"


async def measure(parts: list[str]) -> Figures:
    figures: Figures = {}
    for part in parts:
        found = await PARTS[part]()
        for name, value in found.items():
            print(line(name, value), flush=True)
        figures |= found
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Measure delivery: publishing, outcomes, neighbours, retries, summary."
    )
    parser.add_argument("--only", choices=list(PARTS), action="append", help="measure these parts alone")
    parser.add_argument("--json", type=Path, help="write the figures there as one flat object")
    arguments = parser.parse_args()
    figures = uvloop.run(measure(arguments.only or list(PARTS)))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    main()
