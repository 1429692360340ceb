"""Tells watchers what was just recorded, in this process.

A watcher sees what this replica applies. With several replicas each shows a part: watch all of them, or list.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from onward.delivery.v1 import delivery_service_pb2 as pb
from services.delivery.handlers.rendering import deliveries_of
from services.delivery.projections.batches import Applied

# A watcher that is so far behind is told so and has to begin again.
BACKLOG_MAX = 10_000


class Watcher:
    """What one caller has not been sent yet."""

    def __init__(self) -> None:
        self._waiting: list[pb.Delivery] = []
        self._wake = asyncio.Event()
        # More came than it took; what it would get now has a hole.
        self.overrun = False

    def add(self, deliveries: list[pb.Delivery]) -> None:
        if len(self._waiting) + len(deliveries) > BACKLOG_MAX:
            self.overrun = True
        else:
            self._waiting += deliveries
        self._wake.set()

    async def take(self, most: int) -> list[pb.Delivery]:
        """What was recorded since the last call, in order; waits for something."""
        while not self._waiting and not self.overrun:
            self._wake.clear()
            await self._wake.wait()
        taken, self._waiting = self._waiting[:most], self._waiting[most:]
        return taken


class Watchers:
    """All watchers of this process, by workspace."""

    def __init__(self) -> None:
        self._by_workspace: dict[str, list[Watcher]] = defaultdict(list)

    @contextmanager
    def watching(self, workspace: str) -> Iterator[Watcher]:
        """A watcher that gets everything from here on."""
        watcher = Watcher()
        self._by_workspace[workspace].append(watcher)
        try:
            yield watcher
        finally:
            self._by_workspace[workspace].remove(watcher)
            if not self._by_workspace[workspace]:
                del self._by_workspace[workspace]

    def tell(self, applied: Applied) -> None:
        """Pass on what a committed transaction recorded."""
        for workspace, watchers in self._by_workspace.items():
            deliveries = deliveries_of(applied, workspace)
            if deliveries:
                for watcher in watchers:
                    watcher.add(deliveries)
