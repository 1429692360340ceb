"""The units of work that travel through the executor."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.executor.projections import Route

if TYPE_CHECKING:
    from collections.abc import Callable

    from kit.bus.message import Message
    from services.executor.handlers.egress import Exchange
    from services.executor.runtime.egress import Scope


# The handler that is given several events at once.
BATCH_HANDLER = "onBatch"


class Ticket:
    """One JetStream message that is acknowledged when each of its deliveries has a stored outcome."""

    __slots__ = ("fresh", "gathered", "key", "message", "on_wait", "remaining", "taken_at")

    def __init__(
        self, key: tuple[str, int], message: Message, taken_at: float, on_wait: Callable[[int], None] | None = None
    ) -> None:
        # The stream and the sequence: the same on every delivery.
        self.key = key
        self.message = message
        self.remaining = 0
        self.taken_at = taken_at
        # Whether nobody else was ever given it, as far as is known.
        self.fresh = False
        # How many deliveries of it are being gathered.
        self.gathered = 0
        # Is told 1 when it begins to wait, and -1 when it does no more.
        self.on_wait = on_wait

    @property
    def waits(self) -> bool:
        """Whether a delivery of it is being gathered: others need not wait for it to end."""
        return self.gathered > 0

    def wait(self) -> None:
        """Note that a delivery of it waits for others of its batch."""
        self.gathered += 1
        if self.gathered == 1 and self.on_wait is not None:
            self.on_wait(1)

    def go_on(self) -> None:
        """Note that a delivery of it waits no more."""
        self.gathered -= 1
        if self.gathered == 0 and self.on_wait is not None:
            self.on_wait(-1)


@dataclass(slots=True)
class Item:
    """One delivery that is to be attempted. Times are monotonic seconds unless their name says otherwise."""

    ticket: Ticket
    route: Route
    sequence: int
    index: int
    attempt: int
    retries_used: int
    message_id: str
    type: str
    name: str
    payload: bytes
    received_at_us: int
    queued_at: float
    alone: bool = False
    # The tracker released it: it knows what is out for the destination, and is not asked again.
    released: bool = False
    # Its logs, requests and callback return are kept even if it succeeds.
    sampled: bool = False
    # What filters left of the event, empty where they could not be applied; None where they left `payload` as it is.
    filtered: bytes | None = None
    exchanges: list[Exchange] = field(default_factory=list)
    scope: Scope | None = None
    # It has waited for its batch: it goes with those that come with it.
    gathered: bool = False
    # The most events that it may be in a batch with; 0 for as many as the policy says.
    batch_max: int = 0
    # When it starts though its batch is not full; whether its ticket knows that it waits.
    waits_until: float = 0.0
    waits: bool = False
    # The trace of the event, as W3C has it; empty where it has none.
    traceparent: str = ""
    # How many events `onBatch` had when it returned something of another shape for this one and others.
    unshaped: int = 0
    # The id of the replay that it is part of; empty for none.
    replay: str = ""

    @property
    def stored_at_us(self) -> int:
        """When the message that brought it was stored: of a retry, later than its event was."""
        return self.ticket.message.timestamp_ns // 1000

    @property
    def single(self) -> bool:
        """Whether it must not be in a batch."""
        return self.alone or self.batch_max == 1

    @property
    def event(self) -> bytes:
        """What the handler gets."""
        event = self.payload if self.filtered is None else self.filtered
        return replayed(event, self.replay) if self.replay else event

    @property
    def delivery(self) -> str:
        """Name the delivery the same way on every attempt; seeds the Idempotency-Key."""
        route = self.route
        return f"{route.workspace}/{route.destination}/{self.sequence}/{self.index}"

    @property
    def delivered_as(self) -> str:
        """Name the event and its destination the same way in every delivery of it."""
        return f"{self.route.workspace}/{self.route.destination}/{self.message_id}"


def replayed(event: bytes, replay: str) -> bytes:
    """An event (a JSON object that is not empty) with the replay's id; of a name that comes twice, the last counts."""
    return b'%b,"replay":"%b"}' % (event[:-1], replay.encode())


@dataclass(slots=True)
class Batch:
    """Deliveries that one invocation of `onBatch` attempts together."""

    items: list[Item]
    sampled: bool = False
    exchanges: list[Exchange] = field(default_factory=list)
    scope: Scope | None = None
    # What all of it took, once it has ended.
    wall_us: int = 0
    cpu_us: int = 0
    # Traces of its events that tell of its requests already.
    traced: set[str] = field(default_factory=set)

    @property
    def events(self) -> bytes:
        """What `onBatch` gets: a JSON array."""
        return b"[" + b",".join([item.event for item in self.items]) + b"]"

    @property
    def delivery(self) -> str:
        """Name these deliveries, in this order, the same way whenever they are attempted together."""
        names = "\n".join(item.delivery for item in self.items)
        return f"batch/{hashlib.sha256(names.encode()).hexdigest()}"


# What one invocation of a handler attempts.
Begun = Item | Batch


@dataclass(frozen=True, slots=True)
class Run:
    """What an attempt ran with, and how long it took."""

    version: int
    settings_revision: int
    wall_us: int = 0
    cpu_us: int = 0
    filter_revision: int = 0
    # How many events `onBatch` was given together; 0 where a single handler ran. The times are an event's share then.
    batch_events: int = 0
    # The batch itself, for what is told of it as a whole.
    batch: Batch | None = field(default=None, compare=False, repr=False)
