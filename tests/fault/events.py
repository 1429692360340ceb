"""Events to publish."""

from __future__ import annotations

from typing import Any

from tests.fault.system import Route

# The handler of tests that are not about what a function does.
TRIVIAL = "async function onTrack(event) { return event.event; }"
PLAIN = "function onTrack(event) { if (!event.properties) throw new Error('no properties'); }"


def make_events(route: Route, count: int, event: str = "Order Completed") -> list[dict[str, Any]]:
    """So many track events with ids of their own."""
    return [
        {
            "type": "track",
            "messageId": f"{route.source}-{number:06}",
            "userId": f"user-{number % 997}",
            "event": event,
            "timestamp": "2026-01-01T00:00:00.000Z",
            "properties": {"total": number, "currency": "EUR", "note": "x" * 64},
        }
        for number in range(count)
    ]


def ids(events: list[dict[str, Any]]) -> list[str]:
    return [event["messageId"] for event in events]
