"""What can go wrong on the bus, in the terms of kit.errors."""

from __future__ import annotations

from typing import Any

from kit.errors import InvalidArgument, LimitReached, NotFound, OnwardError, Unavailable, WrongState

# Error numbers of the JetStream API (server/errors.json of nats-server).
CONSUMER_NOT_FOUND = 10014
STREAM_NOT_FOUND = 10059
STREAM_NAME_IN_USE = 10058
CONSUMER_NAME_EXISTS = 10148
CONSUMER_ALREADY_EXISTS = 10105
MESSAGE_TOO_LARGE = 10054
STORE_FAILED = 10077
STORAGE_EXCEEDED = 10047
INSUFFICIENT_RESOURCES = 10023
BATCH_DISABLED = 10174
BATCH_INCOMPLETE = 10176
BATCH_TOO_LARGE = 10199
BATCH_DUPLICATE = 10201
NOT_ENABLED = 10076
UNAVAILABLE = 10008


class ConnectionLost(Unavailable):
    """The connection broke before the answer came; what was asked may or may not have happened."""


class NoResponders(Unavailable):
    """Nothing listens on the subject: no such stream or consumer, or the server is still recovering it."""


class StreamFull(LimitReached):
    """The stream is full and refuses more until old messages are handled or its limit is raised."""


class ServerRefused(WrongState):
    """JetStream refused for a reason without a class of its own; the metadata has its number."""


_CLASSES: dict[int, type[OnwardError]] = {
    CONSUMER_NOT_FOUND: NotFound,
    STREAM_NOT_FOUND: NotFound,
    MESSAGE_TOO_LARGE: InvalidArgument,
    STORE_FAILED: StreamFull,
    STORAGE_EXCEEDED: StreamFull,
    INSUFFICIENT_RESOURCES: StreamFull,
    NOT_ENABLED: Unavailable,
    UNAVAILABLE: Unavailable,
}


def api_error(error: dict[str, Any], about: str) -> OnwardError:
    """The error that JetStream's answer describes; `about` is the call or the subject."""
    number = int(error.get("err_code", 0))
    description = str(error.get("description", "unknown error"))
    metadata = {"nats_error": str(number), "about": about}
    return _CLASSES.get(number, ServerRefused)(f"JetStream refused {about}: {description}", metadata=metadata)


def nats_error(error: OnwardError) -> int:
    """JetStream's number of an error, 0 if it is not one of JetStream's."""
    return int(error.metadata.get("nats_error", 0))
