"""Audit events as OCSF, checked by the rules of OCSF's own schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from cli.audit_ocsf import ACTIVITIES, CREATE, DELETE, OTHER, UPDATE, ocsf_event, ocsf_index, ocsf_line
from onward.audit.v1 import audit_service_pb2 as pb
from services.audit.domain.content import FACT_TYPES
from tests.unit.json_schema import faults

SCHEMA = json.loads((Path(__file__).parents[1] / "golden" / "ocsf_api_activity.json").read_text())


def event(action: str = "FunctionCreated", **changes: Any) -> pb.AuditEvent:
    values: dict[str, Any] = {
        "name": "workspaces/acme/auditEvents/41",
        "index": 41,
        "fact_id": "01890a5d-ac96-774b-bcce-b302099a8057",
        "principal": "member:ada",
        "credential": "token:5f0c",
        "action": action,
        "target_type": "functions",
        "target_id": "alerts",
        "target_display_name": "Alerts",
        "outcome": pb.OUTCOME_SUCCEEDED,
        "changes": [pb.FieldChange(field="displayName", after='"Alerts"')],
        "request_id": "r1",
        "trace_id": "a" * 32,
        "service": "registry",
        "position": 40,
        "client_address": "192.0.2.7",
        "user_agent": "onward-cli/0.4.0",
        "client_state": pb.CLIENT_STATE_KNOWN,
    }
    one = pb.AuditEvent(**{**values, **changes})
    one.occur_time.FromJsonString("2026-03-01T12:00:00.123456Z")
    one.record_time.FromJsonString("2026-03-01T12:00:01Z")
    return one


def told(one: pb.AuditEvent) -> dict[str, Any]:
    """As who reads the file has it."""
    found: dict[str, Any] = json.loads(ocsf_line(one, "1.2.3"))
    return found


DENIED: dict[str, Any] = {
    "action": "AccessDenied",
    "outcome": pb.OUTCOME_DENIED,
    "principal": "anonymous",
    "changes": [
        pb.FieldChange(field="method", after='"/onward.registry.v1.FunctionService/SaveFunction"'),
        pb.FieldChange(field="reason", after='"INVALID_TOKEN"'),
        pb.FieldChange(field="count", after="12"),
    ],
}
BARE: dict[str, Any] = dict.fromkeys(
    ("credential", "target_display_name", "request_id", "trace_id", "client_address", "user_agent"), ""
)


def test_every_type_of_fact_is_mapped() -> None:
    """D1: whoever adds one says what it is."""
    assert set(ACTIVITIES) == set(FACT_TYPES) - {"SettingChange"}


@pytest.mark.parametrize("action", [*sorted(ACTIVITIES), "SomethingOfLater"])
def test_every_event_is_valid(action: str) -> None:
    assert faults(told(event(action)), SCHEMA) == []


@pytest.mark.parametrize(
    "one",
    [
        event(**DENIED),
        event(**BARE),
        event(**BARE, changes=[], target_id=""),
        event(principal="operator", credential=""),
        event(principal="service:executor", **BARE | {"client_state": pb.CLIENT_STATE_UNSPECIFIED}),
        event(client_address="2001:db8::7"),
        event(client_address="nats.example", principal="token:5f0c"),
        event(**BARE | {"client_state": pb.CLIENT_STATE_ERASED}),
        event(target_display_name='Robert"); \u2028 😀', changes=[pb.FieldChange(field="a", after='{"b": [1]}')]),
    ],
)
def test_odd_and_empty_ones_are_valid_too(one: pb.AuditEvent) -> None:
    assert faults(told(one), SCHEMA) == []


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"activity_id": 7}, "/activity_id"),
        ({"time": "2026-03-01"}, "/time"),
        ({"class_uid": 6004}, "/class_uid"),
        ({"foo": 1}, "/:"),
        ({"api": {}}, "/api"),
        ({"src_endpoint": {}}, "/src_endpoint"),
        ({"src_endpoint": {"ip": "nowhere"}}, "/src_endpoint/ip"),
        ({"actor": {}}, "/actor"),
        ({"resources": [{"type": "x"}]}, "/resources/0"),
        ({"metadata": {"version": "1.8.0"}}, "/metadata"),
        ({"status_id": True}, "/status_id"),
    ],
)
def test_the_schema_notices_what_is_wrong(wrong: dict[str, Any], where: str) -> None:
    assert any(one.startswith(where) for one in faults(told(event()) | wrong, SCHEMA))


def test_an_event_says_who_did_what_to_what_and_when() -> None:
    one = told(event())
    assert (one["class_uid"], one["activity_id"], one["type_uid"]) == (6003, CREATE, 600301)
    assert one["time"] == 1772366400123
    assert one["actor"] == {
        "session": {"credential_uid": "token:5f0c"},
        "user": {"name": "ada", "type_id": 1, "uid": "member:ada"},
    }
    assert one["api"] == {
        "operation": "FunctionCreated",
        "request": {"uid": "r1"},
        "service": {"name": "onward.registry"},
    }
    assert one["resources"] == [{"name": "Alerts", "type": "functions", "uid": "alerts"}]
    assert one["src_endpoint"] == {"ip": "192.0.2.7"}
    assert one["http_request"] == {"user_agent": "onward-cli/0.4.0"}
    assert (one["status_id"], one["severity_id"]) == (1, 1)
    assert one["metadata"] == {
        "correlation_uid": "a" * 32,
        "event_code": "FunctionCreated",
        "log_name": "workspaces/acme/auditEvents",
        "log_provider": "onward.registry",
        "logged_time": 1772366401000,
        "product": {"name": "Onward", "vendor_name": "Onward", "version": "1.2.3"},
        "sequence": 41,
        "tenant_uid": "acme",
        "uid": "01890a5d-ac96-774b-bcce-b302099a8057",
        "version": "1.8.0",
    }
    assert one["unmapped"]["changes"] == [{"field": "displayName", "before": "", "after": '"Alerts"'}]


def test_a_refusal_says_what_was_asked_for_and_why_it_was_refused() -> None:
    """D3."""
    one = told(event(**DENIED))
    assert one["api"]["operation"] == "/onward.registry.v1.FunctionService/SaveFunction"
    assert (one["status_id"], one["status_detail"], one["severity_id"]) == (2, "INVALID_TOKEN", 2)
    assert one["actor"]["user"]["type_id"] == 0


def test_what_is_erased_or_unknown_says_so() -> None:
    """D13."""
    assert told(event(**BARE))["src_endpoint"] == {"name": "unknown"}
    erased = event(**BARE | {"client_state": pb.CLIENT_STATE_ERASED})
    assert told(erased)["src_endpoint"] == {"name": "erased"}


def test_what_ends_something_is_a_deletion() -> None:
    ends = {action for action, activity in ACTIVITIES.items() if activity == DELETE}
    assert ends == {one for one in ACTIVITIES if one.endswith(("Deleted", "Removed", "Disconnected", "Erased"))} - {
        "FilterDeleted"
    } | {"TokenRevoked"}
    assert ocsf_event(event("SomethingOfLater"), "1")["activity_id"] == OTHER
    assert ocsf_event(event("FunctionUpdated"), "1")["activity_id"] == UPDATE


def test_a_line_tells_which_record_it_is_of() -> None:
    assert ocsf_index(ocsf_line(event(), "1")) == 41
    for line in (b"{}", b"[]", b'{"metadata": 1}', b"x"):
        with pytest.raises(ValueError, match=r"Onward|JSON|character"):
            ocsf_index(line)


def test_the_same_event_is_the_same_line_each_time() -> None:
    """D12."""
    line = ocsf_line(event(), "1")
    assert line == ocsf_line(event(), "1") == orjson.dumps(orjson.loads(line), option=orjson.OPT_SORT_KEYS) + b"\n"
