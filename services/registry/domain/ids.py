"""Ids that are made from display names, and etags that are made from versions of streams."""

from __future__ import annotations

from collections.abc import Container, Iterator

from kit.errors import LimitReached
from kit.rpc.names import numbered, slug
from services.registry.domain.state import DestinationState

# With so many equal names somebody is in a loop; the search for a free number stays short.
CHOICES_MAX = 10_000


def choices(display_name: str, kind: str) -> Iterator[str]:
    """Ids that resemble the name: `crm`, `crm-2`, `crm-3`, ..."""
    base = slug(display_name, kind)
    yield base
    for number in range(2, CHOICES_MAX):
        yield numbered(base, number)


def free_id(display_name: str, kind: str, taken: Container[str]) -> str:
    """An id made from the name that nothing has, nor had. Raises LimitReached where CHOICES_MAX were given."""
    for choice in choices(display_name, kind):
        if choice not in taken:
            return choice
    raise LimitReached(
        f"Each of the {CHOICES_MAX} ids that resemble this name is taken, or was. Give an id, or another name.",
        metadata={"limit": "ids_of_one_name", "max": str(CHOICES_MAX)},
    )


def function_etag(revision: int) -> str:
    """Changes with every fact of the function's stream."""
    return f"{revision}"


def filter_etag(revision: int) -> str:
    """Changes with every change of the filter."""
    return f"{revision}"


def workspace_etag(revision: int) -> str:
    """Changes with every fact of the stream `workspace`."""
    return f"{revision}"


def destination_etag(revision: int, version: int) -> str:
    """A deployment is a fact of the function's stream and changes the destination too: hence both numbers."""
    return f"{revision}.{version}"


def etag_of(destination: DestinationState) -> str:
    """The destination's etag."""
    return destination_etag(destination.revision, destination.version)
