"""What a fact changed: the last known state of each target, and the differences between two of them.

Facts are read as proto-JSON and most types are treated alike: their fields are the target's fields. A type that a
newer release of the owner adds is thereby recorded with its changes before this service knows it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import orjson
import structlog
from google.protobuf import json_format
from google.protobuf.message import Message

from kit.eventstore.facts import Fact, UnknownFactError, fact_types
from onward.audit.v1 import audit_service_pb2 as pb
from onward.registry.v1 import facts_pb2

log = structlog.get_logger(__name__)

# A value that takes more, as JSON, is shown as its hash and size: what people compare by eye is shorter, and a
# settings map may take two megabytes.
VALUE_BYTES_MAX = 4 * 1024
# With two values each this stays below half of gRPC's 4 MiB a message.
CHANGES_MAX = 200
FIELD_LENGTH_MAX = 256
# Says how many further fields changed, where there are more than CHANGES_MAX.
FURTHER_FIELDS = "..."
# Facts that tell of a refusal.
DENIALS = frozenset({"AccessDenied"})
# Facts that begin a target's life, perhaps a second one under the same id.
BEGINNINGS = ("Created", "Connected")
# Stands in a state for a value that is encrypted; the number differs after each change.
ENCRYPTED = "onward:encrypted"

FACT_TYPES = fact_types(facts_pb2)

# Field path to JSON value, such as "labels.team" to "growth"; values are already fit to be shown.
State: TypeAlias = Mapping[str, Any]
Fields: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One field's values as JSON; empty where there is none."""

    field: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Description:
    """What the trail tells of a fact, and the states (by stream) that it leaves behind."""

    target_type: str
    target_id: str
    target_display_name: str
    outcome: pb.Outcome.ValueType
    changes: tuple[Change, ...]
    states: Mapping[str, State]


@dataclass(frozen=True, slots=True)
class Content:
    """A fact's fields as proto-JSON. `defaults` are those that have their zero value and are thus not in the JSON."""

    fact: Fact
    fields: Mapping[str, Any]
    defaults: Mapping[str, Any]

    @property
    def streams(self) -> list[str]:
        """All whose states the fact changes; its own first."""
        others = self.fields.get("destinations", ()) if self.fact.type == "VersionDeployed" else ()
        return [self.fact.stream, *(f"destinations/{one}" for one in others)]


def read(fact: Fact) -> Content:
    """Read a fact. One that can't be read has no fields: the trail records it nevertheless."""
    try:
        message = fact.decode(FACT_TYPES)
    except (UnknownFactError, json_format.ParseError):
        return Content(fact, _raw_fields(fact), {})
    fields = json_format.MessageToDict(message)
    full = _with_defaults(message)
    return Content(fact, fields, {name: full[name] for name in full.keys() - fields.keys()})


def describe(content: Content, states: Mapping[str, State]) -> Description:
    """What the fact did, given the states of `content.streams` before it; unknown ones may be missing."""
    fact = content.fact
    target_type, target_id = _target(fact)
    known = {} if fact.type.endswith(BEGINNINGS) else states.get(fact.stream, {})
    own = _RULES.get(fact.type, _merged)(content, known)
    after = {stream: _deployed(content, states.get(stream, {})) for stream in content.streams[1:]}
    changes = _differences(known, own)
    for stream, state in after.items():
        changes += _differences(states.get(stream, {}), state, stream.replace("/", ".") + ".")
    return Description(
        target_type=target_type,
        target_id=target_id,
        target_display_name=str(own.get("displayName", "")),
        outcome=pb.OUTCOME_DENIED if fact.type in DENIALS else pb.OUTCOME_SUCCEEDED,
        changes=_bounded_changes(changes),
        states={fact.stream: own, **after},
    )


def trace_id(traceparent: str) -> str:
    """The trace's id in a W3C traceparent; "" where there is none."""
    parts = traceparent.split("-")
    return parts[1] if len(parts) == 4 else ""


def _target(fact: Fact) -> tuple[str, str]:
    kind, _, entity = fact.stream.partition("/")
    # The workspace's own stream has no id in it.
    return (kind, entity) if entity else (f"{kind}s", fact.workspace)


def _with_defaults(message: Message) -> Fields:
    return json_format.MessageToDict(message, always_print_fields_with_no_presence=True)


def _raw_fields(fact: Fact) -> Fields:
    try:
        fields = orjson.loads(fact.data)
    except orjson.JSONDecodeError:
        fields = None
    if isinstance(fields, dict):
        return fields
    log.error("fact_unreadable", workspace=fact.workspace, position=fact.position, type=fact.type)
    return {}


# What each type makes of the state. Types without a rule of their own set the fields that they have.


def _merged(content: Content, state: State) -> Fields:
    return _with_fields(state, content.fact, content.fields, content.defaults)


