"""All lanes of an executor: made when first needed, released when idle, bounded in number of warm workers."""

from __future__ import annotations

import asyncio

from services.executor.handlers.generations import Services
from services.executor.handlers.lanes import IDLE_AFTER_S, Lane
from services.executor.handlers.work import Item

# How often idle workers are looked for.
SWEEP_S = 5.0


class LaneSet:
    """Gives every item to its destination's lane. `run()` must be running: it owns what lanes do in the background."""

    def __init__(self, services: Services) -> None:
        self._services = services
        services.places.make_room = self._make_room
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._group: asyncio.TaskGroup | None = None

    def push(self, item: Item) -> None:
        route = item.route
        key = (route.workspace, route.destination)
        lane = self._lanes.get(key)
        if lane is None:
            assert self._group is not None, "run() is running before anything is pushed"
            lane = self._lanes[key] = Lane(route.workspace, route.destination, self._services, self._group)
        lane.push(item)

    def changed(self, workspace: str, destination: str) -> None:
        """Tell a lane, if there is one, that its destination changed."""
        lane = self._lanes.get((workspace, destination))
        if lane is not None:
            lane.changed()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                while True:
                    await asyncio.sleep(SWEEP_S)
                    self._sweep()
            finally:
                # What ends now cannot begin anything any more.
                for lane in self._lanes.values():
                    lane.close()

    async def stop(self) -> None:
        """Stop all workers at once; a spinning one takes a second to be killed."""
        async with asyncio.TaskGroup() as group:
            for lane in self._lanes.values():
                group.create_task(lane.stop())

    def _sweep(self) -> None:
        """Release workers that nothing used for a while."""
        now = self._services.clock.monotonic()
        for key, lane in list(self._lanes.items()):
            if not lane.busy and now - lane.idle_since() > IDLE_AFTER_S:
                lane.release()
                del self._lanes[key]

    def _make_room(self) -> None:
        """Release the worker that has been idle for the longest; where all are busy, whoever asks must wait."""
        idle = [lane for lane in self._lanes.values() if lane.has_worker and not lane.busy]
        if idle:
            min(idle, key=Lane.idle_since).release()
