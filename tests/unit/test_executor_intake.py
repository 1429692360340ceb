"""Messages on their way in: what the fence is asked for, and whose turn it is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from kit.bus.message import Message
from kit.clock import FakeClock
from services.executor.consumers.intake import TURN_S, Intake, _newest_ns
from services.executor.consumers.tickets import HELD_MAX, RESERVED, STREAM_MIN, YOUNG_MIN, Tickets
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


class NoFence:
    async def wait(self, stored_at_ns: int) -> None:
        return None


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
    tickets = Tickets(cast(Any, NoBus()), clock)
    intake = Intake(
        View(), NoFence(), tickets, cast(Any, refusals), cast(Any, None), cast(Any, None), cast(Any, None), clock
    )  # fmt: skip
    flood = asyncio.ensure_future(intake.on_events("large", "EVENTS_large", list(messages("large", 100))))
    small = asyncio.ensure_future(intake.on_events("small", "EVENTS_small", list(messages("small", 1))))
    await asyncio.gather(flood, small)
    assert len(refusals.of) == 101
    assert refusals.of.index("small") <= 2 * 4


@pytest.fixture
def tickets() -> Tickets:
    return Tickets(cast(Any, NoBus()), FakeClock())


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
    while tickets._room.is_set():
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
