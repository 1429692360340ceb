"""All lanes of an executor: made when first needed, released when nothing used them for long."""

from __future__ import annotations

import asyncio

from services.executor.handlers.generations import Services
from services.executor.handlers.lanes import Lane
from services.executor.handlers.work import Item
from services.executor.runtime.processes import anonymous_bytes

# How often idle workers are looked for.
SWEEP_S = 5.0
# A worker that nothing used for this long gives its memory back; sooner where much of what all may take is taken.
IDLE_AFTER_S = 600.0
IDLE_CROWDED_AFTER_S = 60.0
CROWDED = 0.5


class LaneSet:
    """Gives every item to its destination's lane. `run()` must be running: it owns what lanes do in the background."""

    def __init__(self, services: Services) -> None:
        self._services = services
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
            group.create_task(self._services.places.run())
            group.create_task(self._services.shares.run())
            try:
                while True:
                    self._sweep()
                    await asyncio.sleep(SWEEP_S)
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
        places = self._services.places
        places.shared_bytes = anonymous_bytes(self._services.zygote.pid)
        crowded = places.taken > CROWDED * places.most or places.used_bytes > CROWDED * places.memory_bytes
        patience_s = IDLE_CROWDED_AFTER_S if crowded else IDLE_AFTER_S
        for key, lane in list(self._lanes.items()):
            if not lane.busy and now - lane.idle_since() > patience_s:
                lane.release()
                self._services.shares.remove(lane.share)
                del self._lanes[key]
