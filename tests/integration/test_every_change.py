"""Every call of the registry that changes something leaves facts, and each fact one record that names who did it."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from google.protobuf.descriptor import FileDescriptor

from kit.embedded.postgres import EmbeddedPostgres
from kit.eventstore.facts import fact_types
from kit.rpc.access import declared_access
from kit.testing.eventually import eventually
from kit.vault import DataKey, Vault
from onward.audit.v1 import audit_service_pb2 as apb
from onward.common.v1 import access_pb2
from onward.registry.v1 import destination_service_pb2 as dpb
from onward.registry.v1 import facts_pb2
from onward.registry.v1 import function_service_pb2 as fpb
from onward.registry.v1 import internal_service_pb2 as ipb
from onward.registry.v1 import operator_service_pb2 as opb
from onward.registry.v1 import resources_pb2 as r
from onward.registry.v1 import source_service_pb2 as spb
from onward.registry.v1 import workspace_service_pb2 as wpb
from services.audit.domain.content import DENIALS
from tests.integration.registry_world import CODE, OPERATOR_TOKEN, Stubs
from tests.integration.trail_world import Trail, running

pytestmark = pytest.mark.integration

ACME = "workspaces/acme"
ADA = f"{ACME}/members/ada"
BOT = f"{ACME}/members/bot"
CRM = f"{ACME}/functions/crm"
WEB = f"{ACME}/sources/web"
EU = f"{ACME}/destinations/eu"
OLD_KEY = base64.b64encode(b"o" * 32).decode()
FILES: Sequence[FileDescriptor] = [module.DESCRIPTOR for module in (wpb, opb, spb, fpb, dpb, ipb)]


@dataclass
class Done:
    """What the steps so far have answered: secrets and ids that services choose."""

    owner: str = ""
    answers: dict[str, Any] = field(default_factory=dict)

    def name(self, call: str, resource: str) -> str:
        found: str = getattr(self.answers[call], resource).name
        return found


@dataclass(frozen=True)
class Step:
    """A call, and the types of the facts that it leaves, in order."""

    call: str
    request: Callable[[Done], Any]
    facts: Sequence[str]
    by_operator: bool = False
    # By an executor, in the name of the owner.
    by_service: bool = False


def filter_rule(title: str) -> r.FilterRule:
    return r.FilterRule(title=title, enabled=True, condition="all", actions=[r.FilterAction(drop=True)])


def everywhere() -> fpb.DeploymentTarget:
    return fpb.DeploymentTarget(all=True)


MEMBER, AUDITOR = r.RoleGrant(role=r.ROLE_MEMBER), r.RoleGrant(role=r.ROLE_AUDITOR)
PROGRAM, PERSON = r.MEMBER_KIND_SERVICE_ACCOUNT, r.MEMBER_KIND_PERSON
REGION = r.SettingDefinition(name="region", label="Region", type=r.SETTING_TYPE_STRING)
EUROPE = r.SettingValue(string_value="eu")
ADS = r.Labels(labels={"team": "ads"})
EXPLICIT = r.DeliveryPolicy(retry_only_explicit=True)

# In an order in which each can be done.
STEPS: Sequence[Step] = (
    Step(
        "CreateWorkspace",
        lambda _: wpb.CreateWorkspaceRequest(workspace_id="acme", display_name="Acme"),
        ["WorkspaceCreated", "MemberAdded", "RoleGranted", "TokenCreated"],
        by_operator=True,
    ),
    Step("SetLimits", lambda _: opb.SetLimitsRequest(name=ACME, functions_max=20), ["LimitsSet"], by_operator=True),
    Step(
        "AllowEgressRange",
        lambda _: opb.AllowEgressRangeRequest(name=ACME, range="10.1.0.0/16"),
        ["EgressRangeAllowed"],
        by_operator=True,
    ),
    Step(
        "DisallowEgressRange",
        lambda _: opb.DisallowEgressRangeRequest(name=ACME, range="10.1.0.0/16"),
        ["EgressRangeDisallowed"],
        by_operator=True,
    ),
    Step(
        "UpdateWorkspace",
        lambda _: wpb.UpdateWorkspaceRequest(name=ACME, display_name="Acme Inc"),
        ["WorkspaceUpdated"],
    ),
    Step(
        "AddMember",
        lambda _: wpb.AddMemberRequest(
            parent=ACME, member_id="ada", kind=PERSON, display_name="Ada", email="ada@example.com"
        ),
        # Who is given no role has that of a member.
        ["MemberAdded", "RoleGranted"],
    ),
    Step("GrantRole", lambda _: wpb.GrantRoleRequest(member=ADA, grant=AUDITOR), ["RoleGranted"]),
    Step(
        "RevokeRole",
        lambda done: wpb.RevokeRoleRequest(name=done.name("GrantRole", "role_binding")),
        ["RoleRevoked"],
    ),
    Step("CreateToken", lambda _: wpb.CreateTokenRequest(member=ADA, display_name="CI"), ["TokenCreated"]),
    Step("RevokeToken", lambda done: wpb.RevokeTokenRequest(name=done.name("CreateToken", "token")), ["TokenRevoked"]),
    Step("RemoveMember", lambda _: wpb.RemoveMemberRequest(name=ADA), ["MemberRemoved"]),
    Step("ErasePerson", lambda _: opb.ErasePersonRequest(name=ADA), ["PersonErased"], by_operator=True),
    Step(
        "AddMember",
        lambda _: wpb.AddMemberRequest(parent=ACME, member_id="bot", kind=PROGRAM, display_name="Bot", grants=[MEMBER]),
        ["MemberAdded", "RoleGranted"],
    ),
    Step("CreateToken", lambda _: wpb.CreateTokenRequest(member=BOT, display_name="CI"), ["TokenCreated"]),
    Step("RemoveMember", lambda _: wpb.RemoveMemberRequest(name=BOT), ["TokenRevoked", "MemberRemoved"]),
    Step(
        "CreateFunction",
        lambda _: fpb.CreateFunctionRequest(parent=ACME, function_id="crm", display_name="CRM"),
        ["FunctionCreated", "FunctionVersionSaved"],
    ),
    Step(
        "SaveFunction",
        lambda _: fpb.SaveFunctionRequest(name=CRM, code=CODE, definitions=[REGION]),
        ["FunctionVersionSaved"],
    ),
    Step("UpdateFunction", lambda _: fpb.UpdateFunctionRequest(name=CRM, labels=ADS), ["FunctionUpdated"]),
    Step(
        "CreateSource",
        lambda _: spb.CreateSourceRequest(parent=ACME, source_id="web", display_name="Web"),
        ["SourceCreated"],
    ),
    Step("UpdateSource", lambda _: spb.UpdateSourceRequest(name=WEB, labels=ADS), ["SourceUpdated"]),
    Step("CreateWriteKey", lambda _: spb.CreateWriteKeyRequest(parent=WEB), ["WriteKeyCreated"]),
    Step(
        "RevokeWriteKey",
        lambda done: spb.RevokeWriteKeyRequest(name=done.name("CreateWriteKey", "write_key")),
        ["WriteKeyRevoked"],
    ),
    Step(
        "ConnectDestination",
        lambda _: dpb.ConnectDestinationRequest(source=WEB, function=CRM, destination_id="eu", display_name="EU"),
        ["DestinationConnected"],
    ),
    Step("SetSettings", lambda _: dpb.SetSettingsRequest(name=EU, set={"region": EUROPE}), ["SettingsChanged"]),
    Step("EnableDestination", lambda _: dpb.EnableDestinationRequest(name=EU), ["DestinationEnabled"]),
    Step(
        "RecordInvocation",
        lambda done: ipb.RecordInvocationRequest(
            name=EU, principal="member:owner", credential=f"token:{done.owner.split('_')[1]}", message_id="m-1"
        ),
        ["DestinationInvoked"],
        by_service=True,
    ),
    Step("FindSecret", lambda _: wpb.FindSecretRequest(parent=ACME, value=EUROPE), ["SecretSought"]),
    Step(
        "SaveFunction",
        lambda _: fpb.SaveFunctionRequest(
            name=CRM, code=f"// more\n{CODE}", definitions=[REGION], deploy_to=everywhere()
        ),
        ["FunctionVersionSaved", "VersionDeployed"],
    ),
    Step(
        "DeployVersion",
        lambda _: fpb.DeployVersionRequest(name=f"{CRM}/versions/2", target=everywhere()),
        ["VersionDeployed"],
    ),
    Step(
        "RestoreVersion",
        lambda _: fpb.RestoreVersionRequest(name=f"{CRM}/versions/2", deploy_to=everywhere()),
        ["FunctionVersionSaved", "VersionDeployed"],
    ),
    Step(
        "UpdateDeliveryPolicy",
        lambda _: dpb.UpdateDeliveryPolicyRequest(name=EU, policy=EXPLICIT),
        ["DeliveryPolicyUpdated"],
    ),
    Step(
        "CreateFilter",
        lambda _: dpb.CreateFilterRequest(parent=EU, filter_id="bots", rule=filter_rule("No bots")),
        ["FilterCreated"],
    ),
    Step(
        "CreateFilter",
        lambda _: dpb.CreateFilterRequest(parent=EU, filter_id="tests", rule=filter_rule("No tests")),
        ["FilterCreated"],
    ),
    Step(
        "UpdateFilter",
        lambda _: dpb.UpdateFilterRequest(name=f"{EU}/filters/bots", rule=filter_rule("No robots")),
        ["FilterUpdated"],
    ),
    Step(
        "ReorderFilters",
        lambda _: dpb.ReorderFiltersRequest(parent=EU, filters=[f"{EU}/filters/tests", f"{EU}/filters/bots"]),
        ["FiltersReordered"],
    ),
    Step("DeleteFilter", lambda _: dpb.DeleteFilterRequest(name=f"{EU}/filters/bots"), ["FilterDeleted"]),
    Step("DisableDestination", lambda _: dpb.DisableDestinationRequest(name=EU), ["DestinationDisabled"]),
    Step(
        "DisconnectDestination",
        lambda _: dpb.DisconnectDestinationRequest(name=EU),
        ["DestinationDisconnected"],
    ),
    Step("DeleteFunction", lambda _: fpb.DeleteFunctionRequest(name=CRM), ["FunctionDeleted"]),
    Step("DeleteSource", lambda _: spb.DeleteSourceRequest(name=WEB), ["SourceDeleted"]),
)
# Its facts are in the operator's own trail.
ROTATION = Step("RotateKeys", lambda _: opb.RotateKeysRequest(), ["KeysRotated"], by_operator=True)


@pytest.fixture
async def trail(database: str, postgres_server: EmbeddedPostgres, nats_url: str) -> AsyncIterator[Trail]:
    async with running(database, postgres_server, nats_url, previous_key_encryption_keys=OLD_KEY) as trail:
        yield trail


def changing() -> Iterator[str]:
    """The names of all calls that change something and are not between services."""
    for file in FILES:
        for service in file.services_by_name.values():
            for method in service.methods:
                access = declared_access(method)
                if not access.read_only and access.permission != access_pb2.PERMISSION_SERVICE:
                    yield method.name


def stub_of(stubs: Stubs, call: str) -> Any:
    """The method of whichever service has it."""
    services = (stubs.internal, stubs.workspaces, stubs.operator, stubs.functions, stubs.sources, stubs.destinations)
    return next(getattr(service, call) for service in services if hasattr(service, call))


def test_every_call_that_changes_something_is_tried_here() -> None:
    """D1: whoever adds one says which facts it leaves."""
    assert {step.call for step in (*STEPS, ROTATION) if not step.by_service} == set(changing())


def test_every_type_of_fact_is_left_by_one_of_them() -> None:
    """D1."""
    left = {one for step in (*STEPS, ROTATION) for one in step.facts}
    assert left == set(fact_types(facts_pb2)) - DENIALS - {"SettingChange"}


async def do(trail: Trail, done: Done, step: Step, request_id: str) -> None:
    """Make a step's call as the operator or the owner."""
    caller = trail.registry.caller(OPERATOR_TOKEN if step.by_operator else done.owner)
    if step.by_service:
        caller = trail.registry.service
    request = step.request(done)
    request.request_id = request_id
    answer = done.answers[step.call] = await stub_of(caller, step.call)(request)
    done.owner = done.owner or answer.owner_token


