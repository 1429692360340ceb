"""All lanes of an executor: made when first needed, released when nothing used them for long."""

from __future__ import annotations

import asyncio

from services.executor.handlers.generations import Services
from services.executor.handlers.lanes import Lane
from services.executor.handlers.work import Item
from services.executor.projections import Change
from services.executor.runtime.processes import anonymous_bytes

# How often idle workers are looked for.
SWEEP_S = 5.0
# A worker that nothing used for this long gives its memory back; sooner where much of what all may take is taken.
IDLE_AFTER_S = 600.0
IDLE_CROWDED_AFTER_S = 60.0
CROWDED = 0.5
# A destination that was used this lately will be again: its next worker is made ready at a change.
USED_LATELY_S = 60.0
# Destinations that may wait for that; a change that concerns more warms up the others with their next event.
WARM_UPS_MAX = 1_000
# The fact after which a destination gets its first events.
ENABLED = "DestinationEnabled"


class LaneSet:
    """Gives every item to its destination's lane. `run()` must be running: it owns what lanes do in the background."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._group: asyncio.TaskGroup | None = None
        self._to_warm: dict[tuple[str, str], None] = {}
        self._warm_wanted = asyncio.Event()

    def push(self, item: Item) -> None:
        route = item.route
        self._lane(route.workspace, route.destination).push(item)

    def _lane(self, workspace: str, destination: str) -> Lane:
        key = (workspace, destination)
        lane = self._lanes.get(key)
        if lane is None:
            assert self._group is not None, "run() is running before anything is pushed"
            lane = self._lanes[key] = Lane(workspace, destination, self._services, self._group)
        return lane

    def look(self, workspace: str, destination: str) -> None:
        """Have a lane look at what it has queued: its destination's breaker opened or closed."""
        lane = self._lanes.get((workspace, destination))
        if lane is not None:
            lane.resume()

    def changed(self, workspace: str, destination: str, change: Change) -> None:
        """Tell a lane that its destination changed, and have its next worker ready where that will be used."""
        key = (workspace, destination)
        lane = self._lanes.get(key)
        route = self._services.view.route(workspace, destination)
        enabled = route is not None and route.enabled
        if lane is not None:
            used_lately = self._services.clock.monotonic() - lane.idle_since() < USED_LATELY_S
            warm = enabled and lane.has_worker and used_lately
            lane.changed(change.stored_at_us if enabled else 0)
        else:
            warm = enabled and change.kind == ENABLED and change.stored_at_us > 0
        if warm and len(self._to_warm) < WARM_UPS_MAX:
            self._to_warm[key] = None
            self._warm_wanted.set()

    async def _warm_up(self) -> None:
        """Start workers that will soon be needed, one at a time and only where there is room, until cancelled."""
        while True:
            await self._warm_wanted.wait()
            if not self._to_warm:
                self._warm_wanted.clear()
                continue
            key = next(iter(self._to_warm))
            del self._to_warm[key]
            # What finds no room is started with its next event. Asked here as well: the program costs a question.
            if self._services.places.has_spare:
                await self._lane(*key).warm()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(self._services.places.run())
            group.create_task(self._services.shares.run())
            group.create_task(self._warm_up())
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
            if not lane.in_use and now - lane.idle_since() > patience_s:
                lane.release()
                self._services.shares.remove(lane.share)
                del self._lanes[key]
