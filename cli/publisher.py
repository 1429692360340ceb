"""Publishing many events: whole batches, again and again until JetStream has acknowledged each one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from cli.event_lines import EventLine, InvalidEvent, LineReader, checked_length, numbered, parse_line, repeated
from cli.failures import UsageError
from kit.bus.connection import Bus
from kit.bus.errors import StreamFull
from kit.bus.publish import Outgoing, Publisher
from kit.errors import DeadlineExceeded, OnwardError, PermissionDenied, Unavailable
from kit.ids import uuid7

# Four atomic batches side by side: what kit.bus keeps in flight.
CHUNK_EVENTS = 2000
# With --rate, how often events are sent.
RATE_TICK_S = 0.05
FULL_RETRY_S = 0.5
# Of what went wrong, so many are shown; the rest is counted.
PROBLEMS_SHOWN = 10

_RETRYABLE = (Unavailable, DeadlineExceeded, StreamFull)


@dataclass(frozen=True, slots=True)
class PublishPlan:
    """What to send and how."""

    workspace: str
    source: str
    repeat: int = 1
    limit: int | None = None
    rate: float | None = None
    timeout_s: float = 300.0
    check: bool = True

    @property
    def subject(self) -> str:
        return f"events.{self.workspace}.{self.source}"


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
    """Publishes events by a plan. `on_progress` is called after every chunk."""

    def __init__(self, bus: Bus, plan: PublishPlan) -> None:
        self.tally = Tally()
        self.on_progress: Callable[[], None] = _ignore
        self._publisher = Publisher(bus)
        self._plan = plan
        self._started_at = 0.0
        self._sent = 0
        self._reader: LineReader | None = None
        self._rounds_done = 0

    @property
    def progress(self) -> tuple[int, int | None]:
        """What is done of what there is to do: events where the plan has a limit, else bytes; None is unknown."""
        if self._plan.limit is not None:
            return self._sent, self._plan.limit
        if self._reader is None or self._reader.size_bytes is None:
            return self._sent, None
        size = self._reader.size_bytes
        return self._rounds_done * size + self._reader.position_bytes, size * self._plan.repeat

    async def publish_file(self, path: str) -> Tally:
        """Publish a file (`-`: stdin) as often as the plan says. Raises Unavailable when NATS stays silent."""
        self._started_at = time.monotonic()
        try:
            for round_number in range(1, self._plan.repeat + 1):
                with closing(LineReader(path)) as self._reader:
                    await self._publish_reader(self._reader, round_number)
                self._rounds_done += 1
                if self._left() == 0:
                    break
        finally:
            self.tally.seconds = time.monotonic() - self._started_at
            self._reader = None
        return self.tally

    async def _publish_reader(self, reader: LineReader, round_number: int) -> None:
        async for events in self._chunks(reader, round_number):
            await self._pace(sum(event.events for event in events))
            await self._send(events)
            self.on_progress()

    async def _chunks(self, reader: LineReader, round_number: int) -> AsyncIterator[list[EventLine]]:
        number = 1
        async for lines in reader.pieces():
            chunk: list[EventLine] = []
            for at, line in numbered(number, lines):
                if self._left() == 0:
                    break
                event = self._parsed(at, line, round_number)
                if event is None:
                    continue
                chunk.append(event)
                self._sent += event.events
                if len(chunk) >= self._chunk_events():
                    yield chunk
                    chunk = []
            if chunk:
                yield chunk
            number += len(lines)
            if self._left() == 0:
                return

    def _left(self) -> int | None:
        return None if self._plan.limit is None else max(0, self._plan.limit - self._sent)

    def _chunk_events(self) -> int:
        rate = self._plan.rate
        return CHUNK_EVENTS if rate is None else max(1, min(CHUNK_EVENTS, int(rate * RATE_TICK_S)))

    def _parsed(self, number: int, line: bytes, round_number: int) -> EventLine | None:
        """Give what can be sent of a line; what is wrong with the rest is counted."""
        try:
            checked_length(line)
            event = parse_line(number, line) if self._plan.check else EventLine(number, uuid7(), line)
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
        """With a rate, wait until the chunk is due."""
        if self._plan.rate is None:
            return
        due = self._started_at + (self._sent - count) / self._plan.rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _send(self, events: Sequence[EventLine]) -> None:
        """Send a chunk until each event is stored or refused for good."""
        deadline = time.monotonic() + self._plan.timeout_s
        waiting = list(events)
        while waiting:
            outgoing = [
                Outgoing(self._plan.subject, event.data, f"{self._plan.source}:{event.message_id}") for event in waiting
            ]
            remaining_s = max(0.1, deadline - time.monotonic())
            results = await self._publisher.publish_many(outgoing, timeout_s=remaining_s)
            again: list[EventLine] = []
            last: OnwardError | None = None
            for event, result in zip(waiting, results, strict=True):
                if isinstance(result.error, PermissionDenied):
                    # So it will be with every other event.
                    raise UsageError(f"the write key is another source's: name one of {self._plan.source} with --key")
                if isinstance(result.error, _RETRYABLE):
                    again.append(event)
                    last = result.error
                else:
                    self._count(event, result.duplicate, result.error)
            waiting = again
            if last is None:
                continue
            if time.monotonic() >= deadline:
                raise Unavailable(self._gave_up(waiting, last))
            await asyncio.sleep(FULL_RETRY_S)

    def _count(self, event: EventLine, duplicate: bool, error: OnwardError | None) -> None:
        if error is not None:
            self.tally.refused += event.events
            self.tally.note(f"line {event.number}: {error.message}")
        elif duplicate:
            self.tally.duplicates += event.events
        else:
            self.tally.published += event.events

    def _gave_up(self, waiting: Sequence[EventLine], last: OnwardError) -> str:
        stored = self.tally.published + self.tally.duplicates
        return (
            f"gave up after {self._plan.timeout_s:.0f} s without an acknowledgement ({last.message}): {stored} events"
            f" are stored, those from line {waiting[0].number} on may not be; publish them again,"
            " what is stored already with its messageId is not stored twice"
        )


def _ignore() -> None:
    pass
