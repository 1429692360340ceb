"""Events of a source as their stream has kept them, for those who run them again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import NamedTuple

import orjson

from kit.bus.connection import Bus
from kit.bus.stored import StoredMessage, next_page
from kit.bus.streams import events_stream_name
from kit.events import EVENT_TYPES, Refused, accept, parse_message
from services.delivery.domain.replays import Selection

# One page of the stream: an answer within some milliseconds, and memory for some packed messages at most.
PAGE_MESSAGES_MAX = 256
PAGE_BYTES_MAX = 4 * 1024 * 1024
# More than a page can hold of them: no bound beyond the page's.
WANTED_MAX = 1_000_000


class Place(NamedTuple):
    """The message that comes next, and how many of its events are done with; 0 for the span's first message."""

    sequence: int = 0
    event_index: int = 0


class Kept(NamedTuple):
    """An event that a selection wants, as the executor would have it."""

    sequence: int
    event_index: int
    message_id: str
    type: int
    name: str
    payload: bytes
    received_at_us: int
    traceparent: str


class Scanned(NamedTuple):
    """What part of the stream held."""

    # (where to go on after it, the event; None for one that is not wanted)
    events: list[tuple[Place, Kept | None]]
    # Nothing of the span comes after these.
    ended: bool
    # Messages of the source after these, the span's end notwithstanding.
    pending: int
    # When the first message was received; 0 where there is none.
    first_us: int


class KeptEvents:
    """Reads streams of events."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def scan(
        self, workspace: str, source: str, selection: Selection, place: Place, wanted_max: int = WANTED_MAX
    ) -> Scanned:
        """The next events of a source, up to so many that may be wanted. Raises Unavailable."""
        since_us = 0 if place.sequence else selection.start_us
        page = await next_page(
            self._bus, events_stream_name(workspace), f"events.{workspace}.{source}", first=max(1, place.sequence),
            since_us=since_us, messages_max=min(PAGE_MESSAGES_MAX, wanted_max) if selection.everything else
            PAGE_MESSAGES_MAX, bytes_max=PAGE_BYTES_MAX,
        )  # fmt: skip
        first_us = page.messages[0].timestamp_ns // 1000 if page.messages else 0
        events: list[tuple[Place, Kept | None]] = []
        wanted = 0
        for message in page.messages:
            if message.timestamp_ns // 1000 >= selection.end_us:
                return Scanned(events, ended=True, pending=0, first_us=first_us)
            skip = place.event_index if message.sequence == place.sequence else 0
            for after, kept in _events(workspace, message, selection, skip):
                events.append((after, kept))
                wanted += kept is not None
                if wanted >= wanted_max:
                    return Scanned(events, ended=False, pending=page.pending, first_us=first_us)
            # A packed message takes some milliseconds, and outcomes are being applied meanwhile.
            await asyncio.sleep(0)
        return Scanned(events, ended=not page.pending, pending=page.pending, first_us=first_us)


def _events(
    workspace: str, message: StoredMessage, selection: Selection, skip: int
) -> Iterator[tuple[Place, Kept | None]]:
    """The events of a message from one on, each with where to go on after it."""
    after = Place(message.sequence + 1)
    try:
        documents = parse_message(message.data)
    except Refused:
        # It was refused when it was received, and is now.
        yield after, None
        return
    for index in range(skip, len(documents)):
        kept = _kept(workspace, message, documents[index], index, selection)
        yield (Place(message.sequence, index + 1) if index + 1 < len(documents) else after), kept


def _kept(workspace: str, message: StoredMessage, document: object, index: int, selection: Selection) -> Kept | None:
    received_at_us = message.timestamp_ns // 1000
    try:
        # As the executor had it, the messageId that it made included.
        event = accept(document, received_at_us, f"{workspace}-{message.sequence}-{index}", len(message.data))
    except Refused:
        return None
    type_ = EVENT_TYPES[event.type]
    # Accepting completes the document in place.
    if not isinstance(document, dict) or not selection.wants(type_, event.name, document):
        return None
    return Kept(
        message.sequence, index, event.message_id, type_, event.name, event.payload, received_at_us, message.traceparent
    )


def wants_stored(selection: Selection, type_: int, name: str, event: bytes) -> bool:
    """Whether an event that the tracker has kept is wanted."""
    return selection.condition is None or selection.wants(type_, name, orjson.loads(event))
