"""Audit events as OCSF: the class API Activity (6003), one JSON object each.

https://schema.ocsf.io/1.8.0/classes/api_activity
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any, Final

import orjson
from google.protobuf.timestamp_pb2 import Timestamp

from onward.audit.v1 import audit_service_pb2 as pb

SCHEMA_VERSION: Final = "1.8.0"
CATEGORY_UID: Final = 6
CLASS_UID: Final = 6003

# activity_id of the class.
CREATE, READ, UPDATE, DELETE, OTHER = 1, 2, 3, 4, 99
_ACTIVITY_NAMES: Final = {CREATE: "Create", READ: "Read", UPDATE: "Update", DELETE: "Delete"}
# What each type of fact is. What a later release adds is OTHER.
ACTIVITIES: Final[Mapping[str, int]] = {
    "WorkspaceCreated": CREATE,
    "WorkspaceUpdated": UPDATE,
    "LimitsSet": UPDATE,
    "EgressRangeAllowed": UPDATE,
    "EgressRangeDisallowed": UPDATE,
    "MemberAdded": CREATE,
    "MemberRemoved": DELETE,
    "PersonErased": DELETE,
    "RoleGranted": UPDATE,
    "RoleRevoked": UPDATE,
    "TokenCreated": CREATE,
    "TokenRevoked": DELETE,
    "KeysRotated": UPDATE,
    "FunctionCreated": CREATE,
    "FunctionUpdated": UPDATE,
    "FunctionVersionSaved": UPDATE,
    "FunctionDeleted": DELETE,
    "VersionDeployed": UPDATE,
    "SourceCreated": CREATE,
    "SourceUpdated": UPDATE,
    "SourceDeleted": DELETE,
    "WriteKeyCreated": UPDATE,
    "WriteKeyRevoked": UPDATE,
    "DestinationConnected": CREATE,
    "DestinationEnabled": UPDATE,
    "DestinationDisabled": UPDATE,
    "DestinationDisconnected": DELETE,
    "DestinationInvoked": OTHER,
    "SecretSought": READ,
    "DeliveryRetried": OTHER,
    "DeliveryCancelled": OTHER,
    "BreakerOpened": OTHER,
    "BreakerClosed": OTHER,
    "BreakerReset": OTHER,
    "ReplayCreated": CREATE,
    "ReplayCancelled": UPDATE,
    "ReplayFinished": OTHER,
    "DestinationBecameUnhealthy": OTHER,
    "DestinationBecameHealthy": OTHER,
    "SubscriptionCreated": CREATE,
    "SubscriptionDeleted": DELETE,
    "AlertRaised": OTHER,
    "AlertUndelivered": OTHER,
    "DeliveryPolicyUpdated": UPDATE,
    "SettingsChanged": UPDATE,
    "FilterCreated": UPDATE,
    "FilterUpdated": UPDATE,
    "FilterDeleted": UPDATE,
    "FiltersReordered": UPDATE,
    # What was asked for is its `api.operation`.
    "AccessDenied": OTHER,
}

# severity_id: a refusal may be worth a look.
_INFORMATIONAL, _LOW = 1, 2
# user.type_id, by what principals begin with.
_USER, _ADMIN, _SYSTEM, _UNKNOWN, _OTHER = 1, 2, 3, 0, 99
_USER_TYPES: Final = {"member": _USER, "operator": _ADMIN, "service": _SYSTEM, "anonymous": _UNKNOWN}


def ocsf_event(one: pb.AuditEvent, release: str) -> dict[str, Any]:
    """An audit event as API Activity; `release` is Onward's own version."""
    activity = ACTIVITIES.get(one.action, OTHER)
    denied = one.outcome == pb.OUTCOME_DENIED
    after = {change.field: _plain(change.after) for change in one.changes}
    return {
        "category_uid": CATEGORY_UID,
        "category_name": "Application Activity",
        "class_uid": CLASS_UID,
        "class_name": "API Activity",
        "activity_id": activity,
        "activity_name": _ACTIVITY_NAMES.get(activity, one.action),
        "type_uid": CLASS_UID * 100 + activity,
        "type_name": f"API Activity: {_ACTIVITY_NAMES.get(activity, 'Other')}",
        "severity_id": _LOW if denied else _INFORMATIONAL,
        "severity": "Low" if denied else "Informational",
        "status_id": 2 if denied else 1,
        "status": "Failure" if denied else "Success",
        **({"status_detail": str(after["reason"])} if denied and after.get("reason") else {}),
        "time": _milliseconds(one.occur_time),
        "message": f"{one.action} {one.target_type}/{one.target_id} by {one.principal}",
        "metadata": _metadata(one, release),
        "actor": _actor(one),
        "api": _api(one, after),
        "src_endpoint": _endpoint(one),
        "resources": [_resource(one)],
        **({"http_request": {"user_agent": one.user_agent}} if one.user_agent else {}),
        "unmapped": _unmapped(one),
    }


