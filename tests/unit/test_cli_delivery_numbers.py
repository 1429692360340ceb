"""Deliveries in numbers, in words and pictures."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli import charts
from cli.charts import Band, BarChart, Panel, TimeChart, as_svg, require_plot, top_of, write_plot
from cli.commands.delivery_numbers import set_span
from cli.failures import UsageError
from cli.number_text import (
    breakdown_columns,
    breakdown_rows,
    bytes_text,
    error_columns,
    error_row,
    filter_rows,
    host_columns,
    host_row,
    percent,
    seconds_text,
    series_rows,
    summary_columns,
    summary_row,
    time_chart,
    total_line,
    trends,
    usage_row,
    what_is_wrong,
)
from cli.sparklines import bar, change, gathered, sparkline
from onward.delivery.v1 import delivery_service_pb2 as pb
from onward.delivery.v1 import numbers_pb2 as numbers

NUMBERS = st.lists(st.integers(0, 10**12), max_size=300)
SVG = "{http://www.w3.org/2000/svg}"


# --- a few characters


@pytest.mark.parametrize(
    ("values", "line"),
    [([0, 1, 4, 8], " ▁▄█"), ([], ""), ([0, 0], ""), ([5], "█"), ([0.001, 100], "▁█")],
)
def test_a_sparkline_has_a_level_for_each_value(values: list[float], line: str) -> None:
    assert sparkline(values, 60) == line


@given(NUMBERS, st.integers(1, 80))
def test_a_sparkline_fits_and_shows_whatever_is_not_nothing(values: list[int], cells: int) -> None:
    line = sparkline(values, cells)
    assert len(line) <= cells
    assert sum(gathered(values, cells)) == sum(values)
    assert [one != " " for one in line] == ([one > 0 for one in gathered(values, cells)] if any(values) else [])


@pytest.mark.parametrize(
    ("share", "text"), [(0, ""), (1, "████"), (0.5, "██"), (0.001, "▏"), (0.28, "█▏"), (7, "████"), (-1, "")]
)
def test_a_bar_shows_whatever_is_not_nothing(share: float, text: str) -> None:
    assert bar(share, 4) == text


@pytest.mark.parametrize(
    ("now", "before", "told"),
    [
        (0, 0, ""), (5, 0, "new"), (5, 5, "="), (112, 100, "▲ 12 %"), (0, 8, "▼ 100 %"), (1001, 1000, "▲ <1 %"),
        (5000, 100, "▲ 50x"), (97, 100, "▼ 3 %"),
    ],
)  # fmt: skip
def test_a_change_says_how_much(now: float, before: float, told: str) -> None:
    assert change(now, before) == told


@pytest.mark.parametrize(
    ("share", "told"), [(1, "100 %"), (0.99996, "99.99 %"), (0.9995, "99.95 %"), (0.84, "84.0 %"), (0, "0 %")]
)
def test_a_rate_that_is_not_whole_never_looks_so(share: float, told: str) -> None:
    assert percent(share) == told


def test_quantities_have_units() -> None:
    assert [bytes_text(one) for one in (0, 999, 1500, 290_000, 7_300_000_000)] == [
        "0 B", "999 B", "1.5 KB", "290 KB", "7.3 GB",
    ]  # fmt: skip
    assert [seconds_text(one) for one in (5000, 3_000_000, 180_000_000, 7_200_000_000)] == [
        "5.0 ms", "3000 ms", "3.0 min", "2.0 h",
    ]  # fmt: skip


# --- tables


def a_summary() -> pb.GetSummaryResponse:
    counts: dict[str, Any] = {
        "received": 120, "delivered": 90, "http_errors": 3, "failed": 10, "pending": 5, "filtered": 15,
        "success_rate": 0.9, "latency_ms_p50": 20, "latency_ms_p95": 90, "latency_ms_p99": 200,
    }  # fmt: skip
    before = numbers.DeliveryCounts(received=100, delivered=100, success_rate=1, latency_ms_p95=45)
    one = pb.DestinationSummary(
        destination="workspaces/acme/destinations/crm", previous=before, filtered_by={"drop_event": 15}, **counts
    )
    return pb.GetSummaryResponse(
        destinations=[one], total=numbers.DeliveryCounts(**counts), previous_total=before
    )  # fmt: skip


@pytest.mark.parametrize("wide", [False, True])
def test_a_summary_tells_what_became_of_events_and_how_that_has_changed(wide: bool) -> None:
    (one,) = a_summary().destinations
    columns = summary_columns(wide=wide, skipped=False, cancelled=False, http_errors=True, trend=True)
    row = summary_row("crm", one, one.previous, columns, "▁█")
    told = [str(cell) for cell in row]
    assert len(row) == len(columns)
    assert (told[0], told[1], told[-1]) == ("crm", "120", "▁█")
    assert {"90", "10", "5", "90.0 %", "90 ms"} <= set(told)
    if wide:
        assert {"▲ 20 %", "▼ 10.0", "15", "3"} <= set(told)


def test_all_destinations_are_told_in_one_line_beside_the_window_before() -> None:
    told = total_line(a_summary()).plain
    assert "120 received; 90.0 % delivered of what ended; p95 90 ms" in told
    assert "In the window before: 100 received (▲ 20 %); 100 %; p95 45 ms" in told


def test_where_nothing_has_ended_no_share_is_told() -> None:
    found = pb.GetSummaryResponse(total=numbers.DeliveryCounts(received=3, pending=3, success_rate=1))
    assert "%" not in total_line(found).plain


def test_what_was_cancelled_has_a_column_so_that_the_numbers_add_up() -> None:
    one = pb.DestinationSummary(received=3, delivered=1, cancelled=2, success_rate=1)
    columns = summary_columns(wide=True, skipped=False, cancelled=True, http_errors=False, trend=False)
    row = dict(zip(columns, summary_row("crm", one, one.previous, columns, ""), strict=True))
    assert row[">cancelled"] == "2"


def test_by_event_name_what_has_ended_is_counted_and_nothing_is_said_of_what_waits() -> None:
    counts = numbers.DeliveryCounts(received=2, delivered=1, failed=1)
    rows = [numbers.BreakdownRow(value=value, counts=counts) for value in ("Signed Up", "")]
    one = numbers.Breakdown(dimension=numbers.DIMENSION_EVENT_NAME, rows=rows)
    columns = breakdown_columns(one)
    told = [dict(zip(columns, row, strict=True)) for row in breakdown_rows(one)]
    assert [row["event name"] for row in told] == ["Signed Up", "unnamed"]
    assert told[0][">ended"] == "2"
    assert ">pending" not in columns


def test_filters_are_named() -> None:
    assert list(filter_rows(a_summary())) == [("crm", "filtered", "drop_event", "15")]


def points(received: list[int]) -> list[numbers.SeriesPoint]:
    found = []
    for minute, count in enumerate(received):
        counts = numbers.DeliveryCounts(received=count, delivered=count, latency_ms_p50=count, latency_ms_p95=2 * count)
        found.append(numbers.SeriesPoint(counts=counts))
        found[-1].start_time.FromSeconds(1_700_000_000 + 60 * minute)
    return found


def test_a_series_is_a_line_for_each_quantity_that_there_is() -> None:
    rows = {str(row[0]): row[1:] for row in series_rows(points([0, 4, 8]), wide=True)}
    assert rows["received"] == (" ▄█", "12", "8")
    assert rows["failed"] == (" ", "0", "0")
    assert rows["p95"] == (" ▄█", None, "16 ms")
    assert "skipped" not in rows


@pytest.mark.parametrize(("name", "shown"), [("crm", True), ("a-destination-of-a-long-name", False)])
def test_a_narrow_table_has_a_trend_where_there_is_room(name: str, shown: bool) -> None:
    series = numbers.Series(destination=f"workspaces/acme/destinations/{name}", points=points([1] * 60))
    found = numbers.GetSeriesResponse(series=[series])
    assert bool(trends(found, wide=False)) is shown
    assert trends(found, wide=True)


def test_errors_are_told_with_class_and_status() -> None:
    group = numbers.ErrorGroup(
        id="e1", destination="workspaces/acme/destinations/crm", error_name="HttpError", http_status=503,
        shape="answered <number>", attempts=1200, failed=3,
    )  # fmt: skip
    assert what_is_wrong(group) == "HttpError (503): answered <number>"
    assert "too many different things" in what_is_wrong(numbers.ErrorGroup(overflow=True))
    assert what_is_wrong(numbers.ErrorGroup()) == "no message"
    for wide in (False, True):
        row = error_row(group, wide=wide)
        assert len(row) == len(error_columns(wide=wide))
        assert (row[0], row[-1]) == ("1,200", "e1")


def test_hosts_are_told_with_who_calls_them() -> None:
    health = numbers.HostHealth(host="api.example", calls=10, http_errors=2, network_errors=1, success_rate=0.7)
    health.destinations.add(destination="workspaces/acme/destinations/crm")
    for wide in (False, True):
        row = host_row(health, wide=wide)
        assert len(row) == len(host_columns(wide=wide))
        assert (row[0], row[1], row[-1]) == ("api.example", "10", "crm")


def test_usage_is_told_by_the_day_of_utc() -> None:
    usage = numbers.FunctionUsage(function="workspaces/acme/functions/crm", attempts=3, cpu_us=5000)
    usage.day_time.FromDatetime(datetime(2026, 3, 1, tzinfo=UTC))
    assert usage_row(usage)[:3] == ("2026-03-01", "crm", "3")


# --- spans


def test_a_span_begins_with_a_minute_and_ends_now_unless_it_is_said() -> None:
    request = pb.GetSummaryRequest()
    set_span(request, "90s", "")
    assert request.start_time.ToDatetime().second == 0
    assert not request.HasField("end_time")
    set_span(request, "2026-03-01", "2026-03-02T12:00")
    assert request.end_time.ToDatetime() - request.start_time.ToDatetime() == timedelta(hours=36)
    with pytest.raises(UsageError, match="must be after --since"):
        set_span(request, "1h", "2h")


# --- charts


EVIL = '<script>alert("x")</script> & \x1b[31m$x$'


def test_a_chart_has_long_latencies_in_seconds() -> None:
    short = time_chart("t", points([9])).panels[1]
    assert (short.title[-2:], max(short.bands[0].values)) == ("ms", 9)
    point = numbers.SeriesPoint(counts=numbers.DeliveryCounts(latency_ms_p50=20_000, latency_ms_p99=60_000))
    long = time_chart("t", [point]).panels[1]
    assert (long.title[-3:], [max(band.values) for band in long.bands]) == (", s", [20, 0, 60])


def a_time_chart() -> TimeChart:
    return time_chart(EVIL, points([0, 40, 0, 0, 80, 20]))


def a_bar_chart() -> BarChart:
    return BarChart("Hosts", [EVIL, "b"], [Band("ok", "#009e73", [5, 0]), Band("no", "#d55e00", [5, 1])])


@pytest.mark.parametrize("chart", [a_time_chart(), a_bar_chart()])
def test_an_svg_is_well_formed_whatever_its_texts_hold(chart: TimeChart | BarChart) -> None:
    document = ElementTree.fromstring(as_svg(chart))
    assert {one.tag for one in document.iter()} <= {
        SVG + name for name in ("svg", "rect", "line", "text", "polyline", "circle")
    }
    shown = [one.text or "" for one in document.iter(SVG + "text")]
    assert any(one.startswith("<script>") for one in shown)
    assert not any("\x1b" in one for one in shown)


def test_bars_are_as_high_as_their_values() -> None:
    document = ElementTree.fromstring(as_svg(a_time_chart()))
    heights = [float(one.attrib["height"]) for one in document.iter(SVG + "rect")]
    delivered = [height for height in heights if height not in (10, float(document.attrib["height"]))]
    assert [round(height / delivered[1], 2) for height in delivered] == [0.5, 1, 0.25]


def test_a_line_is_interrupted_where_nothing_was_delivered() -> None:
    document = ElementTree.fromstring(as_svg(a_time_chart()))
    # Of p50 and p95, and of none for p99.
    assert len(list(document.iter(SVG + "circle"))) == 2
    assert len(list(document.iter(SVG + "polyline"))) == 2


@given(st.floats(1e-3, 1e12))
def test_a_scale_is_a_round_number_that_is_not_far_above(highest: float) -> None:
    assert highest * 0.999 <= top_of(highest) <= highest * 2.6
    assert f"{top_of(highest):e}"[0] in "1235"


def test_charts_of_nothing_are_drawn() -> None:
    ElementTree.fromstring(as_svg(time_chart("none", points([0]))))
    ElementTree.fromstring(as_svg(BarChart("none", [], [Band("a", "red", [])])))
    ElementTree.fromstring(as_svg(TimeChart("none", [], [Panel("p", [Band("a", "red", [])], stacked=True)])))


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="matplotlib is not installed")
@pytest.mark.parametrize("chart", [a_time_chart(), a_bar_chart()])
def test_a_png_is_drawn(chart: TimeChart | BarChart, tmp_path: Path) -> None:
    write_plot(chart, tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_what_keeps_a_plot_from_being_written_is_told_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_plot(None)
    require_plot(tmp_path / "a.svg")
    with pytest.raises(UsageError, match="neither"):
        require_plot(tmp_path / "a.gif")
    with pytest.raises(UsageError, match="there is no folder"):
        require_plot(tmp_path / "none" / "a.svg")
    monkeypatch.setattr(charts, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install matplotlib, or --plot .*a\.svg"):
        require_plot(tmp_path / "a.png")
