"""What a lane makes of what its workers say, and of how they end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from onward.executor.v1 import outcomes_pb2 as pb
from services.executor.handlers.fairness import LOOK_S
from services.executor.handlers.lane_set import IDLE_AFTER_S
from services.executor.handlers.lanes import CLOCKS_DIFFER_US, HANGS_AFTER_S
from services.executor.runtime.jobs import CodeError, Outcome
from tests.unit.lane_given import GivenWorker, lane_world, turns


@pytest.mark.parametrize("settled", [(1, 2**32, 0), (1, 0, 2**32), (1, -1, 0), (1, 0, -1)])
async def test_times_that_no_outcome_can_hold_leave_no_attempt_without_one(settled: tuple[int, ...]) -> None:
    """E9: the worker that says so is distrusted, and its attempt ends as that of a lost worker."""
    async with lane_world() as world:
        await world.push()
        (worker,) = world.zygote.workers
        worker.settles(*settled)
        worker.ends()
        await turns()
        (attempt,) = world.attempts
        assert (attempt.result, attempt.error_type) == (pb.RESULT_RETRYABLE, pb.ERROR_TYPE_INTERNAL)
        assert (world.settled, world.lane.busy) == (1, False)


async def test_numbers_that_can_not_be_recorded_leave_their_attempt_with_an_outcome() -> None:
    async with lane_world() as world:
        await world.push(2)
        generation = world.lane._current
        assert generation is not None
        outcomes = [Outcome(id_, True, 2**40, -1, [], None, None) for id_ in (1, 2)]
        world.lane.on_outcomes(generation, outcomes)
        assert [(one.result, one.wall_us) for one in world.attempts] == [(pb.RESULT_RETRYABLE, 0)] * 2
        assert (world.settled, world.lane.busy) == (2, False)


async def test_what_could_not_be_settled_is_lost_with_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    async with lane_world() as world:
        await world.push(2)
        (worker,) = world.zygote.workers
        settle: Any = world.lane._attempts.settle

        def fail(*_: Any) -> None:
            raise ValueError("a fault of ours")

        monkeypatch.setattr(world.lane._attempts, "settle", fail)
        worker.settles(1, 5, 5)
        assert worker.in_flight == 1
        monkeypatch.setattr(world.lane._attempts, "settle", settle)
        worker.ends()
        await turns()
        assert not world.attempts
        # Nobody is to blame: each runs once more, alone.
        assert [len(one._jobs) for one in world.zygote.workers[1:]] == [1]


async def test_a_lane_tells_where_attempts_hang() -> None:
    async with lane_world() as world:
        world.clock.advance(60)
        await world.push(2)
        assert not world.lane.hangs()
        world.clock.advance(HANGS_AFTER_S)
        assert world.lane.hangs()
        (worker,) = world.zygote.workers
        worker.settles(1, 5, 5)
        assert not world.lane.hangs()
        world.clock.advance(HANGS_AFTER_S)
        worker.settles(2, 5, 5)
        assert not world.lane.hangs()


async def test_a_worker_that_was_told_to_leave_ends_when_nothing_runs_in_it_any_more() -> None:
    async with lane_world() as world:
        await world.push()
        (place,) = world.places.held
        world.lane.give_way()
        assert (place.leaving, place.ending) == (True, False)
        world.zygote.workers[0].settles(1, 5, 5)
        assert place.ending
        await turns()
        assert world.places.taken == 0


async def test_code_that_can_not_be_loaded_is_not_tried_again_for_every_event() -> None:
    """Though the worker that tried it ends later than the answer comes."""

    def throw(_: GivenWorker) -> None:
        raise CodeError("at top level")

    async with lane_world() as world:
        world.zygote.load = throw
        for number in range(3):
            await world.push()
            if number == 0:
                world.zygote.workers[0].ends()
            assert [one.error_type for one in world.attempts] == [pb.ERROR_TYPE_BAD_REQUEST] * (number + 1)
        assert len(world.zygote.workers) == 1
        assert world.meters.exits == {"not_loaded": 1}
        world.zygote.load = lambda _: None
        world.lane.changed()
        await world.push()
        assert len(world.zygote.workers) == 2


async def test_what_code_uses_while_it_loads_counts() -> None:
    async with lane_world() as world:

        def load(worker: GivenWorker) -> None:
            world.cpu_ns[worker.pid] = 60_000_000
            world.clock.advance(LOOK_S)
            world.shares.look()
            raise CodeError("at top level")

        world.zygote.load = load
        await world.push()
        assert world.lane.share.used_s > 0.05
        world.zygote.workers[0].ends()
        assert not world.lane.share.workers


async def test_ends_of_workers_are_counted_by_whether_they_cost_an_attempt() -> None:
    async with lane_world() as world:
        for end in ("idle", "lost", "stopped"):
            await world.push()
            worker = world.zygote.workers[-1]
            if end != "lost":
                worker.settles(1, 5, 5)
            if end == "stopped":
                world.lane.give_way()
            else:
                worker.ends()
            await turns()
            assert world.meters.exits[end] == 1
        assert world.meters.exits.total() == 3


async def test_a_lane_stays_while_attempts_run_in_a_worker_that_was_told_to_end() -> None:
    async with lane_world() as world:
        await world.push()
        world.lane.give_way()
        world.clock.advance(IDLE_AFTER_S + 1)
        world.lanes._sweep()
        assert len(world.lanes._lanes) == 1
        world.zygote.workers[0].settles(1, 5, 5)
        await turns()
        world.lanes._sweep()
        assert len(world.lanes._lanes) == 1
        world.clock.advance(IDLE_AFTER_S + 1)
        world.lanes._sweep()
        assert not world.lanes._lanes


async def test_a_worker_that_is_lost_after_it_was_told_to_end_keeps_no_lane() -> None:
    async with lane_world() as world:
        await world.push()
        world.lane.give_way()
        world.zygote.workers[0].ends()
        await turns()
        assert (len(world.attempts), world.lane.in_use) == (1, False)


async def test_only_what_was_surely_stored_before_a_change_runs_as_before_it() -> None:
    """The times are of two streams, whose servers' clocks may differ."""
    changed_at_us = 10_000_000
    async with lane_world() as world:
        await world.push()
        (old,) = world.zygote.workers
        world.resolver.answers.clear()
        world.lane.changed(changed_at_us)
        await world.push(stored_at_us=changed_at_us - CLOCKS_DIFFER_US - 1)
        assert old.in_flight == 2
        await world.push(stored_at_us=changed_at_us - CLOCKS_DIFFER_US)
        await world.push(stored_at_us=changed_at_us + 1)
        assert old.in_flight == 2
        world.resolver.answers.set()
        await turns()
        assert [worker.in_flight for worker in world.zygote.workers] == [2, 2]


async def test_a_worker_is_made_ready_only_where_there_is_room_to_spare() -> None:
    async with lane_world(places_max=1) as world:
        await world.lane.warm()
        assert (world.zygote.workers, world.places.waits) == ([], 0)
        # Events have the last place.
        await world.push()
        assert len(world.zygote.workers) == 1


async def test_an_event_that_comes_while_a_worker_is_made_ready_without_room_waits_for_one_like_others() -> None:
    async with lane_world(places_max=1) as world:
        world.resolver.answers.clear()
        warming = asyncio.ensure_future(world.lane.warm())
        await turns()
        await world.push()
        world.resolver.answers.set()
        await warming
        await turns()
        assert [worker.in_flight for worker in world.zygote.workers] == [1]
