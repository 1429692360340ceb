"""How the tracker's facts read in the trail: one row a type."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from onward.delivery.v1 import alerts_pb2, replays_pb2
from onward.delivery.v1 import facts_pb2 as d
from onward.registry.v1 import facts_pb2 as f
from tests.unit.audit_row import Row

CONNECTED = (
    "destinations/eu",
    f.DestinationConnected(destination="eu", display_name="EU", function="crm", source="web"),
)
SUBSCRIPTION = (
    "subscriptions/s1",
    d.SubscriptionCreated(
        subscription="s1",
        origin="https://hooks.example.com",
        kinds=[alerts_pb2.ALERT_KIND_UNHEALTHY],
        sources=["web"],
        thresholds=alerts_pb2.AlertThresholds(window_minutes=15),
    ),
)
SUBSCRIBED = [
    ("kinds", "", ["ALERT_KIND_UNHEALTHY"]),
    ("origin", "", "https://hooks.example.com"),
    ("sources", "", ["web"]),
    ("thresholds.windowMinutes", "", 15),
]

DELIVERY_ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "DestinationBecameUnhealthy": Row(
            (
                "health/2026-01-02",
                d.DestinationBecameUnhealthy(
                    destination="eu", source="web", attempts=40, failures=25, failure_rate=0.625, error_message="busy"
                ),
            ),
            "destinations/eu",
            "EU",
            [
                ("attempts", "", "40"),
                ("errorMessage", "", "busy"),
                ("failureRate", "", 0.625),
                ("failures", "", "25"),
                ("source", "", "web"),
            ],
            before=[CONNECTED],
        ),
        "DestinationBecameHealthy": Row(
            ("health/2026-01-02", d.DestinationBecameHealthy(destination="eu", source="web", attempts=20, failures=1)),
            "destinations/eu",
            "",
            [("attempts", "", "20"), ("failures", "", "1"), ("source", "", "web")],
        ),
        "SubscriptionCreated": Row(SUBSCRIPTION, "subscriptions/s1", "", SUBSCRIBED),
        "SubscriptionDeleted": Row(
            ("subscriptions/s1", d.SubscriptionDeleted(subscription="s1")),
            "subscriptions/s1",
            "",
            [(field, after, "") for field, _, after in SUBSCRIBED],
            before=[SUBSCRIPTION],
        ),
        "AlertRaised": Row(
            (
                "alerts/2026-01-02",
                d.AlertRaised(
                    alert="a1", subscription="s1", kind=alerts_pb2.ALERT_KIND_VOLUME, destination="eu", count=12
                ),
            ),
            "subscriptions/s1",
            "",
            [("alert", "", "a1"), ("count", "", 12), ("destination", "", "eu"), ("kind", "", "ALERT_KIND_VOLUME")],
        ),
        "AlertUndelivered": Row(
            (
                "alerts/2026-01-02",
                d.AlertUndelivered(alert="a1", subscription="s1", attempts=52, http_status=503, error="answered 503"),
            ),
            "subscriptions/s1",
            "",
            [
                ("alert", "", "a1"),
                ("attempts", "", 52),
                ("error", "", "answered 503"),
                ("httpStatus", "", 503),
            ],
        ),
        "DeliveryRetried": Row(
            ("deliveries/2026-01-02", d.DeliveryRetried(destination="eu", delivery="d1-0-a", message_id="m-1")),
            "destinations/eu",
            "",
            [("delivery", "", "d1-0-a"), ("messageId", "", "m-1")],
        ),
        "DeliveryCancelled": Row(
            ("deliveries/2026-01-02", d.DeliveryCancelled(destination="eu", delivery="d1-0-a", message_id="m-1")),
            "destinations/eu",
            "",
            [("delivery", "", "d1-0-a"), ("messageId", "", "m-1")],
        ),
        "BreakerOpened": Row(
            ("breakers/2026-01-02", d.BreakerOpened(destination="eu", attempts=12, failures=11)),
            "destinations/eu",
            "",
            [("attempts", "", "12"), ("failures", "", "11")],
        ),
        "BreakerClosed": Row(
            ("breakers/2026-01-02", d.BreakerClosed(destination="eu", open_ms=31_500)),
            "destinations/eu",
            "",
            [("openMs", "", "31500")],
        ),
        "BreakerReset": Row(
            ("breakers/2026-01-02", d.BreakerReset(destination="eu", open_ms=31_500)),
            "destinations/eu",
            "",
            [("openMs", "", "31500")],
        ),
        "ReplayCreated": Row(
            (
                "replays/r1",
                d.ReplayCreated(
                    replay="r1",
                    destination="eu",
                    kind=replays_pb2.REPLAY_KIND_REDRIVE,
                    selection=replays_pb2.ReplaySelection(http_statuses=[503]),
                    rate_per_second=500,
                ),
            ),
            "destinations/eu",
            "",
            [
                ("kind", "", "REPLAY_KIND_REDRIVE"),
                ("ratePerSecond", "", 500.0),
                ("replay", "", "r1"),
                ("selection.httpStatuses", "", [503]),
            ],
        ),
        "ReplayCancelled": Row(
            ("replays/r1", d.ReplayCancelled(replay="r1", destination="eu", reason="cancelled")),
            "destinations/eu",
            "",
            [("reason", "", "cancelled"), ("replay", "", "r1")],
        ),
        "ReplayFinished": Row(
            ("replays/r1", d.ReplayFinished(replay="r1", destination="eu", taken_up=3, delivered=2, failed=1)),
            "destinations/eu",
            "",
            [("delivered", "", "2"), ("failed", "", "1"), ("replay", "", "r1"), ("takenUp", "", "3")],
        ),
    }
)
