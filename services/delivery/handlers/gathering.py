"""Finds the events that have waited for others of their batch: enough of them are there, or the first has waited.

Batches that are full are looked for only where something changed, so that a look costs little however much waits. What
other replicas changed is found by going through all destinations every few seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from kit.clock import Clock
from kit.postgres.pool import Connection
from kit.postgres.queries import load_queries
from services.delivery.projections.rollups import columns
from services.delivery.projections.standing import Destination

queries = load_queries(Path(__file__).parent / "handlers.sql")

# The largest batch that a policy may have, so that a full one is never split.
PER_DESTINATION_MAX = 500
# What one look gathers: twice a round's claims, so that there is always something to claim, in some 50 ms.
PER_LOOK_MAX = 1024
# Destinations that are counted in one look: at most 500 steps through an index each, 20 ms in all.
COUNTED_MAX = 64
# Destinations of which something changed; beyond it all are gone through.
CHANGED_MAX = 10_000
# How often all are gone through, and how many are read at once for that.
SWEEP_INTERVAL_S = 5.0
SWEEP_DESTINATIONS = 256


class Gathering:
    """What the releaser knows of events that wait for others."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # In the order in which they changed.
        self._changed: dict[Destination, None] = {}
        self._swept_at = float("-inf")
        # The last destination that was gone through; None between sweeps.
        self._cursor: Destination | None = None

    @property
    def unfinished(self) -> bool:
        """Whether there is something to look at, however long nothing happens."""
        return bool(self._changed) or self._cursor is not None

    def changed(self, destinations: Iterable[Destination]) -> None:
        """There may be more of them to gather."""
        self._changed.update(dict.fromkeys(destinations))
        if len(self._changed) > CHANGED_MAX:
            self._changed.clear()
            self._cursor = ("", "")

    def forget(self) -> None:
        """Go through all: what was told meanwhile may have been told to somebody else."""
        self._cursor = ("", "")

    async def look(self, connection: Connection, now_us: int) -> None:
        """Gather what has waited, within the bounds of a look."""
        if not self._changed:
            await self._sweep(connection)
        named = list(islice(self._changed, COUNTED_MAX))
        for one in named:
            del self._changed[one]
        places = columns([*named], 2)
        rows = await connection.fetch(queries.gather, now_us, *places, PER_DESTINATION_MAX, PER_LOOK_MAX)
        if rows:
            # There may be more than went; behind those that have not been looked at.
            self.changed(named)

    async def _sweep(self, connection: Connection) -> None:
        now = self._clock.monotonic()
        if self._cursor is None and now - self._swept_at < SWEEP_INTERVAL_S:
            return
        self._swept_at = now
        rows = await connection.fetch(queries.gathering, *(self._cursor or ("", "")), SWEEP_DESTINATIONS)
        found = [(row["workspace"], row["destination"]) for row in rows]
        self._cursor = found[-1] if len(found) == SWEEP_DESTINATIONS else None
        self.changed(found)