def ocsf_line(one: pb.AuditEvent, release: str) -> bytes:
    """As a line of JSON Lines, with its line feed; keys are sorted."""
    return orjson.dumps(ocsf_event(one, release), option=orjson.OPT_SORT_KEYS) + b"\n"


def ocsf_index(line: bytes) -> int:
    """The index of the record that a line was made of. Raises ValueError."""
    try:
        return int(orjson.loads(line)["metadata"]["sequence"])
    except (KeyError, TypeError) as error:
        raise ValueError("no OCSF event of Onward's") from error


def _metadata(one: pb.AuditEvent, release: str) -> dict[str, Any]:
    workspace = one.name.removesuffix(f"/auditEvents/{one.index}")
    return {
        "version": SCHEMA_VERSION,
        "product": {"name": "Onward", "vendor_name": "Onward", "version": release},
        "uid": one.fact_id,
        "event_code": one.action,
        "log_name": f"{workspace}/auditEvents",
        "log_provider": f"onward.{one.service}",
        "sequence": one.index,
        "logged_time": _milliseconds(one.record_time),
        "tenant_uid": workspace.removeprefix("workspaces/"),
        **({"correlation_uid": one.trace_id} if one.trace_id else {}),
    }


def _actor(one: pb.AuditEvent) -> dict[str, Any]:
    kind, _, name = one.principal.partition(":")
    user = {"uid": one.principal, "name": name or kind, "type_id": _USER_TYPES.get(kind, _OTHER)}
    # Tokens tell which session it was: people have one for each of their programs.
    return {"user": user, **({"session": {"credential_uid": one.credential}} if one.credential else {})}


def _api(one: pb.AuditEvent, after: Mapping[str, Any]) -> dict[str, Any]:
    asked = str(after.get("method") or "") if one.outcome == pb.OUTCOME_DENIED else ""
    return {
        "operation": asked or one.action,
        "service": {"name": f"onward.{one.service}"},
        **({"request": {"uid": one.request_id}} if one.request_id else {}),
    }


def _endpoint(one: pb.AuditEvent) -> dict[str, Any]:
    """Not verified. It must have something: what is not known, or erased, has a name that says so."""
    if not one.client_address:
        erased = one.client_state == pb.CLIENT_STATE_ERASED
        return {"name": "erased" if erased else "unknown"}
    try:
        ipaddress.ip_address(one.client_address)
    except ValueError:
        return {"name": one.client_address}
    return {"ip": one.client_address}


def _resource(one: pb.AuditEvent) -> dict[str, Any]:
    found = {"type": one.target_type, "uid": one.target_id or one.target_type}
    return {**found, **({"name": one.target_display_name} if one.target_display_name else {})}


def _unmapped(one: pb.AuditEvent) -> dict[str, Any]:
    changes = [{"field": each.field, "before": each.before, "after": each.after} for each in one.changes]
    return {"changes": changes, "position": one.position, "record": one.name}


def _plain(text: str) -> Any:
    return orjson.loads(text) if text else ""


def _milliseconds(stamp: Timestamp) -> int:
    return stamp.ToNanoseconds() // 1_000_000
