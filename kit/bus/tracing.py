"""The W3C trace context in message headers, at no cost where nobody traces."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

TRACEPARENT = "traceparent"


def traceparent() -> str | None:
    """The header value of the current span; None unless it is being recorded."""
    span = trace.get_current_span()
    if not span.is_recording():
        return None
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def inject(headers: dict[str, str] | None = None) -> dict[str, str] | None:
    """The headers with the current span's traceparent; the same object where there is nothing to add."""
    value = traceparent()
    if value is None:
        return headers
    return {**(headers or {}), TRACEPARENT: value}


def extract(headers: Mapping[str, str] | None) -> SpanContext | None:
    """The span that the sender was in, to link to; None where there is none or it is malformed."""
    value = headers.get(TRACEPARENT) if headers else None
    if value is None:
        return None
    parts = value.split("-")
    if len(parts) < 4 or len(parts[1]) != 32 or len(parts[2]) != 16 or parts[0] == "ff":
        return None
    try:
        context = SpanContext(
            int(parts[1], 16), int(parts[2], 16), is_remote=True, trace_flags=TraceFlags(int(parts[3], 16))
        )
    except ValueError:
        return None
    return context if context.is_valid else None


def parent(headers: Mapping[str, str] | None) -> NonRecordingSpan | None:
    """The sender's span as something to set as parent with `opentelemetry.trace.set_span_in_context`."""
    context = extract(headers)
    return NonRecordingSpan(context) if context is not None else None
