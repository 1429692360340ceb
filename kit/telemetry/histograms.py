"""Histograms that cost an addition: counted in plain numbers, and put among the metrics when these are exported.

The SDK's take some 5 us a value, which is too much where a hundred thousand values come a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter

# Buckets end at powers of two: from a microsecond to an hour.
BUCKETS = 33
LAST = BUCKETS - 1
# Of the SDK's data points, in seconds. A bucket holds the numbers of so many bits: 0, 1, 2 to 3, 4 to 7 and so on.
BOUNDS_S = tuple((2**bits - 1) / 1_000_000 for bits in range(BUCKETS - 1))


class Histogram:
    """Counts values in microseconds."""

    __slots__ = ("counts", "sum_us")

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS
        self.sum_us = 0

    def add(self, value_us: int) -> None:
        """Count one; 0.2 us. What is below nothing counts as nothing."""
        value_us = max(0, value_us)
        self.counts[min(value_us.bit_length(), LAST)] += 1
        self.sum_us += value_us

    @property
    def count(self) -> int:
        return sum(self.counts)


Attributes = Mapping[str, str | int]
Read = Callable[[], Iterable[tuple[Attributes, Histogram]]]


@dataclass(frozen=True, slots=True)
class Series:
    """A metric whose histograms are read when it is exported."""

    name: str
    description: str
    read: Read


_series: dict[str, Series] = {}
_started_ns = time.time_ns()


def register(series: Series) -> None:
    """Have a metric exported from now on; one of the same name is replaced."""
    _series[series.name] = series


def with_histograms(exporter: MetricExporter) -> MetricExporter:
    """The exporter, which also sends what is registered here."""
    send = exporter.export

    def export(metrics_data: Any, *rest: Any, **more: Any) -> Any:
        for resource in metrics_data.resource_metrics[:1]:
            for scope in resource.scope_metrics[:1]:
                scope.metrics.extend(_read(time.time_ns()))
        return send(metrics_data, *rest, **more)

    exporter.export = export  # type: ignore[method-assign]  # what it is made for has no other hook
    return exporter


def _read(now_ns: int) -> Iterable[Any]:
    from opentelemetry.sdk.metrics import export as sdk

    for series in _series.values():
        points = [
            sdk.HistogramDataPoint(
                attributes=dict(attributes),
                start_time_unix_nano=_started_ns,
                time_unix_nano=now_ns,
                count=histogram.count,
                sum=histogram.sum_us / 1_000_000,
                bucket_counts=tuple(histogram.counts),
                explicit_bounds=BOUNDS_S,
                min=0.0,
                max=0.0,
            )
            for attributes, histogram in series.read()
        ]
        if points:
            data = sdk.Histogram(data_points=points, aggregation_temporality=sdk.AggregationTemporality.CUMULATIVE)
            yield sdk.Metric(name=series.name, description=series.description, unit="s", data=data)
