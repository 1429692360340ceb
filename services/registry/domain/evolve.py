"""How each fact changes a workspace's state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from types import MappingProxyType
from typing import Any

from google.protobuf.message import Message

from onward.registry.v1 import facts_pb2
from services.registry.domain import evolving_connections, evolving_functions, evolving_people
from services.registry.domain.folding import close_drafts, open_drafts
from services.registry.domain.state import State

_EVOLVERS: Mapping[type[Message], Callable[[State, Any], State]] = MappingProxyType(
    {**evolving_people.EVOLVERS, **evolving_functions.EVOLVERS, **evolving_connections.EVOLVERS}
)

# Below this, copying what each fact changes is less than copying everything twice.
FOLDED_MIN = 10

# Facts after which everybody may do what he could before, whatever he holds: no role, no token, nothing that roles and
# targets name begins or ends by them. One that is missing here costs a question, no more.
LEAVE_RIGHTS_ALONE: frozenset[type[Message]] = frozenset(
    {
        facts_pb2.LimitsSet,
        facts_pb2.EgressRangeAllowed,
        facts_pb2.EgressRangeDisallowed,
        facts_pb2.AccessDenied,
        facts_pb2.FunctionUpdated,
        facts_pb2.FunctionVersionSaved,
        facts_pb2.VersionDeployed,
        facts_pb2.SourceUpdated,
        facts_pb2.SettingsChanged,
        facts_pb2.DestinationEnabled,
        facts_pb2.DestinationDisabled,
        facts_pb2.DestinationInvoked,
        facts_pb2.SecretSought,
        facts_pb2.DeliveryPolicyUpdated,
        facts_pb2.FilterCreated,
        facts_pb2.FilterUpdated,
        facts_pb2.FilterDeleted,
        facts_pb2.FiltersReordered,
    }
)


def leave_rights_alone(facts: Iterable[Message]) -> bool:
    """Whether everybody may do what he could before each of these."""
    return all(type(fact) in LEAVE_RIGHTS_ALONE for fact in facts)


# Facts after which every event is handled as it was before, and every service lets in whom it let in: a name, or code
# that is not deployed. One that is missing here costs a wait, no more.
_LEAVE_EVENTS_ALONE: frozenset[type[Message]] = frozenset(
    {facts_pb2.FunctionUpdated, facts_pb2.FunctionVersionSaved, facts_pb2.SourceUpdated}
)


def leave_events_alone(facts: Iterable[Message]) -> bool:
    """Whether no other service does anything else after each of these."""
    return all(type(fact) in _LEAVE_EVENTS_ALONE for fact in facts)


FACT_TYPES: tuple[type[Message], ...] = tuple(_EVOLVERS)


def evolve(state: State, fact: Message) -> State:
    """The state after a fact. A fact type that is not known is a fault of ours: it raises KeyError."""
    return _EVOLVERS[type(fact)](state, fact)


def fold(state: State, facts: Sequence[Message]) -> State:
    """The state after all of these facts; for many of them at a cost that does not grow with what the state holds."""
    if len(facts) < FOLDED_MIN:
        return reduce(evolve, facts, state)
    draft = open_drafts(state)
    for fact in facts:
        draft = evolve(draft, fact)
    return close_drafts(draft)
