"""How destinations are, as callers see it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import asyncpg

from kit.auth.demand import Subset
from kit.postgres.queries import load_queries
from kit.rpc import names
from onward.delivery.v1 import health_pb2 as pb
from onward.executor.v1 import outcomes_pb2
from services.delivery.domain.alerts import WindowSpan
from services.delivery.domain.health import WINDOW_US, WINDOWS_SHOWN, window_of
from services.delivery.queries import Reader
from services.delivery.queries.breakers import open_breakers
from services.delivery.queries.causes import cause_of
from services.delivery.queries.numbers import Asked

queries = load_queries(Path(__file__).parent / "health.sql")

# What the rate is of: three whole windows, and the one that runs.
RECENT_WINDOWS = 4
# Of destinations whose failures are looked into: the others have their numbers alone.
CAUSES_MAX = 200

# Of a window: attempts, failures, HTTP errors inside successes.
Numbers = tuple[int, int, int]


async def get_health(reader: Reader, asked: Asked, now_us: int) -> pb.GetHealthResponse:
    """The health of what connects these functions or sources; samples are of these sources alone."""
    workspace = asked.workspace
    span = WindowSpan(window_of(now_us) - WINDOWS_SHOWN + 1, window_of(now_us))
    rows = await reader.fetch(queries.destinations, *asked.arguments)
    windows = await _windows(reader, workspace, [row["destination"] for row in rows], span)
    answer = pb.GetHealthResponse()
    found = [_health(workspace, row, windows[row["destination"]], span) for row in rows]
    answer.destinations.extend(sorted(found, key=lambda one: one.state != pb.HEALTH_STATE_UNHEALTHY))
    failing = [one for one in answer.destinations if _fails(one)][:CAUSES_MAX]
    for one in failing:
        await _add_cause(reader, workspace, one, span, asked.sources)
    breakers = await open_breakers(reader, asked, now_us)
    for one in answer.destinations:
        if one.destination in breakers:
            one.breaker.CopyFrom(breakers[one.destination])
    judged = await reader.fetch(queries.judged)
    if judged:
        answer.judged_time.FromMicroseconds((judged[0]["judged"] + 1) * WINDOW_US)
    return answer


async def _windows(
    reader: Reader, workspace: str, destinations: list[str], span: WindowSpan
) -> Mapping[str, Mapping[int, Numbers]]:
    found: dict[str, dict[int, Numbers]] = defaultdict(dict)
    for row in await reader.fetch(queries.windows, workspace, destinations, span.first, span.last):
        found[row["destination"]][row["number"]] = row["attempts"], row["failures"], row["http_errors"]
    return found


def _health(
    workspace: str, row: asyncpg.Record, windows: Mapping[int, Numbers], span: WindowSpan
) -> pb.DestinationHealth:
    health = pb.DestinationHealth(
        destination=names.DESTINATION.format(workspace, row["destination"]),
        source=names.SOURCE.format(workspace, row["source"]),
        state=_state(row, windows),
    )
    if row["since"] is not None:
        health.since_time.FromMicroseconds(row["since"] * WINDOW_US)
    for number in range(span.first, span.last + 1):
        attempts, failures, http_errors = windows.get(number, (0, 0, 0))
        window = health.windows.add(attempts=attempts, failures=failures, http_errors=http_errors)
        window.start_time.FromMicroseconds(number * WINDOW_US)
    recent = health.windows[-RECENT_WINDOWS:]
    health.attempts = sum(one.attempts for one in recent)
    health.failures = sum(one.failures for one in recent)
    health.http_errors = sum(one.http_errors for one in recent)
    health.failure_rate = health.failures / health.attempts if health.attempts else 0.0
    return health


def _state(row: asyncpg.Record, windows: Mapping[int, Numbers]) -> pb.HealthState.ValueType:
    if row["unhealthy"]:
        return pb.HEALTH_STATE_UNHEALTHY
    return pb.HEALTH_STATE_HEALTHY if windows else pb.HEALTH_STATE_IDLE


def _fails(health: pb.DestinationHealth) -> bool:
    return health.state == pb.HEALTH_STATE_UNHEALTHY or any(one.failures for one in health.windows)


async def _add_cause(
    reader: Reader, workspace: str, health: pb.DestinationHealth, span: WindowSpan, sources: Subset
) -> None:
    destination = health.destination.rpartition("/")[2]
    cause = await cause_of(reader, workspace, destination, span)
    if not cause.failures and health.HasField("since_time"):
        # It is unhealthy, and nothing was attempted within the last hour: what made it so, then.
        since = window_of(health.since_time.ToMicroseconds())
        cause = (await cause_of(reader, workspace, destination, WindowSpan(since, span.last)))._replace(error_count=0)
    health.error_type = outcomes_pb2.ErrorType.ValueType(cause.error_type)
    health.error_count = cause.error_count
    if health.source.rpartition("/")[2] in sources:
        health.error_message = cause.message
        health.sample_delivery = names.DELIVERY.format(workspace, cause.sample) if cause.sample else ""
