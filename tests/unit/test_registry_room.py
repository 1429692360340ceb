"""C8: whoever may add must not be able to stop others from taking away, whatever the event log's own bound."""

from __future__ import annotations

from dataclasses import replace

import pytest
from google.protobuf.message import Message

from kit.errors import LimitReached
from kit.eventstore.facts import NewFact
from kit.eventstore.store import STREAM_FACTS_MAX
from kit.filters import FILTERS_MAX
from onward.registry.v1 import facts_pb2 as f
from onward.registry.v1 import resources_pb2
from services.registry.domain.evolve import FACT_TYPES
from services.registry.domain.members import BINDINGS_PER_MEMBER_MAX
from services.registry.domain.room import ENTITY_FACTS_MAX, require_room
from services.registry.domain.settings import SETTINGS_STORED_MAX
from services.registry.domain.sources import WRITE_KEYS_MAX
from services.registry.domain.state import State
from services.registry.domain.workspaces import EGRESS_RANGES_MAX
from tests.unit.registry_given import Given

BEGUN = Given(
    f.WorkspaceCreated(workspace="acme", display_name="Acme", functions_max=2),
    f.MemberAdded(member="ada"),
    f.TokenCreated(token="5f0c", member="ada"),
    f.SourceCreated(source="web"),
    f.FunctionCreated(function="crm"),
    f.FunctionVersionSaved(function="crm", number=1),
    f.DestinationConnected(destination="crm-web", function="crm", source="web", version=1),
).state
STREAMS = {
    "workspace": "workspace",
    "members": "members/ada",
    "functions": "functions/crm",
    "sources": "sources/web",
    "destinations": "destinations/crm-web",
}

VALUE = f.SettingChange(name="a", value=resources_pb2.SettingValue(string_value="1"))
CLEARED = f.SettingChange(name="a", cleared=True)
RULE = resources_pb2.FilterRule(title="1")

ADDS: list[tuple[str, Message]] = [
    ("workspace", f.WorkspaceUpdated(display_name="New")),
    ("workspace", f.WorkspaceUpdated(members_may_edit_functions=True)),
    ("workspace", f.WorkspaceUpdated(display_name="New", members_may_edit_functions=False)),
    ("workspace", f.EgressRangeAllowed(range="10.0.0.0/8")),
    ("workspace", f.FilterCreated(filter="one", rule=RULE)),
    ("workspace", f.FilterUpdated(filter="one", rule=RULE)),
    ("workspace", f.FiltersReordered(filters=["one"])),
    ("members", f.RoleGranted(member="ada", binding="b1")),
    ("functions", f.FunctionUpdated(function="crm", display_name="New")),
    ("functions", f.FunctionVersionSaved(function="crm", number=2)),
    ("functions", f.VersionDeployed(function="crm", number=1)),
    ("sources", f.SourceUpdated(source="web", display_name="New")),
    ("sources", f.WriteKeyCreated(source="web", key="k1")),
    ("sources", f.FilterCreated(parent="sources/web", filter="one", rule=RULE)),
    ("destinations", f.DestinationEnabled(destination="crm-web")),
    ("destinations", f.DeliveryPolicyUpdated(destination="crm-web")),
    ("destinations", f.SettingsChanged(destination="crm-web", changes=[VALUE])),
    ("destinations", f.SettingsChanged(destination="crm-web", changes=[VALUE, CLEARED])),
    ("destinations", f.FilterUpdated(parent="destinations/crm-web", filter="one", rule=RULE)),
]
TAKES_AWAY: list[tuple[str, Message]] = [
    ("workspace", f.WorkspaceUpdated(members_may_edit_functions=False)),
    ("workspace", f.EgressRangeDisallowed(range="10.0.0.0/8")),
    ("workspace", f.LimitsSet(functions_max=1)),
    ("workspace", f.FilterDeleted(filter="one")),
    ("members", f.RoleRevoked(member="ada", binding="b1")),
    ("members", f.MemberRemoved(member="ada")),
    ("members", f.PersonErased(member="ada")),
    ("functions", f.FunctionDeleted(function="crm")),
    ("sources", f.WriteKeyRevoked(source="web", key="k1")),
    ("sources", f.FilterDeleted(parent="sources/web", filter="one")),
    ("sources", f.SourceDeleted(source="web")),
    ("destinations", f.SettingsChanged(destination="crm-web", changes=[CLEARED])),
    ("destinations", f.FilterDeleted(parent="destinations/crm-web", filter="one")),
    ("destinations", f.DestinationDisabled(destination="crm-web")),
    ("destinations", f.DestinationDisconnected(destination="crm-web")),
]
# Each is the first fact of its stream, or the last of one that has no more than two; or no state decides it.
OF_SHORT_STREAMS = {
    f.WorkspaceCreated,
    f.MemberAdded,
    f.TokenCreated,
    f.TokenRevoked,
    f.FunctionCreated,
    f.SourceCreated,
    f.DestinationConnected,
    f.AccessDenied,
    f.DestinationInvoked,
    f.SecretSought,
    f.KeysRotated,
}


