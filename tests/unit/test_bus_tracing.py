"""Trace context in headers."""

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from kit.bus import tracing


def test_without_a_recording_span_headers_stay_as_they_are() -> None:
    headers = {"a": "b"}
    assert tracing.inject(headers) is headers
    assert tracing.inject(None) is None


def test_what_one_side_injects_the_other_extracts() -> None:
    tracer = TracerProvider().get_tracer("test")
    with tracer.start_as_current_span("publish") as span:
        headers = tracing.inject({"a": "b"})
    context = tracing.extract(headers)
    assert context is not None
    assert context.trace_id == span.get_span_context().trace_id
    assert context.span_id == span.get_span_context().span_id
    assert context.is_remote
    parent = tracing.parent(headers)
    assert parent is not None
    assert trace.get_current_span(trace.set_span_in_context(parent)) is parent


def test_a_malformed_traceparent_is_no_context() -> None:
    no_hex = f"00-{'g' * 32}-{'1' * 16}-01"
    all_zero = f"00-{'0' * 32}-{'0' * 16}-00"
    for value in ("", "00-1-2-01", "zz", no_hex, all_zero):
        assert tracing.extract({"traceparent": value}) is None
    assert tracing.extract(None) is None
