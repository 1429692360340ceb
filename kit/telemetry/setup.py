"""Where traces and metrics go. The SDK and its exporters are loaded only when there is an endpoint."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry import metrics, trace

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

# Metrics are sums and histograms: a minute of delay loses nothing, and is what most backends store anyway.
METRICS_INTERVAL_MS = 60_000
# A collector that does not answer must not hold up the exit.
FLUSH_TIMEOUT_MS = 2_000


@dataclass(frozen=True)
class Telemetry:
    """The providers of this process; None where nothing is exported."""

    tracers: "TracerProvider | None" = None
    meters: "MeterProvider | None" = None

    def shutdown(self) -> None:
        """Send what is left. Blocks for a few seconds at most."""
        if self.tracers is not None:
            self.tracers.force_flush(FLUSH_TIMEOUT_MS)
            self.tracers.shutdown()
        if self.meters is not None:
            self.meters.shutdown(FLUSH_TIMEOUT_MS)


def setup(service_name: str, otlp_endpoint: str | None, trace_ratio: float = 0.1) -> Telemetry:
    """Export traces and metrics by OTLP to `otlp_endpoint`, such as http://collector:4317; without one, nothing.

    `trace_ratio` is the share of calls that begin a trace; a call that arrives with a trace keeps its decision.
    """
    if not otlp_endpoint:
        return Telemetry()
    from opentelemetry.sdk.resources import Resource

    resource = Resource.create({"service.name": service_name})
    telemetry = Telemetry(_tracers(resource, otlp_endpoint, trace_ratio), _meters(resource, otlp_endpoint))
    assert telemetry.tracers is not None
    assert telemetry.meters is not None
    trace.set_tracer_provider(telemetry.tracers)
    metrics.set_meter_provider(telemetry.meters)
    return telemetry


def _tracers(resource: "Resource", endpoint: str, ratio: float) -> "TracerProvider":
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    provider = TracerProvider(resource=resource, sampler=ParentBased(TraceIdRatioBased(ratio)), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=endpoint.startswith("http://"))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def _meters(resource: "Resource", endpoint: str) -> "MeterProvider":
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    from kit.telemetry.histograms import with_histograms

    exporter = OTLPMetricExporter(endpoint=endpoint, insecure=endpoint.startswith("http://"))
    reader = PeriodicExportingMetricReader(with_histograms(exporter), export_interval_millis=METRICS_INTERVAL_MS)
    return MeterProvider([reader], resource=resource, shutdown_on_exit=False)
