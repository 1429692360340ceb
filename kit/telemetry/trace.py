"""Spans, and the W3C `traceparent` text that carries them through metadata, NATS headers and facts.

Without an endpoint no span is recorded, yet every call still has a trace id (the caller's, or a fresh one that is
marked as not sampled), so that logs, facts and outcomes of one call can always be found together.
"""

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags
from opentelemetry.util.types import AttributeValue

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_tracer = trace.get_tracer("onward")


@contextmanager
def continued(parent: str) -> Iterator[None]:
    """Make `parent` (a traceparent; anything malformed counts as none) the current trace."""
    context = _parse(parent)
    if context is None:
        yield
        return
    token = otel_context.attach(trace.set_span_in_context(NonRecordingSpan(context)))
    try:
        yield
    finally:
        otel_context.detach(token)


@contextmanager
def span(
    name: str,
    *,
    parent: str | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: dict[str, AttributeValue] | None = None,
) -> Iterator[Span]:
    """Open a span under the current one, or under `parent` where one is given ("" begins a new trace).

    An exception is recorded by its class alone: its text may hold what must not leave the machine.
    """
    above = otel_context.get_current() if parent is None else _context_of(parent)
    opened = _tracer.start_span(name, above, kind, attributes)
    if not opened.get_span_context().is_valid:
        opened = NonRecordingSpan(_fresh())
    token = otel_context.attach(trace.set_span_in_context(opened))
    try:
        yield opened
    except BaseException as error:
        if opened.is_recording():
            opened.set_attribute("error.type", type(error).__name__)
            opened.set_status(trace.StatusCode.ERROR)
        raise
    finally:
        opened.end()
        otel_context.detach(token)


def traceparent() -> str:
    """The current trace as a `traceparent` header, "" where there is none."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def trace_ids() -> tuple[str, str]:
    """Trace id and span id in hexadecimal, both "" where there is no trace."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return "", ""
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


def sampled(parent: str) -> otel_context.Context | None:
    """A context under `parent`, for spans that are made afterwards; None where its trace is not recorded."""
    context = _parse(parent)
    if context is None or not context.trace_flags.sampled:
        return None
    return trace.set_span_in_context(NonRecordingSpan(context), otel_context.Context())


def _context_of(parent: str) -> otel_context.Context:
    context = _parse(parent)
    empty = otel_context.Context()
    return empty if context is None else trace.set_span_in_context(NonRecordingSpan(context), empty)


def _parse(text: str) -> SpanContext | None:
    match = _TRACEPARENT.fullmatch(text)
    if match is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in match.groups())
    context = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags & 1))
    return context if context.is_valid else None


def _fresh() -> SpanContext:
    # Ids need to be distinct, not secret.
    return SpanContext(random.getrandbits(128), random.getrandbits(64), is_remote=False)
