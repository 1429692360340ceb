"""Events and due deliveries from JetStream become items for lanes; what was delivered before is looked up first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import structlog

from kit.bus.message import Message
from kit.clock import Clock
from kit.errors import LimitReached
from kit.events import (
    SAMPLE_BYTES_MAX,
    TYPE_NAMES,
    Event,
    Refused,
    accept,
    parse_message,
    unmatched,
    wants,
    wants_stored,
)
from onward.delivery.v1 import internal_service_pb2 as lookup_pb
from onward.executor.v1 import outcomes_pb2 as pb
from services.executor.consumers.duplicates import Published, Repetitions
from services.executor.consumers.floods import Floods
from services.executor.consumers.tickets import Tickets
from services.executor.domain import errors
from services.executor.handlers.settle import OutcomeLog
from services.executor.handlers.work import Item, Run, Ticket
from services.executor.projections import Route, View

# One question to the tracker: it answers for all events of these messages, and packed ones have up to 2,500.
LOOKUP_MESSAGES_MAX = 50
# Other workspaces' events, and all outcomes, wait for so long at most, and for the message that was begun last, which
# may be a packed one of 2,500 events.
TURN_S = 0.01
# No id is longer; a subject that is no source's may be.
SOURCE_LENGTH_MAX = 63

log = structlog.get_logger()

Lookup = Callable[[str, Sequence[tuple[int, int]]], Awaitable[lookup_pb.LookupOutcomesResponse]]
PushItem = Callable[[Item], None]
# What the tracker knows of one message: (index, destination) -> attempt -> result. An empty destination stands for
# an event that was refused.
Known = dict[tuple[int, str], dict[int, int]]
_NOTHING_KNOWN: Known = {}


class Arrived(NamedTuple):
    """A message that was read: its events, and what is refused of it, by their places in it."""

    ticket: Ticket
    source: str
    received_at_us: int
    events: dict[int, Event]
    refusals: dict[int, Refused]


class Fence(Protocol):
    """Tells when the view is at least as new as a message, and whether the server of today alone ever had it."""

    def wait(self, stored_at_ns: int) -> asyncio.Future[None]: ...

    def is_new(self, stored_at_ns: int) -> bool: ...


class Intake:
    """Turns messages of EVENTS and DUE into items for lanes."""

    def __init__(
        self,
        view: View,
        fence: Fence,
        tickets: Tickets,
        floods: Floods,
        outcomes: OutcomeLog,
        push: PushItem,
        lookup: Lookup,
        repetitions: Repetitions,
        clock: Clock,
    ) -> None:
        self._view = view
        self._fence = fence
        self._tickets = tickets
        self._floods = floods
        self._outcomes = outcomes
        self._push = push
        self._lookup = lookup
        self._repetitions = repetitions
        self._clock = clock
        self._group: asyncio.TaskGroup | None = None

    async def on_events(self, workspace: str, stream: str, messages: list[Message]) -> None:
        """Hand events to every destination of their source. Returns when there is room for more."""
        # Events are read, and the tracker is asked about them, while the fence is.
        reached = self._fence.wait(_newest_ns(messages))
        if not all(self._view.knows_source(workspace, _source(message)) for message in messages):
            await reached
        for part in self._floods.parts(stream, messages):
            await self._on_part(workspace, stream, part, reached)
            # What is taken waits for it in any case; without an answer, nothing more is.
            await reached
            await self._floods.pause(stream, part, messages)
            await self._tickets.room(stream)

    async def _on_part(
        self, workspace: str, stream: str, messages: list[Message], reached: asyncio.Future[None]
    ) -> None:
        again: list[Ticket] = []
        first: list[Arrived] = []
        turn_ends = self._clock.monotonic() + TURN_S
        for message in messages:
            if self._clock.monotonic() >= turn_ends:
                await asyncio.sleep(0)
                turn_ends = self._clock.monotonic() + TURN_S
            ticket = self._tickets.take(message, stream)
            if ticket is None:
                continue
            if message.delivered > 1:
                again.append(ticket)
            else:
                ticket.fresh = self._fence.is_new(message.timestamp_ns)
                first.append(self._arrived(workspace, ticket))
        if any(one.events for one in first):
            self._later(self._hand_out_once(workspace, first, {}, reached))
        else:
            await reached
            await self._hand_out_all(workspace, first, {}, set())
        if again:
            self._later(self._events_again(workspace, again, reached))

    async def on_due(self, stream: str, messages: list[Message]) -> None:
        """Hand deliveries that are due again to their lanes. Returns when there is room for more."""
        await self._fence.wait(_newest_ns(messages))
        for message in messages:
            ticket = self._tickets.take(message, stream)
            if ticket is None:
                continue
            due = pb.DueDelivery.FromString(message.data)
            if message.delivered > 1:
                self._later(self._due_again(due, ticket))
            else:
                self._hand_out_due(due, ticket, {})
                self._tickets.handed_out([ticket])
        await self._tickets.room(stream)

    async def run(self) -> None:
        """Own the look-ups of what was delivered again: fresh messages do not wait for them."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            await asyncio.get_running_loop().create_future()

    def _later(self, work: Coroutine[None, None, None]) -> None:
        assert self._group is not None, "run() is running before anything is taken"
        self._group.create_task(work)

    # --- events ----------------------------------------------------------------------------------------------

    async def _events_again(self, workspace: str, tickets: list[Ticket], reached: asyncio.Future[None]) -> None:
        """Run only what has no outcome yet of events that somebody else may have begun."""
        for start in range(0, len(tickets), LOOKUP_MESSAGES_MAX):
            part = tickets[start : start + LOOKUP_MESSAGES_MAX]
            known = await self._look_up(workspace, part)
            arrived = [self._arrived(workspace, ticket) for ticket in part]
            await self._hand_out_once(workspace, arrived, known, reached)

    async def _hand_out_once(
        self, workspace: str, arrived: Sequence[Arrived], known: dict[int, Known], reached: asyncio.Future[None]
    ) -> None:
        """Hand out what does not repeat another event; what does is recorded as that."""
        repeated = await self._repetitions.among(workspace, _published(arrived))
        await reached
        await self._hand_out_all(workspace, arrived, known, repeated)

    async def _look_up(self, workspace: str, part: Sequence[Ticket]) -> dict[int, Known]:
        """Ask the tracker about messages; fewer at a time where their events are too many for one answer."""
        try:
            return _known(await self._lookup(workspace, [(ticket.message.stream_seq, 0) for ticket in part]))
        except LimitReached:
            if len(part) == 1:
                # At least once is the promise: rather twice than never.
                log.warning("outcomes_too_many", workspace=workspace, sequence=part[0].message.stream_seq)
                return {}
        half = len(part) // 2
        return await self._look_up(workspace, part[:half]) | await self._look_up(workspace, part[half:])

    def _arrived(self, workspace: str, ticket: Ticket) -> Arrived:
        """Read a message; what is wrong with it or its events is kept with its reason."""
        message = ticket.message
        source = _source(message)
        received_at_us = message.timestamp_ns // 1000
        try:
            self._require_source(workspace, source)
            documents = parse_message(message.data)
        except Refused as refused:
            return Arrived(ticket, source, received_at_us, {}, {0: refused})
        events: dict[int, Event] = {}
        refusals: dict[int, Refused] = {}
        for index, document in enumerate(documents):
            try:
                made_id = f"{workspace}-{message.stream_seq}-{index}"
                events[index] = accept(document, received_at_us, made_id, len(message.data))
            except Refused as refused:
                refusals[index] = refused
            except Exception as error:  # noqa: BLE001  logged
                # What we cannot handle is refused visibly, and holds up no other event.
                refusals[index] = _unhandled(workspace, ticket, error)
        return Arrived(ticket, source, received_at_us, events, refusals)

    def _require_source(self, workspace: str, source: str) -> None:
        if not self._view.routes(workspace, source) and not self._view.knows_source(workspace, source):
            raise Refused("unknown_source", f"no source {source!r} in workspace {workspace!r}")

    async def _hand_out_all(
        self, workspace: str, arrived: Sequence[Arrived], known: dict[int, Known], repeated: set[tuple[int, int]]
    ) -> None:
        """Hand messages out in turns, each one at once: an outcome of a part of it would acknowledge the whole."""
        handed_out: list[Ticket] = []
        turn_ends = self._clock.monotonic() + TURN_S
        for one in arrived:
            if self._clock.monotonic() >= turn_ends:
                self._tickets.handed_out(handed_out)
                handed_out = []
                await asyncio.sleep(0)
                turn_ends = self._clock.monotonic() + TURN_S
            of_this = known.get(one.ticket.message.stream_seq, _NOTHING_KNOWN)
            self._hand_out_surely(workspace, one, of_this, repeated)
            handed_out.append(one.ticket)
        self._tickets.handed_out(handed_out)

    def _hand_out_surely(self, workspace: str, arrived: Arrived, known: Known, repeated: set[tuple[int, int]]) -> None:
        """Hand a message out; what we cannot handle is refused visibly, and holds up no other message."""
        try:
            self._require_source(workspace, arrived.source)
        except Refused as unknown:
            # It may have been deleted since the message was read.
            arrived = arrived._replace(events={}, refusals={0: unknown})
        for index, refused in arrived.refusals.items():
            self._refuse(workspace, arrived.source, arrived.ticket, index, refused, known)
        try:
            self._hand_out(workspace, arrived, known, repeated)
        except Exception as error:  # noqa: BLE001  logged
            refused = _unhandled(workspace, arrived.ticket, error)
            self._refuse(workspace, arrived.source, arrived.ticket, 0, refused, known)

    def _hand_out(self, workspace: str, arrived: Arrived, known: Known, repeated: set[tuple[int, int]]) -> None:
        sequence = arrived.ticket.message.stream_seq
        routes = self._view.routes(workspace, arrived.source)
        if arrived.ticket.message.delivered == 1:
            self._count_unmatched(workspace, arrived, routes)
        for route in routes:
            for index, event in arrived.events.items():
                self._hand_to(route, event, arrived, index, known, repeated=(sequence, index) in repeated)

    def _count_unmatched(self, workspace: str, arrived: Arrived, routes: Iterable[Route]) -> None:
        """Count what people have misspelt, mostly: an event that reaches nobody for that is only filtered."""
        for event in arrived.events.values():
            if event.integrations:
                names = unmatched(event, [(route.destination, route.display_name) for route in routes])
                self._outcomes.count_unmatched(workspace, arrived.source, names, arrived.received_at_us)

    def _hand_to(
        self, route: Route, event: Event, arrived: Arrived, index: int, known: Known, *, repeated: bool
    ) -> None:
        ticket = arrived.ticket
        delivered = ticket.message.delivered
        item = Item(
            ticket=ticket,
            route=route,
            sequence=ticket.key[1],
            index=index,
            attempt=delivered,
            retries_used=0,
            message_id=event.message_id,
            type=event.type,
            name=event.name,
            payload=event.payload,
            received_at_us=arrived.received_at_us,
            queued_at=ticket.taken_at,
            traceparent=ticket.message.traceparent,
        )
        if delivered > 1:
            attempts_known = known.get((index, route.destination), {})
            if any(result != pb.RESULT_LOST for result in attempts_known.values()):
                return
            self._record_lost(item, 1, attempts_known)
        ticket.remaining += 1
        if repeated:
            self._outcomes.record(item, errors.FILTERED, _as_routed(route), reason=errors.DUPLICATE)
        elif not route.enabled:
            self._outcomes.record(item, errors.SKIPPED, _as_routed(route))
        elif not wants(event, route.destination, route.display_name):
            self._outcomes.record(item, errors.FILTERED, _as_routed(route), reason=errors.INTEGRATIONS)
        else:
            self._push(item)

    def _record_lost(self, item: Item, first: int, known: dict[int, int]) -> None:
        """Record the invocations before this one that may have been started and left no trace."""
        for attempt in range(first, item.attempt):
            if attempt not in known:
                self._outcomes.record_lost(item, _as_routed(item.route), attempt)

    def _refuse(
        self, workspace: str, source: str, ticket: Ticket, index: int, refused: Refused,
        known: Known,
    ) -> None:  # fmt: skip
        if (index, "") in known:
            return
        message = ticket.message
        ticket.remaining += 1
        failure = pb.IngestFailure(
            stream_sequence=message.stream_seq,
            index=index,
            source=source[:SOURCE_LENGTH_MAX],
            reason=refused.reason,
            message=str(refused),
            sample=message.data[:SAMPLE_BYTES_MAX],
            received_at_us=message.timestamp_ns // 1000,
        )
        self._outcomes.record_refusal(workspace, failure, ticket)

    # --- due deliveries --------------------------------------------------------------------------------------

    async def _due_again(self, due: pb.DueDelivery, ticket: Ticket) -> None:
        answer = await self._lookup(due.workspace, [(due.stream_sequence, due.index)])
        known = _known(answer).get(due.stream_sequence, _NOTHING_KNOWN)
        self._hand_out_due(due, ticket, known.get((due.index, due.destination), {}))
        self._tickets.handed_out([ticket])

    def _hand_out_due(self, due: pb.DueDelivery, ticket: Ticket, known: dict[int, int]) -> None:
        if any(attempt >= due.attempt and result != pb.RESULT_LOST for attempt, result in known.items()):
            return
        route = self._view.route(due.workspace, due.destination)
        item = Item(
            ticket=ticket,
            route=route or self._departed(due),
            sequence=due.stream_sequence,
            index=due.index,
            attempt=due.attempt + ticket.message.delivered - 1,
            retries_used=due.retries_used,
            message_id=due.message_id,
            type=TYPE_NAMES.get(due.type, ""),
            name=due.event_name,
            payload=due.event,
            received_at_us=due.received_at_us,
            queued_at=self._clock.monotonic(),
            alone=due.alone,
            released=True,
            traceparent=due.traceparent,
            gathered=due.gathered,
            batch_max=due.batch_limit,
            replay=due.replay,
        )
        self._record_lost(item, due.attempt, known)
        ticket.remaining += 1
        if item.route.enabled and due.replay and not wants_stored(due.event, due.destination, item.route.display_name):
            # Of an event that a replay took out of its stream, nobody has looked at it before.
            self._outcomes.record(item, errors.FILTERED, _as_routed(item.route), reason=errors.INTEGRATIONS)
        elif item.route.enabled:
            self._push(item)
        elif route is None:
            reason = self._view.end_reason(due.workspace, due.destination)
            self._outcomes.record(item, errors.CANCELLED, _as_routed(item.route), reason=reason)
        else:
            self._outcomes.record(item, errors.SKIPPED, _as_routed(item.route))

    def _departed(self, due: pb.DueDelivery) -> Route:
        """Stand in for a destination that is no more: its deliveries are cancelled."""
        route = self._view.departed(due.workspace, due.destination)
        if route is not None:
            return replace(route, enabled=False)
        return Route(
            workspace=due.workspace,
            destination=due.destination,
            display_name=due.destination,
            source=due.source,
            function="",
            version=0,
        )


