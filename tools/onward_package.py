"""Onward: the messages and stubs of its API, and what publishes events.

What publishes is loaded when it is first named, so that importing messages stays cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kit.publisher.errors import InvalidEvent, NotPublished, PublisherFull
    from kit.publisher.publisher import Publisher
    from kit.publisher.synchronous import SyncPublisher

__all__ = ["InvalidEvent", "NotPublished", "Publisher", "PublisherFull", "SyncPublisher"]

_MODULES = {
    "InvalidEvent": "kit.publisher.errors",
    "NotPublished": "kit.publisher.errors",
    "Publisher": "kit.publisher.publisher",
    "PublisherFull": "kit.publisher.errors",
    "SyncPublisher": "kit.publisher.synchronous",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
