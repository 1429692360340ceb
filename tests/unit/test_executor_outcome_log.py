"""What the executor reports of its attempts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import pytest

from kit.bus.errors import ConnectionLost
from kit.clock import FakeClock
from kit.errors import Unavailable
from onward.executor.v1 import outcomes_pb2 as pb
from services.executor.domain.errors import DEFERRED, DELIVERED, GATHERING, Verdict
from services.executor.handlers import settle
from services.executor.handlers.settle import OutcomeLog
from services.executor.handlers.work import Item, Run
from tests.integration.telemetry_probe import SAMPLED, item


def an_item(*, fresh: bool) -> Item:
    made = item(SAMPLED)
    made.ticket.fresh = fresh
    return made


@pytest.mark.parametrize(
    ("verdict", "given", "fresh"),
    [
        (DEFERRED, True, True),
        (GATHERING, True, True),
        (DELIVERED, True, False),
        # Somebody else may have begun it, or the tracker had it already.
        (DEFERRED, False, False),
    ],
)
def test_only_what_nobody_else_was_given_and_is_held_back_needs_no_look(
    verdict: Verdict, given: bool, fresh: bool
) -> None:
    outcomes = OutcomeLog(cast(Any, None), cast(Any, None), FakeClock())
    outcomes.record(an_item(fresh=given), verdict, Run(3, 7))
    (batch,) = outcomes._open.values()
    assert [one.fresh for one in batch.message.destinations[0].attempts] == [fresh]


async def end(outcomes: OutcomeLog, running: asyncio.Task[None]) -> None:
    """Wait until all is stored."""
    while not outcomes.empty:
        await asyncio.sleep(0)
    running.cancel()


async def test_a_try_that_is_under_way_when_the_connection_is_lost_is_repeated_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settle, "RETRY_SECONDS", (0.0,))
    tries: list[asyncio.Future[None]] = []
    told: list[bool] = []

    async def publish(subject: str, data: bytes, message_id: str) -> None:
        told.extend(one.fresh for one in pb.OutcomeBatch.FromString(data).destinations[0].attempts)
        tries.append(asyncio.get_running_loop().create_future())
        await tries[-1]

    outcomes = OutcomeLog(publish, lambda tickets: None, FakeClock())
    outcomes.record(an_item(fresh=True), DEFERRED, Run(3, 7))
    running = asyncio.ensure_future(outcomes.run())
    while not tries:
        await asyncio.sleep(0)
    outcomes.disconnected()
    tries[0].set_exception(ConnectionLost("gone"))
    while len(tries) < 2:
        await asyncio.sleep(0)
    assert told == [True, False]
    tries[1].set_result(None)
    await end(outcomes, running)


async def test_what_is_about_to_be_told_when_the_connection_is_lost_is_told_without_it() -> None:
    bus = Bus(0)
    outcomes = OutcomeLog(bus.publish, lambda tickets: None, FakeClock())
    outcomes.record(an_item(fresh=True), DEFERRED, Run(3, 7))
    running = asyncio.ensure_future(outcomes.run())
    while not outcomes._under_way:
        await asyncio.sleep(0)
    outcomes.disconnected()
    await end(outcomes, running)
    assert [one.fresh for batch in bus.stored for one in batch.destinations[0].attempts] == [False]


class Bus:
    """Refuses the first messages, and keeps the others."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.stored: list[pb.OutcomeBatch] = []

    async def publish(self, subject: str, data: bytes, message_id: str) -> None:
        if self.refusals:
            self.refusals -= 1
            raise Unavailable("away")
        self.stored.append(pb.OutcomeBatch.FromString(data))


