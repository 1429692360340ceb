"""Ids that are made from display names, and etags that are made from versions of streams."""

from __future__ import annotations

from collections.abc import Container, Iterator

from kit.errors import LimitReached
from kit.rpc.names import numbered, slug
from services.registry.domain.state import DestinationState, State
from services.registry.errors import IdTaken, StaleEtag

# Of one kind in a workspace, deleted ones included: none is given again, so each stays in memory, with about 150 bytes.
IDS_GIVEN_MAX = 100_000
# With so many equal names somebody is in a loop; the search for a free number stays short.
CHOICES_MAX = 10_000


def new_id(state: State, workspace: str, kind: str, asked: str, display_name: str, fallback: str = "") -> str:
    """The id that is asked for, or one made from the name, such as of "functions".

    Raises IdTaken, and LimitReached where too many were given. `fallback` as in `slug`.
    """
    if asked and state.is_taken(kind, asked):
        raise IdTaken(f"workspaces/{workspace}/{kind}/{asked}", deleted=asked not in state.held(kind))
    _require_unused(state, kind)
    return asked or free_id(display_name, fallback or kind.removesuffix("s"), state.held(kind), state.ended(kind))


def _require_unused(state: State, kind: str) -> None:
    if state.ids_given(kind) >= IDS_GIVEN_MAX:
        raise LimitReached(
            f"The workspace has had {IDS_GIVEN_MAX} {kind}, deleted ones included, as many as it ever may: no id is "
            "given again. Change those that exist instead of replacing them, or ask the operator for a new workspace.",
            metadata={"limit": "ids_given", "max": str(IDS_GIVEN_MAX), "kind": kind},
        )


def choices(display_name: str, kind: str) -> Iterator[str]:
    """Ids that resemble the name: `crm`, `crm-2`, `crm-3`, ..."""
    base = slug(display_name, kind)
    yield base
    for number in range(2, CHOICES_MAX):
        yield numbered(base, number)


def free_id(display_name: str, kind: str, *taken: Container[str]) -> str:
    """An id made from the name that is not among those taken. Raises LimitReached where CHOICES_MAX were given."""
    for choice in choices(display_name, kind):
        if not any(choice in one for one in taken):
            return choice
    raise LimitReached(
        f"Each of the {CHOICES_MAX} ids that resemble this name is taken, or was. Give an id, or another name.",
        metadata={"limit": "ids_of_one_name", "max": str(CHOICES_MAX)},
    )


def require_etag(name: str, given: str, current: str) -> None:
    """Raises StaleEtag about the resource of that name where the caller read another state of it."""
    if given and given != current:
        raise StaleEtag(name, current)


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