async def test_each_change_leaves_its_facts_and_each_fact_one_record_with_who_did_it(
    trail: Trail,
) -> None:
    """D1."""
    done = Done()
    for number, step in enumerate(STEPS):
        await do(trail, done, step, f"r{number}")
    ours = ("member:owner", f"token:{done.owner.split('_')[1]}")
    expected = [
        (fact, f"r{number}", *(("operator", "") if step.by_operator else ours))
        for number, step in enumerate(STEPS)
        for fact in step.facts
    ]

    async def complete() -> list[apb.AuditEvent]:
        events = await trail.read(done.owner)
        return events if len(events) >= len(expected) else []

    events = await eventually(complete)
    assert [(one.action, one.request_id, one.principal, one.credential) for one in events] == expected
    assert [(one.index, one.position) for one in events] == [(n, n) for n in range(1, len(events) + 1)]
    assert {one.outcome for one in events} == {apb.OUTCOME_SUCCEEDED}
    assert [one.action for one in events if not one.changes] == []
    shown = await trail.read(done.owner, show_clients=True)
    by_services = {fact for step in STEPS if step.by_service for fact in step.facts}
    assert {one.client_state for one in shown if one.action not in by_services} == {apb.CLIENT_STATE_KNOWN}
    assert {one.client_address for one in shown if one.action not in by_services} == {"127.0.0.1"}


async def test_what_the_operator_does_to_keys_is_in_its_own_trail(trail: Trail) -> None:
    """D1."""
    done = Done()
    await do(trail, done, STEPS[0], "r1")
    old = Vault.from_base64(OLD_KEY)
    await trail.registry.rows(
        "INSERT INTO data_keys (workspace, wrapped_key, key_id) VALUES ('acme', $1, $2)",
        old.wrap(DataKey.generate(), "acme"),
        old.key_id,
    )
    await do(trail, done, ROTATION, "r2")

    async def recorded() -> list[apb.AuditEvent]:
        return await trail.read(OPERATOR_TOKEN, "system")

    (event,) = await eventually(recorded)
    assert (event.action, event.request_id, event.principal) == ("KeysRotated", "r2", "operator")
