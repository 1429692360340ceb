"""The messages that this executor holds, and how many there may be."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence

import structlog

from kit.bus.acks import ack, in_progress
from kit.bus.connection import Bus
from kit.bus.message import Message
from kit.clock import Clock
from kit.errors import OnwardError
from services.executor.handlers.work import Ticket

# Young messages that one executor holds: at least enough to fill a batch for each of two workers; more does not make
# anything faster, but makes everything wait longer.
YOUNG_MIN = 256
YOUNG_MAX = 4000
# What one stream may have of them whatever the others hold: a flood of one workspace keeps no other's events waiting.
STREAM_MIN = 128
# The window of young messages is what was settled in this time, about as long as a deferral takes.
WINDOW_S = 0.25
# Whatever is taken waits for all that was taken before, and each turn of the event loop for all that is done in it. So
# where another workspace had a few messages lately, a flood (so many messages a second) is taken in small parts, each
# is followed by a pause, as long as it takes for turns to be short, and while it must pause little of it is held.
MANY_PER_S = 1_000
LATELY_S = 10.0
YOUNG_CROWDED_MAX = 256
PART_CROWDED = 64
TURN_LONG_S = 0.0002
TURN_SAMPLES = 12
PAUSE_MIN_S = 0.001
# Pauses alone hold nobody below 2,000 messages a second.
PAUSE_MAX_S = 0.032
# What is older runs long, and is bounded by its lane; it must not keep others from starting.
OLD_AFTER_S = 0.5
# All together stay below the consumer's max_ack_pending (20,000), which several executors share.
HELD_MAX = 16_000
# What is left of them to streams that have fewer than their minimum, sixteen at once: whatever holds the others up.
RESERVED = 2_000
# Well below ack_wait (10 s): what runs is extended before the server gives it to somebody else.
PROGRESS_INTERVAL_S = 3.0

log = structlog.get_logger()


class Tickets:
    """The messages that are being worked on, and how many there may be."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._held: dict[tuple[str, int], Ticket] = {}
        self._of_stream: Counter[str] = Counter()
        self._adjusted = asyncio.Event()
        self._settled = 0
        self._window = YOUNG_MIN
        self._old = 0
        # What each stream brought since the last look; when a stream brought many events, and others a few.
        self._brought: Counter[str] = Counter()
        self._many_at: dict[str, float] = {}
        self._few_at: dict[str, float] = {}
        self._pause_s = 0.0
        # Young or old, they are being gathered in lanes, for a quarter of a second and a batch each.
        self._waiting = 0

    def __len__(self) -> int:
        return len(self._held)

    def parts(self, stream: str, messages: list[Message]) -> Iterator[list[Message]]:
        """Cut a pull into what is to be taken together before `room` is awaited again."""
        self._brought[stream] += len(messages)
        if self._brought[stream] >= MANY_PER_S:
            self._flood(stream, self._clock.monotonic())
            # No look has been since it began.
            self._pause_s = self._pause_s or (PAUSE_MAX_S if self._few_at else 0.0)
        elif stream not in self._many_at:
            self._few_at[stream] = self._clock.monotonic()
        start = 0
        while start < len(messages):
            end = start + PART_CROWDED if self._others_have_few(stream) else len(messages)
            yield messages[start:end]
            start = end

    def _others_have_few(self, stream: str) -> bool:
        return len(self._few_at) > (stream in self._few_at)

    def take(self, message: Message, stream: str) -> Ticket | None:
        """Take a message; None where it is held already, since JetStream delivered it again too early."""
        key = (stream, message.stream_seq)
        held = self._held.get(key)
        if held is not None:
            held.message, held.fresh = message, False
            return None
        ticket = self._held[key] = Ticket(key, message, self._clock.monotonic(), self._waits)
        self._of_stream[stream] += 1
        return ticket

    def disconnected(self) -> None:
        """The connection to the bus was lost: what is held may be given to others as well."""
        for ticket in self._held.values():
            ticket.fresh = False

    def settled(self, tickets: Sequence[Ticket]) -> None:
        """Count a stored outcome for each of these; acknowledge those that have all of theirs."""
        done: list[Ticket] = []
        for ticket in tickets:
            ticket.remaining -= 1
            if ticket.remaining == 0:
                done.append(ticket)
        if done:
            self._acknowledge(done)

    def handed_out(self, tickets: Sequence[Ticket]) -> None:
        """Let go of messages that wait for nothing: those without a destination, or with all outcomes known."""
        idle = [ticket for ticket in tickets if ticket.remaining == 0 and ticket.key in self._held]
        if idle:
            self._acknowledge(idle)
        self._adjust()

    def _acknowledge(self, tickets: Sequence[Ticket]) -> None:
        try:
            ack(self._bus, [ticket.message for ticket in tickets])
        except OnwardError as error:
            # They come again, and are looked up then.
            log.warning("acks_dropped", count=len(tickets), reason=error.reason)
        for ticket in tickets:
            if self._held.pop(ticket.key, None) is not None:
                self._waiting -= ticket.waits
                ticket.on_wait = None
                self._leave(ticket.key[0])
        self._settled += len(tickets)
        self._adjust()

    def _adjust(self) -> None:
        # Whoever waits looks for itself.
        self._adjusted.set()
        self._adjusted.clear()

    def _leave(self, stream: str) -> None:
        self._of_stream[stream] -= 1
        if not self._of_stream[stream]:
            del self._of_stream[stream]

    def _waits(self, more: int) -> None:
        self._waiting += more
        self._adjust()

    async def room(self, stream: str) -> None:
        """Wait until another batch may be taken from a stream."""
        while not self.has_room(stream):
            await self._adjusted.wait()

    async def pause(self, stream: str, part: Sequence[Message]) -> None:
        """Leave the event loop to other workspaces, after a part of a flood."""
        if self._pause_s and stream in self._many_at:
            await asyncio.sleep(self._pause_s * min(1.0, len(part) / PART_CROWDED))

    def has_room(self, stream: str) -> bool:
        """Whether another batch may be taken from a stream."""
        held = len(self._held)
        pauses = self._pause_s > 0 and stream in self._many_at
        window = min(self._window, YOUNG_CROWDED_MAX) if pauses else self._window
        if held - self._old - self._waiting < window and held < HELD_MAX - RESERVED:
            return True
        return self._of_stream[stream] < STREAM_MIN and held < HELD_MAX

    async def run(self) -> None:
        """Extend what runs long and follow the rate with the window, until cancelled."""
        extended_at = self._clock.monotonic()
        looked_at = extended_at
        while True:
            turn_s = await self._turn_s()
            now = self._clock.monotonic()
            # A busy event loop makes it longer.
            passed_s, looked_at = max(WINDOW_S, now - looked_at), now
            self._look_at_streams(now, passed_s)
            self._pause_s = self._next_pause_s(turn_s)
            if not self._held and not self._settled:
                continue
            old_before = now - OLD_AFTER_S
            self._old = sum(ticket.taken_at < old_before and not ticket.waits for ticket in self._held.values())
            settled = int(self._settled * WINDOW_S / passed_s)
            self._window = min(YOUNG_MAX, max(YOUNG_MIN, settled, self._window // 2))
            self._settled = 0
            self._adjust()
            # Without a connection nothing can be extended, and what is written would only pile up.
            if now - extended_at >= PROGRESS_INTERVAL_S and self._bus.connected:
                extended_at = now
                self._extend(now)

    async def _turn_s(self) -> float:
        """Measure what a turn of the event loop takes, for as long as WINDOW_S; of no use, and 0, without a flood."""
        if not self._many_at:
            await asyncio.sleep(WINDOW_S)
            return 0.0
        total_s = 0.0
        for _ in range(TURN_SAMPLES):
            await asyncio.sleep(WINDOW_S / TURN_SAMPLES)
            began = self._clock.monotonic()
            await asyncio.sleep(0)
            total_s += self._clock.monotonic() - began
        return total_s / TURN_SAMPLES

    def _look_at_streams(self, now: float, passed_s: float) -> None:
        for stream, count in self._brought.items():
            if count >= MANY_PER_S * passed_s:
                self._flood(stream, now)
        self._brought.clear()
        for known in (self._many_at, self._few_at):
            for stream in [stream for stream, at in known.items() if now - at >= LATELY_S]:
                del known[stream]

    def _flood(self, stream: str, now: float) -> None:
        self._many_at[stream] = now
        self._few_at.pop(stream, None)

    def _next_pause_s(self, turn_s: float) -> float:
        if not self._few_at or not self._many_at:
            return 0.0
        if turn_s > TURN_LONG_S:
            return min(PAUSE_MAX_S, 2 * self._pause_s) or PAUSE_MAX_S
        return 0.8 * self._pause_s if self._pause_s > PAUSE_MIN_S else 0.0

    def _extend(self, now: float) -> None:
        old = [one.message for one in self._held.values() if now - one.taken_at >= PROGRESS_INTERVAL_S]
        in_progress(self._bus, old)
