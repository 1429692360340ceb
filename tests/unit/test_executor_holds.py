"""What lanes leave to the tracker: events of destinations with a limit, or an open breaker."""

from __future__ import annotations

import pytest

from onward.delivery.v1 import breakers_pb2 as bpb
from onward.executor.v1 import outcomes_pb2 as pb
from services.executor.handlers.holds import OpenBreakers
from tests.unit.lane_given import LaneWorld, lane_world, turns

CRM = bpb.BreakerPlace(workspace="acme", destination="crm")


def told(*, complete: bool = False, **places: list[bpb.BreakerPlace]) -> bpb.WatchBreakersResponse:
    return bpb.WatchBreakersResponse(complete=complete, opened=places.get("opened"), closed=places.get("closed"))


def held(world: LaneWorld) -> list[tuple[int, str]]:
    return [(one.result, one.reason) for one in world.attempts]


@pytest.mark.parametrize("reason", ["rate_limit", "concurrency_limit"])
async def test_events_of_a_destination_with_a_limit_go_to_the_tracker_and_what_it_releases_runs(reason: str) -> None:
    async with lane_world() as world:
        world.view.held = reason
        await world.push(3)
        assert held(world) == [(pb.RESULT_DEFERRED, reason)] * 3
        assert world.settled == 3
        assert {one.detail.event for one in world.attempts} == {b"{}"}
        await world.push(2, released=True)
        (worker,) = world.zygote.workers
        assert worker.in_flight == 2
        assert world.meters.deferrals == {reason: 3}


async def test_while_a_breaker_is_open_nothing_is_begun_not_even_a_worker() -> None:
    async with lane_world() as world:
        world.breakers.apply(told(complete=True, opened=[CRM]))
        await world.push(3)
        assert held(world) == [(pb.RESULT_DEFERRED, "breaker_open")] * 3
        assert not world.zygote.workers
        # Filters have not seen it, so nobody may.
        assert {one.detail.filtered_event for one in world.attempts} == {b""}
        await world.push(1, released=True)
        assert len(world.zygote.workers) == 1


async def test_what_is_queued_behind_others_goes_when_the_breaker_opens() -> None:
    async with lane_world() as world:
        await world.push(256)
        await world.push(10)
        assert not world.attempts
        world.breakers.apply(told(opened=[CRM]))
        await turns()
        assert held(world) == [(pb.RESULT_DEFERRED, "breaker_open")] * 10


async def test_once_it_is_closed_events_run_as_they_come() -> None:
    async with lane_world() as world:
        world.breakers.apply(told(complete=True, opened=[CRM]))
        world.breakers.apply(told(closed=[CRM]))
        await world.push(1)
        assert not world.attempts
        assert world.zygote.workers[0].in_flight == 1


def test_a_tracker_that_is_watched_anew_says_what_is_open_and_all_else_is_closed() -> None:
    changed: list[str] = []
    breakers = OpenBreakers(lambda _, destination: changed.append(destination))
    other = bpb.BreakerPlace(workspace="acme", destination="other")
    breakers.apply(told(complete=True, opened=[CRM, other]))
    breakers.apply(told(opened=[CRM]))
    assert changed == ["crm", "other"]
    breakers.apply(told(complete=True, opened=[other]))
    assert changed == ["crm", "other", "crm"]
    assert ("acme", "other") in breakers
    assert ("acme", "crm") not in breakers
    breakers.apply(told(closed=[CRM]))
    assert len(changed) == 3
