"""Counts, success rates and latencies over time."""

from __future__ import annotations

from collections.abc import Sequence

from kit.rpc import names
from onward.delivery.v1 import numbers_pb2 as numbers
from services.delivery.domain.latency import bucket_ms
from services.delivery.domain.schedule import MINUTE_US
from services.delivery.domain.windows import ALL_POINTS_MAX, HOUR_MINUTES, Grid
from services.delivery.errors import TooManyPoints
from services.delivery.queries import Reader
from services.delivery.queries.numbers import Asked, add_count, add_pending, finish, queries, set_latencies

# By destination, "" for all together, and by the minute in which a point begins.
Points = dict[str, dict[int, numbers.SeriesPoint]]


async def get_series(reader: Reader, asked: Asked, grid: Grid, *, by_destination: bool) -> numbers.GetSeriesResponse:
    """The points of all destinations together, or of each; raises TooManyPoints."""
    shown = [""]
    if by_destination:
        shown = await _shown(reader, asked, grid)
    points = {one: {minute: _point(minute) for minute in grid.points()} for one in shown}
    await _add_ended(reader, asked, grid, points, by_destination=by_destination)
    await _add_pending(reader, asked, grid, points, by_destination=by_destination)
    if not asked.destination and not by_destination:
        await _add_refused(reader, asked, grid, points[""])
    return numbers.GetSeriesResponse(interval=grid.interval, series=_series(asked.workspace, points))


async def _shown(reader: Reader, asked: Asked, grid: Grid) -> list[str]:
    most = ALL_POINTS_MAX // len(grid)
    rows = await reader.fetch(queries.shown_destinations, *asked.arguments, most + 1)
    if len(rows) > most:
        raise TooManyPoints(len(rows) * len(grid), ALL_POINTS_MAX)
    return [row["destination"] for row in rows]


def _point(minute: int) -> numbers.SeriesPoint:
    point = numbers.SeriesPoint(counts=numbers.DeliveryCounts())
    point.start_time.FromMicroseconds(minute * MINUTE_US)
    return point


async def _add_ended(reader: Reader, asked: Asked, grid: Grid, points: Points, *, by_destination: bool) -> None:
    """From the sums of hours where points are as long, else of minutes."""
    unit = HOUR_MINUTES if grid.by_hour else 1
    counts = queries.hour_series if grid.by_hour else queries.minute_series
    latencies = queries.hour_latency_series if grid.by_hour else queries.minute_latency_series
    when = (grid.first // unit, grid.last // unit, grid.step // unit, by_destination)
    for row in await reader.fetch(counts, *asked.arguments, *when):
        # What is new since the destinations were read is left for the next time.
        if row["destination"] in points:
            add_count(points[row["destination"]][row["start"] * unit].counts, row["state"], row)
    for row in await reader.fetch(latencies, *asked.arguments, *when):
        if row["destination"] in points:
            found: Sequence[int] = (row["p50"], row["p95"], row["p99"])
            set_latencies(points[row["destination"]][row["start"] * unit].counts, [bucket_ms(one) for one in found])


async def _add_pending(reader: Reader, asked: Asked, grid: Grid, points: Points, *, by_destination: bool) -> None:
    when = (grid.first * MINUTE_US, grid.last * MINUTE_US, grid.step * MINUTE_US, by_destination)
    for row in await reader.fetch(queries.pending_series, *asked.arguments, *when):
        if row["destination"] in points:
            add_pending(points[row["destination"]][row["step"] * grid.step].counts, row["count"])


async def _add_refused(reader: Reader, asked: Asked, grid: Grid, points: dict[int, numbers.SeriesPoint]) -> None:
    sources = asked.sources
    found = await reader.fetch(
        queries.ingest_series, asked.workspace, grid.first, grid.last, grid.step, sources.all, sorted(sources.ids)
    )
    for row in found:
        points[row["step"] * grid.step].failed_on_ingest = row["count"]


def _series(workspace: str, points: Points) -> list[numbers.Series]:
    found = []
    for destination, by_minute in sorted(points.items()):
        for point in by_minute.values():
            finish(point.counts)
        name = names.DESTINATION.format(workspace, destination) if destination else ""
        found.append(numbers.Series(destination=name, points=by_minute.values()))
    return found
