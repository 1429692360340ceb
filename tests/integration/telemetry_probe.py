"""A process that counts one of everything and exports it: `python -m tests.integration.telemetry_probe ENDPOINT`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any, cast

from kit import telemetry
from kit.clock import SystemClock
from services.executor.domain import errors
from services.executor.handlers.egress import Exchange
from services.executor.handlers.fairness import CpuShares
from services.executor.handlers.metering import Meters, expose
from services.executor.handlers.observation import Observer, population
from services.executor.handlers.places import WorkerPlaces
from services.executor.handlers.work import Item, Run, Ticket
from services.executor.projections import Route
from services.executor.runtime.egress import EgressError, EgressRequest, EgressResponse

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SAMPLED = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
NOT_SAMPLED = f"00-{TRACE_ID[::-1]}-00f067aa0ba902b7-00"
ENDED_US = 1_800_000_000_000_000


def item(traceparent: str, *exchanges: Exchange) -> Item:
    route = Route("acme", "crm", "CRM", "web", "f", 3, enabled=True)
    return Item(
        ticket=Ticket(("s", 1), cast(Any, None), 0.0),
        route=route,
        sequence=1,
        index=0,
        attempt=1,
        retries_used=0,
        message_id="m1",
        type="track",
        name="Order",
        payload=b"{}",
        received_at_us=ENDED_US - 5_000,
        queued_at=0.0,
        exchanges=list(exchanges),
        traceparent=traceparent,
    )


def exchange(url: str, *, method: str = "POST", status: int = 0, error: EgressError | None = None) -> Exchange:
    request = EgressRequest.from_payload({"url": url, "method": method, "headers": []})
    made = Exchange(request, started_at=datetime.fromtimestamp(ENDED_US / 1e6 - 0.001, UTC), duration_ms=1.0)
    made.error = error
    if status:
        made.response = cast(EgressResponse, type("Answer", (), {"status": status}))
    return made


def main(endpoint: str) -> None:
    exported = telemetry.setup("onward-executor", endpoint, trace_ratio=0.0)
    clock = SystemClock()
    meters = Meters(by_destination=True)
    places, shares = WorkerPlaces(10, 1 << 30, clock), CpuShares(clock)
    expose(meters, population(places, shares, []))
    observer = Observer(meters, traces=True)
    answered = exchange("https://api.example/secret/path?key=k", status=503)
    refused = exchange("http://10.0.0.1/", method="MY-secret", error=EgressError("EGRESS_DENIED", "system", "no"))
    for one in (answered, refused):
        observer.on_fetch(one)
    run = Run(3, 1, wall_us=2_000, cpu_us=1_500)
    observer.on_outcome(item(SAMPLED, answered, refused), errors.RETRY, run, "", ENDED_US)
    observer.on_outcome(item(NOT_SAMPLED), errors.DELIVERED, run, "", ENDED_US)
    observer.on_outcome(item(""), errors.FILTERED, Run(3, 1), "destinations/crm/filters/no-staff", ENDED_US)
    meters.deferrals["no_worker"] += 1
    meters.exits["timeout"] += 1
    meters.recycles["age"] += 1
    ended = meters.phases_from(0.0)
    for number, phase in enumerate(("program", "place", "start"), 1):
        ended(phase, number * 0.01)
    exported.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
