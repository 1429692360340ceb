"""What each type of fact makes of its target's state. Types without a rule of their own set the fields they have."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from services.audit.domain.content import Content
from services.audit.domain.fields import ENCRYPTED, Fields, State, below, flattened, shown, without
from services.audit.domain.words import actions_in_words, grant_in_words

# Facts that begin a target's life.
BEGINNINGS = frozenset(
    {
        "WorkspaceCreated",
        "MemberAdded",
        "TokenCreated",
        "FunctionCreated",
        "SourceCreated",
        "DestinationConnected",
        "SubscriptionCreated",
    }
)
# Fields that tell of one fact and not of what follows it.
PASSING = ("restoredFrom", "rewrapped")


def state_after(content: Content, state: State) -> Fields:
    """The target's state after the fact, given the one that `state_before` answered."""
    return _RULES.get(content.fact.type, _merged)(content, state)


def state_before(content: Content, state: State) -> State:
    """The state that a fact is compared with."""
    if content.fact.type in BEGINNINGS:
        return {}
    return {path: value for path, value in state.items() if path not in PASSING}


def deployed(content: Content, state: State) -> Fields:
    """A destination's state after a deployment that names it."""
    return {**state, "version": content.fields.get("number", 0)}


def _merged(content: Content, state: State) -> Fields:
    return _with_fields(state, content, content.fields)


def _as_before(content: Content, state: State) -> Fields:
    return dict(state)


def _ended(content: Content, state: State) -> Fields:
    return {}


# Workspaces and people


def _egress_range_allowed(content: Content, state: State) -> Fields:
    return {**state, "egressRanges": [*state.get("egressRanges", ()), content.fields.get("range", "")]}


def _egress_range_disallowed(content: Content, state: State) -> Fields:
    gone = content.fields.get("range", "")
    return {**state, "egressRanges": [one for one in state.get("egressRanges", ()) if one != gone]}


def _person_erased(content: Content, state: State) -> Fields:
    return {**state, "erased": True}


def _role_granted(content: Content, state: State) -> Fields:
    return {**state, _role_path(content): grant_in_words(content.fields.get("grant", {}))}


def _role_revoked(content: Content, state: State) -> Fields:
    return without(state, _role_path(content))


def _role_path(content: Content) -> str:
    return below("roles", str(content.fields.get("binding", "")))


def _token_created(content: Content, state: State) -> Fields:
    grants = [grant_in_words(grant) for grant in content.fields.get("grants", ())]
    return _with_fields(state, content, {**content.fields, **({"grants": grants} if grants else {})})


def _keys_rotated(content: Content, state: State) -> Fields:
    return {**state, "keyId": content.fields.get("keyId", ""), "rewrapped": int(content.fields.get("rewrapped", 0))}


# Functions and sources


def _updated(content: Content, state: State) -> Fields:
    fields = dict(content.fields)
    if "labels" in fields:
        # All of them from now on, within a message so that their absence can be told.
        fields["labels"] = fields["labels"].get("labels", {})
    return _with_fields(state, content, fields)


def _version_saved(content: Content, state: State) -> Fields:
    fields = dict(content.fields)
    code = str(fields.pop("code", ""))
    fields.setdefault("codeSha256", hashlib.sha256(code.encode()).hexdigest())
    fields["version"] = fields.pop("number", 0)
    return _with_fields(state, content, fields)


def _write_key_created(content: Content, state: State) -> Fields:
    return {**state, "writeKeys": [*state.get("writeKeys", ()), content.fields.get("key", "")]}


def _write_key_revoked(content: Content, state: State) -> Fields:
    gone = content.fields.get("key", "")
    return {**state, "writeKeys": [one for one in state.get("writeKeys", ()) if one != gone]}


# Destinations


def _connected(content: Content, state: State) -> Fields:
    return {**_merged(content, state), "enabled": False}


def _enabled(content: Content, state: State) -> Fields:
    start = {name: content.fields[name] for name in ("start", "startTime") if name in content.fields}
    return {**_unswitched(state), "enabled": True, **start}


def _disabled(content: Content, state: State) -> Fields:
    return {**_unswitched(state), "enabled": False, **({"hold": True} if content.fields.get("hold") else {})}


def _unswitched(state: State) -> Fields:
    """Without what was said of it when it was enabled or disabled before."""
    return {name: value for name, value in state.items() if name not in ("start", "startTime", "hold")}


# Fields of a policy that mean the installation's value where they are absent, so that zero is a value of theirs.
_DEFAULTED = frozenset({"policy.retries.offsetsS", "policy.successSampleRate"})


