"""Messages on their way in: what the fence is asked for, and whose turn it is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from kit.bus.message import Message
from kit.clock import FakeClock
from services.executor.consumers.facts import BusFence
from services.executor.consumers.floods import Floods
from services.executor.consumers.intake import TURN_S, Intake, _newest_ns
from services.executor.consumers.tickets import (
    HELD_MAX,
    RESERVED,
    STREAM_MIN,
    YOUNG_MIN,
    Tickets,
)
from services.executor.handlers.work import Ticket
from services.executor.projections import View


def test_a_redelivered_message_at_the_end_does_not_hide_a_newer_one_before_it() -> None:
    fresh = Message.build("events.acme.web", b"{}", stream_seq=9, timestamp_ns=2_000)
    again = Message.build("events.acme.web", b"{}", stream_seq=3, delivered=2, timestamp_ns=1_000)
    assert _newest_ns([fresh, again]) == 2_000


class NoBus:
    """Has no connection: acknowledgements are counted."""

    connected = True

    def __init__(self) -> None:
        self.acknowledged = 0

    def write(self, commands: bytes) -> None:
        self.acknowledged += 1


class LateFence:
    def __init__(self) -> None:
        self.reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wait(self, stored_at_ns: int) -> asyncio.Future[None]:
        return self.reached

    def is_new(self, stored_at_ns: int) -> bool:
        return stored_at_ns > 100


class NoFence(LateFence):
    def __init__(self) -> None:
        super().__init__()
        self.reached.set_result(None)


class SlowRefusals:
    """Outcomes that take a while each, as events of a source that does not exist do in this test."""

    def __init__(self, clock: FakeClock, takes_s: float) -> None:
        self.clock = clock
        self.takes_s = takes_s
        self.of: list[str] = []

    def record_refusal(self, workspace: str, failure: Any, ticket: Ticket) -> None:
        self.clock.advance(self.takes_s)
        self.of.append(workspace)


def messages(workspace: str, count: int) -> Sequence[Message]:
    return [Message.build(f"events.{workspace}.none", b"{}", stream_seq=number + 1) for number in range(count)]


async def test_a_flood_of_one_workspace_lets_others_in_after_a_turn() -> None:
    clock = FakeClock()
    refusals = SlowRefusals(clock, TURN_S / 4)
    floods = Floods(clock)
    tickets = Tickets(cast(Any, NoBus()), clock, floods)
    intake = Intake(
        View(), NoFence(), tickets, floods, cast(Any, refusals), cast(Any, None), cast(Any, None),
        cast(Any, None), clock,
    )  # fmt: skip
    flood = asyncio.ensure_future(intake.on_events("large", "EVENTS_large", list(messages("large", 100))))
    small = asyncio.ensure_future(intake.on_events("small", "EVENTS_small", list(messages("small", 1))))
    await asyncio.gather(flood, small)
    assert len(refusals.of) == 101
    assert refusals.of.index("small") <= 2 * 4


class OneSource:
    """A view in which one source is there, or not."""

    known = True

    def knows_source(self, workspace: str, source: str) -> bool:
        return self.known

    def routes(self, workspace: str, source: str) -> tuple[()]:
        return ()


class NoRepetitions:
    asked = 0

    async def among(self, workspace: str, events: Sequence[Any]) -> set[tuple[int, int]]:
        self.asked += 1
        return set()


@pytest.mark.parametrize("at_first", [True, False])
async def test_whether_a_source_is_known_is_judged_by_a_view_that_is_new_enough(at_first: bool) -> None:
    """The tracker is asked at once, but for events of a source that may have been made just now."""
    clock, view, fence, repetitions = FakeClock(), OneSource(), LateFence(), NoRepetitions()
    refusals = SlowRefusals(clock, 0)
    floods = Floods(clock)
    tickets = Tickets(cast(Any, NoBus()), clock, floods)
    intake = Intake(
        cast(Any, view), fence, tickets, floods, cast(Any, refusals), cast(Any, None), cast(Any, None),
        cast(Any, repetitions), clock,
    )  # fmt: skip
    running = asyncio.ensure_future(intake.run())
    await asyncio.sleep(0)
    view.known = at_first
    event = Message.build("events.acme.web", b'{"type":"track","event":"e","userId":"u"}', stream_seq=1)
    taken = asyncio.ensure_future(intake.on_events("acme", "EVENTS_acme", [event]))
    for _ in range(5):
        await asyncio.sleep(0)
    assert (repetitions.asked, refusals.of, taken.done()) == (int(at_first), [], False)
    view.known = not at_first
    fence.reached.set_result(None)
    for _ in range(5):
        await asyncio.sleep(0)
    await taken
    assert (repetitions.asked, refusals.of) == (1, ["acme"] if at_first else [])
    running.cancel()


@pytest.mark.parametrize(("delivered", "timestamp_ns", "fresh"), [(1, 101, True), (1, 100, False), (2, 101, False)])
async def test_only_a_message_that_this_server_alone_had_and_gave_once_is_fresh(
    delivered: int, timestamp_ns: int, fresh: bool
) -> None:
    floods = Floods(FakeClock())
    tickets = Tickets(cast(Any, NoBus()), FakeClock(), floods)
    intake = Intake(
        cast(Any, OneSource()), LateFence(), tickets, floods, cast(Any, None), cast(Any, None), cast(Any, None),
        cast(Any, NoRepetitions()), FakeClock(),
    )  # fmt: skip
    running = asyncio.ensure_future(intake.run())
    await asyncio.sleep(0)
    one = Message.build("events.acme.web", b"{}", stream_seq=1, delivered=delivered, timestamp_ns=timestamp_ns)
    taken = asyncio.ensure_future(intake.on_events("acme", "EVENTS_acme", [one]))
    await asyncio.sleep(0)
    (ticket,) = tickets._held.values()
    assert ticket.fresh is fresh
    tickets.disconnected()
    assert not ticket.fresh
    # Nor once it was given again while it is held.
    ticket.fresh = True
    assert tickets.take(one, "EVENTS_acme") is None
    assert not ticket.fresh
    for task in (taken, running):
        task.cancel()


class Feed:
    """Answers questions when it is told to, with the time of the answer."""

    def __init__(self) -> None:
        self.asked: list[asyncio.Future[tuple[int, int]]] = []

    async def head(self) -> tuple[int, int]:
        self.asked.append(asyncio.get_running_loop().create_future())
        return await self.asked[-1]

    async def wait_for(self, sequence: int) -> None:
        return None

    async def answer(self, said_at_ns: int) -> None:
        self.asked[-1].set_result((1, said_at_ns))
        for _ in range(5):
            await asyncio.sleep(0)


async def test_an_event_from_before_the_last_answer_needs_no_other_question() -> None:
    feed = Feed()
    fence = BusFence(cast(Any, feed))
    running = asyncio.ensure_future(fence.run())
    first = fence.wait(50)
    await asyncio.sleep(0)
    # Nothing says that the question under way was asked after this was stored.
    second = fence.wait(60)
    await feed.answer(100)
    assert (first.done(), second.done(), len(feed.asked)) == (True, False, 2)
    joined, newer = fence.wait(99), fence.wait(100)
    await feed.answer(200)
    assert (second.done(), joined.done(), newer.done(), len(feed.asked)) == (True, True, False, 3)
    assert fence.wait(99).done()
    running.cancel()


async def test_what_was_stored_before_the_connection_was_made_may_have_been_given_by_a_server_that_is_no_more() -> None:
    feed = Feed()
    fence = BusFence(cast(Any, feed))
    running = asyncio.ensure_future(fence.run())
    fence.wait(50)
    await asyncio.sleep(0)
    assert not fence.is_new(1_000)
    await feed.answer(100)
    assert (fence.is_new(100), fence.is_new(101)) == (False, True)
    # A later answer says nothing new about it.
    fence.wait(150)
    await asyncio.sleep(0)
    await feed.answer(200)
    assert fence.is_new(101)
    # An answer from before the connection was lost says nothing about the next one.
    fence.wait(250)
    await asyncio.sleep(0)
    fence.disconnected()
    await feed.answer(300)
    assert not fence.is_new(1_000)
    fence.wait(350)
    await asyncio.sleep(0)
    await feed.answer(400)
    assert (fence.is_new(400), fence.is_new(401)) == (False, True)
    running.cancel()


@pytest.fixture
def tickets() -> Tickets:
    return Tickets(cast(Any, NoBus()), FakeClock(), Floods(FakeClock()))


def hold(tickets: Tickets, stream: str, count: int) -> list[Ticket]:
    found = [tickets.take(message, stream) for message in messages("any", count)]
    for ticket in found:
        assert ticket is not None
        ticket.remaining = 1
    tickets.handed_out([])
    return [ticket for ticket in found if ticket is not None]


async def waits(tickets: Tickets, stream: str) -> asyncio.Task[None]:
    task = asyncio.ensure_future(tickets.room(stream))
    await asyncio.sleep(0)
    return task


async def test_a_stream_has_room_for_some_messages_though_another_one_has_filled_all(tickets: Tickets) -> None:
    hold(tickets, "EVENTS_large", YOUNG_MIN)
    hold(tickets, "EVENTS_small", STREAM_MIN - 1)
    assert (await waits(tickets, "EVENTS_small")).done()
    large = await waits(tickets, "EVENTS_large")
    assert not large.done()
    large.cancel()


async def test_one_stream_can_not_hold_so_much_that_others_are_shut_out(tickets: Tickets) -> None:
    """B10: not even where nothing that it has sent is settled, and all of it waits for batches."""
    sequence = 0
    while tickets.has_room("EVENTS_large"):
        sequence += 1
        ticket = tickets.take(Message.build("events.large.web", b"", stream_seq=sequence), "EVENTS_large")
        assert ticket is not None
        ticket.wait()
    assert sequence == HELD_MAX - RESERVED
    assert (await waits(tickets, "EVENTS_small")).done()
    hold(tickets, "EVENTS_small", STREAM_MIN)
    small = await waits(tickets, "EVENTS_small")
    assert not small.done()
    small.cancel()


async def test_a_stream_goes_on_when_its_own_messages_are_settled_though_others_are_not(tickets: Tickets) -> None:
    hold(tickets, "EVENTS_large", YOUNG_MIN)
    mine = hold(tickets, "EVENTS_small", STREAM_MIN)
    task = await waits(tickets, "EVENTS_small")
    assert not task.done()
    tickets.settled(mine[:1])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert task.done()
