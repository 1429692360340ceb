"""Numbers as a few characters: a line over time, a bar, a change."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

_LEVELS = "▁▂▃▄▅▆▇█"
_EIGHTHS = " ▏▎▍▌▋▊▉"
FULL = "█"
# What a part that is not nothing is drawn as at least.
_LEAST = _EIGHTHS[1]
# From here on a change is told in times: 900 % more says less than 10 x.
TIMES_FROM = 10


def sparkline(values: Sequence[float], cells: int) -> str:
    """Give values over time as one character each, in at most so many cells; nothing where all are 0.

    Several values that share a cell are added up. 0 is a space, so that the least of the others is seen.
    """
    sums = gathered(values, cells)
    top = max(sums, default=0)
    if top <= 0:
        return ""
    return "".join(_LEVELS[min(7, ceil(value / top * 8) - 1)] if value > 0 else " " for value in sums)


def gathered(values: Sequence[float], cells: int) -> list[float]:
    """Give the sums of neighbours, as many in each cell, so that they fit."""
    each = max(1, ceil(len(values) / cells))
    return [sum(values[start : start + each]) for start in range(0, len(values), each)]


def highest(values: Sequence[float], cells: int) -> list[float]:
    """Give the highest of neighbours, for what does not add up, such as latencies."""
    each = max(1, ceil(len(values) / cells))
    return [max(values[start : start + each]) for start in range(0, len(values), each)]


def bar(share: float, cells: int) -> str:
    """Give a bar of a share from 0 to 1, in eighths of a cell; what is not 0 shows."""
    eighths = round(max(0.0, min(share, 1.0)) * cells * 8)
    text = FULL * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
    return text or (_LEAST if share > 0 else "")


def change(now: float, before: float) -> str:
    """Give how a number has changed: "▲ 12 %", "▼ 3 %", "="; "new" where there was none, "" where there is none."""
    if not now and not before:
        return ""
    if not before:
        return "new"
    if now == before:
        return "="
    arrow = "▲" if now > before else "▼"
    if now >= TIMES_FROM * before:
        return f"{arrow} {now / before:,.0f}x"
    percent = abs(now - before) / before * 100
    return f"{arrow} {percent:.0f} %" if percent >= 1 else f"{arrow} <1 %"
