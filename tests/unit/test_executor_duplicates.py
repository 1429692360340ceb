"""Repetitions of a messageId: found among what was handed out lately, and by asking about the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from kit.errors import DeadlineExceeded, InvalidArgument, OnwardError, Unavailable
from kit.testing.eventually import eventually
from services.executor.consumers import duplicates
from services.executor.consumers.duplicates import ASKED_MAX, WINDOW_US, Published, Repetitions, WhileAnswered


class Tracker:
    """Knows some messageIds, and notes what it is asked."""

    def __init__(self, *known: str) -> None:
        self.known = known
        self.asked: list[int] = []
        self.error: OnwardError | None = None

    async def find(self, workspace: str, events: Sequence[Published]) -> list[int]:
        self.asked.append(len(events))
        if self.error is not None:
            raise self.error
        return [at for at, one in enumerate(events) if one.message_id in self.known]


def event(sequence: int, message_id: str = "m", source: str = "web", place: int = 0, at_us: int = 0) -> Published:
    return Published(source, message_id, sequence, place, at_us)


async def test_the_first_of_an_id_is_none_and_later_ones_are() -> None:
    seen = Repetitions(Tracker().find)
    assert await seen.among("acme", [event(1), event(2, "n"), event(3), event(4, place=1)]) == {(3, 0), (4, 1)}


async def test_an_event_that_comes_again_is_not_its_own_repetition() -> None:
    seen = Repetitions(Tracker().find)
    for _ in range(2):
        assert await seen.among("acme", [event(1)]) == set()


async def test_ids_are_compared_within_a_source_of_a_workspace() -> None:
    seen = Repetitions(Tracker().find)
    await seen.among("acme", [event(1)])
    assert await seen.among("acme", [event(2, source="shop")]) == set()
    assert await seen.among("globex", [event(3)]) == set()


async def test_an_id_may_come_again_after_a_day() -> None:
    seen = Repetitions(Tracker().find)
    await seen.among("acme", [event(1)])
    assert await seen.among("acme", [event(2, at_us=WINDOW_US)]) == set()
    assert await seen.among("acme", [event(3, at_us=WINDOW_US + 1)]) == {(3, 0)}


async def test_what_others_have_recorded_is_asked_for_in_parts_that_are_answered() -> None:
    tracker = Tracker("m-7", "m-1500")
    events = [event(number, f"m-{number}") for number in range(1, 1601)]
    assert await Repetitions(tracker.find).among("acme", events) == {(7, 0), (1500, 0)}
    assert tracker.asked == [ASKED_MAX, 600]


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "REMEMBERED_MAX", 10)
    seen = Repetitions(Tracker().find)
    await seen.among("acme", [event(number, f"m-{number}") for number in range(100)])
    assert len(seen._lately) == 10


@asynccontextmanager
async def asking(tracker: Tracker) -> AsyncIterator[WhileAnswered]:
    asked = WhileAnswered(tracker.find)
    probing = asyncio.create_task(asked.run())
    try:
        yield asked
    finally:
        probing.cancel()
        await asyncio.wait([probing])


@pytest.mark.parametrize("error", [Unavailable("it is away"), DeadlineExceeded("it hangs")])
async def test_events_wait_for_a_tracker_that_does_not_answer_only_once(
    monkeypatch: pytest.MonkeyPatch, error: OnwardError
) -> None:
    monkeypatch.setattr(duplicates, "PROBE_S", 0.001)
    tracker = Tracker("m")
    async with asking(tracker) as asked:
        for _ in range(2):
            assert await asked.find("acme", [event(1)]) == [0]
            tracker.error, tracker.asked = error, []
            for count in (3, 2, 1):
                assert await asked.find("acme", [event(1)] * count) == ()
            await eventually(lambda: len(tracker.asked) > 5)
            assert set(tracker.asked) == {3}, "only the question that failed is asked again"
            tracker.error = None
            await eventually(lambda: asked._unanswered is None)


async def test_a_question_that_is_refused_keeps_nobody_from_asking() -> None:
    tracker = Tracker("m")
    async with asking(tracker) as asked:
        tracker.error = InvalidArgument("no workspace has this name")
        assert await asked.find("ac.me", [event(1)]) == ()
        tracker.error = None
        assert await asked.find("acme", [event(1)]) == [0]