def worn(kind: str, revision: int = ENTITY_FACTS_MAX) -> State:
    """The state as if one entity had been changed that often."""
    if kind == "workspace":
        return replace(BEGUN, revision=revision)
    entity = STREAMS[kind].partition("/")[2]
    held = {entity: replace(getattr(BEGUN, kind)[entity], revision=revision)}
    return replace(BEGUN, **{kind: held})  # type: ignore[arg-type]  # one of the state's mappings


@pytest.mark.parametrize(
    ("kind", "fact"), ADDS, ids=lambda one: type(one).__name__ if isinstance(one, Message) else one
)
def test_what_was_changed_too_often_is_given_no_more_and_says_what_to_do(kind: str, fact: Message) -> None:
    """C8: below the event log's own bound, so that the caller reads advice."""
    facts = [NewFact(STREAMS[kind], fact)]
    require_room(worn(kind, ENTITY_FACTS_MAX - 1), "acme", facts)
    with pytest.raises(LimitReached, match=r"(Create|Connect|Add|Ask) ") as caught:
        require_room(worn(kind), "acme", facts)
    name = "workspaces/acme" if kind == "workspace" else f"workspaces/acme/{STREAMS[kind]}"
    expected = {"limit": "entity_facts", "max": str(ENTITY_FACTS_MAX), "resource": name}
    assert (caught.value.reason, caught.value.metadata) == ("LIMIT_REACHED", expected)


@pytest.mark.parametrize(("kind", "fact"), TAKES_AWAY)
def test_what_was_changed_too_often_can_be_taken_away(kind: str, fact: Message) -> None:
    """C8: a key that nobody can revoke is worse than a name that nobody can change."""
    require_room(worn(kind), "acme", [NewFact(STREAMS[kind], fact)])


def test_others_are_changed_while_one_has_no_room() -> None:
    require_room(worn("sources"), "acme", [NewFact("sources/app", f.SourceCreated(source="app"))])
    require_room(worn("sources"), "acme", [NewFact("workspace", f.WorkspaceUpdated(display_name="New"))])


def test_each_fact_is_one_that_adds_or_one_that_takes_away() -> None:
    """A new one has to be put among them."""
    assert {type(fact) for _, fact in ADDS + TAKES_AWAY} | OF_SHORT_STREAMS == set(FACT_TYPES)


def test_the_room_is_enough_for_all_that_an_entity_can_have() -> None:
    destination = SETTINGS_STORED_MAX + FILTERS_MAX + len(["disabled", "disconnected"])
    source = WRITE_KEYS_MAX + FILTERS_MAX + len(["deleted"])
    member = BINDINGS_PER_MEMBER_MAX + len(["removed", "erased"])
    workspace = EGRESS_RANGES_MAX + FILTERS_MAX + len(["policy"])
    # And the operator may set limits as often again.
    assert max(destination, source, member, workspace) * 2 < STREAM_FACTS_MAX - ENTITY_FACTS_MAX
