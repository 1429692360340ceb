"""The last events of a source, out of the stream itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing

import structlog
from google.protobuf.timestamp_pb2 import Timestamp

from kit.bus.stored import StoredMessage
from kit.events import EVENT_TYPES, Event, Refused, accept, parse_message
from kit.filters import FilterChain, FilterError
from onward.executor.v1 import execution_service_pb2 as pb
from onward.registry.v1 import internal_service_pb2 as registry_pb
from services.executor.domain.filtering import filtered
from services.executor.handlers.resolve import filter_chain
from services.executor.handlers.trial_places import TrialPlaces
from services.executor.handlers.turns import Turns

EVENTS_DEFAULT = 20
# As many as an answer has; older ones are no samples of what comes now.
EVENTS_MAX = 100
# What is looked through for them: packed messages hold up to 2,500 events of 500 KB, and filters may drop all of them.
MESSAGES_READ_MAX = 200
BYTES_READ_MAX = 16 << 20
# Somebody waits; a source that nobody has published to for long may cost a block of the stream for each message.
READ_S = 3.0
# Each holds a message and what is parsed of it, some 10 MB at most, and takes the CPU of a look through all of them.
LOOKS_MAX = 4
LOOKS_PER_WORKSPACE_MAX = 1

log = structlog.get_logger(__name__)

# Messages of a source, the newest first.
Stored = Callable[[str, str], AsyncIterator[StoredMessage]]
ReadFilters = Callable[[str], Awaitable[registry_pb.ReadSourceFiltersResponse]]


class Samples:
    """Shows what a source got, as handlers get it and filters leave it."""

    def __init__(
        self, stored: Stored, read_filters: ReadFilters, turns: Turns, places: TrialPlaces | None = None
    ) -> None:
        self._stored = stored
        self._read_filters = read_filters
        self._turns = turns
        busy = "Too many people look at samples at once (a workspace may look at {most})."
        self._places = places or TrialPlaces(LOOKS_MAX, LOOKS_PER_WORKSPACE_MAX, too_many=busy)

    async def list(
        self, request: pb.ListSampleEventsRequest, workspace: str, source: str
    ) -> pb.ListSampleEventsResponse:
        """At most 100, the newest first.

        Raises NotFound, Unavailable where the stream can't be read, and Overloaded.
        """
        async with self._places.taken(workspace):
            return await self._list(request, workspace, source)

    async def _list(
        self, request: pb.ListSampleEventsRequest, workspace: str, source: str
    ) -> pb.ListSampleEventsResponse:
        chain = await self._chain(workspace, await self._read_filters(request.parent))
        answer = pb.ListSampleEventsResponse()
        if chain is None:
            # Nobody knows what may be shown.
            return answer
        size = request.page_size or EVENTS_DEFAULT
        async with aclosing(self._read(workspace, source)) as messages:
            async for message in messages:
                async for event in self._events(message, workspace, request.type):
                    payload = await self._shown(chain, event, workspace, source)
                    if payload is not None:
                        answer.events.append(_sample(event, payload, message.timestamp_ns))
                    if len(answer.events) == size:
                        return answer
        return answer

    async def _chain(self, workspace: str, answer: registry_pb.ReadSourceFiltersResponse) -> FilterChain | None:
        try:
            return await filter_chain(self._turns, workspace, answer.filters)
        except FilterError as error:
            log.warning("samples_hidden", workspace=workspace, reason=str(error))
            return None

    async def _read(self, workspace: str, source: str) -> AsyncGenerator[StoredMessage, None]:
        """Read messages within bounds; what was read by their end is what there is to show."""
        data_bytes = 0
        deadline = asyncio.get_running_loop().time() + READ_S
        stored = self._stored(workspace, source)
        for messages in range(MESSAGES_READ_MAX):
            try:
                async with asyncio.timeout_at(deadline):
                    message = await anext(stored, None)
            except TimeoutError:
                log.info("samples_cut", workspace=workspace, source=source, messages=messages)
                return
            if message is None:
                return
            yield message
            data_bytes += len(message.data)
            if data_bytes >= BYTES_READ_MAX:
                return

    async def _events(self, message: StoredMessage, workspace: str, type_: int) -> AsyncGenerator[Event, None]:
        """The events of one type in a message, 0 for any; read in turns of the workspace's."""
        events = _events(message, workspace)
        found: list[Event] = []

        def step() -> bool:
            """Read until there is one, or the turn is over; whether there may be more."""
            for event in events:
                if event is not None and type_ in (0, EVENT_TYPES[event.type]):
                    found.append(event)
                    return True
                if self._turns.over:
                    return True
            return False

        while await self._turns.run(workspace, step):
            if found:
                yield found.pop()

    async def _shown(self, chain: FilterChain, event: Event, workspace: str, source: str) -> bytes | None:
        """What filters leave of an event; nothing where they can't be applied."""
        if chain.is_empty:
            return event.payload
        # As no destination's: a sample at random is drawn for each destination anew.
        drawn_as = f"{workspace}/{source}/{event.message_id}"
        try:
            payload, _ = await self._turns.run(workspace, lambda: filtered(chain, event.payload, drawn_as))
        except Exception:
            log.exception("sample_not_filtered", workspace=workspace, source=source)
            return None
        return payload


def _events(message: StoredMessage, workspace: str) -> Iterator[Event | None]:
    """The events in a message, the last first; None for one that was refused."""
    try:
        documents = parse_message(message.data)
    except Refused:
        return
    for index in reversed(range(len(documents))):
        made_id = f"{workspace}-{message.sequence}-{index}"
        try:
            yield accept(documents[index], message.timestamp_ns // 1000, made_id, len(message.data))
        except Refused:
            yield None


def _sample(event: Event, payload: bytes, received_at_ns: int) -> pb.SampleEvent:
    time = Timestamp()
    time.FromNanoseconds(received_at_ns)
    sample = pb.SampleEvent(
        message_id=event.message_id, event_name=event.name, receive_time=time, event=payload.decode("utf-8")
    )
    sample.type = EVENT_TYPES[event.type]  # type: ignore[assignment]  # an enum's number
    return sample
