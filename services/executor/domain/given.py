"""Events as somebody gives them by hand: checked and completed as published ones are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from kit.events import Event, Refused, accept

# The most that a destination may have gathered for one call of onBatch.
EVENTS_MAX = 500


class NotAnEvent(Exception):  # noqa: N818 - a refusal is not a fault of ours
    """What was given cannot be accepted; `index` tells which of several events, None for a single one or all."""

    def __init__(self, refused: Refused, index: int | None) -> None:
        super().__init__(str(refused))
        self.reason = refused.reason
        self.index = index


@dataclass(frozen=True, slots=True)
class Given:
    """What is to be run: one event, or those of a batch."""

    events: list[Event]
    is_batch: bool

    @property
    def handler(self) -> str:
        """The handler that gets it."""
        return "onBatch" if self.is_batch else f"on{self.events[0].type.capitalize()}"

    @property
    def payload(self) -> bytes:
        """JSON of what the handler gets."""
        if not self.is_batch:
            return self.events[0].payload
        return b"[" + b",".join(event.payload for event in self.events) + b"]"


def read_given(text: str, received_at_us: int, made_id: str) -> Given:
    """Read an event or an array of them. `made_id` begins the messageIds of those without. Raises NotAnEvent."""
    # Sizes are of bytes, as of what is published.
    data = text.encode("utf-8", "replace")
    document = _parsed(data)
    if not isinstance(document, list):
        return Given([_accepted(document, received_at_us, made_id, len(data), None)], is_batch=False)
    if not 0 < len(document) <= EVENTS_MAX:
        raise NotAnEvent(Refused("invalid_batch", f"an array has 1 to {EVENTS_MAX} events"), None)
    accepted = [
        _accepted(one, received_at_us, f"{made_id}-{index}", len(data), index) for index, one in enumerate(document)
    ]
    return Given(accepted, is_batch=True)


def _parsed(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise NotAnEvent(Refused("invalid_json", f"not valid JSON: {error}"), None) from None


def _accepted(document: Any, received_at_us: int, made_id: str, given_bytes: int, index: int | None) -> Event:
    try:
        return accept(document, received_at_us, made_id, given_bytes)
    except Refused as refused:
        raise NotAnEvent(refused, index) from None
