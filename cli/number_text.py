"""Deliveries in numbers, in words: rows of tables, sparklines, and the data of charts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from rich.text import Text

from cli.charts import Band, BarChart, Panel, TimeChart
from cli.delivery_text import error_word
from cli.output import Cell, enum_word, last_part, milliseconds, shortened, styled, when_short
from cli.sparklines import bar, change, highest, sparkline
from onward.delivery.v1 import delivery_service_pb2 as pb
from onward.delivery.v1 import numbers_pb2 as numbers

# Cells of a table's sparkline or bar.
BAR = 12
# Of a sparkline in a narrow table, which then has room for names of so many characters.
TREND_NARROW, NAME_NARROW = 8, 11
# Of one in a line of its own: an hour's minutes; or what 80 columns leave of it.
LINE_WIDE, LINE_NARROW = 62, 38
# What fetch says of a failure begins with the URL, and ends with the cause.
SHAPE_CHARACTERS_MAX = 120

# From here on a chart has latencies in seconds: those of retries may be hours.
SECONDS_FROM_MS = 10_000

INTERVALS = {
    "minute": numbers.SERIES_INTERVAL_MINUTE,
    "5m": numbers.SERIES_INTERVAL_FIVE_MINUTES,
    "hour": numbers.SERIES_INTERVAL_HOUR,
    "day": numbers.SERIES_INTERVAL_DAY,
}
_INTERVAL_WORDS = {
    numbers.SERIES_INTERVAL_MINUTE: "minute",
    numbers.SERIES_INTERVAL_FIVE_MINUTES: "five minutes",
    numbers.SERIES_INTERVAL_HOUR: "hour",
    numbers.SERIES_INTERVAL_DAY: "day",
}
# Colours that people who see fewer of them tell apart.
_STATES = (
    ("delivered", "#009e73"),
    ("failed", "#d55e00"),
    ("pending", "#f0c419"),
    ("filtered", "#9aa5b1"),
    ("skipped", "#c9ced6"),
    ("cancelled", "#6b7280"),
)
_PERCENTILES = (("p50", "#0072b2"), ("p95", "#56b4e9"), ("p99", "#cc79a7"))

Counts = numbers.DeliveryCounts | pb.DestinationSummary


def percent(share: float) -> str:
    """Give a share with as many digits as tell something: 99.95 % is not 100 %."""
    value = share * 100
    if value in (0, 100):
        return f"{value:.0f} %"
    if value > 99:
        return f"{min(value, 99.99):.2f} %"
    return f"{value:.1f} %"


def bytes_text(count: int) -> str:
    value, units = float(count), iter(("B", "KB", "MB", "GB"))
    unit = next(units)
    for larger in units:
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:,.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def seconds_text(micros: int) -> str:
    seconds = micros / 1_000_000
    if seconds >= 3600:
        return f"{seconds / 3600:,.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 120 else milliseconds(seconds * 1000)


# --- summaries


def summary_columns(*, wide: bool, skipped: bool, cancelled: bool, http_errors: bool, trend: bool) -> tuple[str, ...]:
    if not wide:
        return ("destination", ">received", ">delivered", ">failed", ">pending", ">success", ">p95",
                *(["trend"] if trend else []))  # fmt: skip
    return (
        "destination", ">received", "change", ">delivered", ">retried", *([">HTTP error"] if http_errors else []),
        ">failed", ">filtered", *([">cancelled"] if cancelled else []), *([">skipped"] if skipped else []), ">pending",
        ">success", "change", ">p50", ">p95", ">p99", *(["trend"] if trend else []),
    )  # fmt: skip


def summary_row(
    name: str, now: Counts, before: numbers.DeliveryCounts, columns: Sequence[str], trend: str
) -> tuple[Cell, ...]:
    """Give the cells of summary_columns."""
    ended = now.delivered + now.failed
    values: dict[str, Cell] = {
        "destination": name,
        ">received": f"{now.received:,}",
        ">delivered": f"{now.delivered:,}",
        ">retried": f"{now.delivered_after_retry:,}",
        ">HTTP error": f"{now.http_errors:,}",
        ">failed": Text(f"{now.failed:,}", style="red" if now.failed else ""),
        ">filtered": f"{now.filtered:,}",
        ">cancelled": f"{now.cancelled:,}",
        ">skipped": f"{now.skipped:,}",
        ">pending": Text(f"{now.pending:,}", style="yellow" if now.pending else ""),
        ">success": percent(now.success_rate) if ended else None,
        ">p50": milliseconds(now.latency_ms_p50) if now.delivered else None,
        ">p95": milliseconds(now.latency_ms_p95) if now.delivered else None,
        ">p99": milliseconds(now.latency_ms_p99) if now.delivered else None,
        "trend": trend or " ",
    }
    changes = iter((change(now.received, before.received), _points(now, before)))
    return tuple(next(changes) if column == "change" else values[column] for column in columns)


def _points(now: Counts, before: numbers.DeliveryCounts) -> str:
    """Give how a success rate has changed: in points of a percent, where both windows have one."""
    if not now.delivered + now.failed or not before.delivered + before.failed:
        return ""
    points = (now.success_rate - before.success_rate) * 100
    if abs(points) < 0.05:
        return "="
    return f"{'▲' if points > 0 else '▼'} {abs(points):.1f}"


def total_line(found: pb.GetSummaryResponse) -> Text:
    """Give all destinations in one line, against the window before."""
    now, before = found.total, found.previous_total
    told = [f"{now.received:,} received", _delivered_share(now)]
    if now.delivered:
        told.append(f"p95 {milliseconds(now.latency_ms_p95)}")
    if not before.received:
        return styled(("In all: ", "bold"), f"{'; '.join(told)}. In the window before: nothing.")
    then = [f"{before.received:,} received ({change(now.received, before.received)})"]
    if before.delivered + before.failed:
        then.append(percent(before.success_rate))
    if before.delivered:
        then.append(f"p95 {milliseconds(before.latency_ms_p95)}")
    return styled(("In all: ", "bold"), f"{'; '.join(told)}. In the window before: {'; '.join(then)}.")


def _delivered_share(counts: numbers.DeliveryCounts) -> str:
    if not counts.delivered + counts.failed:
        return "none was delivered or failed yet"
    return f"{percent(counts.success_rate)} delivered of what ended"


def trends(series: numbers.GetSeriesResponse, *, wide: bool) -> dict[str, str]:
    """Give what was received over time, by destination, where there is room for it."""
    if not wide and any(len(last_part(one.destination)) > NAME_NARROW for one in series.series):
        return {}
    cells = BAR if wide else TREND_NARROW
    return {one.destination: sparkline([point.counts.received for point in one.points], cells) for one in series.series}


def breakdown_columns(one: numbers.Breakdown) -> tuple[str, ...]:
    """Of event names only what has ended is counted."""
    word = numbers.Dimension.Name(one.dimension).removeprefix("DIMENSION_").lower().replace("_", " ")
    if one.dimension == numbers.DIMENSION_EVENT_NAME:
        return (word, ">ended", ">delivered", ">failed", ">filtered", "share")
    return (word, ">received", ">delivered", ">failed", ">pending", ">filtered", "share")


def breakdown_rows(one: numbers.Breakdown) -> Iterator[tuple[Cell, ...]]:
    """Give the rows of breakdown_columns."""
    named = one.dimension == numbers.DIMENSION_EVENT_NAME
    most = max((row.counts.received for row in one.rows), default=0)
    for row in one.rows:
        counts = row.counts
        yield (
            (row.value or "unnamed") if named else value_word(row.value), f"{counts.received:,}",
            f"{counts.delivered:,}", f"{counts.failed:,}", *([] if named else [f"{counts.pending:,}"]),
            f"{counts.filtered:,}", bar(counts.received / most if most else 0, BAR),
        )  # fmt: skip


def filter_rows(found: pb.GetSummaryResponse) -> Iterator[tuple[Cell, ...]]:
    """Give what filtered or cancelled, by destination, and how many."""
    for one in found.destinations:
        told: Mapping[str, Mapping[str, int]] = {"filtered": one.filtered_by, "cancelled": one.cancelled_by}
        for state, by in told.items():
            for reason, count in sorted(by.items(), key=lambda item: (-item[1], item[0])):
                yield last_part(one.destination), state, reason, f"{count:,}"


def value_word(value: str) -> str:
    """Give the name of an error type or an event type for people."""
    return enum_word(value, "") or "unnamed"


# --- series


def interval_word(interval: numbers.SeriesInterval.ValueType) -> str:
    return _INTERVAL_WORDS.get(interval, "")


def series_rows(points: Sequence[numbers.SeriesPoint], *, wide: bool) -> Iterator[tuple[Cell, ...]]:
    """Give quantity, sparkline, sum and the most of one point; latencies have no sum."""
    cells = LINE_WIDE if wide else LINE_NARROW
    for name in ("received", *(state for state, _ in _STATES), "http_errors"):
        values = [getattr(point.counts, name) for point in points]
        if name in ("received", "delivered", "failed", "pending") or any(values):
            yield name.replace("_", " "), sparkline(values, cells) or " ", f"{sum(values):,}", f"{max(values):,}"
    refused = [point.failed_on_ingest for point in points]
    if any(refused):
        yield "failed on ingest", sparkline(refused, cells), f"{sum(refused):,}", f"{max(refused):,}"
    for name, _ in _PERCENTILES:
        values = [getattr(point.counts, f"latency_ms_{name}") for point in points]
        if any(values):
            yield name, sparkline(highest(values, cells), cells), None, milliseconds(max(values))


def time_chart(title: str, points: Sequence[numbers.SeriesPoint]) -> TimeChart:
    """Give deliveries by state, and latencies."""
    times = [datetime.fromtimestamp(point.start_time.seconds).astimezone() for point in points]
    states = [Band(name, colour, [getattr(point.counts, name) for point in points]) for name, colour in _STATES]
    shown = [band for band in states if band.name in ("delivered", "failed") or any(band.values)]
    unit, divisor = (
        ("s", 1000) if any(point.counts.latency_ms_p99 >= SECONDS_FROM_MS for point in points) else ("ms", 1)
    )
    latencies = [
        Band(name, colour, [getattr(point.counts, f"latency_ms_{name}") / divisor for point in points])
        for name, colour in _PERCENTILES
    ]
    panels = [Panel("Deliveries by the time of receipt", shown, stacked=True)]
    return TimeChart(
        title, times, [*panels, Panel(f"Latency from receipt to the end, {unit}", latencies, stacked=False)]
    )


# --- errors


def error_columns(*, wide: bool) -> tuple[str, ...]:
    if wide:
        return (">attempts", ">failed", "destination", "error", "~what is wrong", "last seen", "group")
    return (">attempts", "destination", "~what is wrong", "group")


def error_row(one: numbers.ErrorGroup, *, wide: bool) -> tuple[Cell, ...]:
    """Give the cells of error_columns."""
    attempts, destination = f"{one.attempts:,}", last_part(one.destination)
    what = shortened(what_is_wrong(one), SHAPE_CHARACTERS_MAX)
    if not wide:
        return attempts, destination, what, one.id
    return (
        attempts, f"{one.failed:,}", destination, error_word(one.error_type), what, when_short(one.last_seen_time),
        one.id,
    )  # fmt: skip


def what_is_wrong(one: numbers.ErrorGroup) -> str:
    """Give the shape of an error with its class and status."""
    if one.overflow:
        return "errors that say too many different things to be told apart"
    status = f" ({one.http_status})" if one.http_status else ""
    return f"{one.error_name}{status}: {one.shape}" if one.error_name else f"{one.shape or 'no message'}{status}"


def error_chart(title: str, found: Sequence[numbers.ErrorGroup]) -> BarChart:
    """Give failed attempts by group."""
    ended = Band("ended as failed", "#d55e00", [one.failed for one in found])
    others = Band("tried again", "#f0c419", [one.attempts - one.failed for one in found])
    rows = [f"{last_part(one.destination)}: {one.shape or error_word(one.error_type)}" for one in found]
    return BarChart(title, rows, [ended, others])


# --- hosts and usage


def host_columns(*, wide: bool) -> tuple[str, ...]:
    if wide:
        return ("host", ">calls", ">HTTP error", ">network", ">success", "", ">p50", ">p95", "~called by")
    return ("host", ">calls", ">failed", ">success", ">p95", "~called by")


def host_row(one: numbers.HostHealth, *, wide: bool) -> tuple[Cell, ...]:
    """Give the cells of host_columns."""
    answered = one.latency_ms_p50 > 0
    p95 = milliseconds(one.latency_ms_p95) if answered else None
    callers = ", ".join(last_part(part.destination) for part in one.destinations)
    style = "green" if one.success_rate > 0.99 else "yellow" if one.success_rate > 0.5 else "red"
    success = Text(percent(one.success_rate), style=style)
    if not wide:
        return one.host, f"{one.calls:,}", f"{one.http_errors + one.network_errors:,}", success, p95, callers
    return (
        one.host, f"{one.calls:,}", f"{one.http_errors:,}", f"{one.network_errors:,}", success,
        Text(bar(one.success_rate, BAR), style=style), milliseconds(one.latency_ms_p50) if answered else None, p95,
        callers,
    )  # fmt: skip


def host_chart(title: str, found: Sequence[numbers.HostHealth]) -> BarChart:
    """Give calls by host and what became of them."""
    answered = [one.calls - one.http_errors - one.network_errors - one.unanswered for one in found]
    return BarChart(
        title,
        [one.host for one in found],
        [
            Band("below 400", "#009e73", answered),
            Band("400 or more", "#d55e00", [one.http_errors for one in found]),
            Band("network", "#cc79a7", [one.network_errors for one in found]),
            Band("not awaited", "#c9ced6", [one.unanswered for one in found]),
        ],
    )


USAGE_COLUMNS = ("day", "function", ">attempts", ">wall", ">CPU", ">requests", ">sent", ">received")


def usage_row(one: numbers.FunctionUsage) -> tuple[Cell, ...]:
    """Give the cells of USAGE_COLUMNS; days are UTC's."""
    return (
        one.day_time.ToDatetime().strftime("%Y-%m-%d"),
        last_part(one.function),
        f"{one.attempts:,}",
        seconds_text(one.wall_us),
        seconds_text(one.cpu_us),
        f"{one.requests:,}",
        bytes_text(one.request_bytes),
        bytes_text(one.response_bytes),
    )


def usage_chart(title: str, found: Sequence[numbers.FunctionUsage]) -> BarChart:
    """Give CPU time by function over all days, the largest first."""
    sums: dict[str, int] = {}
    for one in found:
        sums[last_part(one.function)] = sums.get(last_part(one.function), 0) + one.cpu_us
    rows = sorted(sums.items(), key=lambda item: (-item[1], item[0]))
    return BarChart(title, [name for name, _ in rows], [Band("CPU, s", "#0072b2", [us / 1e6 for _, us in rows])])
