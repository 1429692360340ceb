"""What subscriptions are told: which of them something concerns, when their conditions hold, and in which words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from onward.delivery.v1 import alerts_pb2 as pb
from services.delivery.domain.health import WINDOW_MINUTES, WINDOW_US

WINDOW_MINUTES_DEFAULT = 15
SUCCESS_RATE_MIN_DEFAULT = 0.9
VOLUME_CHANGE_MAX_DEFAULT = 0.5
COUNT_MIN_DEFAULT = 10
# Conditions that were not looked at for longer, since the tracker was away, are not told of any more.
COUNTED_WINDOWS_MAX = 24 * 60 // WINDOW_MINUTES

TYPES: Mapping[int, str] = {
    pb.ALERT_KIND_UNHEALTHY: "destination.unhealthy",
    pb.ALERT_KIND_HEALTHY: "destination.healthy",
    pb.ALERT_KIND_SUCCESS_RATE: "destination.success_rate",
    pb.ALERT_KIND_VOLUME: "destination.volume",
    pb.ALERT_KIND_BREAKER_OPENED: "breaker.opened",
    pb.ALERT_KIND_BREAKER_CLOSED: "breaker.closed",
    pb.ALERT_KIND_EXHAUSTED: "deliveries.exhausted",
    pb.ALERT_KIND_INGEST_FAILURES: "events.refused",
}
# Kinds that are looked for in windows; the others are told by facts.
CONDITIONS = frozenset(
    {
        pb.ALERT_KIND_SUCCESS_RATE,
        pb.ALERT_KIND_VOLUME,
        pb.ALERT_KIND_EXHAUSTED,
        pb.ALERT_KIND_INGEST_FAILURES,
    }
)

_CONTROLS = re.compile(r"[\x00-\x20\x7f]")


@dataclass(frozen=True, slots=True)
class Interest:
    """What a subscription is about, with complete thresholds."""

    subscription: str
    kinds: frozenset[int]
    # "" for any.
    destination: str
    source: str
    window_minutes: int
    success_rate_min: float
    volume_change_max: float
    count_min: int
    all_sources: bool
    sources: frozenset[str]
    # The last window that its conditions were judged by.
    judged: int = 0

    def covers(self, source: str, destination: str) -> bool:
        """Whether it may and wants to be told of a destination, or of its source where that is ""."""
        return (
            (self.all_sources or source in self.sources)
            and self.source in ("", source)
            and self.destination in ("", destination)
        )


class Counts(NamedTuple):
    """What happened to a destination within a span of windows."""

    attempts: int = 0
    failures: int = 0
    # Events that were attempted for the first time.
    events: int = 0
    # Deliveries that failed with no retry left.
    exhausted: int = 0


class WindowSpan(NamedTuple):
    """Windows from `first` to `last`, both included."""

    first: int
    last: int

    @property
    def start_us(self) -> int:
        return self.first * WINDOW_US

    @property
    def end_us(self) -> int:
        return (self.last + 1) * WINDOW_US

    @property
    def before(self) -> WindowSpan:
        """The span of the same length that ends where this one begins."""
        return WindowSpan(2 * self.first - self.last - 1, self.first - 1)


def span_of(interest: Interest, until: int) -> WindowSpan | None:
    """The last whole window of a subscription that ended with the window `until` or before; None if it was judged."""
    length = interest.window_minutes // WINDOW_MINUTES
    last = (until + 1) // length * length - 1
    return WindowSpan(last - length + 1, last) if last > interest.judged else None


def counted_span(interest: Interest, span: WindowSpan) -> WindowSpan:
    """What was not looked at yet: where something is only counted, nothing may be left out."""
    return WindowSpan(max(min(interest.judged + 1, span.first), span.last - COUNTED_WINDOWS_MAX + 1), span.last)


def low_success(interest: Interest, counts: Counts) -> bool | None:
    """Whether too few attempts of a window succeeded; None where there are too few to tell."""
    if counts.attempts < interest.count_min:
        return None
    return counts.attempts - counts.failures < interest.success_rate_min * counts.attempts


def volume_changed(interest: Interest, events: int, before: int) -> bool:
    """Whether events of a window differ from those of the one before by more than what is usual."""
    if max(events, before) < interest.count_min:
        return False
    return abs(events - before) > interest.volume_change_max * before


def complete(thresholds: pb.AlertThresholds) -> pb.AlertThresholds:
    """With the defaults where nothing was said."""
    return pb.AlertThresholds(
        window_minutes=thresholds.window_minutes or WINDOW_MINUTES_DEFAULT,
        success_rate_min=thresholds.success_rate_min or SUCCESS_RATE_MIN_DEFAULT,
        volume_change_max=thresholds.volume_change_max or VOLUME_CHANGE_MAX_DEFAULT,
        count_min=thresholds.count_min or COUNT_MIN_DEFAULT,
    )


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL that webhooks may go to; "" where it is none."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return ""
    if not usable or "@" in parts.netloc or _CONTROLS.search(url) or "\\" in url:
        return ""
    return f"{parts.scheme}://{parts.netloc}"
