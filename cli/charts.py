"""Charts in files: SVG drawn here, PNG by matplotlib where that is installed.

SVG is text and needs nobody: a few rectangles and lines. A PNG needs fonts and a rasteriser, which weigh more than all
of the command line, so they are asked for only by who wants one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from importlib.util import find_spec
from math import floor, log10
from pathlib import Path
from typing import Any

from cli.failures import UsageError
from cli.output import shown

WIDTH = 960
LEFT, RIGHT, TOP = 80, 24, 64
PANEL, GAP, ROW = 220, 56, 30
LABELS = 270
TICKS_MAX = 6
CHARACTERS_MAX = 36
_FONT = 'font-family="Helvetica, Arial, sans-serif"'
_INK, _FAINT, _GRID = "#333333", "#777777", "#e4e4e4"


@dataclass(frozen=True)
class Band:
    """One quantity: its name, colour, and a value for each point or row."""

    name: str
    colour: str
    values: Sequence[float]


@dataclass(frozen=True)
class Panel:
    """Quantities over time on one scale: stacked bars that add up, or lines."""

    title: str
    bands: Sequence[Band]
    stacked: bool


@dataclass(frozen=True)
class TimeChart:
    """Panels above one another with the same times."""

    title: str
    times: Sequence[datetime]
    panels: Sequence[Panel]


@dataclass(frozen=True)
class BarChart:
    """A bar for each row, of parts that add up."""

    title: str
    rows: Sequence[str]
    bands: Sequence[Band]


Chart = TimeChart | BarChart


def require_plot(path: Path | None) -> None:
    """Say early what would keep a plot from being written. Raises UsageError."""
    if path is None:
        return
    if path.suffix not in (".svg", ".png"):
        raise UsageError(f"--plot writes .svg and .png, and {path.name} is neither")
    if not path.parent.is_dir():
        raise UsageError(f"--plot: there is no folder {path.parent}")
    if path.suffix == ".png" and find_spec("matplotlib") is None:
        raise UsageError(f"a .png takes matplotlib: pip install matplotlib, or --plot {path.with_suffix('.svg')}")


def write_plot(chart: Chart, path: Path) -> None:
    """Write a chart in the form that the name of the file says."""
    if path.suffix == ".svg":
        path.write_text(as_svg(chart))
        return
    from cli.charts_png import write_png

    write_png(chart, path)


def as_svg(chart: Chart) -> str:
    """Give a chart as an SVG document."""
    parts, height = _time_chart(chart) if isinstance(chart, TimeChart) else _bar_chart(chart)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}"'
            f' viewBox="0 0 {WIDTH} {height}" {_FONT} font-size="12">',
            f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
            _text(24, 30, chart.title, size=16, weight="bold"),
            *parts,
            "</svg>",
            "",
        ]
    )


def top_of(highest: float) -> float:
    """Give a round number that is not below: 1, 2, 3 or 5 times a power of ten."""
    if highest <= 0:
        return 1.0
    power = float(10 ** floor(log10(highest)))
    return next(step * power for step in (1, 2, 3, 5, 10) if step * power >= highest * 0.999_999)


def _time_chart(chart: TimeChart) -> tuple[list[str], int]:
    parts: list[str] = []
    top = TOP
    for panel in chart.panels:
        parts += _panel(panel, chart.times, top)
        top += PANEL + GAP
    return parts, top


def _panel(panel: Panel, times: Sequence[datetime], top: int) -> Iterator[str]:
    yield _text(24, top, panel.title, colour=_FAINT)
    yield from _legend(panel.bands, top)
    plot_top, bottom = top + 12, top + PANEL - 16
    sums = [sum(values) for values in zip(*(band.values for band in panel.bands), strict=True)]
    highest = max(sums if panel.stacked else [value for band in panel.bands for value in band.values], default=0)
    scale = top_of(highest)
    yield from _scale(scale, plot_top, bottom)
    yield from _times(times, bottom)
    draw = _stacks if panel.stacked else _lines
    yield from draw(panel.bands, len(times), scale, plot_top, bottom)


def _scale(scale: float, top: int, bottom: int) -> Iterator[str]:
    for share in (0, 0.5, 1):
        y = bottom - share * (bottom - top)
        yield f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="{_GRID}"/>'
        yield _text(LEFT - 8, y + 4, f"{scale * share:,g}", colour=_FAINT, anchor="end")


def _times(times: Sequence[datetime], bottom: int) -> Iterator[str]:
    step = max(1, -(-len(times) // TICKS_MAX))
    days = bool(times) and (times[-1] - times[0]).total_seconds() > 86_400
    for place in range(0, len(times), step):
        x = LEFT + place * (WIDTH - LEFT - RIGHT) / len(times)
        yield _text(x, bottom + 16, times[place].strftime("%m-%d %H:%M" if days else "%H:%M"), colour=_FAINT)


def _stacks(bands: Sequence[Band], points: int, scale: float, top: int, bottom: int) -> Iterator[str]:
    width = (WIDTH - LEFT - RIGHT) / max(1, points)
    gap = 1 if width > 4 else 0
    for place in range(points):
        y = float(bottom)
        for band in bands:
            height = band.values[place] / scale * (bottom - top)
            if height > 0:
                y -= height
                x = LEFT + place * width
                yield (
                    f'<rect x="{x:.1f}" y="{y:.1f}" width="{width - gap:.1f}" height="{height:.1f}"'
                    f' fill="{band.colour}"/>'
                )


def _lines(bands: Sequence[Band], points: int, scale: float, top: int, bottom: int) -> Iterator[str]:
    """Points without a value interrupt a line."""
    width = (WIDTH - LEFT - RIGHT) / max(1, points)
    for band in bands:
        for run in _runs(band.values):
            at = [(LEFT + (place + 0.5) * width, bottom - band.values[place] / scale * (bottom - top)) for place in run]
            if len(at) == 1:
                yield f'<circle cx="{at[0][0]:.1f}" cy="{at[0][1]:.1f}" r="2" fill="{band.colour}"/>'
            else:
                path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
                yield f'<polyline points="{path}" fill="none" stroke="{band.colour}" stroke-width="1.5"/>'


def _runs(values: Sequence[float]) -> Iterator[list[int]]:
    run: list[int] = []
    for place, value in enumerate(values):
        if value > 0:
            run.append(place)
        elif run:
            yield run
            run = []
    if run:
        yield run


def _bar_chart(chart: BarChart) -> tuple[list[str], int]:
    parts = list(_legend(chart.bands, TOP))
    sums = [sum(values) for values in zip(*(band.values for band in chart.bands), strict=True)]
    scale = max(sums, default=0) or 1
    room = WIDTH - LABELS - RIGHT - 80
    for place, row in enumerate(chart.rows):
        y = TOP + 20 + place * ROW
        parts.append(_text(LABELS - 8, y + 15, short(row), anchor="end"))
        x = float(LABELS)
        for band in chart.bands:
            width = band.values[place] / scale * room
            if width > 0:
                parts.append(f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="20" fill="{band.colour}"/>')
                x += width
        parts.append(_text(x + 6, y + 15, f"{sums[place]:,g}", colour=_FAINT))
    return parts, TOP + 40 + len(chart.rows) * ROW


def short(text: str) -> str:
    """Give a label that has room beside its bar."""
    line = shown(text)
    return line if len(line) <= CHARACTERS_MAX else line[: CHARACTERS_MAX - 1] + "…"


def _legend(bands: Sequence[Band], y: float) -> Iterator[str]:
    x = float(WIDTH - RIGHT)
    for band in reversed(bands):
        x -= 7 * len(band.name) + 12
        yield _text(x, y, band.name, colour=_INK)
        x -= 16
        yield f'<rect x="{x:.1f}" y="{y - 9:.1f}" width="10" height="10" fill="{band.colour}"/>'


def _text(
    x: float, y: float, text: str, *, size: int = 12, colour: str = _INK, anchor: str = "start", weight: str = "normal"
) -> str:
    """Give a text; whatever it holds is shown, and no part of the document."""
    attributes: dict[str, Any] = {"font-size": size, "fill": colour, "text-anchor": anchor, "font-weight": weight}
    told = " ".join(f'{name}="{value}"' for name, value in attributes.items())
    return f'<text x="{x:.1f}" y="{y:.1f}" {told}>{escape(shown(text))}</text>'
