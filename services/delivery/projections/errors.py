"""Failed attempts of one transaction by group: their counts, and what each group looks like."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from kit.postgres.pool import Connection
from onward.executor.v1 import outcomes_pb2 as pb
from services.delivery.domain.schedule import MINUTE_US
from services.delivery.domain.shapes import ErrorShape, error_shape, group_number, overflow_number
from services.delivery.projections.rollups import columns
from services.delivery.projections.standing import Destination, Group, queries

# Groups of a destination that were seen within a day: code that makes up messages must not fill a table. What comes
# beyond them goes to one more group for each type of error. Each replica counts for itself.
GROUPS_MAX = 200
RECENT_US = 86_400_000_000
# What was read of a destination's groups is good for so long: others make some, and old ones make room.
KNOWN_FOR_US = 600_000_000
# Destinations with errors whose groups are remembered, at most 200 numbers each.
DESTINATIONS_MAX = 10_000
# Of an example of a group's messages; attempts have all of it.
MESSAGE_LENGTH_MAX = 1024

# (workspace, destination, group)
GroupKey = tuple[str, str, int]


@dataclass(slots=True)
class Seen:
    """A group's errors in this transaction."""

    source: str
    shape: ErrorShape
    message: str
    first_us: int
    last_us: int
    overflow: bool = False


class KnownGroups:
    """Which groups of a destination have been seen lately; one for each process."""

    def __init__(self) -> None:
        # When they were read, and the groups.
        self._known: OrderedDict[Destination, tuple[int, set[int]]] = OrderedDict()

    def of(self, destination: Destination, now_us: int) -> set[int] | None:
        """The groups; None where they have to be read."""
        found = self._known.get(destination)
        return None if found is None or now_us - found[0] > KNOWN_FOR_US else found[1]

    def read(self, destination: Destination, groups: set[int], now_us: int) -> None:
        self._known[destination] = (now_us, groups)
        self._known.move_to_end(destination)
        if len(self._known) > DESTINATIONS_MAX:
            self._known.popitem(last=False)


class Errors:
    """The failed attempts of one transaction."""

    def __init__(self) -> None:
        # Values are [attempts, of these those that ended their delivery].
        self._counts: dict[tuple[str, str, int, int], list[int]] = {}
        self._seen: dict[GroupKey, Seen] = {}

    def add(self, group: Group, one: pb.Attempt, error_type: int, *, ended: bool) -> int:
        """Count a failed attempt; answers its group."""
        workspace, header, _ = group
        destination, detail, at_us = header.destination, one.detail, one.ended_at_us
        message = detail.error_message
        shape = error_shape(error_type, detail.error_name, detail.http_status, message)
        number = group_number(destination, shape)
        sums = self._counts.setdefault((workspace, destination, one.received_at_us // MINUTE_US, number), [0, 0])
        sums[0] += 1
        sums[1] += ended
        seen = self._seen.get((workspace, destination, number))
        if seen is None:
            seen = Seen(header.source, shape, message, at_us, at_us)
            self._seen[workspace, destination, number] = seen
        seen.message, seen.first_us, seen.last_us = message, min(seen.first_us, at_us), max(seen.last_us, at_us)
        return number

    async def settle(self, connection: Connection, known: KnownGroups, now_us: int) -> Mapping[GroupKey, int]:
        """Move what finds no group of its own to the group for all such errors; answers which goes where."""
        if not self._seen:
            return {}
        await _read(connection, {(key[0], key[1]) for key in self._seen}, known, now_us)
        moved: dict[GroupKey, int] = {}
        for key, seen in self._seen.items():
            groups = known.of(key[:2], now_us) or set()
            if key[2] in groups:
                continue
            if len(groups) < GROUPS_MAX:
                groups.add(key[2])
            else:
                moved[key] = overflow_number(key[1], seen.shape.error_type)
        for key, number in moved.items():
            self._move(key, number)
        return moved

    def _move(self, key: GroupKey, number: int) -> None:
        workspace, destination, _ = key
        seen = self._seen.pop(key)
        other = self._seen.get((workspace, destination, number))
        if other is None:
            shape = ErrorShape(seen.shape.error_type, "", 0, "")
            other = Seen(seen.source, shape, seen.message, seen.first_us, seen.last_us, overflow=True)
            self._seen[workspace, destination, number] = other
        other.first_us, other.last_us = min(other.first_us, seen.first_us), max(other.last_us, seen.last_us)
        for place in [one for one in self._counts if (one[0], one[1], one[3]) == key]:
            sums = self._counts.setdefault((*place[:3], number), [0, 0])
            for at, count in enumerate(self._counts.pop(place)):
                sums[at] += count

    def group_columns(self) -> list[list[object]]:
        rows: list[tuple[object, ...]] = [
            (
                *key, seen.source, seen.shape.error_type, seen.shape.name, seen.shape.http_status, seen.shape.message,
                seen.message[:MESSAGE_LENGTH_MAX], seen.overflow, seen.first_us, seen.last_us,
            )
            for key, seen in sorted(self._seen.items(), key=lambda item: item[0])
        ]  # fmt: skip
        return columns(rows, 12)

    def count_columns(self) -> list[list[object]]:
        return columns([(*key, *sums) for key, sums in sorted(self._counts.items())], 6)


async def _read(connection: Connection, wanted: set[Destination], known: KnownGroups, now_us: int) -> None:
    """Have the groups of these destinations, but for more than GROUPS_MAX of one."""
    unknown = sorted(one for one in wanted if known.of(one, now_us) is None)
    if not unknown:
        return
    found: dict[Destination, set[int]] = {one: set() for one in unknown}
    rows = await connection.fetch(queries.known_groups, *columns([*unknown], 2), now_us - RECENT_US, GROUPS_MAX)
    for row in rows:
        found[row["workspace"], row["destination"]].add(row["error_group"])
    for destination, groups in found.items():
        known.read(destination, groups, now_us)
