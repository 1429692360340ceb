"""How each fact changes a workspace's state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from google.protobuf.message import Message

from services.registry.domain import evolving_connections, evolving_functions, evolving_people
from services.registry.domain.folding import close_drafts, open_drafts
from services.registry.domain.state import State

_EVOLVERS: Mapping[type[Message], Callable[[State, Any], State]] = MappingProxyType(
    {**evolving_people.EVOLVERS, **evolving_functions.EVOLVERS, **evolving_connections.EVOLVERS}
)

FACT_TYPES: tuple[type[Message], ...] = tuple(_EVOLVERS)


def evolve(state: State, fact: Message) -> State:
    """The state after a fact. A fact type that is not known is a fault of ours: it raises KeyError."""
    return _EVOLVERS[type(fact)](state, fact)


def fold(state: State, facts: Iterable[Message]) -> State:
    """The state after all of these facts, at a cost that does not grow with what the workspace holds."""
    draft = open_drafts(state)
    for fact in facts:
        draft = evolve(draft, fact)
    return close_drafts(draft)