def _version_saved(content: Content, state: State) -> Fields:
    fields = dict(content.fields)
    code = str(fields.pop("code", ""))
    fields.setdefault("codeSha256", hashlib.sha256(code.encode()).hexdigest())
    fields["version"] = fields.pop("number", 0)
    return _with_fields(state, content.fact, fields, content.defaults)


def _version_deployed(content: Content, state: State) -> Fields:
    # It changes the destinations that it names, and nothing of the function itself.
    return dict(state)


def _deployed(content: Content, state: State) -> Fields:
    return {**state, "version": content.fields.get("number", 0)}


def _connected(content: Content, state: State) -> Fields:
    return {**_merged(content, state), "enabled": False}


def _enabled(content: Content, state: State) -> Fields:
    return {**state, "enabled": True}


def _disabled(content: Content, state: State) -> Fields:
    return {**state, "enabled": False}


def _egress_range_allowed(content: Content, state: State) -> Fields:
    return {**state, "egressRanges": [*state.get("egressRanges", ()), content.fields.get("range", "")]}


def _settings_changed(content: Content, state: State) -> Fields:
    after = dict(state)
    for change in content.fields.get("changes", ()):
        path = f"settings.{change.get('name', '')}"
        if change.get("cleared"):
            after.pop(path, None)
        elif "value" in change:
            after[path] = _shown(path, _plain(change["value"]))
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


_RULES: Mapping[str, Callable[[Content, State], Fields]] = MappingProxyType(
    {
        "FunctionVersionSaved": _version_saved,
        "VersionDeployed": _version_deployed,
        "DestinationConnected": _connected,
        "DestinationEnabled": _enabled,
        "DestinationDisabled": _disabled,
        "EgressRangeAllowed": _egress_range_allowed,
        "SettingsChanged": _settings_changed,
    }
)


def _with_fields(state: State, fact: Fact, fields: Mapping[str, Any], defaults: Mapping[str, Any]) -> Fields:
    kind, own_id = _target(fact)
    after = dict(state)
    for name, value in fields.items():
        # The target's own id says nothing that the target does not.
        if (name, value) != (kind.removesuffix("s"), own_id):
            _without(after, name)
            after |= _flattened(name, value)
    for name in defaults.keys() - fields.keys():
        # A zero value is a change where there was another one, and nothing to tell where there was none.
        shown_before = name in after
        _without(after, name)
        if shown_before:
            after[name] = defaults[name]
    return after


def _without(state: Fields, name: str) -> None:
    """Remove a field and what is below it."""
    for path in [path for path in state if path == name or path.startswith(f"{name}.")]:
        del state[path]


def _flattened(path: str, value: Any) -> Fields:
    """A field for each value within maps, and within lists whose entries have names."""
    entries: Sequence[tuple[str, Any]]
    if isinstance(value, dict):
        entries = list(value.items())
    elif isinstance(value, list) and value and all(isinstance(one, dict) and "name" in one for one in value):
        named = [(str(one["name"]), {k: v for k, v in one.items() if k != "name"}) for one in value]
        return {_path(path, name): _shown(path, rest) for name, rest in named}
    else:
        return {path: _shown(path, value)}
    fields: Fields = {}
    for name, inner in entries:
        fields |= _flattened(_path(path, name), inner)
    return fields


def _path(above: str, name: str) -> str:
    return f"{above}.{name}"[:FIELD_LENGTH_MAX]


def _shown(path: str, value: Any) -> Any:
    """What may be stored of a value: code and what is long only as hashes."""
    encoded = value.encode() if isinstance(value, str) else _json(value)
    is_code = path.rpartition(".")[2] == "code" and not path.startswith(("labels.", "settings."))
    if is_code or len(encoded) > VALUE_BYTES_MAX:
        return {"sha256": hashlib.sha256(encoded).hexdigest(), "bytes": len(encoded)}
    return value


def _differences(before: State, after: State, prefix: str = "") -> list[Change]:
    return [
        Change(prefix + path, _before(before, path), _after(before, after, path))
        for path in sorted(before.keys() | after.keys())
        if (path in before) != (path in after) or before[path] != after[path]
    ]


def _before(state: State, path: str) -> str:
    if path not in state:
        return ""
    return '"set"' if _is_encrypted(state[path]) else _json(state[path]).decode()


def _after(before: State, after: State, path: str) -> str:
    if path in after:
        return '"changed"' if _is_encrypted(after[path]) else _json(after[path]).decode()
    return '"cleared"' if _is_encrypted(before[path]) else ""


def _is_encrypted(value: Any) -> bool:
    return isinstance(value, dict) and ENCRYPTED in value


def _bounded_changes(changes: Sequence[Change]) -> tuple[Change, ...]:
    if len(changes) <= CHANGES_MAX:
        return tuple(changes)
    shown = CHANGES_MAX - 1
    further = Change(FURTHER_FIELDS, "", _json(f"{len(changes) - shown} further fields").decode())
    return (*changes[:shown], further)


def _json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