@pytest.mark.parametrize(("refusals", "lost", "fresh"), [(0, False, True), (1, False, False), (0, True, False)])
async def test_what_is_told_late_may_have_been_given_to_others_meanwhile(
    monkeypatch: pytest.MonkeyPatch, refusals: int, lost: bool, fresh: bool
) -> None:
    monkeypatch.setattr(settle, "RETRY_SECONDS", (0.0,))
    bus = Bus(refusals)
    outcomes = OutcomeLog(bus.publish, lambda tickets: None, FakeClock())
    outcomes.record(an_item(fresh=True), DEFERRED, Run(3, 7))
    # One batch is full, the other is not.
    outcomes._ready.append(outcomes._close("acme"))
    outcomes.record(an_item(fresh=True), DEFERRED, Run(3, 7))
    if lost:
        outcomes.disconnected()
    running = asyncio.ensure_future(outcomes.run())
    await end(outcomes, running)
    told = [one.fresh for batch in bus.stored for one in batch.destinations[0].attempts]
    assert sorted(told) == sorted([fresh, fresh or bool(refusals)])


def of_workspace(workspace: str) -> Item:
    made = an_item(fresh=False)
    made.route = replace(made.route, workspace=workspace)
    return made


@asynccontextmanager
async def rounds(monkeypatch: pytest.MonkeyPatch, round_s: float) -> AsyncIterator[tuple[OutcomeLog, Bus]]:
    """A log whose first round has just begun."""
    monkeypatch.setattr(settle, "ROUND_S", round_s)
    bus = Bus(0)
    outcomes = OutcomeLog(bus.publish, lambda tickets: None, FakeClock())
    running = asyncio.ensure_future(outcomes.run())
    outcomes.record(an_item(fresh=False), DELIVERED, Run(3, 7))
    while not outcomes.empty:
        await asyncio.sleep(0)
    assert len(bus.stored) == 1
    try:
        yield outcomes, bus
    finally:
        running.cancel()


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_outcomes_that_come_one_by_one_wait_for_the_next_round(monkeypatch: pytest.MonkeyPatch) -> None:
    async with rounds(monkeypatch, 1000.0) as (outcomes, bus):
        for _ in range(settle.ROUND_OUTCOMES - 1):
            outcomes.record(an_item(fresh=False), DELIVERED, Run(3, 7))
            await turns()
        assert len(bus.stored) == 1
        outcomes.record(an_item(fresh=False), DELIVERED, Run(3, 7))
        await turns()
        # So many wait for no round.
        assert [len(batch.destinations[0].attempts) for batch in bus.stored] == [1, settle.ROUND_OUTCOMES]
        outcomes.record(an_item(fresh=False), DELIVERED, Run(3, 7))
        await turns()
        assert not outcomes.empty


async def test_a_round_takes_what_every_workspace_has(monkeypatch: pytest.MonkeyPatch) -> None:
    async with rounds(monkeypatch, 1000.0) as (outcomes, bus):
        names = [f"w-{number}" for number in range(5)]
        # One that has filled its batch by the time that its turn comes is passed over.
        outcomes._due.append("gone")
        for name in (*names, *names):
            outcomes.record(of_workspace(name), DELIVERED, Run(3, 7))
        await turns()
        assert len(bus.stored) == 1
        outcomes._round_at -= 1000.0
        outcomes._ring()
        await turns(100)
        told = [(batch.workspace, len(batch.destinations[0].attempts)) for batch in bus.stored[1:]]
        assert told == [(name, 2) for name in names]


async def test_what_waits_for_a_round_is_woken_when_that_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    async with rounds(monkeypatch, 1000.0) as (outcomes, bus):
        outcomes.record(an_item(fresh=False), DELIVERED, Run(3, 7))
        await turns()
        alarm = outcomes._alarm
        assert alarm is not None
        assert alarm.when() == outcomes._round_at + 1000.0
        outcomes._round_at -= 1000.0
        alarm.cancel()
        outcomes._ring()
        await turns()
        assert len(bus.stored) == 2


async def test_what_waits_for_a_round_when_the_connection_is_lost_is_told_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with rounds(monkeypatch, 1000.0) as (outcomes, bus):
        outcomes.record(an_item(fresh=True), DEFERRED, Run(3, 7))
        await turns()
        outcomes.disconnected()
        outcomes._round_at -= 1000.0
        outcomes._ring()
        await turns()
        assert [one.fresh for one in bus.stored[1].destinations[0].attempts] == [False]
