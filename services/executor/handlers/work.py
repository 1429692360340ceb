"""The units of work that travel through the executor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.executor.projections import Route

if TYPE_CHECKING:
    from kit.bus.message import Message
    from services.executor.handlers.egress import Exchange
    from services.executor.runtime.egress import Scope


class Ticket:
    """One JetStream message that is acknowledged when each of its deliveries has a stored outcome."""

    __slots__ = ("key", "message", "remaining", "taken_at")

    def __init__(self, key: tuple[str, int], message: Message, taken_at: float) -> None:
        # The stream and the sequence: the same on every delivery.
        self.key = key
        self.message = message
        self.remaining = 0
        self.taken_at = taken_at


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
    # Its logs, requests and callback return are kept even if it succeeds.
    sampled: bool = False
    # What filters left of the event, empty where they could not be applied; None where they left `payload` as it is.
    filtered: bytes | None = None
    exchanges: list[Exchange] = field(default_factory=list)
    scope: Scope | None = None

    @property
    def delivery(self) -> str:
        """Name the delivery the same way on every attempt; seeds the Idempotency-Key."""
        route = self.route
        return f"{route.workspace}/{route.destination}/{self.sequence}/{self.index}"

    @property
    def delivered_as(self) -> str:
        """Name the event and its destination the same way in every delivery of it."""
        return f"{self.route.workspace}/{self.route.destination}/{self.message_id}"


@dataclass(frozen=True, slots=True)
class Run:
    """What an attempt ran with, and how long it took."""

    version: int
    settings_revision: int
    wall_us: int = 0
    cpu_us: int = 0
    filter_revision: int = 0
