"""Counts, success rates and latencies of deliveries, from sums of minutes and hours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from kit.auth.demand import Subset
from kit.postgres.queries import load_queries
from kit.rpc import names
from onward.delivery.v1 import delivery_service_pb2 as pb
from onward.delivery.v1 import numbers_pb2 as numbers
from onward.executor.v1 import outcomes_pb2
from services.delivery.domain.decisions import EXHAUSTED
from services.delivery.domain.latency import percentiles_ms
from services.delivery.domain.schedule import MINUTE_US
from services.delivery.domain.windows import Window
from services.delivery.queries import Reader

queries = load_queries(Path(__file__).parent / "numbers.sql")

# What a breakdown shows; a destination counts as many names apart in a minute.
ROWS_MAX = 200
# Roll-ups have an error type only where deliveries failed; `due` also has it where they were only held back.
_FIELDS = {
    pb.DELIVERY_STATE_DELIVERED: "delivered",
    pb.DELIVERY_STATE_FAILED: "failed",
    pb.DELIVERY_STATE_FILTERED: "filtered",
    pb.DELIVERY_STATE_SKIPPED: "skipped",
    pb.DELIVERY_STATE_CANCELLED: "cancelled",
}


class Asked(NamedTuple):
    """Whose numbers: of a workspace's destinations, or of one; those of some functions or sources."""

    workspace: str
    destination: str
    functions: Subset
    sources: Subset

    @property
    def arguments(self) -> tuple[object, ...]:
        """The first five parameters of every statement."""
        every = self.functions.all or self.sources.all
        return self.workspace, self.destination, every, sorted(self.functions.ids), sorted(self.sources.ids)


class Sums:
    """Counts and latencies that are being added up."""

    def __init__(self) -> None:
        self.counts = numbers.DeliveryCounts()
        self.buckets: dict[int, int] = {}

    def add(self, state: int, row: asyncpg.Record) -> None:
        add_count(self.counts, state, row)

    def add_latency(self, bucket: int, count: int) -> None:
        self.buckets[bucket] = self.buckets.get(bucket, 0) + count

    def finished(self) -> numbers.DeliveryCounts:
        finish(self.counts)
        set_latencies(self.counts, percentiles_ms(self.buckets))
        return self.counts


def add_count(counts: numbers.DeliveryCounts, state: int, row: asyncpg.Record) -> None:
    """Add a row of ended deliveries."""
    count = row["count"]
    field = _FIELDS[pb.DeliveryState.ValueType(state)]
    setattr(counts, field, getattr(counts, field) + count)
    counts.received += count
    if state == pb.DELIVERY_STATE_DELIVERED:
        counts.delivered_after_retry += row["retried"]
        counts.http_errors += row["http_errors"]


def add_pending(counts: numbers.DeliveryCounts, count: int) -> None:
    counts.pending += count
    counts.received += count


def finish(counts: numbers.DeliveryCounts) -> None:
    """Fill in what follows from the counts."""
    ended = counts.delivered + counts.failed
    counts.success_rate = counts.delivered / ended if ended else 1.0


def set_latencies(counts: numbers.DeliveryCounts, latencies_ms: Sequence[float]) -> None:
    counts.latency_ms_p50, counts.latency_ms_p95, counts.latency_ms_p99 = latencies_ms


def span_arguments(window: Window) -> tuple[object, ...]:
    """A window and the one before, as statements take them: parts of minutes, parts of hours, each by period."""
    periods = (window, window.before)
    minutes = [(*part, period) for period, one in enumerate(periods) for part in one.minutes]
    hours = [(part.first, part.last, period) for period, one in enumerate(periods) for part in one.hours]
    return (*_columns(minutes, 4), *_columns(hours, 3))


def _columns(rows: Sequence[tuple[int, ...]], width: int) -> tuple[list[int], ...]:
    return tuple([row[at] for row in rows] for at in range(width))


