"""Traces and metrics, through the OpenTelemetry API; they cost next to nothing until an endpoint is set."""

from kit.telemetry.setup import Telemetry, setup
from kit.telemetry.trace import continued, span, trace_ids, traceparent

__all__ = ["Telemetry", "continued", "setup", "span", "trace_ids", "traceparent"]
