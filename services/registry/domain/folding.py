"""Mappings of a state while many facts are folded into it.

Copying a mapping of 10,000 for each of 100,000 facts takes a minute, so a fold works on mappings that nobody else has
seen yet, which `with_entries` changes in place. All others it copies: a state that was given away never changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from services.registry.domain.state import KINDS, State

V = TypeVar("V")

# The mappings of a state, by name.
MAPPINGS: Final = ("tokens", *KINDS, *(f"ended_{kind}" for kind in KINDS))


class Draft(dict[str, V]):
    """A mapping of a state that is still being made."""


def with_entries(state: State, mapping: str, entries: Mapping[str, Any]) -> State:
    """The state with more entries in one of its mappings, or other values for them."""
    held = getattr(state, mapping)
    if isinstance(held, Draft):
        held.update(entries)
        return state
    return _with(state, {mapping: {**held, **entries}})


def without(state: State, mapping: str, key: str) -> State:
    """The state without an entry of one of its mappings."""
    held = getattr(state, mapping)
    if isinstance(held, Draft):
        del held[key]
        return state
    return _with(state, {mapping: {name: one for name, one in held.items() if name != key}})


def end(state: State, kind: str, entity: str) -> State:
    """The state without an entity, whose id is remembered with the version of the stream's last fact."""
    last = state.held(kind)[entity].revision + 1
    return with_entries(without(state, kind, entity), f"ended_{kind}", {entity: last})


def open_drafts(state: State) -> State:
    """The same state, which `with_entries` may change."""
    return _with(state, {name: Draft(getattr(state, name)) for name in MAPPINGS})


def close_drafts(state: State) -> State:
    """The same state, which nothing changes any more."""
    return _with(state, {name: dict(getattr(state, name)) for name in MAPPINGS})


def _with(state: State, changes: dict[str, Any]) -> State:
    return replace(state, **changes)
