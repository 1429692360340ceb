"""The charts of cli/charts.py as PNG, by matplotlib."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.dates import ConciseDateFormatter

from cli.charts import BarChart, Chart, Panel, TimeChart, short
from cli.output import shown

INCHES = 9.6
DOTS_PER_INCH = 100


def write_png(chart: Chart, path: Path) -> None:
    """Draw a chart into a file."""
    figure = _of_times(chart) if isinstance(chart, TimeChart) else _of_bars(chart)
    figure.savefig(path, dpi=DOTS_PER_INCH)
    plt.close(figure)


def _of_times(chart: TimeChart) -> Any:
    height = 0.6 + 2.6 * len(chart.panels)
    figure, axes = plt.subplots(len(chart.panels), figsize=(INCHES, height), layout="constrained", squeeze=False)
    figure.suptitle(_plain(chart.title), x=0.02, ha="left", weight="bold")
    for panel, (axis,) in zip(chart.panels, axes, strict=True):
        _draw(panel, chart, axis)
    return figure


def _draw(panel: Panel, chart: TimeChart, axis: Any) -> None:
    # Times as they are read here, whatever zone they bear.
    times = [one.replace(tzinfo=None) for one in chart.times]
    bottoms = [0.0] * len(times)
    width = times[1] - times[0] if len(times) > 1 else timedelta(minutes=1)
    for band in panel.bands:
        if panel.stacked:
            axis.bar(times, band.values, width, bottoms, color=band.colour, label=band.name, align="edge")
            bottoms = [below + value for below, value in zip(bottoms, band.values, strict=True)]
        else:
            values = [value or float("nan") for value in band.values]
            # A point by itself makes no line.
            axis.plot([one + width / 2 for one in times], values, color=band.colour, label=band.name, marker=".", ms=4)
    axis.set_xlim(times[0], times[-1] + width)
    formatter: Any = ConciseDateFormatter
    axis.xaxis.set_major_formatter(formatter(axis.xaxis.get_major_locator()))
    axis.set_title(_plain(panel.title), loc="left", fontsize=9)
    axis.legend(loc="upper left", fontsize=8, ncols=len(panel.bands), frameon=False)
    axis.set_ylim(bottom=0)
    axis.grid(visible=True, axis="y", alpha=0.3)


def _of_bars(chart: BarChart) -> Any:
    figure, axis = plt.subplots(figsize=(INCHES, 1 + 0.3 * len(chart.rows)), layout="constrained")
    figure.suptitle(_plain(chart.title), x=0.02, ha="left", weight="bold")
    places = list(range(len(chart.rows)))
    left = [0.0] * len(chart.rows)
    for band in chart.bands:
        axis.barh(places, band.values, left=left, color=band.colour, label=band.name)
        left = [before + value for before, value in zip(left, band.values, strict=True)]
    axis.set_yticks(places, [_plain(short(row)) for row in chart.rows])
    axis.invert_yaxis()
    axis.legend(loc="lower right", fontsize=8, frameon=False)
    return figure


def _plain(text: str) -> str:
    """Nobody's text is mathematics."""
    return shown(text).replace("$", r"\$")
