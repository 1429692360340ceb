"""Events given by hand, and places to run them."""

from __future__ import annotations

import asyncio
import json

import pytest

from kit.errors import Overloaded
from services.executor.domain.given import EVENTS_MAX, NotAnEvent, read_given
from services.executor.handlers.trial_places import TRIALS_MAX, TrialPlaces, trials_within

AT_US = 1_767_323_045_000_000
PAGE = {"type": "page", "userId": "u1"}


def test_one_event_goes_to_the_handler_of_its_type_and_is_completed() -> None:
    given = read_given(json.dumps({**PAGE, "type": "identify"}), AT_US, "made")
    assert (given.handler, given.is_batch) == ("onIdentify", False)
    assert json.loads(given.payload) == {
        "type": "identify",
        "userId": "u1",
        "messageId": "made",
        "receivedAt": "2026-01-02T03:04:05.000Z",
        "timestamp": "2026-01-02T03:04:05.000Z",
    }


def test_an_array_goes_to_on_batch_whatever_its_length() -> None:
    given = read_given(json.dumps([PAGE, {**PAGE, "messageId": "m"}]), AT_US, "made")
    assert (given.handler, given.is_batch) == ("onBatch", True)
    assert [one["messageId"] for one in json.loads(given.payload)] == ["made-0", "m"]
    assert read_given(json.dumps([PAGE]), AT_US, "made").handler == "onBatch"
    assert len(read_given(json.dumps([PAGE] * EVENTS_MAX), AT_US, "made").events) == EVENTS_MAX


@pytest.mark.parametrize(
    ("text", "reason", "index"),
    [
        ("", "invalid_json", None),
        ("null", "not_an_object", None),
        ("{}", "unknown_type", None),
        ('{"batch": []}', "unknown_type", None),
        (json.dumps([PAGE, None]), "not_an_object", 1),
        (json.dumps([PAGE] * (EVENTS_MAX + 1)), "invalid_batch", None),
        (json.dumps([PAGE, {**PAGE, "x": "y" * 40_000}]), "too_large", 1),
        # 30,000 characters, which are 90,000 bytes.
        (json.dumps({**PAGE, "x": "€" * 30_000}, ensure_ascii=False), "too_large", None),
    ],
)
def test_what_is_no_event_says_which_and_why(text: str, reason: str, index: int | None) -> None:
    """H2"""
    with pytest.raises(NotAnEvent) as caught:
        read_given(text, AT_US, "made")
    assert (caught.value.reason, caught.value.index) == (reason, index)


async def holding(places: TrialPlaces, workspace: str, held: list[str], until: asyncio.Event) -> None:
    async with places.taken(workspace):
        held.append(workspace)
        await until.wait()


async def test_a_workspace_that_has_its_places_keeps_nobody_else_waiting() -> None:
    """G1"""
    places, end = TrialPlaces(most=3, most_per_workspace=2, wait_s=60), asyncio.Event()
    held: list[str] = []
    async with asyncio.TaskGroup() as group:
        for workspace in ("greedy", "greedy", "greedy", "greedy", "modest"):
            group.create_task(holding(places, workspace, held, end))
        for _ in range(10):
            await asyncio.sleep(0)
        assert sorted(held) == ["greedy", "greedy", "modest"]
        end.set()
    assert sorted(held) == ["greedy"] * 4 + ["modest"]


async def test_workspaces_that_try_nothing_yet_find_places_whatever_the_others_do() -> None:
    """G1"""
    places, end = TrialPlaces(most=8, most_per_workspace=2, wait_s=60), asyncio.Event()
    held: list[str] = []
    async with asyncio.TaskGroup() as group:
        for workspace in ("a", "a", "b", "b", "c", "c", "d", "d"):
            group.create_task(holding(places, workspace, held, end))
        for workspace in ("e", "f"):
            group.create_task(holding(places, workspace, held, end))
        for _ in range(10):
            await asyncio.sleep(0)
        assert set(held) == set("abcdef")
        end.set()
    assert sorted(held) == sorted("aabbccddef")


async def test_who_is_cancelled_leaves_his_place_to_the_next() -> None:
    places, end = TrialPlaces(most=1, wait_s=60), asyncio.Event()
    held: list[str] = []
    tasks = [asyncio.ensure_future(holding(places, workspace, held, end)) for workspace in "abc"]
    await asyncio.sleep(0)
    # The second while it waits, the first while it holds the place.
    for task in (tasks[1], tasks[0]):
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    for _ in range(3):
        await asyncio.sleep(0)
    assert held == ["a", "c"]
    # At the same moment as it gets the place.
    tasks.append(asyncio.ensure_future(holding(places, "d", held, end)))
    await asyncio.sleep(0)
    tasks[2].cancel()
    await asyncio.sleep(0)
    tasks[3].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with places.taken("e"):
        pass


@pytest.mark.parametrize(("megabytes", "trials"), [(0, 2), (500, 2), (1000, 5), (64_000, TRIALS_MAX)])
def test_no_more_run_at_once_than_fit_into_memory(megabytes: int, trials: int) -> None:
    assert trials_within(megabytes << 20) == trials


async def test_who_waits_too_long_is_told_to_try_again_and_leaves_nothing_behind() -> None:
    places, end = TrialPlaces(most=1, most_per_workspace=1, wait_s=0), asyncio.Event()
    held: list[str] = []
    async with asyncio.TaskGroup() as group:
        group.create_task(holding(places, "acme", held, end))
        await asyncio.sleep(0)
        for workspace in ("acme", "apex"):
            with pytest.raises(Overloaded, match="nothing was run"):
                await holding(places, workspace, held, end)
        end.set()
    async with places.taken("apex"):
        pass


async def test_a_run_that_takes_long_is_not_taken_for_a_wait() -> None:
    async with TrialPlaces(wait_s=0).taken("acme"):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
    with pytest.raises(TimeoutError):
        async with TrialPlaces(wait_s=0).taken("acme"), asyncio.timeout(0):
            await asyncio.Event().wait()
