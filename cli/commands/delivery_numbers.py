"""onward deliveries summary, series, errors, hosts, usage"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, Protocol

from cyclopts import Parameter
from google.protobuf.timestamp_pb2 import Timestamp

from cli.breaker_text import breaker_lines
from cli.charts import Chart, require_plot, write_plot
from cli.commands.deliveries import delivery_stub, parent_of, require_known
from cli.durations import parse_moment
from cli.failures import UsageError
from cli.number_text import (
    INTERVALS,
    USAGE_COLUMNS,
    breakdown_columns,
    breakdown_rows,
    error_chart,
    error_columns,
    error_row,
    filter_rows,
    host_chart,
    host_columns,
    host_row,
    interval_word,
    series_rows,
    summary_columns,
    summary_row,
    time_chart,
    total_line,
    trends,
    usage_chart,
    usage_row,
    what_is_wrong,
)
from cli.options import DEFAULTS, Options
from cli.output import (
    counted,
    is_wide,
    last_part,
    note,
    print_json,
    print_record,
    print_table,
    say,
    say_line,
    warn,
    when,
)
from cli.session import Session
from kit.errors import LimitReached
from onward.delivery.v1 import delivery_service_pb2 as pb
from onward.delivery.v1 import numbers_pb2 as numbers

By = Literal["error-type", "event-type", "event-name", "filter"]
Interval = Literal["auto", "minute", "5m", "hour", "day"]
Plot = Annotated[Path | None, Parameter(name="--plot", help="Draw it into this file, too: .svg or .png.")]
DIMENSIONS = {
    "error-type": numbers.DIMENSION_ERROR_TYPE,
    "event-type": numbers.DIMENSION_EVENT_TYPE,
    "event-name": numbers.DIMENSION_EVENT_NAME,
}
# A page of samples by itself.
SAMPLES_MAX = 100
# Of a table of errors, so that the worst are not lost among the rest.
ERRORS_SHOWN = 20


class Spanned(Protocol):
    """A request with a span of time."""

    @property
    def start_time(self) -> Timestamp: ...
    @property
    def end_time(self) -> Timestamp: ...


def set_span(request: Spanned, since: str, until: str) -> None:
    """Set from when and, where it is said, until when. Raises UsageError."""
    now = datetime.now(UTC)
    # Counts are kept by the minute: a part of one is not known.
    request.start_time.FromDatetime(parse_moment(since, now).replace(second=0, microsecond=0))
    if until:
        request.end_time.FromDatetime(parse_moment(until, now))
        if request.end_time.ToMicroseconds() <= request.start_time.ToMicroseconds():
            raise UsageError("--until must be after --since")


def _plot(chart: Chart, path: Path | None) -> None:
    if path is not None:
        write_plot(chart, path)
        note(f"{path} is written.")


async def summary(
    *,
    destination: str = "",
    since: str = "1h",
    until: str = "",
    by: list[By] | None = None,
    plot: Plot = None,
    options: Options = DEFAULTS,
) -> None:
    """Count what became of the events of a time range, against the one before.

    Example: onward deliveries summary --since 2d --by error-type --plot day.svg

    Parameters
    ----------
    destination
        Only this one.
    since
        Events received from then on: 15m, 1h, 7d ago, or a time; from the
        beginning of its minute.
    until
        Events received before then; now by default.
    by
        Tell these apart, too. May be given several times.
    """
    require_plot(plot)
    request = pb.GetSummaryRequest(breakdowns=[DIMENSIONS[one] for one in by or () if one in DIMENSIONS])
    set_span(request, since, until)
    async with Session(options) as session:
        request.parent = parent_of(session, destination)
        found = await delivery_stub(session).GetSummary(request)
        if not found.destinations:
            await require_known(session, destination)
        series = {} if options.json else await _trends(session, request)
        whole = await delivery_stub(session).GetSeries(_series_of(request)) if plot is not None else None
        title = _title("Deliveries", session, destination)
    if options.json:
        print_json(found)
    else:
        _print_summary(found, series, by or [])
    if whole is not None:
        _plot(time_chart(title, whole.series[0].points), plot)


def _series_of(request: pb.GetSummaryRequest, *, by_destination: bool = False) -> numbers.GetSeriesRequest:
    series = numbers.GetSeriesRequest(
        parent=request.parent, start_time=request.start_time, by_destination=by_destination
    )
    if request.HasField("end_time"):
        series.end_time.CopyFrom(request.end_time)
    return series


async def _trends(session: Session, request: pb.GetSummaryRequest) -> dict[str, str]:
    """Give a sparkline for each destination; none where there are too many of them for one answer."""
    try:
        found = await delivery_stub(session).GetSeries(_series_of(request, by_destination=True))
    except LimitReached:
        return {}
    return trends(found, wide=is_wide())


def _title(what: str, session: Session, destination: str) -> str:
    return f"{what}: {last_part(parent_of(session, destination))}"


def _print_summary(found: pb.GetSummaryResponse, series: dict[str, str], by: list[By]) -> None:
    shown = found.destinations
    columns = summary_columns(
        wide=is_wide(),
        skipped=any(one.skipped for one in shown),
        cancelled=any(one.cancelled for one in shown),
        http_errors=any(one.http_errors for one in shown),
        trend=any(series.values()),
    )
    print_table(
        columns,
        [
            summary_row(last_part(one.destination), one, one.previous, columns, series.get(one.destination, ""))
            for one in shown
        ],
        title=f"Events received since {when(found.start_time)}, in whole minutes",
        empty=f"No events were received since {when(found.start_time)}.",
    )
    if shown:
        say_line(total_line(found))
    for breakdown in found.breakdowns:
        _print_breakdown(breakdown)
    if "filter" in by:
        say()
        columns = ("destination", "state", "by", ">deliveries")
        print_table(columns, list(filter_rows(found)), empty="Nothing was filtered or cancelled.")
    _hints(found)


def _print_breakdown(breakdown: numbers.Breakdown) -> None:
    columns = breakdown_columns(breakdown)
    say()
    print_table(columns, list(breakdown_rows(breakdown)), empty=f"By {columns[0]}: none.")


def _hints(found: pb.GetSummaryResponse) -> None:
    for line in breaker_lines(found):
        warn(line)
    for one in found.destinations:
        if one.http_errors:
            told = f"{one.http_errors:,} of {one.delivered:,} that {last_part(one.destination)} delivered"
            warn(f"{told} saw an HTTP error and went on: onward deliveries hosts")
    if found.total.failed or found.total.pending:
        note("What is wrong: onward deliveries errors")
    for source, count in sorted(found.failed_on_ingest.items()):
        verb = "was" if count == 1 else "were"
        warn(f"{counted(count, 'event')} of {source} {verb} refused: onward deliveries refused")


async def series(
    *,
    destination: str = "",
    since: str = "1h",
    until: str = "",
    interval: Interval = "auto",
    plot: Plot = None,
    options: Options = DEFAULTS,
) -> None:
    """Show deliveries and latencies over time, as sparklines, a plot, or JSON.

    Example: onward deliveries series --since 7d --interval hour --plot week.png

    Parameters
    ----------
    destination
        Only this one's.
    since
        Events received from then on: 15m, 1h, 7d ago, or a time.
    until
        Events received before then; now by default.
    interval
        How long a point is; chosen by the time range otherwise. 1,000 points at most.
    """
    require_plot(plot)
    request = numbers.GetSeriesRequest(interval=INTERVALS.get(interval, numbers.SERIES_INTERVAL_UNSPECIFIED))
    set_span(request, since, until)
    async with Session(options) as session:
        request.parent = parent_of(session, destination)
        found = await delivery_stub(session).GetSeries(request)
        title = _title("Deliveries", session, destination)
        if not any(point.counts.received for one in found.series for point in one.points):
            await require_known(session, destination)
    points = found.series[0].points
    if options.json:
        print_json(found)
    else:
        first, last = when(points[0].start_time), when(points[-1].start_time)
        print_table(
            ("", f"{first} to {last}, by the {interval_word(found.interval)}", ">sum", ">most"),
            list(series_rows(points, wide=is_wide())),
            title=title,
        )
    _plot(time_chart(title, points), plot)


async def errors(
    group: str = "",
    /,
    *,
    destination: str = "",
    since: str = "1h",
    until: str = "",
    limit: int = ERRORS_SHOWN,
    plot: Plot = None,
    options: Options = DEFAULTS,
) -> None:
    """List what goes wrong, the worst first; errors that say the same are one group.

    Example: onward deliveries errors --since 1d

    Parameters
    ----------
    group
        Show this one with the newest 100 deliveries that it failed.
    destination
        Only this one's.
    since
        Attempts for events received from then on: 15m, 1h, 7d ago, or a time.
    until
        Attempts for events received before then; now by default.
    limit
        How many at most.
    """
    require_plot(plot)
    if not 1 <= limit <= 1000:
        raise UsageError("--limit must be from 1 to 1000")
    request = numbers.ListErrorGroupsRequest(
        error_group=group, page_size=limit, samples=SAMPLES_MAX if group or options.json else 1
    )
    set_span(request, since, until)
    async with Session(options) as session:
        request.parent = parent_of(session, destination)
        answer = await delivery_stub(session).ListErrorGroups(request)
        if not answer.error_groups:
            await require_known(session, destination)
        title = _title("Failed attempts", session, destination)
    found = list(answer.error_groups)
    if options.json:
        print_json({"errorGroups": found})
    elif group:
        _print_group(found, group, since)
    else:
        _print_errors(found, more=bool(answer.next_page_token), limit=limit)
    _plot(error_chart(title, found), plot)


def _print_errors(found: list[numbers.ErrorGroup], *, more: bool, limit: int) -> None:
    wide = is_wide()
    print_table(error_columns(wide=wide), [error_row(one, wide=wide) for one in found], empty="Nothing failed.")
    if not found:
        return
    if more:
        say(f"There are more: --limit {min(limit * 10, 1000)}")
    sample = next((one.samples[0] for one in found if one.samples), "")
    if sample:
        say(f"One of the first: onward deliveries show {last_part(sample)}")
    say(f"More of a group:  onward deliveries errors {found[0].id}")


def _print_group(found: list[numbers.ErrorGroup], group: str, since: str) -> None:
    if not found:
        say(f"No attempt of {group} failed since {since} ago: --since 7d looks further back.")
        return
    one = found[0]
    print_record(
        [
            ("group", one.id),
            ("destination", last_part(one.destination)),
            ("what is wrong", what_is_wrong(one)),
            ("such as", one.example),
            ("failed attempts", f"{one.attempts:,}"),
            ("ended deliveries", f"{one.failed:,}"),
            ("first seen", when(one.first_seen_time)),
            ("last seen", when(one.last_seen_time)),
        ]
    )
    say()
    for name in one.samples:
        say(f"onward deliveries show {last_part(name)}")


async def hosts(
    *, destination: str = "", since: str = "1h", until: str = "", plot: Plot = None, options: Options = DEFAULTS
) -> None:
    """Show how the APIs are that functions call, by host, the worst first.

    Example: onward deliveries hosts --since 1d

    Parameters
    ----------
    destination
        Only what this one calls.
    since
        Requests made from then on: 15m, 1h, 7d ago, or a time; from the
        beginning of its five minutes.
    until
        Requests made before then; now by default.
    """
    require_plot(plot)
    request = numbers.ListHostHealthRequest()
    set_span(request, since, until)
    async with Session(options) as session:
        request.parent = parent_of(session, destination)
        found = await delivery_stub(session).ListHostHealth(request)
        if not found.hosts:
            await require_known(session, destination)
        title = _title("Requests by host", session, destination)
    if options.json:
        print_json(found)
    else:
        wide = is_wide()
        rows = [host_row(one, wide=wide) for one in found.hosts]
        print_table(host_columns(wide=wide), rows, empty="Nobody was called.")
    _plot(host_chart(title, found.hosts), plot)


async def usage(
    *, destination: str = "", since: str = "7d", until: str = "", plot: Plot = None, options: Options = DEFAULTS
) -> None:
    """Show what functions took, by day in UTC: attempts, wall and CPU time, requests.

    Example: onward deliveries usage --since 30d

    Parameters
    ----------
    destination
        Only for this one.
    since
        From that day on: 7d, 30d ago, or a time.
    until
        Up to that day; today by default.
    """
    require_plot(plot)
    request = numbers.GetUsageRequest()
    set_span(request, since, until)
    async with Session(options) as session:
        request.parent = parent_of(session, destination)
        found = await delivery_stub(session).GetUsage(request)
        if not found.usage:
            await require_known(session, destination)
        title = _title("CPU time of functions", session, destination)
    if options.json:
        print_json(found)
    else:
        print_table(USAGE_COLUMNS, [usage_row(one) for one in found.usage], empty="No function ran.")
    _plot(usage_chart(title, found.usage), plot)
