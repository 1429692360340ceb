"""How each fact reads in the trail: one row a type."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest
from google.protobuf import timestamp_pb2

from kit.eventstore.facts import Fact, Meta, serialize
from onward.audit.v1 import audit_service_pb2 as pb
from onward.registry.v1 import facts_pb2 as f
from onward.registry.v1 import resources_pb2 as r
from services.audit.domain.content import FACT_TYPES, read
from services.audit.domain.description import Description, describe
from tests.unit.audit_row import Row, Told
from tests.unit.audit_rows_of_delivery import DELIVERY_ROWS

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
# A message inside a fact, never a fact of its own.
PARTS = {"SettingChange"}
CODE = "async function onTrack() {}"


def stamp(moment: datetime) -> timestamp_pb2.Timestamp:
    made = timestamp_pb2.Timestamp()
    made.FromDatetime(moment)
    return made


def grant(role: str, *names: str) -> r.RoleGrant:
    made = r.RoleGrant(role=r.Role.Value(role))
    if names:
        made.scope.names.names.extend(names)
    return made


def rule(title: str, **changes: Any) -> r.FilterRule:
    actions = [r.FilterAction(drop=True)]
    return r.FilterRule(**{"title": title, "condition": "all", "actions": actions, "enabled": True, **changes})


WORKSPACE = ("workspace", f.WorkspaceCreated(workspace="acme", display_name="Acme", functions_max=10))
ADA = ("members/ada", f.MemberAdded(member="ada", kind=r.MEMBER_KIND_SERVICE_ACCOUNT, display_name="Ada's robot"))
ADMIN = grant("ROLE_FUNCTIONS_ADMIN", "workspaces/acme/functions/crm", "workspaces/acme/functions/ads")
ROLE = ("members/ada", f.RoleGranted(binding="b1", member="ada", grant=ADMIN))
TOKEN = ("tokens/5f0c", f.TokenCreated(token="5f0c", display_name="CI", member="ada"))  # an id
FUNCTION = ("functions/crm", f.FunctionCreated(function="crm", display_name="CRM", labels={"team": "growth"}))
SOURCE = ("sources/web", f.SourceCreated(source="web", display_name="Web", labels={"team": "growth"}))
CONNECTED = f.DestinationConnected(destination="eu", display_name="EU", function="crm", source="web", version=1)
DESTINATION = ("destinations/eu", CONNECTED)
ENABLED = ("destinations/eu", f.DestinationEnabled(destination="eu"))
SECRET = f.SettingChange(name="apiKey", keyed_hash="ab" * 32)
SETTINGS = ("destinations/eu", f.SettingsChanged(destination="eu", revision=1, changes=[SECRET]))
NO_BOTS = ("destinations/eu", f.FilterCreated(parent="destinations/eu", filter="bots", rule=rule("No bots")))
NO_TEST = ("destinations/eu", f.FilterCreated(parent="destinations/eu", filter="test", rule=rule("No tests")))
SAVED = f.FunctionVersionSaved(function="crm", number=1, code=CODE, code_sha256="12" * 32, handlers=["onTrack"])
KEY = ("sources/web", f.WriteKeyCreated(source="web", key="k1"))
REFUSED = f.AccessDenied(
    method="/onward.registry.v1.FunctionService/SaveFunction",
    resource="workspaces/acme/functions/crm",
    permission="FUNCTION_EDIT",
    reason="PERMISSION_DENIED",
    count=999,
    first_time=stamp(AT),
    last_time=stamp(AT.replace(minute=5)),
    service="registry",
)

ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "WorkspaceCreated": Row(
            WORKSPACE,
            "workspaces/acme",
            "Acme",
            [("displayName", "", "Acme"), ("functionsMax", "", 10)],
        ),
        "WorkspaceUpdated": Row(
            ("workspace", f.WorkspaceUpdated(display_name="Acme Inc", members_may_edit_functions=True)),
            "workspaces/acme",
            "Acme Inc",
            [("displayName", "Acme", "Acme Inc"), ("membersMayEditFunctions", "", True)],
            before=[WORKSPACE],
        ),
        "LimitsSet": Row(
            ("workspace", f.LimitsSet(functions_max=25)),
            "workspaces/acme",
            "Acme",
            [("functionsMax", 10, 25)],
            before=[WORKSPACE],
        ),
        "EgressRangeAllowed": Row(
            ("workspace", f.EgressRangeAllowed(range="10.1.0.0/16")),
            "workspaces/acme",
            "Acme",
            [("egressRanges", "", ["10.1.0.0/16"])],
            before=[WORKSPACE],
        ),
        "EgressRangeDisallowed": Row(
            ("workspace", f.EgressRangeDisallowed(range="10.1.0.0/16")),
            "workspaces/acme",
            "Acme",
            [("egressRanges", ["10.1.0.0/16"], [])],
            before=[WORKSPACE, ("workspace", f.EgressRangeAllowed(range="10.1.0.0/16"))],
        ),
        "MemberAdded": Row(
            ADA,
            "members/ada",
            "Ada's robot",
            [("displayName", "", "Ada's robot"), ("kind", "", "MEMBER_KIND_SERVICE_ACCOUNT")],
        ),
        "MemberRemoved": Row(
            ("members/ada", f.MemberRemoved(member="ada")),
            "members/ada",
            "Ada's robot",
            [
                ("displayName", "Ada's robot", ""),
                ("kind", "MEMBER_KIND_SERVICE_ACCOUNT", ""),
                ("roles.b1", "FUNCTIONS_ADMIN of functions/ads, functions/crm", ""),
            ],
            before=[ADA, ROLE],
        ),
        "PersonErased": Row(
            ("members/ada", f.PersonErased(member="ada")),
            "members/ada",
            "",
            [("erased", "", True)],
            before=[ADA, ("members/ada", f.MemberRemoved(member="ada"))],
        ),
        "RoleGranted": Row(
            ROLE,
            "members/ada",
            "Ada's robot",
            [("roles.b1", "", "FUNCTIONS_ADMIN of functions/ads, functions/crm")],
            before=[ADA],
        ),
        "RoleRevoked": Row(
            ("members/ada", f.RoleRevoked(binding="b1", member="ada")),
            "members/ada",
            "Ada's robot",
            [("roles.b1", "FUNCTIONS_ADMIN of functions/ads, functions/crm", "")],
            before=[ADA, ROLE],
        ),
        "TokenCreated": Row(
            (
                "tokens/5f0c",
                f.TokenCreated(
                    token="5f0c",  # an id
                    display_name="CI",
                    member="ada",
                    grants=[grant("ROLE_SOURCE_ADMIN"), grant("ROLE_MEMBER")],
                    expire_time=stamp(AT),
                ),
            ),
            "tokens/5f0c",
            "CI",
            [
                ("displayName", "", "CI"),
                ("expireTime", "", "2026-01-02T03:04:05Z"),
                ("grants", "", ["SOURCE_ADMIN of all sources", "MEMBER"]),
                ("member", "", "ada"),
            ],
        ),
        "TokenRevoked": Row(
            ("tokens/5f0c", f.TokenRevoked(token="5f0c")),  # an id
            "tokens/5f0c",
            "CI",
            [("displayName", "CI", ""), ("member", "ada", "")],
            before=[TOKEN],
        ),
        "AccessDenied": Row(
            ("denials/2026-01-02", REFUSED),
            "functions/crm",
            "CRM",
            [
                ("count", "", 999),
                ("firstTime", "", "2026-01-02T03:04:05Z"),
                ("lastTime", "", "2026-01-02T03:05:05Z"),
                ("method", "", "/onward.registry.v1.FunctionService/SaveFunction"),
                ("permission", "", "FUNCTION_EDIT"),
                ("reason", "", "PERMISSION_DENIED"),
                ("resource", "", "workspaces/acme/functions/crm"),
                ("service", "", "registry"),
            ],
            before=[FUNCTION],
        ),
        "KeysRotated": Row(
            ("keys", f.KeysRotated(key_id="k2", rewrapped=12)),
            "keys/k2",
            "",
            [("keyId", "k1", "k2"), ("rewrapped", "", 12)],
            before=[("keys", f.KeysRotated(key_id="k1", rewrapped=3))],
            workspace="system",
        ),
        "FunctionCreated": Row(
            FUNCTION,
            "functions/crm",
            "CRM",
            [("displayName", "", "CRM"), ("labels.team", "", "growth")],
        ),
        "FunctionVersionSaved": Row(
            (
                "functions/crm",
                f.FunctionVersionSaved(
                    function="crm",
                    number=3,
                    code=CODE,
                    code_sha256="12" * 32,
                    handlers=["onTrack", "onPage"],
                    restored_from=1,
                ),
            ),
            "functions/crm",
            "CRM",
            [("handlers", ["onTrack"], ["onTrack", "onPage"]), ("restoredFrom", "", 1), ("version", 1, 3)],
            before=[FUNCTION, ("functions/crm", SAVED)],
        ),
        "FunctionUpdated": Row(
            (
                "functions/crm",
                f.FunctionUpdated(function="crm", display_name="CRM 2", labels=r.Labels(labels={"team": "ads"})),
            ),
            "functions/crm",
            "CRM 2",
            [("displayName", "CRM", "CRM 2"), ("labels.team", "growth", "ads")],
            before=[FUNCTION],
        ),
        "FunctionDeleted": Row(
            ("functions/crm", f.FunctionDeleted(function="crm")),
            "functions/crm",
            "CRM",
            [("displayName", "CRM", ""), ("labels.team", "growth", "")],
            before=[FUNCTION],
        ),
        "VersionDeployed": Row(
            ("functions/crm", f.VersionDeployed(function="crm", number=2, destinations=["eu"])),
            "functions/crm",
            "CRM",
            [("destinations.eu.version", 1, 2)],
            before=[FUNCTION, DESTINATION],
        ),
        "SourceCreated": Row(
            SOURCE,
            "sources/web",
            "Web",
            [("displayName", "", "Web"), ("labels.team", "", "growth")],
        ),
        "SourceUpdated": Row(
            ("sources/web", f.SourceUpdated(source="web", labels=r.Labels())),
            "sources/web",
            "Web",
            [("labels.team", "growth", "")],
            before=[SOURCE],
        ),
        "SourceDeleted": Row(
            ("sources/web", f.SourceDeleted(source="web")),
            "sources/web",
            "Web",
            [("displayName", "Web", ""), ("labels.team", "growth", ""), ("writeKeys", ["k1"], "")],
            before=[SOURCE, KEY],
        ),
        "WriteKeyCreated": Row(
            ("sources/web", f.WriteKeyCreated(source="web", key="k2")),
            "sources/web",
            "Web",
            [("writeKeys", ["k1"], ["k1", "k2"])],
            before=[SOURCE, KEY],
        ),
        "WriteKeyRevoked": Row(
            ("sources/web", f.WriteKeyRevoked(source="web", key="k1")),
            "sources/web",
            "Web",
            [("writeKeys", ["k1"], [])],
            before=[SOURCE, KEY],
        ),
        "DestinationConnected": Row(
            DESTINATION,
            "destinations/eu",
            "EU",
            [
                ("displayName", "", "EU"),
                ("enabled", "", False),
                ("function", "", "crm"),
                ("source", "", "web"),
                ("version", "", 1),
            ],
        ),
        "SettingsChanged": Row(SETTINGS, "destinations/eu", "EU", [("settings.apiKey", "", "changed")], [DESTINATION]),
        "DestinationEnabled": Row(ENABLED, "destinations/eu", "EU", [("enabled", False, True)], before=[DESTINATION]),
        "DestinationDisabled": Row(
            ("destinations/eu", f.DestinationDisabled(destination="eu")),
            "destinations/eu",
            "EU",
            [("enabled", True, False)],
            before=[DESTINATION, ENABLED],
        ),
        "DestinationInvoked": Row(
            ("invocations/2026-01-02", f.DestinationInvoked(destination="eu", message_id="m-1")),
            "destinations/eu",
            "EU",
            [("messageId", "", "m-1")],
            before=[DESTINATION],
        ),
        "SecretSought": Row(
            ("lookups/2026-01-02", f.SecretSought(found=0)), "workspaces/acme", "Acme", [("found", "", 0)], [WORKSPACE]
        ),
        **DELIVERY_ROWS,
        "DestinationDisconnected": Row(
            ("destinations/eu", f.DestinationDisconnected(destination="eu")),
            "destinations/eu",
            "EU",
            [
                ("displayName", "EU", ""),
                ("enabled", False, ""),
                ("function", "crm", ""),
                ("settings.apiKey", "set", "cleared"),
                ("source", "web", ""),
                ("version", 1, ""),
            ],
            before=[DESTINATION, SETTINGS],
        ),
        "DeliveryPolicyUpdated": Row(
            (
                "destinations/eu",
                f.DeliveryPolicyUpdated(destination="eu", policy=r.DeliveryPolicy(fail_on_http_error=True)),
            ),
            "destinations/eu",
            "EU",
            [("policy.failOnHttpError", "", True), ("policy.retryOnlyExplicit", True, False)],
            before=[
                DESTINATION,
                (
                    "destinations/eu",
                    f.DeliveryPolicyUpdated(destination="eu", policy=r.DeliveryPolicy(retry_only_explicit=True)),
                ),
            ],
        ),
        "FilterCreated": Row(
            NO_BOTS,
            "destinations/eu",
            "EU",
            [
                ("filterOrder", "", ["bots"]),
                ("filters.bots.actions", "", ["drop"]),
                ("filters.bots.condition", "", "all"),
                ("filters.bots.enabled", "", True),
                ("filters.bots.title", "", "No bots"),
            ],
            before=[DESTINATION],
        ),
        "FilterUpdated": Row(
            (
                "destinations/eu",
                f.FilterUpdated(
                    parent="destinations/eu",
                    filter="bots",
                    rule=rule(
                        "No bots",
                        enabled=False,
                        condition='type = "track"',
                        actions=[
                            r.FilterAction(sample=r.Sampling(rate=0.25, path="userId")),
                            r.FilterAction(drop_fields=r.FieldPaths(paths=["context.ip", "traits.email"])),
                        ],
                    ),
                ),
            ),
            "destinations/eu",
            "EU",
            [
                ("filters.bots.actions", ["drop"], ["sample 0.25 by userId", "drop fields context.ip, traits.email"]),
                ("filters.bots.condition", "all", 'type = "track"'),
                ("filters.bots.enabled", True, False),
            ],
            before=[DESTINATION, NO_BOTS],
        ),
        "FilterDeleted": Row(
            ("destinations/eu", f.FilterDeleted(parent="destinations/eu", filter="bots")),
            "destinations/eu",
            "EU",
            [
                ("filterOrder", ["bots", "test"], ["test"]),
                ("filters.bots.actions", ["drop"], ""),
                ("filters.bots.condition", "all", ""),
                ("filters.bots.enabled", True, ""),
                ("filters.bots.title", "No bots", ""),
            ],
            before=[DESTINATION, NO_BOTS, NO_TEST],
        ),
        "FiltersReordered": Row(
            ("destinations/eu", f.FiltersReordered(parent="destinations/eu", filters=["test", "bots"])),
            "destinations/eu",
            "EU",
            [("filterOrder", ["bots", "test"], ["test", "bots"])],
            before=[DESTINATION, NO_BOTS, NO_TEST],
        ),
    }
)


def tell(told: Sequence[Told], workspace: str = "acme") -> tuple[Description, Mapping[str, Any]]:
    """Facts one after the other, as the projection does; what the last one is told as, and all states."""
    states: dict[str, Mapping[str, Any]] = {}
    for position, (stream, data) in enumerate(told, 1):
        name = data.DESCRIPTOR.name
        fact = Fact(workspace, position, stream, 1, name, serialize(data), "018f", Meta("member:ada"), AT)
        content = read(fact)
        description = describe(content, {one: states[one] for one in content.streams if one in states})
        # As JSON and back, for so they are stored.
        states |= {one: json.loads(json.dumps(state)) for one, state in description.states.items()}
    return description, states


def test_every_type_of_fact_has_a_row() -> None:
    """D1: whoever adds a fact says how it reads."""
    assert set(ROWS) == set(FACT_TYPES) - PARTS
    assert [name for name, row in ROWS.items() if row.fact[1].DESCRIPTOR.name != name] == []


@pytest.mark.parametrize("name", ROWS)
def test_a_fact_reads_as_its_row_says(name: str) -> None:
    """D1."""
    row = ROWS[name]
    description, _ = tell([*row.before, row.fact], row.workspace)
    assert f"{description.target_type}/{description.target_id}" == row.target
    assert description.target_display_name == row.name
    seen = [
        (one.field, one.before and json.loads(one.before), one.after and json.loads(one.after))
        for one in description.changes
    ]
    assert seen == row.changes
    assert (description.outcome == pb.OUTCOME_DENIED) == (name == "AccessDenied")


def test_refusals_of_a_day_are_told_each_by_itself_and_leave_no_state() -> None:
    once, states = tell([ROWS["AccessDenied"].fact])
    twice, _ = tell([ROWS["AccessDenied"].fact] * 2)
    assert once.changes == twice.changes
    assert states == {}


@pytest.mark.parametrize(
    ("resource", "target"),
    [
        ("", "workspaces/acme"),
        ("workspaces/acme", "workspaces/acme"),
        ("workspaces/acme/functions", "workspaces/acme"),
        ("workspaces/acme/sources/web/writeKeys/k1", "sources/web"),
        ("workspaces/nowhere/functions/crm", "workspaces/nowhere"),
        ("functions/crm", "workspaces/acme"),
        ("workspaces//functions/crm", "workspaces/acme"),
    ],
)
def test_a_refusals_target_is_what_was_asked_for(resource: str, target: str) -> None:
    description, _ = tell([("denials/2026-01-02", f.AccessDenied(resource=resource))])
    assert f"{description.target_type}/{description.target_id}" == target


def test_a_restored_version_is_no_longer_one_at_the_next_save() -> None:
    restored = ROWS["FunctionVersionSaved"].fact
    saved = ("functions/crm", f.FunctionVersionSaved(function="crm", number=4, code=CODE, code_sha256="12" * 32))
    description, _ = tell([FUNCTION, restored, saved])
    assert [one.field for one in description.changes] == ["handlers", "version"]


def test_a_key_or_filter_that_is_made_leaves_what_its_parent_was() -> None:
    _, states = tell([SOURCE, KEY])
    assert states["sources/web"]["displayName"] == "Web"
