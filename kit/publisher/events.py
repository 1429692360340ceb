"""What an event must be, by the executor's rules, so that nothing is refused after it was sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import orjson

from kit.ids import uuid7
from kit.publisher.errors import InvalidEvent

# The product's limit for one event.
EVENT_BYTES_MAX = 32 * 1024
# The executor's limits for a packed batch and for an id.
BATCH_EVENTS_MAX = 2500
MESSAGE_ID_MAX = 256
# orjson reads 1,024 levels and writes 254, here as in the executor.
LEVELS_MAX = 254
TYPES = ("identify", "track", "page", "screen", "group", "alias", "delete")
# What a type can't do without.
REQUIRED_FIELD = {"track": "event", "group": "groupId", "alias": "previousId"}


@dataclass(slots=True)
class Entry:
    """One message: an event, or the events of a packed batch."""

    message_id: str
    data: bytes
    events: int = 1


def prepared(event: Mapping[str, Any]) -> Entry:
    """Give an event as it is sent, with a messageId and a timestamp where it has none. Raises InvalidEvent.

    Without a timestamp, an event that waited for a server would seem to have happened when it was received.
    """
    if not isinstance(event, Mapping):
        raise InvalidEvent("not a JSON object")
    document = dict(event)
    check(document)
    if not document.get("messageId"):
        document["messageId"] = uuid7()
    if not document.get("timestamp") and not document.get("originalTimestamp"):
        document["timestamp"] = f"{datetime.now(UTC).isoformat(timespec='milliseconds')[:23]}Z"
    return Entry(document["messageId"], measured(document))


def measured(document: Mapping[str, Any]) -> bytes:
    """Write an event as the executor measures it, without spaces. Raises InvalidEvent."""
    data = written(document)
    if len(data) > EVENT_BYTES_MAX:
        raise InvalidEvent(f"it has {len(data)} bytes; an event may have {EVENT_BYTES_MAX}: leave something out")
    return data


def written(document: Mapping[str, Any]) -> bytes:
    """Write a document as JSON. Raises InvalidEvent."""
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError as error:
        if "recursion" in str(error).lower():
            raise InvalidEvent(f"it is nested too deeply ({error})") from None
        raise InvalidEvent(f"it can't be written as JSON ({error})") from None


def check(event: Any) -> None:
    """Raise InvalidEvent for what is no event; its size is not looked at."""
    if not isinstance(event, dict):
        raise InvalidEvent("not a JSON object")
    kind = event.get("type")
    if kind not in TYPES:
        found = f"unknown type {kind!r}" if kind is not None else 'no "type"'
        raise InvalidEvent(f"{found}: it must be one of {', '.join(TYPES)}")
    if not event.get("userId") and not event.get("anonymousId"):
        raise InvalidEvent('neither "userId" nor "anonymousId": one of them is required')
    field = REQUIRED_FIELD.get(cast("str", kind))
    if field and not (event.get(field) and isinstance(event[field], str | int | float)):
        raise InvalidEvent(f'a {kind} event needs "{field}"')
    _check_message_id(event.get("messageId"))


def _check_message_id(message_id: Any) -> None:
    if message_id in (None, ""):
        return
    if not isinstance(message_id, str) or "\n" in message_id or "\r" in message_id:
        raise InvalidEvent('"messageId" must be a string of one line')
    if len(message_id) > MESSAGE_ID_MAX:
        raise InvalidEvent(f'"messageId" has {len(message_id)} characters; it may have {MESSAGE_ID_MAX}')
