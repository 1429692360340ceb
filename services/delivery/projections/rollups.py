"""Sums of what one transaction ends, so that each sum costs one row and not one for each delivery."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from onward.delivery.v1 import delivery_service_pb2 as delivery_pb
from services.delivery.domain.latency import bucket
from services.delivery.domain.schedule import MINUTE_US

# Event names of a destination and minute that are counted apart; the rest is counted under "".
NAMES_MAX = 200
# Minutes of destinations whose names are remembered: late outcomes of others may be counted under more names.
NAMED_MINUTES_MAX = 10_000

_DELIVERED = delivery_pb.DELIVERY_STATE_DELIVERED

# (workspace, destination, minute, state, error_type, type, event_name)
Key = tuple[str, str, int, int, int, int, str]
LatencyKey = tuple[str, str, int, int]
# (received_at_us, ended_at_us, state, error_type, type, event_name, after a retry, http_error, duplicate)
Count = Callable[[int, int, int, int, int, str, bool, bool, bool], None]


class Names:
    """Which event names, or other names, have a count of their own; one for each process."""

    def __init__(self, names_max: int = NAMES_MAX) -> None:
        self._names_max = names_max
        self._known: OrderedDict[tuple[str, str, int], set[str]] = OrderedDict()

    def counted_as(self, workspace: str, destination: str, minute: int, name: str) -> str:
        """The name, or "" where the minute has too many."""
        if not name:
            return name
        key = (workspace, destination, minute)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = set()
            if len(self._known) > NAMED_MINUTES_MAX:
                self._known.popitem(last=False)
        if name in known:
            return name
        if len(known) >= self._names_max:
            return ""
        known.add(name)
        return name


class Rollups:
    """The sums of one transaction."""

    __slots__ = ("_names", "counts", "latencies", "reasons")

    def __init__(self, names: Names) -> None:
        self._names = names
        # Values are [count, retried, http_errors, duplicates].
        self.counts: dict[Key, list[int]] = {}
        self.latencies: dict[LatencyKey, int] = {}
        # What was filtered or cancelled, by (workspace, destination, minute, state, reason).
        self.reasons: dict[tuple[str, str, int, int, str], int] = {}

    def reason(self, workspace: str, destination: str, received_at_us: int, state: int, reason: str) -> None:
        """Count why a delivery ended without being attempted."""
        key = (workspace, destination, received_at_us // MINUTE_US, state, reason)
        self.reasons[key] = self.reasons.get(key, 0) + 1

    def counter(self, workspace: str, destination: str) -> Count:
        """A function that counts one ended delivery of a destination; for the tracker's innermost loop."""
        counts, latencies, counted_as = self.counts, self.latencies, self._names.counted_as

        def count(
            received_at_us: int, ended_at_us: int, state: int, error_type: int, type_: int, name: str,
            again: bool, http_error: bool, duplicate: bool,
        ) -> None:  # fmt: skip
            minute = received_at_us // MINUTE_US
            key = (workspace, destination, minute, state, error_type, type_, name)
            sums = counts.get(key)
            if sums is None:
                key = (*key[:6], counted_as(workspace, destination, minute, name))
                sums = counts.setdefault(key, [0, 0, 0, 0])
            sums[0] += 1
            if duplicate:
                sums[3] += 1
            if state == _DELIVERED:
                if again:
                    sums[1] += 1
                if http_error:
                    sums[2] += 1
                at = (workspace, destination, minute, bucket(ended_at_us - received_at_us))
                latencies[at] = latencies.get(at, 0) + 1

        return count

    def count_columns(self) -> list[list[object]]:
        """One array a column, sorted by key so that replicas lock rows in the same order."""
        return columns([(*key, *sums) for key, sums in sorted(self.counts.items())], 11)

    def reason_columns(self) -> list[list[object]]:
        return columns([(*key, count) for key, count in sorted(self.reasons.items())], 6)

    def latency_columns(self) -> list[list[object]]:
        return columns([(*key, count) for key, count in sorted(self.latencies.items())], 5)


def columns(rows: list[tuple[object, ...]], width: int) -> list[list[object]]:
    """Rows as one array a column, for unnest."""
    if not rows:
        return [[] for _ in range(width)]
    return [list(column) for column in zip(*rows, strict=True)]
