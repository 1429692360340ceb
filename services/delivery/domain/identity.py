"""Names of deliveries and keys of events."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import NamedTuple

from kit.rpc.names import malformed

_DELIVERY = re.compile(r"d([0-9]{1,19})-([0-9]{1,9})-([0-9a-f]{8})")
_SEQUENCE_MAX = 2**63 - 1


class EventReference(NamedTuple):
    """An event's place in its workspace."""

    stream_sequence: int
    event_index: int


def delivery_id(stream_sequence: int, event_index: int, destination: str) -> str:
    """The id of a delivery: its event, and enough of the destination's hash to tell those of one event apart."""
    return f"d{stream_sequence}-{event_index}-{destination_hash(destination)}"


def destination_hash(destination: str) -> str:
    return blake2b(destination.encode(), digest_size=4).hexdigest()


def parse_delivery_id(delivery: str) -> tuple[EventReference, str]:
    """The event and the destination's hash; raises InvalidArgument."""
    match = _DELIVERY.fullmatch(delivery)
    if match is None or int(match[1]) > _SEQUENCE_MAX:
        raise malformed("name", "must end in an id that ListDeliveries has answered")
    return EventReference(int(match[1]), int(match[2])), match[3]


def event_key(workspace: str, source: str, message_id: str) -> bytes:
    """Stands for a messageId of a source; none of the three can hold the separator."""
    return blake2b(f"{workspace}\0{source}\0{message_id}".encode(), digest_size=16).digest()
