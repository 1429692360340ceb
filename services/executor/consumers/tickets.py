"""The messages that this executor holds, and how many there may be."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import structlog

from kit.bus.acks import ack, in_progress
from kit.bus.connection import Bus
from kit.bus.message import Message
from kit.clock import Clock
from kit.errors import OnwardError
from services.executor.consumers.floods import Floods
from services.executor.handlers.work import Ticket

# Young messages that one executor holds: at least enough to fill a batch for each of two workers; more does not make
# anything faster, but makes everything wait longer.
YOUNG_MIN = 256
YOUNG_MAX = 4000
# What one stream may have of them whatever the others hold: a flood of one workspace keeps no other's events waiting.
STREAM_MIN = 128
# The window of young messages is what was settled in this time, about as long as a deferral takes.
WINDOW_S = 0.25
# Of a flood that must pause, little is held.
YOUNG_CROWDED_MAX = 256
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

    def __init__(self, bus: Bus, clock: Clock, floods: Floods) -> None:
        self._bus = bus
        self._floods = floods
        self._clock = clock
        self._held: dict[tuple[str, int], Ticket] = {}
        self._of_stream: Counter[str] = Counter()
        self._adjusted = asyncio.Event()
        self._settled = 0
        self._window = YOUNG_MIN
        self._old = 0
        # Young or old, they are being gathered in lanes, for a quarter of a second and a batch each.
        self._waiting = 0

    def __len__(self) -> int:
        return len(self._held)

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

    def has_room(self, stream: str) -> bool:
        """Whether another batch may be taken from a stream."""
        held = len(self._held)
        window = min(self._window, YOUNG_CROWDED_MAX) if self._floods.pause_s(stream) else self._window
        if held - self._old - self._waiting < window and held < HELD_MAX - RESERVED:
            return True
        return self._of_stream[stream] < STREAM_MIN and held < HELD_MAX

    async def run(self) -> None:
        """Extend what runs long and follow the rate with the window, until cancelled."""
        extended_at = self._clock.monotonic()
        while True:
            passed_s = await self._floods.watch()
            now = self._clock.monotonic()
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

    def _extend(self, now: float) -> None:
        old = [one.message for one in self._held.values() if now - one.taken_at >= PROGRESS_INTERVAL_S]
        in_progress(self._bus, old)