def _unhandled(workspace: str, ticket: Ticket, error: Exception) -> Refused:
    log.error("event_not_handled", workspace=workspace, sequence=ticket.message.stream_seq, exc_info=error)
    return Refused("internal_error", "the executor could not handle it; its log says why")


def _published(arrived: Sequence[Arrived]) -> list[Published]:
    return [
        Published(one.source, event.message_id, one.ticket.message.stream_seq, index, one.received_at_us)
        for one in arrived
        for index, event in one.events.items()
    ]


def _source(message: Message) -> str:
    return message.subject.split(".", 2)[2]


def _newest_ns(messages: Sequence[Message]) -> int:
    """When the newest of these was stored; what is delivered again may stand behind what is newer."""
    return max(message.timestamp_ns for message in messages)


def _as_routed(route: Route) -> Run:
    """What would have run, for an attempt that ran nothing."""
    return Run(route.version, route.settings_revision)


def _known(answer: lookup_pb.LookupOutcomesResponse) -> dict[int, Known]:
    """Sort the tracker's answer by the event's sequence."""
    known: dict[int, Known] = {}
    for one in answer.outcomes:
        attempts = known.setdefault(one.event.stream_sequence, {})
        attempts.setdefault((one.event.index, one.destination), {})[one.attempt] = one.result
    return known
