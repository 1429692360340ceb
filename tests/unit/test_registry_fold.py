"""Folding many facts at once. That it gives what one by one gives is looked at by every given/when/then test."""

from __future__ import annotations

from copy import deepcopy
from typing import Final

from onward.registry.v1 import facts_pb2
from services.registry.domain.evolve import FOLDED_MIN, fold
from services.registry.domain.folding import MAPPINGS, Draft
from services.registry.domain.state import State

FACTS: Final = [
    facts_pb2.WorkspaceCreated(workspace="acme", display_name="Acme", functions_max=10),
    facts_pb2.MemberAdded(member="ada"),
    facts_pb2.SourceCreated(source="web", display_name="Web"),
    facts_pb2.FunctionCreated(function="crm", display_name="CRM"),
    facts_pb2.FunctionVersionSaved(function="crm", number=1, code="1"),
    facts_pb2.DestinationConnected(destination="crm-eu", function="crm", source="web", version=1),
]
# So many that they are folded.
AGAIN: Final = [facts_pb2.LimitsSet(functions_max=number) for number in range(FOLDED_MIN)]
MORE: Final = [
    facts_pb2.FunctionVersionSaved(function="crm", number=2, code="2"),
    facts_pb2.VersionDeployed(function="crm", number=2, destinations=["crm-eu"]),
    facts_pb2.DestinationEnabled(destination="crm-eu"),
    facts_pb2.SourceCreated(source="app", display_name="App"),
    facts_pb2.DestinationDisconnected(destination="crm-eu"),
    facts_pb2.MemberRemoved(member="ada"),
]


def test_a_state_that_was_given_away_stays_as_it_was() -> None:
    state = fold(State(), [*FACTS, *AGAIN])
    before = deepcopy(state)
    assert fold(state, [*AGAIN, *MORE]) != before
    assert state == before


def test_nothing_of_a_folded_state_can_be_changed_in_place() -> None:
    state = fold(State(), [*FACTS, *AGAIN, *MORE])
    assert not [name for name in MAPPINGS if isinstance(getattr(state, name), Draft)]