class Summary:
    """One answer of GetSummary that is being put together."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        # By destination, for the asked period and for the one before.
        self.sums: dict[str, tuple[Sums, Sums]] = {}
        self.total = (Sums(), Sums())
        self.destinations: dict[str, pb.DestinationSummary] = {}
        self.by_type: dict[numbers.Dimension.ValueType, dict[str, numbers.DeliveryCounts]] = {
            numbers.DIMENSION_ERROR_TYPE: {},
            numbers.DIMENSION_EVENT_TYPE: {},
        }

    def _of(self, destination: str) -> tuple[Sums, Sums]:
        return self.sums.setdefault(destination, (Sums(), Sums()))

    def _summary_of(self, destination: str) -> pb.DestinationSummary:
        name = names.DESTINATION.format(self._asked.workspace, destination)
        return self.destinations.setdefault(destination, pb.DestinationSummary(destination=name))

    def add_ended(self, row: asyncpg.Record) -> None:
        state, period = row["state"], row["period"]
        self._of(row["destination"])[period].add(state, row)
        self.total[period].add(state, row)
        if period:
            return
        add_count(self._counts(numbers.DIMENSION_EVENT_TYPE, _type_word(row)), state, row)
        if state == pb.DELIVERY_STATE_FAILED:
            self._summary_of(row["destination"]).failed_by_error[_error_word(row)] += row["count"]
            add_count(self._counts(numbers.DIMENSION_ERROR_TYPE, _error_word(row)), state, row)

    def add_pending(self, row: asyncpg.Record) -> None:
        period, count = row["period"], row["count"]
        add_pending(self._of(row["destination"])[period].counts, count)
        add_pending(self.total[period].counts, count)
        if not period:
            add_pending(self._counts(numbers.DIMENSION_EVENT_TYPE, _type_word(row)), count)
            if row["error_type"]:
                add_pending(self._counts(numbers.DIMENSION_ERROR_TYPE, _error_word(row)), count)

    def _counts(self, dimension: numbers.Dimension.ValueType, value: str) -> numbers.DeliveryCounts:
        return self.by_type[dimension].setdefault(value, numbers.DeliveryCounts())

    def add_latency(self, row: asyncpg.Record) -> None:
        for one in (self._of(row["destination"]), self.total):
            one[row["period"]].add_latency(row["bucket"], row["count"])

    def add_reason(self, row: asyncpg.Record) -> None:
        summary = self._summary_of(row["destination"])
        if row["state"] == pb.DELIVERY_STATE_FAILED:
            summary.exhausted += row["count"] if row["reason"] == EXHAUSTED else 0
            return
        counts = summary.filtered_by if row["state"] == pb.DELIVERY_STATE_FILTERED else summary.cancelled_by
        counts[row["reason"]] += row["count"]

    def finished(self) -> pb.GetSummaryResponse:
        """The answer: also of a destination that has none now and had some before."""
        shown = {one: sums for one, sums in self.sums.items() if any(period.counts.received for period in sums)}
        for destination, (now, before) in sorted(shown.items()):
            _set_counts(self._summary_of(destination), now.finished(), before.finished())
        return pb.GetSummaryResponse(
            destinations=[self.destinations[one] for one in sorted(shown)],
            total=self.total[0].finished(),
            previous_total=self.total[1].finished(),
        )


def _set_counts(summary: pb.DestinationSummary, counts: numbers.DeliveryCounts, before: numbers.DeliveryCounts) -> None:
    for field in numbers.DeliveryCounts.DESCRIPTOR.fields:
        setattr(summary, field.name, getattr(counts, field.name))
    summary.previous.CopyFrom(before)


def _error_word(row: Mapping[str, Any] | asyncpg.Record) -> str:
    return outcomes_pb2.ErrorType.Name(row["error_type"]).removeprefix("ERROR_TYPE_")


def _type_word(row: Mapping[str, Any] | asyncpg.Record) -> str:
    return outcomes_pb2.EventType.Name(row["type"]).removeprefix("EVENT_TYPE_")


async def get_summary(
    reader: Reader, asked: Asked, window: Window, dimensions: Sequence[numbers.Dimension.ValueType]
) -> pb.GetSummaryResponse:
    """The numbers of each destination that is shown to the caller, and of the window before."""
    summary, whose, when = Summary(asked), asked.arguments, span_arguments(window)
    for row in await reader.fetch(queries.counts, *whose, *when):
        summary.add_ended(row)
    borders = [window.before.first * MINUTE_US, window.first * MINUTE_US, window.last * MINUTE_US]
    for row in await reader.fetch(queries.pending, *whose, borders):
        summary.add_pending(row)
    for row in await reader.fetch(queries.latencies, *whose, *when):
        summary.add_latency(row)
    for row in await reader.fetch(queries.reasons, *whose, *when):
        summary.add_reason(row)
    answer = summary.finished()
    answer.start_time.FromMicroseconds(window.first * MINUTE_US)
    answer.end_time.FromMicroseconds(window.last * MINUTE_US)
    await _add_refused(reader, asked, window, answer)
    for dimension in dimensions:
        values = summary.by_type.get(dimension)
        if values is None:
            values = await _by_name(reader, whose, when)
        answer.breakdowns.append(_breakdown(dimension, values))
    return answer


async def _add_refused(reader: Reader, asked: Asked, window: Window, answer: pb.GetSummaryResponse) -> None:
    sources = asked.sources
    found = await reader.fetch(
        queries.ingest_counts, asked.workspace, window.before.first, window.first, window.last, sources.all,
        sorted(sources.ids),
    )  # fmt: skip
    for row in found:
        counts = answer.previous_failed_on_ingest if row["period"] else answer.failed_on_ingest
        counts[row["source"]] = row["count"]


async def _by_name(
    reader: Reader, whose: tuple[object, ...], when: tuple[object, ...]
) -> dict[str, numbers.DeliveryCounts]:
    found: dict[str, numbers.DeliveryCounts] = {}
    for row in await reader.fetch(queries.names, *whose, *when, ROWS_MAX):
        add_count(found.setdefault(row["event_name"], numbers.DeliveryCounts()), row["state"], row)
    return found


def _breakdown(
    dimension: numbers.Dimension.ValueType, values: Mapping[str, numbers.DeliveryCounts]
) -> numbers.Breakdown:
    for counts in values.values():
        finish(counts)
    rows = sorted(values.items(), key=lambda item: (-item[1].received, item[0]))[:ROWS_MAX]
    return numbers.Breakdown(
        dimension=dimension, rows=[numbers.BreakdownRow(value=value, counts=counts) for value, counts in rows]
    )
