"""What a webhook says, and when it is tried again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from onward.delivery.v1 import alerts_pb2 as pb
from onward.delivery.v1 import facts_pb2 as facts
from onward.executor.v1 import outcomes_pb2
from services.delivery.domain.alerts import TYPES
from services.delivery.domain.schedule import SECOND_US

# Seconds after each failed try. The last one goes on until the webhook is given up: most outages are over by then, and
# one request in half an hour harms nobody.
BACKOFF_S = (5, 15, 60, 300, 900, 1800)
# Every wait is this much longer or shorter by chance, so that what failed together does not come back together.
SPREAD = 0.2
# What a receiver has not taken by then, it will not miss.
GIVE_UP_AFTER_US = 24 * 3600 * SECOND_US

_ATTEMPTS = frozenset(
    {pb.ALERT_KIND_UNHEALTHY, pb.ALERT_KIND_HEALTHY, pb.ALERT_KIND_SUCCESS_RATE, pb.ALERT_KIND_BREAKER_OPENED}
)
_COUNTS = frozenset({pb.ALERT_KIND_VOLUME, pb.ALERT_KIND_EXHAUSTED, pb.ALERT_KIND_INGEST_FAILURES})


def next_try_us(tries: int, now_us: int, random: Callable[[], float]) -> int:
    """When a webhook that failed so often is tried again."""
    wait_s = BACKOFF_S[min(tries, len(BACKOFF_S)) - 1]
    return now_us + round(wait_s * (1 + SPREAD * (2 * random() - 1)) * SECOND_US)


def is_taken(status: int) -> bool:
    """Whether an answer says that the receiver has it."""
    return 200 <= status < 300


def webhook_body(workspace: str, alert: facts.AlertRaised, now_us: int) -> str:
    """The JSON that a subscription is sent; no event is in it."""
    raised = Timestamp()
    raised.FromMicroseconds(now_us)
    body = {"type": TYPES[alert.kind], "timestamp": raised.ToJsonString(), "data": _data(workspace, alert)}
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False)


def _data(workspace: str, alert: facts.AlertRaised) -> Mapping[str, Any]:
    parent = f"workspaces/{workspace}"
    data: dict[str, Any] = {"workspace": parent, "subscription": f"{parent}/subscriptions/{alert.subscription}"}
    if alert.destination:
        data["destination"] = f"{parent}/destinations/{alert.destination}"
    if alert.source:
        data["source"] = f"{parent}/sources/{alert.source}"
    data["start_time"] = alert.start_time.ToJsonString()
    if alert.HasField("end_time"):
        data["end_time"] = alert.end_time.ToJsonString()
    if alert.kind in _ATTEMPTS:
        rate = (alert.attempts - alert.failures) / alert.attempts if alert.attempts else 1.0
        data |= {"attempts": alert.attempts, "failures": alert.failures, "success_rate": round(rate, 4)}
    if alert.kind in _COUNTS:
        data["count"] = alert.count
    if alert.kind == pb.ALERT_KIND_VOLUME:
        data["count_before"] = alert.count_before
    if alert.error_type or alert.error_message:
        error_type = outcomes_pb2.ErrorType.Name(alert.error_type).removeprefix("ERROR_TYPE_")
        data["error"] = {"type": error_type if alert.error_type else "", "message": alert.error_message}
    if alert.sample_delivery:
        data["sample"] = f"{parent}/deliveries/{alert.sample_delivery}"
    return data
