"""What functions took, and how the hosts are that they call."""

from __future__ import annotations

from typing import NamedTuple

import asyncpg

from kit.rpc import names
from onward.delivery.v1 import numbers_pb2 as numbers
from services.delivery.domain.latency import percentiles_ms
from services.delivery.domain.schedule import DAY_US
from services.delivery.domain.windows import DAY_MINUTES, SLOT_MINUTES, Window
from services.delivery.errors import TooManyPoints
from services.delivery.queries import Reader
from services.delivery.queries.numbers import Asked, queries

# A table that people read; functions that make up hosts are bounded, and shown as such.
HOSTS_MAX = 500
# As gRPC's 4 MB allow.
USAGE_ROWS_MAX = 20_000


class _Slots(NamedTuple):
    first: int
    last: int


async def list_host_health(reader: Reader, asked: Asked, window: Window) -> numbers.ListHostHealthResponse:
    """The hosts that the destinations shown to the caller have called, in whole slots of five minutes."""
    slots = _Slots(window.first // SLOT_MINUTES, -(-window.last // SLOT_MINUTES))
    found: dict[str, numbers.HostHealth] = {}
    for row in await reader.fetch(queries.host_calls, *asked.arguments, *slots, HOSTS_MAX):
        _add_calls(found.setdefault(row["host"], numbers.HostHealth(host=row["host"])), asked.workspace, row)
    buckets: dict[str, dict[int, int]] = {}
    for row in await reader.fetch(queries.host_latencies, *asked.arguments, *slots, list(found)):
        buckets.setdefault(row["host"], {})[row["bucket"]] = row["count"]
    for host, health in found.items():
        _finish(health, buckets.get(host, {}))
    return numbers.ListHostHealthResponse(hosts=found.values())


def _add_calls(health: numbers.HostHealth, workspace: str, row: asyncpg.Record) -> None:
    health.calls += row["calls"]
    health.http_errors += row["http_errors"]
    health.network_errors += row["network_errors"]
    health.unanswered += row["unanswered"]
    health.destinations.add(
        destination=names.DESTINATION.format(workspace, row["destination"]),
        calls=row["calls"],
        http_errors=row["http_errors"],
        network_errors=row["network_errors"],
    )


def _finish(health: numbers.HostHealth, buckets: dict[int, int]) -> None:
    waited = health.calls - health.unanswered
    failures = health.http_errors + health.network_errors
    health.success_rate = (waited - failures) / waited if waited else 1.0
    p50, p95, p99 = percentiles_ms(buckets)
    health.latency_ms_p50, health.latency_ms_p95, health.latency_ms_p99 = p50, p95, p99


async def get_usage(reader: Reader, asked: Asked, window: Window) -> numbers.GetUsageResponse:
    """What functions took on the days of a window; raises TooManyPoints."""
    days = (window.first // DAY_MINUTES, -(-window.last // DAY_MINUTES))
    rows = await reader.fetch(queries.usage, *asked.arguments, *days, USAGE_ROWS_MAX + 1)
    if len(rows) > USAGE_ROWS_MAX:
        raise TooManyPoints(len(rows), USAGE_ROWS_MAX)
    return numbers.GetUsageResponse(usage=[_function_usage(asked.workspace, row) for row in rows])


def _function_usage(workspace: str, row: asyncpg.Record) -> numbers.FunctionUsage:
    usage = numbers.FunctionUsage(
        function=names.FUNCTION.format(workspace, row["function"]),
        attempts=row["attempts"],
        wall_us=row["wall_us"],
        cpu_us=row["cpu_us"],
        requests=row["requests"],
        request_bytes=row["request_bytes"],
        response_bytes=row["response_bytes"],
    )
    usage.day_time.FromMicroseconds(row["day"] * DAY_US)
    return usage
