"""Messages that were passed over: found by their sequences, told when the stream has them no more."""

from __future__ import annotations

import asyncio

from kit.bus.message import Message
from kit.errors import Unavailable
from services.executor.consumers.continuity import GAPS_MAX, Continuity


def messages(*sequences: int, delivered: int = 1) -> list[Message]:
    return [Message.build("events.acme.web", b"", stream_seq=one, delivered=delivered) for one in sequences]


async def asked_of(continuity: Continuity, asked: list[tuple[str, int]], count: int) -> None:
    running = asyncio.ensure_future(continuity.run())
    while len(asked) < count:
        await asyncio.sleep(0)
    running.cancel()


async def test_a_message_that_was_skipped_is_looked_for_and_counted_when_it_is_gone() -> None:
    """B5: JetStream skips what it can't read."""
    asked: list[tuple[str, int]] = []

    async def exists(stream: str, sequence: int) -> bool:
        asked.append((stream, sequence))
        return False

    continuity = Continuity(exists)
    continuity.seen("EVENTS_acme", messages(5, 6))
    continuity.seen("EVENTS_acme", messages(8, 9))
    await asked_of(continuity, asked, 1)
    await asyncio.sleep(0)
    assert asked == [("EVENTS_acme", 7)]
    assert continuity.missing == 1


async def test_what_another_executor_has_and_what_nobody_can_tell_counts_not() -> None:
    asked: list[tuple[str, int]] = []

    async def exists(stream: str, sequence: int) -> bool:
        asked.append((stream, sequence))
        raise Unavailable("NATS is away")

    continuity = Continuity(exists)
    continuity.seen("EVENTS_acme", messages(1, 3))
    await asked_of(continuity, asked, 1)
    assert continuity.missing == 0


def test_gaps_are_of_one_stream_not_of_redelivery_and_bounded() -> None:
    continuity = Continuity(lambda stream, sequence: asyncio.sleep(0, result=True))
    continuity.seen("EVENTS_acme", messages(10, 11))
    continuity.seen("EVENTS_globex", messages(500))
    continuity.seen("EVENTS_acme", messages(3, delivered=2))
    continuity.seen("EVENTS_acme", messages(12))
    assert not continuity._gaps
    continuity.seen("EVENTS_acme", messages(*range(14, 1000, 2)))
    assert len(continuity._gaps) == GAPS_MAX
