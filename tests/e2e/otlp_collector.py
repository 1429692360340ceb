"""A collector of traces and metrics, as small as can be: it keeps what it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

STOP_S = 5.0
# The packages ship no types for these.
_add_traces: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
_add_metrics: Any = metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server


class _Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, received: list[Any]) -> None:
        self._received = received

    def Export(  # noqa: N802  # the proto's name
        self, request: Any, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        self._received.append(request)
        return trace_service_pb2.ExportTraceServiceResponse()


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self, received: list[Any]) -> None:
        self._received = received

    def Export(  # noqa: N802  # the proto's name
        self, request: Any, context: grpc.ServicerContext
    ) -> metrics_service_pb2.ExportMetricsServiceResponse:
        self._received.append(request)
        return metrics_service_pb2.ExportMetricsServiceResponse()


class Collector:
    """What was received: `traces` and `metrics`, a request each."""

    def __init__(self) -> None:
        self.traces: list[trace_service_pb2.ExportTraceServiceRequest] = []
        self.metrics: list[metrics_service_pb2.ExportMetricsServiceRequest] = []
        self.address = ""

    @contextmanager
    def listening(self) -> Iterator[Collector]:
        server = grpc.server(ThreadPoolExecutor(2))
        _add_traces(_Traces(self.traces), server)
        _add_metrics(_Metrics(self.metrics), server)
        self.address = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield self
        finally:
            server.stop(STOP_S).wait()

    def services(self) -> set[str]:
        """The names of the services whose spans were received."""
        return {
            attribute.value.string_value
            for request in self.traces
            for spans in request.resource_spans
            for attribute in spans.resource.attributes
            if attribute.key == "service.name"
        }

    def text(self) -> bytes:
        """Everything, to be searched."""
        return b"\n".join(request.SerializeToString() for request in [*self.traces, *self.metrics])
