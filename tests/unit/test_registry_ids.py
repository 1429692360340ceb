"""Ids that are never given again, and how many of them there may be."""

from __future__ import annotations

from itertools import count

import pytest
from google.protobuf.message import Message

from kit.eventstore.facts import NewFact
from onward.registry.v1 import destination_service_pb2 as dpb
from onward.registry.v1 import facts_pb2 as f
from onward.registry.v1 import function_service_pb2 as fpb
from onward.registry.v1 import resources_pb2
from onward.registry.v1 import source_service_pb2 as spb
from onward.registry.v1 import workspace_service_pb2 as wpb
from services.registry.domain import destinations, functions, ids, members, sources
from services.registry.domain.state import State
from services.registry.templates import load_templates
from tests.unit.registry_given import Decide, Given

BEGUN = (
    f.WorkspaceCreated(workspace="acme", display_name="Acme", functions_max=10),
    f.MemberAdded(member="ada"),
    f.SourceCreated(source="web"),
    f.FunctionCreated(function="crm"),
    f.FunctionVersionSaved(function="crm", number=1),
    f.DestinationConnected(destination="crm-web", function="crm", source="web", version=1),
)
SERVICE_ACCOUNT = resources_pb2.MEMBER_KIND_SERVICE_ACCOUNT
PERSON = resources_pb2.MEMBER_KIND_PERSON
TEMPLATE = load_templates()["default"]


def add(kind: resources_pb2.MemberKind.ValueType, member_id: str = "") -> Decide:
    request = wpb.AddMemberRequest(kind=kind, member_id=member_id, display_name="Bob")
    made = count()

    def decide(state: State) -> list[NewFact]:
        return members.decide_add_member(state, request, "acme", {}, lambda: str(next(made)))

    return decide


def create_source(source_id: str = "") -> Decide:
    request = spb.CreateSourceRequest(source_id=source_id, display_name="App")
    return lambda state: sources.decide_create_source(state, request, "acme")


def create_function(function_id: str = "") -> Decide:
    request = fpb.CreateFunctionRequest(function_id=function_id, display_name="Chat")
    return lambda state: functions.decide_create_function(state, request, "acme", TEMPLATE)


def connect(destination_id: str = "") -> Decide:
    request = dpb.ConnectDestinationRequest(destination_id=destination_id, display_name="Chat")

    def decide(state: State) -> list[NewFact]:
        return destinations.decide_connect(state, request, "acme", "web", "crm", lambda *_: "")

    return decide


KINDS: list[tuple[str, Message, Decide]] = [
    ("members", f.MemberRemoved(member="ada"), add(SERVICE_ACCOUNT)),
    ("members", f.MemberRemoved(member="ada"), add(SERVICE_ACCOUNT, "bob")),
    ("members", f.MemberRemoved(member="ada"), add(PERSON)),
    ("sources", f.SourceDeleted(source="web"), create_source()),
    ("sources", f.SourceDeleted(source="web"), create_source("app")),
    ("functions", f.FunctionDeleted(function="crm"), create_function()),
    ("functions", f.FunctionDeleted(function="crm"), create_function("chat")),
    ("destinations", f.DestinationDisconnected(destination="crm-web"), connect()),
    ("destinations", f.DestinationDisconnected(destination="crm-web"), connect("chat")),
]


@pytest.mark.parametrize(("kind", "ended", "decide"), KINDS)
def test_what_was_deleted_counts_for_the_ids_that_may_be_given(
    kind: str, ended: Message, decide: Decide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them are in memory as long as the workspace is."""
    monkeypatch.setattr(ids, "IDS_GIVEN_MAX", 1)
    for given in (Given(*BEGUN), Given(*BEGUN, ended)):
        error = given.when(decide).refused("RESOURCE_EXHAUSTED", "LIMIT_REACHED")
        assert error.metadata == {"limit": "ids_given", "max": "1", "kind": kind}
        assert "ask the operator" in error.message
    monkeypatch.setattr(ids, "IDS_GIVEN_MAX", 2)
    assert Given(*BEGUN, ended).when(decide).decided()


@pytest.mark.parametrize(
    ("ended", "decide"),
    [
        (f.MemberRemoved(member="ada"), add(SERVICE_ACCOUNT, "ada")),
        (f.SourceDeleted(source="web"), create_source("web")),
        (f.FunctionDeleted(function="crm"), create_function("crm")),
        (f.DestinationDisconnected(destination="crm-web"), connect("crm-web")),
    ],
)
def test_an_id_is_not_given_again(ended: Message, decide: Decide) -> None:
    """The trail and the history of deliveries go on naming it."""
    assert "exists already" in Given(*BEGUN).when(decide).refused("ALREADY_EXISTS", "ALREADY_EXISTS").message
    told = Given(*BEGUN, ended).when(decide).refused("ALREADY_EXISTS", "ALREADY_EXISTS").message
    assert "the trail goes on naming it" in told
