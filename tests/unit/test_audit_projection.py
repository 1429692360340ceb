"""What the trail tells of facts: targets, names, and differences between states."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from kit.eventstore.facts import Fact, Meta, serialize
from onward.audit.v1 import audit_service_pb2 as pb
from onward.registry.v1 import facts_pb2, resources_pb2
from services.audit.domain.content import FACT_TYPES, read
from services.audit.domain.description import Description, describe, trace_id
from services.audit.domain.fields import CHANGES_MAX, VALUE_BYTES_MAX

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
GOLDEN = sorted(
    path for owner in ("registry", "delivery") for path in (Path(__file__).parents[1] / "golden" / owner).glob("*.json")
)
CODE = "async function onTrack(event) { return 'the code' }"

Seen = list[tuple[str, Any, Any]]


class Told:
    """Facts told one after the other, as the projection does; `of` answers the differences that the last one made."""

    def __init__(self) -> None:
        self.states: dict[str, Mapping[str, Any]] = {}
        self.position = 0

    def tell(self, stream: str, data: Message | bytes, type_name: str = "") -> Description:
        self.position += 1
        stored = data if isinstance(data, bytes) else serialize(data)
        name = type_name or (data.DESCRIPTOR.name if isinstance(data, Message) else "")
        content = read(Fact("acme", self.position, stream, 1, name, stored, "018f", Meta("token:a"), AT))
        description = describe(content, self.states)
        # As JSON and back, for so they are stored.
        self.states |= {stream: json.loads(json.dumps(state)) for stream, state in description.states.items()}
        return description

    def of(self, stream: str, data: Message | bytes, type_name: str = "") -> Seen:
        return seen(self.tell(stream, data, type_name))


def seen(description: Description) -> Seen:
    return [
        (one.field, one.before and json.loads(one.before), one.after and json.loads(one.after))
        for one in description.changes
    ]


@pytest.fixture
def told() -> Told:
    return Told()


def saved(number: int, code: str = CODE, **changes: Any) -> facts_pb2.FunctionVersionSaved:
    digest = hashlib.sha256(code.encode()).hexdigest()
    return facts_pb2.FunctionVersionSaved(function="crm", number=number, code=code, code_sha256=digest, **changes)


def setting(name: str, **change: Any) -> facts_pb2.SettingsChanged:
    return facts_pb2.SettingsChanged(destination="eu", changes=[facts_pb2.SettingChange(name=name, **change)])


def text(value: str) -> resources_pb2.SettingValue:
    return resources_pb2.SettingValue(string_value=value)


def test_what_is_created_has_all_its_fields_and_no_values_before(told: Told) -> None:
    made = facts_pb2.FunctionCreated(function="crm", display_name="CRM", labels={"team": "growth"})
    description = told.tell("functions/crm", made)
    assert (description.target_type, description.target_id) == ("functions", "crm")
    assert description.target_display_name == "CRM"
    assert description.outcome == pb.OUTCOME_SUCCEEDED
    assert seen(description) == [("displayName", "", "CRM"), ("labels.team", "", "growth")]


def test_the_workspaces_own_facts_have_the_workspace_as_their_target(told: Told) -> None:
    description = told.tell(
        "workspace", facts_pb2.WorkspaceCreated(workspace="acme", display_name="Acme", functions_max=10)
    )
    assert (description.target_type, description.target_id) == ("workspaces", "acme")
    assert told.of("workspace", facts_pb2.LimitsSet(functions_max=25)) == [("functionsMax", 10, 25)]


def test_a_field_that_falls_back_to_its_zero_value_is_a_change(told: Told) -> None:
    told.tell("workspace", facts_pb2.WorkspaceCreated(workspace="acme", functions_max=10))
    assert told.of("workspace", facts_pb2.LimitsSet(functions_max=0)) == [("functionsMax", 10, 0)]


def test_a_later_fact_carries_the_name_that_the_target_had_then(told: Told) -> None:
    told.tell("functions/crm", facts_pb2.FunctionCreated(function="crm", display_name="CRM"))
    assert told.tell("functions/crm", saved(1)).target_display_name == "CRM"


def test_saved_code_is_told_by_its_hash_and_number(told: Told) -> None:
    first = saved(1, timeout_ms=5000, handlers=["onTrack"])
    told.tell("functions/crm", first)
    second = saved(2, code="other", timeout_ms=5000, handlers=["onTrack"])
    assert told.of("functions/crm", second) == [
        ("codeSha256", first.code_sha256, second.code_sha256),
        ("version", 1, 2),
    ]


def test_definitions_are_compared_by_their_name(told: Told) -> None:
    key = resources_pb2.SettingDefinition(name="apiKey", label="Key", type=resources_pb2.SETTING_TYPE_STRING)
    region = resources_pb2.SettingDefinition(name="region", label="Region", type=resources_pb2.SETTING_TYPE_STRING)
    told.tell("functions/crm", saved(1, definitions=[key, region]))
    key.encrypted = True
    before = {"label": "Key", "type": "SETTING_TYPE_STRING"}
    assert told.of("functions/crm", saved(2, definitions=[key])) == [
        ("definitions.apiKey", before, {**before, "encrypted": True}),
        ("definitions.region", {"label": "Region", "type": "SETTING_TYPE_STRING"}, ""),
        ("version", 1, 2),
    ]
    assert told.of("functions/crm", saved(3)) == [
        ("definitions.apiKey", {**before, "encrypted": True}, ""),
        ("version", 2, 3),
    ]


def test_a_deployment_tells_what_each_destination_ran_before(told: Told) -> None:
    told.tell("destinations/eu", facts_pb2.DestinationConnected(destination="eu", function="crm", version=1))
    told.tell("destinations/us", facts_pb2.DestinationConnected(destination="us", function="crm", version=2))
    deployed = facts_pb2.VersionDeployed(function="crm", number=3, destinations=["eu", "us"])
    assert told.of("functions/crm", deployed) == [("destinations.eu.version", 1, 3), ("destinations.us.version", 2, 3)]
    deployed = facts_pb2.VersionDeployed(function="crm", number=4, destinations=["us"])
    assert told.of("functions/crm", deployed) == [("destinations.us.version", 3, 4)]


def test_a_destination_is_connected_disabled_and_then_switched(told: Told) -> None:
    connected = facts_pb2.DestinationConnected(
        destination="eu", display_name="EU", function="crm", source="web", version=1
    )
    assert told.of("destinations/eu", connected) == [
        ("displayName", "", "EU"),
        ("enabled", "", False),
        ("function", "", "crm"),
        ("source", "", "web"),
        ("version", "", 1),
    ]
    assert told.of("destinations/eu", facts_pb2.DestinationEnabled(destination="eu")) == [("enabled", False, True)]
    assert told.of("destinations/eu", facts_pb2.DestinationDisabled(destination="eu")) == [("enabled", True, False)]


def test_plain_settings_are_shown_with_their_values(told: Told) -> None:
    assert told.of("destinations/eu", setting("region", value=text("eu"))) == [("settings.region", "", "eu")]
    assert told.of("destinations/eu", setting("region", value=text("us"))) == [("settings.region", "eu", "us")]
    assert told.of("destinations/eu", setting("region", cleared=True)) == [("settings.region", "us", "")]
    for value, shown in (
        (resources_pb2.SettingValue(bool_value=False), False),
        (resources_pb2.SettingValue(list_value=resources_pb2.StringList(values=["a"])), ["a"]),
        (resources_pb2.SettingValue(list_value=resources_pb2.StringList()), []),
        (resources_pb2.SettingValue(map_value=resources_pb2.StringMap(values={"a": "b"})), {"a": "b"}),
    ):
        assert Told().of("destinations/eu", setting("one", value=value)) == [("settings.one", "", shown)]


def test_encrypted_settings_are_only_said_to_have_changed(told: Told) -> None:
    key = "settings.apiKey"
    assert told.of("destinations/eu", setting("apiKey", keyed_hash="ab" * 32)) == [(key, "", "changed")]
    assert told.of("destinations/eu", setting("apiKey", keyed_hash="cd" * 32)) == [(key, "set", "changed")]
    assert told.of("destinations/eu", setting("apiKey", cleared=True)) == [(key, "set", "cleared")]


def test_a_setting_that_becomes_encrypted_shows_its_old_value_and_not_its_new_one(told: Told) -> None:
    told.tell("destinations/eu", setting("apiKey", value=text("plain")))
    assert told.of("destinations/eu", setting("apiKey", keyed_hash="ab" * 32)) == [
        ("settings.apiKey", "plain", "changed")
    ]


def test_ranges_add_up(told: Told) -> None:
    told.tell("workspace", facts_pb2.EgressRangeAllowed(range="10.1.0.0/16"))
    assert told.of("workspace", facts_pb2.EgressRangeAllowed(range="10.2.0.0/16")) == [
        ("egressRanges", ["10.1.0.0/16"], ["10.1.0.0/16", "10.2.0.0/16"])
    ]


def test_a_target_that_is_created_again_begins_anew(told: Told) -> None:
    told.tell("functions/crm", facts_pb2.FunctionCreated(function="crm", display_name="Old", description="x"))
    again = facts_pb2.FunctionCreated(function="crm", display_name="New")
    assert told.of("functions/crm", again) == [("displayName", "", "New")]


def test_a_type_of_a_newer_release_is_told_by_its_fields(told: Told) -> None:
    told.tell(
        "functions/crm", facts_pb2.FunctionCreated(function="crm", display_name="CRM", labels={"a": "1", "b": "2"})
    )
    renamed = b'{"function":"crm","displayName":"CRM 2","labels":{"a":"1"},"code":"secret recipe"}'
    description = told.tell("functions/crm", renamed, "FunctionPolished")
    assert description.target_display_name == "CRM 2"
    digest = {"bytes": 13, "sha256": hashlib.sha256(b"secret recipe").hexdigest()}
    assert seen(description) == [("code", "", digest), ("displayName", "CRM", "CRM 2"), ("labels.b", "2", "")]


@pytest.mark.parametrize("data", [b"[1]", b"{", b'"text"', b'{"functionsMax":"many"}'])
def test_a_fact_that_cannot_be_read_is_told_of_nevertheless(told: Told, data: bytes) -> None:
    assert told.tell("workspace", data, "LimitsSet").target_id == "acme"


def test_a_refusal_is_told_as_denied(told: Told) -> None:
    assert told.tell("tokens/a", b'{"reason":"PERMISSION_DENIED"}', "AccessDenied").outcome == pb.OUTCOME_DENIED


def test_long_values_are_told_by_hash_and_size(told: Told) -> None:
    longest, longer = "x" * VALUE_BYTES_MAX, "x" * (VALUE_BYTES_MAX + 1)
    assert told.of("destinations/eu", setting("a", value=text(longest)))[0][2] == longest
    (change,) = told.of("destinations/eu", setting("a", value=text(longer)))
    assert change[2] == {"bytes": len(longer), "sha256": hashlib.sha256(longer.encode()).hexdigest()}


def test_many_changes_are_told_up_to_a_bound_and_the_rest_by_number(told: Told) -> None:
    labels = {f"l{number:04d}": "x" for number in range(CHANGES_MAX + 10)}
    changes = told.of("functions/crm", facts_pb2.FunctionCreated(function="crm", labels=labels))
    assert len(changes) == CHANGES_MAX
    assert changes[-1] == ("...", "", "11 further fields")
    assert len(told.states["functions/crm"]) == CHANGES_MAX + 10


def test_a_trace_id_is_the_second_part_of_a_traceparent() -> None:
    assert trace_id("00-" + "a" * 32 + "-" + "b" * 16 + "-01") == "a" * 32
    assert [trace_id(odd) for odd in ("", "nonsense", "00-a")] == ["", "", ""]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_every_stored_type_is_told_without_code_or_keyed_hashes(told: Told, path: Path) -> None:
    """D1."""
    name = path.stem.partition("-")[0]
    told.tell("things/one", facts_pb2.FunctionCreated(function="one", display_name="One"))
    description = told.tell("things/one", path.read_bytes(), name)
    # What takes away something that the target never had changes nothing.
    assert description.changes or name.endswith(("Revoked", "Deployed", "Disallowed"))
    shown = json.dumps([description.states, [one.after for one in description.changes]])
    assert "onTrack(event)" not in shown
    assert "abababab" not in shown


def test_every_fact_has_a_golden_file_to_be_told_from() -> None:
    assert {path.stem.partition("-")[0] for path in GOLDEN} == set(FACT_TYPES) - {"SettingChange"}


def test_what_a_policy_no_longer_names_is_told_from_what_it_sets_to_nothing(told: Told) -> None:
    """No retries at all, and none of the successes kept, are other things than as the installation has it."""
    connected = facts_pb2.DestinationConnected(destination="eu", display_name="EU", function="crm", source="web")
    told.tell("destinations/eu", connected)

    def updated(**fields: Any) -> list[tuple[str, Any, Any]]:
        policy = resources_pb2.DeliveryPolicy(**fields)
        return told.of("destinations/eu", facts_pb2.DeliveryPolicyUpdated(destination="eu", policy=policy))

    schedule = resources_pb2.RetrySchedule(offsets_s=[10, 60])
    assert updated(retries=schedule, max_per_second=5) == [
        ("policy.maxPerSecond", "", 5),
        ("policy.retries.offsetsS", "", [10, 60]),
    ]
    assert updated(retries=resources_pb2.RetrySchedule(), success_sample_rate=0) == [
        ("policy.maxPerSecond", 5, 0),
        ("policy.retries.offsetsS", [10, 60], []),
        ("policy.successSampleRate", "", 0),
    ]
    assert updated() == [("policy.retries.offsetsS", [], ""), ("policy.successSampleRate", 0, "")]
