"""What the executor reports of its attempts."""

from __future__ import annotations

import asyncio
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
    outcomes._ready.append(outcomes._open.pop("acme"))
    outcomes.record(an_item(fresh=True), DEFERRED, Run(3, 7))
    if lost:
        outcomes.disconnected()
    running = asyncio.ensure_future(outcomes.run())
    await end(outcomes, running)
    told = [one.fresh for batch in bus.stored for one in batch.destinations[0].attempts]
    assert sorted(told) == sorted([fresh, fresh or bool(refusals)])
