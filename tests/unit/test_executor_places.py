"""Who has a place for a worker, who waits, and who must go."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from kit.clock import FakeClock
from services.executor.handlers.places import (
    COPIED_BYTES,
    EXPECTED_BYTES,
    SPARED_AFTER_S,
    TRIM_ABOVE_BYTES,
    TRIM_AFTER_S,
    Place,
    Pressure,
    WorkerPlaces,
    choose,
)

MIB = 1 << 20


@dataclass(eq=False)
class Lane:
    """A lane as far as places know it."""

    workspace: str = "acme"
    busy: bool = False
    used_at: float = 0.0
    gave_way: int = 0
    trimmed: int = 0
    # Its attempts do not end: it keeps its place though it was told to leave, and that may be known of it.
    hanging: bool = False
    known_to_hang: bool = False
    place: Place | None = None
    places: WorkerPlaces | None = field(default=None, repr=False)

    def idle_since(self) -> float:
        return self.used_at

    def give_way(self) -> None:
        self.gave_way += 1
        if not self.hanging and self.place is not None and self.places is not None:
            self.places.give_back(self.place)

    def hangs(self) -> bool:
        return self.known_to_hang

    def trim(self) -> None:
        self.trimmed += 1


class House:
    """Places, a clock, and what each process takes."""

    def __init__(self, most: int = 10, memory_bytes: int = 1 << 40) -> None:
        self.clock = FakeClock()
        self.memory: dict[int, int] = {}
        self.places = WorkerPlaces(
            most,
            memory_bytes,
            self.clock,
            cores=2,
            measure=lambda pid: self.memory.get(pid, 0),
            cpu_ns=lambda pid: 8_000_000,
        )
        self._pid = 100

    async def warm(self, workspace: str = "acme", *, busy: bool = False, used_bytes: int = EXPECTED_BYTES) -> Lane:
        lane = Lane(workspace, busy=busy, used_at=self.clock.monotonic(), places=self.places)
        self.start(lane, await self.places.take(lane), used_bytes)
        return lane

    def start(self, lane: Lane, place: Place, used_bytes: int = EXPECTED_BYTES) -> None:
        self._pid += 1
        self.memory[self._pid] = used_bytes - COPIED_BYTES
        lane.place, lane.places = place, self.places
        self.places.ready(place, self._pid)

    async def asks(self, workspace: str = "acme") -> tuple[Lane, asyncio.Task[Place]]:
        lane = Lane(workspace, busy=True, used_at=self.clock.monotonic(), places=self.places)
        task = asyncio.ensure_future(self.places.take(lane))
        await asyncio.sleep(0)
        return lane, task


async def test_whoever_is_idle_for_longest_goes_first() -> None:
    house = House(most=3)
    lanes = []
    for _ in range(3):
        lanes.append(await house.warm())
        house.clock.advance(10)
    _, task = await house.asks()
    assert not task.done()
    house.places.look()
    await task
    assert [lane.gave_way for lane in lanes] == [1, 0, 0]


async def test_a_worker_stays_long_enough_to_be_worth_its_fork() -> None:
    house = House(most=2)
    first, second = await house.warm(busy=True), await house.warm()
    _, task = await house.asks()
    house.places.look()
    assert (first.gave_way, second.gave_way) == (0, 0)
    house.clock.advance(house.places.residence_s + 0.001)
    house.places.look()
    await task
    assert (first.gave_way, second.gave_way) == (0, 1)


async def test_the_more_workers_the_longer_they_stay_so_that_forks_leave_the_cpu_to_events() -> None:
    few, many = House(most=4), House(most=400)
    for _ in range(4):
        await few.warm()
    for _ in range(400):
        await many.warm()
    assert many.places.residence_s == pytest.approx(100 * few.places.residence_s, rel=0.5)


async def test_busy_workers_take_turns_where_all_are_busy() -> None:
    house = House(most=2)
    first = await house.warm(busy=True)
    house.clock.advance(1)
    second = await house.warm(busy=True)
    house.clock.advance(1)
    _, task = await house.asks()
    house.places.look()
    await task
    assert (first.gave_way, second.gave_way) == (1, 0)


async def test_a_workspace_with_many_destinations_does_not_take_the_places_of_one_with_few() -> None:
    house = House(most=10)
    small = [await house.warm("small") for _ in range(2)]
    house.clock.advance(1)
    for _ in range(8):
        await house.warm("large", busy=True)
    house.clock.advance(1)
    for _ in range(50):
        await house.asks("large")
    for _ in range(20):
        house.places.look()
        house.clock.advance(0.01)
    assert [lane.gave_way for lane in small] == [0, 0]


async def test_what_nothing_used_for_long_is_spared_to_others() -> None:
    house = House(most=2)
    unused = await house.warm("small")
    await house.warm("large", busy=True)
    house.clock.advance(SPARED_AFTER_S + 1)
    _, task = await house.asks("large")
    house.places.look()
    await task
    assert unused.gave_way == 1


async def test_a_workspace_below_its_share_gets_a_place_of_one_above_although_that_is_busy() -> None:
    house = House(most=4)
    large = [await house.warm("large", busy=True) for _ in range(4)]
    house.clock.advance(1)
    _, task = await house.asks("small")
    house.places.look()
    await task
    assert sum(lane.gave_way for lane in large) == 1


@pytest.mark.parametrize("known", [False, True])
async def test_workers_that_hang_keep_nobody_else_from_making_room(known: bool) -> None:
    """E1: told to leave, they stay for as long as their attempts may take."""
    house = House(most=64)
    large = [await house.warm("large", busy=True) for _ in range(64)]
    for lane in large[:32]:
        lane.hanging, lane.known_to_hang = True, known
    house.clock.advance(10)
    waiting = [await house.asks(f"small{number}") for number in range(8)]
    served_after_s = 0.0
    for _ in range(200):
        house.places.look()
        await asyncio.sleep(0)
        for lane, task in waiting:
            if task.done() and lane.place is None:
                house.start(lane, task.result())
        if all(task.done() for _, task in waiting):
            break
        house.clock.advance(0.05)
        served_after_s += 0.05
    assert all(task.done() for _, task in waiting)
    assert served_after_s < (0.5 if known else 9)
    # Whoever was told is not told once more, and no more were told than there was need for.
    assert max(lane.gave_way for lane in large) == 1
    assert sum(lane.gave_way for lane in large) <= (8 if known else 40)


async def test_a_worker_in_which_nothing_runs_is_counted_on_until_it_has_ended() -> None:
    house = House(most=2)
    first, second = await house.warm(busy=True), await house.warm(busy=True)
    first.hanging = True
    house.clock.advance(1)
    await house.asks()
    house.places.look()
    assert first.place is not None
    house.places.leaves(first.place, ending=True)
    house.clock.advance(100)
    house.places.look()
    assert second.gave_way == 0


async def test_free_places_go_to_whoever_has_the_fewest() -> None:
    house = House(most=3)
    lanes = [await house.warm("large", busy=True) for _ in range(3)]
    _, again = await house.asks("large")
    _, small = await house.asks("small")
    lanes[0].give_way()
    await asyncio.sleep(0)
    assert (again.done(), small.done()) == (False, True)
    again.cancel()


async def test_memory_bounds_the_number_of_workers() -> None:
    house = House(most=100, memory_bytes=40 * MIB)
    for _ in range(3):
        await house.warm(busy=True, used_bytes=12 * MIB)
    house.places.look()
    assert house.places.used_bytes == 36 * MIB
    _, task = await house.asks()
    assert not task.done()
    task.cancel()


async def test_idle_workers_go_while_all_take_too_much() -> None:
    house = House(most=100, memory_bytes=64 * MIB)
    idle, busy = await house.warm(), await house.warm(busy=True)
    house.clock.advance(10)
    assert busy.place is not None
    house.memory[busy.place.pid] = 70 * MIB
    house.places.look()
    assert (idle.gave_way, busy.gave_way) == (1, 0)


async def test_a_worker_that_nobody_needs_yet_takes_no_place_that_others_will_miss() -> None:
    """By number as by memory, and it has nobody go."""
    full, heavy, fine = House(most=5), House(most=100, memory_bytes=50 * MIB), House(most=100)
    for house in (full, heavy, fine):
        lanes = [await house.warm(used_bytes=9 * MIB) for _ in range(4)]
        house.clock.advance(10)
        house.places.look()
        place = house.places.take_spare(Lane())
        assert (place is not None) == (house is fine)
        house.places.look()
        assert sum(lane.gave_way for lane in lanes) == 0
        assert house.places.waits == 0


async def test_nobody_is_warmed_up_while_others_wait() -> None:
    house = House(most=100)
    tasks = [await house.asks() for _ in range(5)]
    assert house.places.waiting == 1
    assert house.places.take_spare(Lane()) is None
    for _, task in tasks:
        task.cancel()


async def test_there_is_a_place_even_where_the_memory_is_too_little_for_one() -> None:
    house = House(memory_bytes=1)
    await house.warm()
    _, task = await house.asks()
    assert not task.done()
    task.cancel()


async def test_only_so_many_workers_start_at_once() -> None:
    house = House(most=100)
    tasks = [await house.asks() for _ in range(6)]
    assert sum(task.done() for _, task in tasks) == 4
    lane, task = tasks[0]
    house.start(lane, task.result())
    await asyncio.sleep(0)
    assert sum(task.done() for _, task in tasks) == 5
    for _, task in tasks:
        task.cancel()


async def test_who_no_longer_waits_takes_no_place() -> None:
    house = House(most=1)
    first = await house.warm(busy=True)
    _, gone = await house.asks()
    _, granted = await house.asks()
    gone.cancel()
    first.give_way()
    # The place is given before the second one can know that it is cancelled.
    granted.cancel()
    await asyncio.gather(gone, granted, return_exceptions=True)
    assert (house.places.taken, house.places.waiting, house.places.starting) == (0, 0, 0)
    await asyncio.wait_for(house.places.take(Lane()), 1)


async def test_an_idle_worker_gives_memory_back_once_for_each_time_that_it_was_busy() -> None:
    house = House()
    lane = await house.warm(used_bytes=TRIM_ABOVE_BYTES + MIB)
    for _ in range(3):
        house.clock.advance(TRIM_AFTER_S)
        house.places.look()
    assert lane.trimmed == 1
    lane.used_at = house.clock.monotonic()
    house.clock.advance(TRIM_AFTER_S)
    house.places.look()
    assert lane.trimmed == 2


def test_who_is_still_starting_or_leaves_already_is_not_chosen() -> None:
    starting, leaving = Place(Lane()), Place(Lane(), pid=1, leaving=True)
    assert choose([starting, leaving], "acme", Pressure(most=2, claimants=1, residence_s=0, now=100)) is None
