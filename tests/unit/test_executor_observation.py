"""What is told of attempts: a batch is one invocation, in the trace of each of its events."""

from __future__ import annotations

from typing import Any, cast

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from kit.clock import FakeClock
from services.executor.handlers import observation
from services.executor.handlers.batch_attempts import BatchAttempts
from services.executor.handlers.metering import Meters
from services.executor.handlers.observation import Observer
from services.executor.handlers.settle import OutcomeLog
from services.executor.handlers.work import Batch
from services.executor.runtime.pool import Outcome
from tests.integration.telemetry_probe import NOT_SAMPLED, SAMPLED, exchange, item
from tests.unit.lane_given import PROGRAM

OTHER_TRACE = SAMPLED.replace("4bf9", "5cf9")


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    provider, kept = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(observation, "_tracer", provider.get_tracer("test"))
    return kept


def settled(*traceparents: str) -> Meters:
    """Have a batch of these events take two seconds, and make one request."""
    clock, meters = FakeClock(), Meters()
    log = OutcomeLog(cast(Any, None), cast(Any, None), clock)
    log.observe = Observer(meters, traces=True).on_outcome
    batch = Batch([item(traceparent) for traceparent in traceparents])
    for one in batch.items:
        one.received_at_us = int(clock.now().timestamp() * 1e6) - 3_000_000
    batch.exchanges.append(exchange("https://api.example/", status=200))
    BatchAttempts("crm", log, clock).settle(PROGRAM, batch, Outcome(1, True, 2_000_000, 100_000, [], None, None))
    return meters


def duration_s(span: ReadableSpan) -> float:
    assert span.end_time is not None
    assert span.start_time is not None
    return (span.end_time - span.start_time) / 1e9


def test_each_event_of_a_batch_has_a_span_of_the_whole_and_its_requests_are_told_once_in_each_trace(
    spans: InMemorySpanExporter,
) -> None:
    settled(SAMPLED, SAMPLED, NOT_SAMPLED, OTHER_TRACE)
    found = spans.get_finished_spans()
    attempts = [span for span in found if span.name == "execute onBatch"]
    assert [duration_s(span) for span in attempts] == [2.0] * 3
    assert {(span.attributes or {})["messaging.batch.message_count"] for span in attempts} == {4}
    requests = [span for span in found if span.name == "POST"]
    assert len(found) == len(attempts) + len(requests)
    parents = [request.parent.span_id for request in requests if request.parent is not None]
    assert parents == [attempts[0].context.span_id, attempts[2].context.span_id]


def test_a_batch_counts_once_with_all_its_time_and_each_event_of_it_has_waited() -> None:
    (_, counts), *_ = settled(SAMPLED, "", "")._counts()
    assert (counts.wall.count, counts.wall.sum_us, counts.cpu.count, counts.cpu.sum_us) == (1, 2_000_000, 1, 100_000)
    assert (counts.queue.count, counts.queue.sum_us) == (3, 3_000_000)
    assert sum(counts.by_result.values()) == 3
