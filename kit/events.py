"""Events as publishers send them: what is accepted, and what a handler is given."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from onward.executor.v1 import outcomes_pb2

# Segment's limit for one event; the product promises the same.
EVENT_BYTES_MAX = 32 * 1024
# Segment's limit for one batch.
BATCH_EVENTS_MAX = 2500
# A name longer than this is cut where it is recorded, never in the event.
EVENT_NAME_MAX = 200
# Enough to recognise what was published; the whole stays in the stream.
SAMPLE_BYTES_MAX = 4096
# Longer ids cannot be indexed cheaply, and no library makes them.
MESSAGE_ID_MAX = 256

# Of the names in one event's `integrations` that are no destination's, so many are counted, each up to so long.
UNMATCHED_MAX = 20
INTEGRATION_NAME_MAX = 100

EVENT_TYPES: dict[str, int] = {
    "track": outcomes_pb2.EVENT_TYPE_TRACK,
    "identify": outcomes_pb2.EVENT_TYPE_IDENTIFY,
    "page": outcomes_pb2.EVENT_TYPE_PAGE,
    "screen": outcomes_pb2.EVENT_TYPE_SCREEN,
    "group": outcomes_pb2.EVENT_TYPE_GROUP,
    "alias": outcomes_pb2.EVENT_TYPE_ALIAS,
    "delete": outcomes_pb2.EVENT_TYPE_DELETE,
}
TYPE_NAMES: dict[int, str] = {number: name for name, number in EVENT_TYPES.items()}

# The field that a type cannot do without, beside a user.
_REQUIRED_FIELD = {"track": "event", "group": "groupId", "alias": "previousId"}


class Refused(Exception):  # noqa: N818 - a refusal is not a fault of ours
    """An event that cannot be accepted; `reason` is stable, the message is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(slots=True)
class Event:
    """An accepted event; `payload` is the JSON that handlers are given."""

    type: str
    name: str
    message_id: str
    payload: bytes
    integrations: dict[str, Any] | None


def parse_message(data: bytes) -> list[Any]:
    """Decode what was published: one event, or the events of a packed batch.

    A packed batch is `{"batch": [...]}` with up to 2,500 events.
    """
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Refused("invalid_json", f"not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise Refused("not_an_object", "an event is a JSON object")
    if "batch" not in document or "type" in document:
        return [document]
    batch = document["batch"]
    if not isinstance(batch, list) or not 0 < len(batch) <= BATCH_EVENTS_MAX:
        raise Refused("invalid_batch", f"`batch` is an array of 1 to {BATCH_EVENTS_MAX} events")
    return batch


def accept(document: Any, received_at_us: int, fallback_id: str, published_bytes: int) -> Event:
    """Check one event and complete its common fields.

    `received_at_us` is when JetStream stored it; `fallback_id` becomes its messageId where it has none;
    `published_bytes` is the size of the message that it came in. Raises `Refused`.
    """
    if not isinstance(document, dict):
        raise Refused("not_an_object", "an event is a JSON object")
    kind = _check_type(document)
    _check_fields(document, kind)
    if published_bytes > EVENT_BYTES_MAX:
        _check_size(document)
    message_id = document.get("messageId")
    if message_id is None or message_id == "":
        document["messageId"] = message_id = fallback_id
    elif not isinstance(message_id, str) or len(message_id) > MESSAGE_ID_MAX:
        raise Refused("invalid_message_id", f"`messageId` is a string of at most {MESSAGE_ID_MAX} characters")
    _stamp(document, received_at_us)
    payload = _written(document)
    integrations = document.get("integrations")
    return Event(
        type=kind,
        name=str(document["event"])[:EVENT_NAME_MAX] if kind == "track" else "",
        message_id=message_id,
        payload=payload,
        integrations=integrations if isinstance(integrations, dict) else None,
    )


def _check_type(document: dict[str, Any]) -> str:
    kind = document.get("type")
    if isinstance(kind, str) and kind in EVENT_TYPES:
        return kind
    if kind is None and ("collection" in document or "objects" in document):
        raise Refused("object_source", "data of object sources is not accepted, only events")
    known = ", ".join(EVENT_TYPES)
    raise Refused("unknown_type", f"`type` is {orjson.dumps(kind).decode()[:64]}; it must be one of {known}")


def _check_fields(document: dict[str, Any], kind: str) -> None:
    if not (document.get("userId") or document.get("anonymousId")):
        raise Refused("missing_user", "`userId` or `anonymousId` is required")
    field = _REQUIRED_FIELD.get(kind)
    if field is None:
        return
    value = document.get(field)
    if not value or not isinstance(value, str | int | float):
        raise Refused(f"missing_{field}", f"a {kind} event needs `{field}`")


def _check_size(document: dict[str, Any]) -> None:
    """Measure the event as it was published, without white space; only large messages need it."""
    size_bytes = len(_written(document))
    if size_bytes > EVENT_BYTES_MAX:
        raise Refused("too_large", f"the event has {size_bytes} bytes; at most {EVENT_BYTES_MAX} are accepted")


def _written(document: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError as error:
        # orjson reads 1,024 levels and writes 254.
        raise Refused("too_deep", f"the event is nested too deeply: {error}") from None


def _stamp(document: dict[str, Any], received_at_us: int) -> None:
    """Set receivedAt, and the timestamp corrected by the sender's clock skew.

    timestamp = receivedAt - (sentAt - originalTimestamp), as the Segment spec defines it.
    """
    received, document["receivedAt"] = _received(received_at_us // 1000)
    original_text = document.get("originalTimestamp") or document.get("timestamp")
    original = _parse_time(original_text)
    if original is None:
        document["timestamp"] = document["receivedAt"]
        return
    document["originalTimestamp"] = original_text
    sent = _parse_time(document.get("sentAt"))
    if sent is None:
        document["timestamp"] = _iso(original)
        return
    try:
        document["timestamp"] = _iso(received - (sent - original))
    except OverflowError:
        document["timestamp"] = document["receivedAt"]


@lru_cache(maxsize=16)
def _received(milliseconds: int) -> tuple[datetime, str]:
    """Give a time of receipt and its text; under load many events arrive in one millisecond."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment, _iso(moment)


def _parse_time(text: Any) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _iso(moment: datetime) -> str:
    """Format a UTC moment with milliseconds and `Z`, as the spec's libraries do."""
    return f"{moment.isoformat(timespec='milliseconds')[:23]}Z"


def unmatched(event: Event, destinations: Iterable[tuple[str, str]]) -> list[str]:
    """Names in the event's `integrations` that are neither the id nor the name of a destination of its source."""
    if not event.integrations:
        return []
    known = {"All", *(name for both in destinations for name in both)}
    return [name[:INTEGRATION_NAME_MAX] for name in event.integrations if name not in known][:UNMATCHED_MAX]


def wants(event: Event, destination: str, display_name: str) -> bool:
    """Obey the event's `integrations` object: by the destination's id or its exact name, else by `All`."""
    return _is_wanted(event.integrations, destination, display_name)


def wants_stored(payload: bytes, destination: str, display_name: str) -> bool:
    """As `wants`, of the JSON of an accepted event."""
    integrations = orjson.loads(payload).get("integrations") if b'"integrations"' in payload else None
    return _is_wanted(integrations if isinstance(integrations, dict) else None, destination, display_name)


def _is_wanted(integrations: dict[str, Any] | None, destination: str, display_name: str) -> bool:
    if not integrations:
        return True
    for key in (destination, display_name):
        if key in integrations:
            return integrations[key] is not False
    return integrations.get("All") is not False
