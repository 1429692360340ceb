"""What is told of an attempt besides its outcome: counts, and spans in the trace of its event."""

from __future__ import annotations

from collections.abc import Sized

from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.util.types import AttributeValue

from kit.telemetry.trace import sampled
from onward.executor.v1 import outcomes_pb2 as pb
from services.executor.domain.errors import DROP_EVENT, INTEGRATIONS, Verdict
from services.executor.handlers.egress import Exchange
from services.executor.handlers.fairness import CpuShares
from services.executor.handlers.metering import (
    CPU_WAITING,
    CPU_WAITS,
    IN_FLIGHT,
    MEMORY,
    MEMORY_LIMIT,
    PLACES_WAITING,
    PLACES_WAITS,
    TYPES,
    WORKERS,
    WORKERS_LIMIT,
    Meters,
    Metric,
    Read,
    error_name,
    result_name,
    single,
)
from services.executor.handlers.places import WorkerPlaces
from services.executor.handlers.work import BATCH_HANDLER, Item, Run
from services.executor.runtime.egress import EgressError
from services.executor.runtime.egress_url import split_url

_NOT_BEGUN = frozenset({pb.RESULT_DEFERRED, pb.RESULT_SKIPPED, pb.RESULT_CANCELLED, pb.RESULT_LOST})
_FAILED = frozenset({pb.RESULT_FAILED, pb.RESULT_RETRYABLE})
METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
OTHER_METHOD = "_OTHER"
_tracer = trace.get_tracer("onward")


class Observer:
    """Is told of every outcome and every request."""

    def __init__(self, meters: Meters, *, traces: bool) -> None:
        """`traces` says whether spans are exported; otherwise none are made."""
        self.meters = meters
        self._by_destination = meters.by_destination
        self._traces = traces

    def on_outcome(self, item: Item, verdict: Verdict, run: Run, reason: str, ended_us: int) -> None:
        """Count an attempt, and record its spans where its event's trace is sampled."""
        route, batch = item.route, run.batch
        wall_us, cpu_us = (run.wall_us, run.cpu_us) if batch is None else (batch.wall_us, batch.cpu_us)
        self.meters.outcome(
            (route.workspace, route.destination) if self._by_destination else None,
            verdict.result * TYPES + verdict.error_type,
            # A batch is one invocation: its first event stands for it.
            (wall_us, cpu_us) if wall_us and (batch is None or batch.items[0] is item) else None,
            # Clocks of two machines may differ.
            max(0, ended_us - wall_us - item.received_at_us) if wall_us and item.attempt == 1 else -1,
        )
        if reason and verdict.result == pb.RESULT_FILTERED:
            self.meters.filtered[reason if reason in (DROP_EVENT, INTEGRATIONS) else "filter"] += 1
        if item.traceparent and self._traces and verdict.result not in _NOT_BEGUN:
            self._record(item, verdict, run, (ended_us - wall_us) * 1000, ended_us * 1000)

    def on_fetch(self, exchange: Exchange) -> None:
        """Count a request that ended."""
        host, outcome = _host(exchange), _outcome(exchange)
        if outcome == "EGRESS_DENIED":
            # Hosts that nobody may call are no hosts to keep rows for.
            self.meters.denials[outcome] += 1
        else:
            self.meters.fetched(host, outcome, int(exchange.duration_ms * 1000))

    def _record(self, item: Item, verdict: Verdict, run: Run, started_ns: int, ended_ns: int) -> None:
        """Make the spans afterwards, from what is known by then: nothing is held while an attempt runs.

        Each event of a batch has a span as long as the batch; its requests are told once in each trace.
        """
        context = sampled(item.traceparent)
        if context is None:
            return
        attributes: dict[str, AttributeValue] = {
            "messaging.message.id": item.message_id,
            "onward.workspace": item.route.workspace,
            "onward.destination": item.route.destination,
            "onward.version": run.version,
            "onward.attempt": item.attempt,
            "onward.result": result_name(verdict.result),
        }
        handler, exchanges = f"on{item.type.capitalize()}", item.exchanges
        if run.batch is not None:
            handler = BATCH_HANDLER
            exchanges = [] if item.traceparent in run.batch.traced else run.batch.exchanges
            run.batch.traced.add(item.traceparent)
            attributes["messaging.batch.message_count"] = run.batch_events
        span = _tracer.start_span(f"execute {handler}", context, SpanKind.CONSUMER, attributes, start_time=started_ns)
        if verdict.result in _FAILED:
            span.set_attribute("error.type", error_name(verdict.error_type))
            span.set_status(StatusCode.ERROR)
        within = trace.set_span_in_context(span, context)
        for exchange in exchanges:
            began_ns = int(exchange.started_at.timestamp() * 1e9)
            method = _method(exchange)
            # As OpenTelemetry's conventions have it.
            name = method if method != OTHER_METHOD else "HTTP"
            fetch = _tracer.start_span(
                name, within, SpanKind.CLIENT, _of_request(exchange, method), start_time=began_ns
            )
            if exchange.error is not None:
                fetch.set_status(StatusCode.ERROR)
            fetch.end(began_ns + int(exchange.duration_ms * 1e6))
        span.end(ended_ns)


def population(places: WorkerPlaces, shares: CpuShares, messages: Sized) -> dict[Metric, Read]:
    """What is read of workers, of those who wait, and of the messages that are held."""

    def workers() -> list[tuple[dict[str, str], int]]:
        busy = sum(bool(place.pid) and place.holder.busy for place in places.held)
        states = {"busy": busy, "starting": places.starting, "idle": places.taken - places.starting - busy}
        return [({"onward.state": state}, count) for state, count in states.items()]

    return {
        IN_FLIGHT: single(lambda: len(messages)),
        WORKERS: workers,
        WORKERS_LIMIT: single(lambda: places.most),
        MEMORY: single(lambda: places.used_bytes),
        MEMORY_LIMIT: single(lambda: places.memory_bytes),
        PLACES_WAITING: single(lambda: places.waiting),
        PLACES_WAITS: single(lambda: places.waits),
        CPU_WAITING: single(lambda: shares.waiting),
        CPU_WAITS: single(lambda: shares.waits),
    }


def _of_request(exchange: Exchange, method: str) -> dict[str, AttributeValue]:
    """Say where a request went and what came back; its path and query may hold secrets, and stay away."""
    said: dict[str, AttributeValue] = {
        "http.request.method": method,
        "server.address": _host(exchange),
    }
    if exchange.response is not None:
        said["http.response.status_code"] = exchange.response.status
    if exchange.error is not None:
        said["error.type"] = _outcome(exchange)
    return said


def _method(exchange: Exchange) -> str:
    """One of the known methods: any other is what code made up, and may be a secret."""
    method = exchange.request.method.upper()
    return method if method in METHODS else OTHER_METHOD


def _host(exchange: Exchange) -> str:
    try:
        return split_url(exchange.request.url)[0].host
    except EgressError:
        return "invalid"


def _outcome(exchange: Exchange) -> str:
    if exchange.error is not None:
        return exchange.error.code or exchange.error.type
    return f"{exchange.response.status // 100}xx" if exchange.response is not None else "none"
