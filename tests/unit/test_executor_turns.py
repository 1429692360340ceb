"""Slow filters of one destination, and what goes on beside them. Time is what the filters say that it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest

from kit.bus.message import Message
from kit.clock import FakeClock
from kit.filters import Applied, Drop, FilterChain, FilterSpec
from kit.filters.sampling import Random
from onward.registry.v1 import internal_service_pb2 as pb
from onward.registry.v1 import resources_pb2
from services.executor.domain.errors import INVALID_SETTINGS, Verdict
from services.executor.handlers.fairness import CpuShares
from services.executor.handlers.generations import Generation, Refusal, Services
from services.executor.handlers.lanes import CLOCKS_DIFFER_US, Lane
from services.executor.handlers.resolve import Program, Resolver
from services.executor.handlers.turns import TURN_S, Turns
from services.executor.handlers.work import Item, Ticket
from services.executor.projections import Route
from services.executor.runtime.pool import Job, Limits
from services.executor.runtime.redaction import Redactor

EVENT = orjson.dumps({"type": "track", "event": "Order"})
# Longer than a turn, so that each event is the last one of its turn.
SLOW_S = 2 * TURN_S


class CountingFilters(FilterChain):
    """Filters that take their time, and drop everything or nothing."""

    def __init__(self, clock: FakeClock, takes_s: float, *, drop: bool) -> None:
        super().__init__([FilterSpec("f", (Drop(),))])
        self._clock = clock
        self._takes_s = takes_s
        self._drop = drop
        self.applied = 0

    def apply(self, event: dict[str, Any], random: Random) -> Applied:
        self.applied += 1
        self._clock.advance(self._takes_s)
        return Applied(None, "f") if self._drop else Applied(event)


@dataclass
class FakeWorker:
    """Notes what it is given, and never ends it."""

    jobs: list[Job] = field(default_factory=list)

    def submit(self, jobs: list[Job]) -> None:
        self.jobs += jobs


class FakeOutcomes:
    def __init__(self) -> None:
        self.recorded: list[tuple[Item, Verdict]] = []

    def record(self, item: Item, verdict: Verdict, *_: Any, **__: Any) -> None:
        self.recorded.append((item, verdict))


def program(destination: str, filters: FilterChain | None) -> Program:
    return Program(
        destination=destination,
        version=1,
        settings_revision=1,
        code="",
        settings=b"{}",
        limits=Limits(),
        redactor=Redactor([]),
        retry_only_explicit=False,
        fail_on_http_error=False,
        filters=filters,
    )


class World:
    """Lanes whose programs and workers are there already."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.turns = Turns(self.clock)
        self.outcomes = FakeOutcomes()
        needed = dict.fromkeys(("zygote", "resolver", "egress", "places"), cast(Any, None))
        needed["view"] = SimpleNamespace(route=lambda *_: None)
        shares = CpuShares(
            self.clock, cores=2, cpu_ns=lambda pid: 0, renice=lambda pid, niceness: True, idle=lambda: 1.0
        )
        self._services = Services(
            **needed, outcomes=cast(Any, self.outcomes), clock=self.clock, turns=self.turns, shares=shares
        )

    def lane(self, workspace: str, filters: FilterChain | None, *, refused: bool = False) -> tuple[Lane, FakeWorker]:
        lane = Lane(workspace, "crm", self._services, cast(asyncio.TaskGroup, None))
        worker = FakeWorker()
        refusal = Refusal(INVALID_SETTINGS, "InvalidSettings", "m") if refused else None
        lane._current = Generation(program("crm", filters), cast(Any, worker), refusal=refusal)
        return lane, worker

    def item(self, workspace: str, index: int = 0) -> Item:
        route = Route(workspace, "crm", "CRM", "web", "f", 1, enabled=True)
        return Item(
            ticket=Ticket(("s", index), cast(Any, None), 0.0),
            route=route,
            sequence=index,
            index=0,
            attempt=1,
            retries_used=0,
            message_id=f"m{index}",
            type="track",
            name="Order",
            payload=EVENT,
            received_at_us=0,
            queued_at=self.clock.monotonic(),
        )

    def push(self, lane: Lane, count: int) -> None:
        for index in range(count):
            lane.push(self.item(lane.workspace, index))


async def a_turn_of_the_loop() -> None:
    await asyncio.sleep(0)


async def until(condition: Callable[[], bool], turns_max: int = 1000) -> int:
    """Give the turns of the loop that it took."""
    for turn in range(turns_max):
        if condition():
            return turn
        await a_turn_of_the_loop()
    raise AssertionError(f"not within {turns_max} turns of the loop")


@pytest.mark.parametrize("drop", [True, False])
async def test_a_slow_lane_filters_one_event_a_turn_and_others_start_theirs_meanwhile(drop: bool) -> None:
    world = World()
    slow = CountingFilters(world.clock, SLOW_S, drop=drop)
    lane, _ = world.lane("acme", slow)
    plain, plain_worker = world.lane("other", None)
    quick, quick_worker = world.lane("third", CountingFilters(world.clock, 0.0, drop=False))
    world.push(lane, 100)
    world.push(plain, 5)
    world.push(quick, 5)
    await until(lambda: len(plain_worker.jobs) == 5 and len(quick_worker.jobs) == 5)
    assert slow.applied <= 2
    await until(lambda: slow.applied == 100)


