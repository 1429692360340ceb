"""Plots of what the programs beside it measured."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt


def plot_pipeline(
    figures: dict[str, float], rates: dict[str, list[float]], latencies_ms: list[float], path: Path
) -> None:
    """Draw rates beside the floor, CPU time an event by process, and the distribution of latencies."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
    names = ["floor", "trivial", "moderate"]
    left.bar(names, [figures[f"{name}_events_per_s"] for name in names], color=["#bbbbbb", "#2a6f97", "#468faf"])
    for index, name in enumerate(names):
        left.scatter([index] * len(rates[name]), rates[name], color="black", s=12, zorder=3)
    left.set_title("Events a second (bars: medians, dots: runs)")
    parts = [name.removeprefix("cpu_us_per_event_") for name in figures if name.startswith("cpu_us_per_event_")]
    middle.barh(parts, [figures[f"cpu_us_per_event_{part}"] for part in parts], color="#2a6f97")
    middle.set_title("CPU time an event, µs (trivial handler)")
    shares = [index / len(latencies_ms) for index in range(len(latencies_ms))]
    right.plot(latencies_ms, shares, color="#2a6f97")
    right.set_xscale("log")
    right.grid(visible=True, which="both", alpha=0.3)
    right.set_title("Publish ack to Postgres, ms, at 500 events/s")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def plot_targets(figures: dict[str, tuple[float, float, bool]], path: Path) -> None:
    """Draw each figure as a multiple of its target: (figure, target, whether less is better)."""
    figure, axes = plt.subplots(figsize=(10, 0.45 * len(figures) + 1.2), layout="constrained")
    names = list(figures)[::-1]
    reached = [wanted / got if less else got / wanted for got, wanted, less in (figures[name] for name in names)]
    bars = axes.barh(names, reached, color=["#2a6f97" if share >= 1 else "#c1666b" for share in reached])
    axes.bar_label(bars, [f" {figures[name][0]:,g}" for name in names])
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_title("Times better than asked for (the line); the figures beside")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
