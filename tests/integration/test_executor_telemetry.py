"""What an executor exports, as a collector receives it."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.executor.handlers.metering import METRICS
from tests.e2e.otlp_collector import Collector
from tests.integration.telemetry_probe import TRACE_ID

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
async def received() -> Collector:
    """What a process has exported that counted one of everything."""
    collector = Collector()
    with collector.listening():
        command = [sys.executable, "-m", "tests.integration.telemetry_probe", collector.address]
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
        assert await asyncio.wait_for(process.wait(), 60) == 0
    return collector


def metrics(collector: Collector) -> Iterator[Any]:
    for request in collector.metrics:
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                yield from scope.metrics


def spans(collector: Collector) -> list[Any]:
    return [
        span
        for request in collector.traces
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def labels(of: Any) -> dict[str, str]:
    return {one.key: one.value.string_value or str(one.value.int_value) for one in of.attributes}


async def test_every_metric_arrives_under_its_documented_name(received: Collector) -> None:
    documented = set(re.findall(r"^\| `([a-z_.]+)` \|", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE))
    assert {metric.name for metric in METRICS} <= documented
    assert {metric.name for metric in METRICS} <= {metric.name for metric in metrics(received)}


async def test_executions_bear_result_error_type_and_destination(received: Collector) -> None:
    executions = next(metric for metric in metrics(received) if metric.name == "onward.executor.executions")
    points = [labels(point) for point in executions.sum.data_points]
    crm = {"onward.workspace": "acme", "onward.destination": "crm"}
    assert {**crm, "onward.result": "retryable", "error.type": "retry"} in points
    assert {**crm, "onward.result": "delivered"} in points


async def test_histograms_have_their_values_in_the_right_buckets(received: Collector) -> None:
    (queue,) = [metric for metric in metrics(received) if metric.name == "onward.executor.queue.duration"]
    (point,) = queue.histogram.data_points
    # Two attempts that ended 5 ms after their events were stored, and had run for 2 of these.
    assert (point.count, round(point.sum, 6)) == (2, 0.006)
    bucket = next(number for number, count in enumerate(point.bucket_counts) if count)
    assert point.explicit_bounds[bucket - 1] < 0.003 <= point.explicit_bounds[bucket]
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1


async def test_an_attempt_of_a_sampled_event_is_a_span_with_its_requests_below(received: Collector) -> None:
    found = spans(received)
    (attempt,) = [span for span in found if span.name == "execute onTrack"]
    assert attempt.trace_id.hex() == TRACE_ID
    assert attempt.parent_span_id.hex() == "00f067aa0ba902b7"
    assert attempt.end_time_unix_nano - attempt.start_time_unix_nano == 2_000_000
    assert labels(attempt) == {
        "messaging.message.id": "m1", "onward.workspace": "acme", "onward.destination": "crm", "onward.version": "3",
        "onward.attempt": "1", "onward.result": "retryable", "error.type": "retry",
    }  # fmt: skip
    requests = [span for span in found if span.parent_span_id == attempt.span_id]
    assert [labels(span) for span in requests] == [
        {"http.request.method": "POST", "server.address": "api.example", "http.response.status_code": "503"},
        {"http.request.method": "_OTHER", "server.address": "10.0.0.1", "error.type": "EGRESS_DENIED"},
    ]
    assert [span.name for span in requests] == ["POST", "HTTP"]
    assert len(found) == 3


async def test_neither_paths_nor_queries_nor_made_up_methods_of_requests_are_told(received: Collector) -> None:
    assert b"secret" not in received.text()
