"""Circuit breakers in words."""

from __future__ import annotations

from collections.abc import Iterator

from cli.output import last_part, when_short
from onward.delivery.v1 import breakers_pb2
from onward.delivery.v1 import delivery_service_pb2 as pb

# What the tracker says of a delivery that it holds back.
HELD = {
    "breaker_open": "held back by its breaker",
    "rate_limit": "held back by its rate limit",
    "concurrency_limit": "held back by its limit of events at once",
}


def breaker_lines(found: pb.GetSummaryResponse) -> Iterator[str]:
    """Tell of each breaker that is not closed, and what to do."""
    for one in found.destinations:
        if one.HasField("breaker"):
            name = last_part(one.destination)
            yield f"{name}: {_state(one.breaker)}; `onward deliveries breaker reset {name}` lets everything go now"


def _state(breaker: breakers_pb2.Breaker) -> str:
    since = f"nearly all deliveries failed, so its circuit breaker is open since {when_short(breaker.open_time)}"
    if breaker.state == breakers_pb2.BREAKER_STATE_HALF_OPEN:
        return f"{since}; a few deliveries go out as probes"
    return f"{since}; the next probes go out at {when_short(breaker.probe_time)}"
