"""What the executor counts, and what keeps it from counting too much."""

from __future__ import annotations

import pytest

from kit.bus.message import Message
from kit.telemetry.histograms import BOUNDS_S, BUCKETS, Histogram
from services.executor.handlers.metering import DESTINATIONS_MAX, HOSTS_MAX, METRICS, OTHER, Meters

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize("value_us", [0, 1, 2, 3, 4, 7, 8, 1_000, 999_999, 2**31, 2**32 - 1])
def test_a_value_lies_between_the_bounds_of_its_bucket(value_us: int) -> None:
    histogram = Histogram()
    histogram.add(value_us)
    bucket = histogram.counts.index(1)
    assert bucket == BUCKETS - 1 or value_us / 1e6 <= BOUNDS_S[bucket]
    assert bucket == 0 or value_us / 1e6 > BOUNDS_S[bucket - 1]


def test_values_beyond_the_last_bound_and_below_nothing_are_counted_at_the_ends() -> None:
    histogram = Histogram()
    histogram.add(2**50)
    histogram.add(-5)
    assert (histogram.counts[-1], histogram.counts[0], histogram.count) == (1, 1, 2)


def test_destinations_beyond_the_bound_are_counted_together() -> None:
    meters = Meters(by_destination=True)
    for number in range(DESTINATIONS_MAX + 50):
        meters.outcome(("acme", f"d{number}"), 0, None, -1)
    counted = [labels["onward.destination"] for labels, _ in meters.executions()]
    assert len(counted) == DESTINATIONS_MAX + 1
    assert counted[-1] == OTHER


def test_hosts_beyond_the_bound_are_counted_together() -> None:
    meters = Meters()
    for number in range(HOSTS_MAX + 50):
        meters.fetched(f"h{number}.example", "2xx", 1_000)
    meters.fetched("h0.example", "5xx", 1_000)
    counted = [labels["server.address"] for labels, _ in meters.fetches()]
    assert len(counted) == HOSTS_MAX + 2
    assert counted.count(OTHER) == 1


def test_hosts_that_never_answer_take_no_rows_from_those_that_do() -> None:
    meters = Meters()
    for number in range(HOSTS_MAX):
        meters.fetched(f"made-up-{number}.example", "ENOTFOUND", 1_000)
    meters.fetched("api.example", "2xx", 1_000)
    meters.fetched("api.example", "ECONNRESET", 1_000)
    counted = [(labels["server.address"], histogram.count) for labels, histogram in meters.fetches()]
    assert counted == [(OTHER, HOSTS_MAX), ("api.example", 1), ("api.example", 1)]


def test_destinations_are_told_only_where_the_operator_wants_it() -> None:
    meters = Meters()
    meters.outcome(None, 0, (10, 5), 3)
    assert [set(labels) for labels, _ in meters.executions()] == [{"onward.result"}]


def test_metrics_have_distinct_names() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)


@pytest.mark.parametrize(
    ("value", "read"),
    [(TRACEPARENT, TRACEPARENT), ("", ""), ("00-zz", ""), (TRACEPARENT + "-" + "x" * 1000, ""), ("ü", "")],
)
def test_a_message_tells_its_trace_where_it_is_one(value: str, read: str) -> None:
    message = Message.build("events.acme.web", b"{}", {"Nats-Msg-Id": "m", "traceparent": value})
    assert message.traceparent == read
    assert Message.build("events.acme.web", b"{}").traceparent == ""