def _policy_updated(content: Content, state: State) -> Fields:
    said = content.fields.get("policy", {})
    policy = flattened("policy", said)
    if "retries" in said:
        policy.setdefault("policy.retries.offsetsS", [])
    kept = {path: value for path, value in state.items() if path not in _DEFAULTED}
    # What is no longer in it has its zero value, which is always false or empty.
    zeros = {path: type(value)() for path, value in kept.items() if path.startswith("policy.")}
    return {**kept, **zeros, **policy}


def _settings_changed(content: Content, state: State) -> Fields:
    after = dict(state)
    for change in content.fields.get("changes", ()):
        path = f"settings.{change.get('name', '')}"
        if change.get("cleared"):
            after.pop(path, None)
        elif "value" in change:
            after[path] = shown(path, _plain(change["value"]))
        else:
            after[path] = {ENCRYPTED: content.fact.position}
    return after


def _plain(value: Mapping[str, Any]) -> Any:
    """A SettingValue without the names of its oneof; absent lists and maps are empty ones."""
    if "listValue" in value:
        return value["listValue"].get("values", [])
    if "mapValue" in value:
        return value["mapValue"].get("values", {})
    return next(iter(value.values()), None)


# Filters, which are told with what they belong to


def _filter_created(content: Content, state: State) -> Fields:
    order = [*state.get("filterOrder", ()), content.fields.get("filter", "")]
    return {**_filter_updated(content, state), "filterOrder": order}


def _filter_updated(content: Content, state: State) -> Fields:
    path = _filter_path(content)
    rule = content.fields.get("rule", {})
    told = {
        "title": rule.get("title", ""),
        "enabled": rule.get("enabled", False),
        "condition": rule.get("condition", ""),
        "actions": actions_in_words(rule.get("actions", ())),
    }
    if rule.get("description") or below(path, "description") in state:
        told["description"] = rule.get("description", "")
    return {**without(state, path), **flattened(path, told)}


def _filter_deleted(content: Content, state: State) -> Fields:
    order = [one for one in state.get("filterOrder", ()) if one != content.fields.get("filter", "")]
    return {**without(state, _filter_path(content)), "filterOrder": order}


def _filters_reordered(content: Content, state: State) -> Fields:
    return {**state, "filterOrder": list(content.fields.get("filters", ()))}


def _filter_path(content: Content) -> str:
    return below("filters", str(content.fields.get("filter", "")))


_RULES: Mapping[str, Callable[[Content, State], Fields]] = MappingProxyType(
    {
        "EgressRangeAllowed": _egress_range_allowed,
        "EgressRangeDisallowed": _egress_range_disallowed,
        "MemberRemoved": _ended,
        "PersonErased": _person_erased,
        "RoleGranted": _role_granted,
        "RoleRevoked": _role_revoked,
        "TokenCreated": _token_created,
        "TokenRevoked": _ended,
        "KeysRotated": _keys_rotated,
        "FunctionVersionSaved": _version_saved,
        "FunctionUpdated": _updated,
        "FunctionDeleted": _ended,
        # It changes the destinations that it names, and nothing of the function itself.
        "VersionDeployed": _as_before,
        "SourceUpdated": _updated,
        "SourceDeleted": _ended,
        "WriteKeyCreated": _write_key_created,
        "WriteKeyRevoked": _write_key_revoked,
        "DestinationConnected": _connected,
        "DestinationEnabled": _enabled,
        "DestinationDisabled": _disabled,
        "DestinationDisconnected": _ended,
        "DeliveryPolicyUpdated": _policy_updated,
        "SettingsChanged": _settings_changed,
        "SubscriptionDeleted": _ended,
        "FilterCreated": _filter_created,
        "FilterUpdated": _filter_updated,
        "FilterDeleted": _filter_deleted,
        "FiltersReordered": _filters_reordered,
    }
)


def _with_fields(state: State, content: Content, fields: Mapping[str, Any]) -> Fields:
    kind, own_id = content.target
    after = dict(state)
    for name, value in fields.items():
        # The target's own id says nothing that the target does not.
        if (name, value) != (kind.removesuffix("s"), own_id):
            after = {**without(after, name), **flattened(name, value)}
    for name in content.defaults.keys() - fields.keys():
        # A zero value is a change where there was another one, and nothing to tell where there was none.
        shown_before = name in after
        after = without(after, name)
        if shown_before:
            after[name] = content.defaults[name]
    return after