async def test_a_turn_ends_after_its_time_however_many_events_that_were() -> None:
    world = World()
    tenth = CountingFilters(world.clock, TURN_S / 8, drop=False)
    lane, worker = world.lane("acme", tenth)
    world.push(lane, 100)
    await a_turn_of_the_loop()
    assert tenth.applied == len(worker.jobs) == 8
    await a_turn_of_the_loop()
    assert tenth.applied == len(worker.jobs) == 16


async def test_quick_filters_are_not_slowed_down() -> None:
    world = World()
    lane, worker = world.lane("acme", CountingFilters(world.clock, 0.0, drop=False))
    world.push(lane, 200)
    await a_turn_of_the_loop()
    assert len(worker.jobs) == 200


async def test_many_slow_lanes_of_a_workspace_are_no_slower_to_others_than_one() -> None:
    world = World()
    filters = [CountingFilters(world.clock, SLOW_S, drop=True) for _ in range(50)]
    for one in filters:
        world.push(world.lane("acme", one)[0], 10)
    theirs = CountingFilters(world.clock, SLOW_S, drop=False)
    lane, worker = world.lane("other", theirs)
    world.push(lane, 5)
    await a_turn_of_the_loop()
    assert sum(one.applied for one in filters) == 1
    # They take turns, not lane by lane but workspace by workspace.
    await until(lambda: len(worker.jobs) == 5)
    assert sum(one.applied for one in filters) <= 6
    await until(lambda: all(one.applied == 10 for one in filters))


async def test_what_cannot_run_is_filtered_in_turns_too() -> None:
    world = World()
    slow = CountingFilters(world.clock, SLOW_S, drop=False)
    lane, _ = world.lane("acme", slow, refused=True)
    world.push(lane, 20)
    await a_turn_of_the_loop()
    assert [verdict for _, verdict in world.outcomes.recorded] == [INVALID_SETTINGS]
    await until(lambda: len(world.outcomes.recorded) == 20)


async def test_a_step_that_fails_does_not_keep_the_others_from_theirs() -> None:
    turns = Turns(FakeClock())
    done: list[str] = []

    def fail() -> None:
        raise ValueError("no")

    failing = asyncio.ensure_future(turns.run("acme", fail))
    lines = [turns.run(workspace, lambda w=workspace: done.append(w)) for workspace in ("acme", "other")]  # type: ignore[misc]  # it infers no lambda with a default
    await asyncio.gather(*lines)
    assert done == ["other", "acme"]
    with pytest.raises(ValueError, match="no"):
        await failing


async def test_long_conditions_are_read_one_by_one_and_other_lanes_go_on_between_two() -> None:
    world = World()
    groups = [
        pb.FilterGroup(filters=[a_filter(f"{level}-{n}", f"event = '{level} {n}'") for n in range(10)])
        for level in range(3)
    ]

    async def resolve(_name: str) -> pb.ResolveDestinationResponse:
        return pb.ResolveDestinationResponse(filters=groups)

    resolver = Resolver(resolve, cast(Any, None), SlowReading(world.clock))
    loading = asyncio.ensure_future(resolver.program("acme", "crm"))
    turns = await until(loading.done)
    assert turns >= 30
    chain = (await loading).filters
    assert chain is not None
    assert chain.apply({"event": "2 9"}, lambda: 0.0).dropped_by == "2-9"


class SlowReading(Turns):
    """Each condition takes longer than a turn."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self._fake = clock

    @property
    def over(self) -> bool:
        self._fake.advance(SLOW_S)
        return super().over


async def test_a_filter_that_cannot_be_read_still_lets_nothing_pass() -> None:
    bad = a_filter("bad", "event = = 'A'")

    async def resolve(_name: str) -> pb.ResolveDestinationResponse:
        return pb.ResolveDestinationResponse(filters=[pb.FilterGroup(filters=[a_filter("good", "all"), bad])])

    found = await Resolver(resolve, cast(Any, None), Turns(FakeClock())).program("acme", "crm")
    assert found.unfiltered
    assert "no event may pass it" in (found.invalid or "")


def a_filter(name: str, condition: str) -> resources_pb2.Filter:
    drop = resources_pb2.FilterAction(drop=True)
    return resources_pb2.Filter(
        name=name, rule=resources_pb2.FilterRule(title=name, condition=condition, actions=[drop], enabled=True)
    )


async def test_only_events_from_before_a_change_go_on_with_the_worker_from_before_it() -> None:
    world = World()
    lane, worker = world.lane("acme", None)
    world.push(lane, 1)
    await a_turn_of_the_loop()
    lane._preparing = True  # the next worker is on its way
    lane.changed(stored_at_us=CLOCKS_DIFFER_US + 100)
    for index, stored_at_us in enumerate((90, 99, 100, 120, 95)):
        item = world.item("acme", index)
        message = Message.build("events.acme.web", b"", timestamp_ns=stored_at_us * 1000)
        item.ticket = Ticket(("s", index), message, 0.0)
        lane.push(item)
    await a_turn_of_the_loop()
    # The last one waits behind those that must.
    assert len(worker.jobs) == 1 + 2
    assert len(lane._queue) == 3
