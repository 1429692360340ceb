"""Publishing a file of events: each line becomes a message, and each message is acknowledged or told of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cli.event_lines import EventLine, LineReader, checked_length, numbered, parse_line, repeated
from cli.failures import UsageError
from kit.errors import OnwardError, PermissionDenied, Unavailable
from kit.ids import uuid7
from kit.publisher.errors import InvalidEvent, NotPublished, PublisherFull

if TYPE_CHECKING:
    from kit.publisher.publisher import Publisher
    from kit.publisher.sender import Result

# With --rate, how often events are sent, and how many at once at most.
RATE_TICK_S = 0.05
TICK_EVENTS_MAX = 2000
# Of what went wrong, so many are shown; the rest is counted.
PROBLEMS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class PublishPlan:
    """What to send and how."""

    source: str
    repeat: int = 1
    limit: int | None = None
    rate: float | None = None
    timeout_s: float = 300.0
    check: bool = True


@dataclass(slots=True)
class Tally:
    """What became of the events. Lines that are none are among the invalid."""

    published: int = 0
    duplicates: int = 0
    invalid: int = 0
    refused: int = 0
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        return (self.published + self.duplicates) / self.seconds if self.seconds else 0.0

    def note(self, problem: str) -> None:
        if len(self.problems) < PROBLEMS_SHOWN:
            self.problems.append(problem)


class EventPublisher:
    """Publishes files by a plan. Its `told` hears of what became of messages; `on_progress` is called with it."""

    def __init__(self, plan: PublishPlan) -> None:
        self.tally = Tally()
        self.on_progress: Callable[[], None] = _ignore
        self._plan = plan
        self._started_at = 0.0
        self._sent = 0
        self._paced = 0
        self._bytes_read = 0
        self._bytes: int | None = None

    def told(self, results: Sequence[Result]) -> None:
        """Count what is stored, and what never will be."""
        tally = self.tally
        for entry, duplicate, error in results:
            if error is not None:
                tally.refused += entry.events
                tally.note(f"line {_number(entry)}: {error.message}")
            elif duplicate:
                tally.duplicates += entry.events
            else:
                tally.published += entry.events
        self.on_progress()

    @property
    def progress(self) -> tuple[int, int | None]:
        """What is read of what there is to read: events where the plan has a limit, else bytes; None is unknown."""
        if self._plan.limit is not None or self._bytes is None:
            return self._sent, self._plan.limit
        return self._bytes_read, self._bytes

    async def publish_file(self, publisher: Publisher, path: str) -> Tally:
        """Publish a file (`-`: stdin) as often as the plan says. Raises Unavailable when NATS stays silent."""
        self._started_at = time.monotonic()
        try:
            for round_number in range(1, self._plan.repeat + 1):
                with closing(LineReader(path)) as reader:
                    await self._publish_reader(publisher, reader, round_number)
                if self._left() == 0:
                    break
            await self._flush(publisher)
        except PermissionDenied:
            # So it will be with every other event.
            source = self._plan.source
            raise UsageError(f"the write key is another source's: name one of {source} with --key") from None
        finally:
            self.tally.seconds = time.monotonic() - self._started_at
        return self.tally

    async def _publish_reader(self, publisher: Publisher, reader: LineReader, round_number: int) -> None:
        number = 1
        size = reader.size_bytes
        self._bytes = None if size is None else size * self._plan.repeat
        async for lines in reader.pieces():
            self._bytes_read = (round_number - 1) * (size or 0) + (0 if size is None else reader.position_bytes)
            for event in self._events(number, lines, round_number):
                if self._plan.rate is not None:
                    await self._pace(event.events)
                await self._put(publisher, event)
            number += len(lines)
            if self._left() == 0:
                return

    def _events(self, first: int, lines: list[bytes], round_number: int) -> Iterator[EventLine]:
        for number, line in numbered(first, lines):
            if self._left() == 0:
                return
            event = self._parsed(number, line, round_number)
            if event is not None:
                self._sent += event.events
                yield event

    async def _put(self, publisher: Publisher, event: EventLine) -> None:
        try:
            await publisher.put(event, timeout_s=self._plan.timeout_s)
        except PublisherFull as full:
            raise self._gave_up(publisher, full) from full

    async def _flush(self, publisher: Publisher) -> None:
        """Wait for the rest, for as long as some of it is acknowledged now and then."""
        while True:
            before = publisher.counts.settled
            try:
                return await publisher.flush(self._plan.timeout_s)
            except NotPublished as late:
                if publisher.counts.settled == before:
                    raise self._gave_up(publisher, late) from late

    def _left(self) -> int | None:
        return None if self._plan.limit is None else max(0, self._plan.limit - self._sent)

    def _parsed(self, number: int, line: bytes, round_number: int) -> EventLine | None:
        """Give what can be sent of a line; what is wrong with the rest is counted."""
        try:
            checked_length(line)
            event = parse_line(number, line) if self._plan.check else EventLine(uuid7(), line, number=number)
            if round_number > 1:
                event = repeated(event, round_number)
                checked_length(event.data)
        except InvalidEvent as error:
            self.tally.invalid += 1
            self.tally.note(f"line {number}: {error}")
            return None
        self.tally.invalid += len(event.problems)
        for problem in event.problems:
            self.tally.note(f"line {number}, {problem}")
        return event if event.events else None

    async def _pace(self, count: int) -> None:
        """With a rate, wait until the next tick's events are due."""
        rate = self._plan.rate
        assert rate is not None
        before = self._sent - count
        if before < self._paced:
            return
        self._paced = before + max(1, min(TICK_EVENTS_MAX, int(rate * RATE_TICK_S)))
        await asyncio.sleep(max(0.0, self._started_at + before / rate - time.monotonic()))

    def _gave_up(self, publisher: Publisher, reason: OnwardError) -> Unavailable:
        stored = self.tally.published + self.tally.duplicates
        return Unavailable(
            f"gave up after {self._plan.timeout_s:.0f} s without an acknowledgement ({reason.message}): {stored} events"
            f" are stored, those from line {_number(publisher.oldest())} on may not be; publish them again,"
            " what is stored already with its messageId is not stored twice"
        )


def _number(entry: object) -> int:
    assert isinstance(entry, EventLine), "nothing else was given to the publisher"
    return entry.number


def _ignore() -> None:
    pass
