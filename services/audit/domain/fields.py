"""Fields of a target and the differences between two states of them, fit to be shown."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson

# A value that takes more, as JSON, is shown as its hash and size: what people compare by eye is shorter, and a
# settings map may take two megabytes.
VALUE_BYTES_MAX = 4 * 1024
# With two values each this stays below half of gRPC's 4 MiB a message.
CHANGES_MAX = 200
FIELD_LENGTH_MAX = 256
# Says how many further fields changed, where there are more than CHANGES_MAX.
FURTHER_FIELDS = "..."
# Stands in a state for a value that is encrypted; the number differs after each change.
ENCRYPTED = "onward:encrypted"

# Field path to JSON value, such as "labels.team" to "growth"; values are already fit to be shown.
State: TypeAlias = Mapping[str, Any]
Fields: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One field's values as JSON; empty where there is none."""

    field: str
    before: str
    after: str


def without(state: State, name: str) -> Fields:
    """The state without a field and what is below it."""
    return {path: value for path, value in state.items() if path != name and not path.startswith(f"{name}.")}


def flattened(path: str, value: Any) -> Fields:
    """A field for each value within maps, and within lists whose entries have names."""
    entries: Sequence[tuple[str, Any]]
    if isinstance(value, dict):
        entries = list(value.items())
    elif isinstance(value, list) and value and all(isinstance(one, dict) and "name" in one for one in value):
        named = [(str(one["name"]), {k: v for k, v in one.items() if k != "name"}) for one in value]
        return {below(path, name): shown(path, rest) for name, rest in named}
    else:
        return {path: shown(path, value)}
    fields: Fields = {}
    for name, inner in entries:
        fields |= flattened(below(path, name), inner)
    return fields


def below(path: str, name: str) -> str:
    """The path of a field's field."""
    return f"{path}.{name}"[:FIELD_LENGTH_MAX]


def shown(path: str, value: Any) -> Any:
    """What may be stored of a value: code and what is long only as hashes."""
    encoded = value.encode() if isinstance(value, str) else _json(value)
    is_code = path.rpartition(".")[2] == "code" and not path.startswith(("labels.", "settings."))
    if is_code or len(encoded) > VALUE_BYTES_MAX:
        return {"sha256": hashlib.sha256(encoded).hexdigest(), "bytes": len(encoded)}
    return value


def differences(before: State, after: State, prefix: str = "") -> list[Change]:
    """What changed, by path."""
    return [
        Change(prefix + path, _before(before, path), _after(before, after, path))
        for path in sorted(before.keys() | after.keys())
        if (path in before) != (path in after) or before[path] != after[path]
    ]


def bounded(changes: Sequence[Change]) -> tuple[Change, ...]:
    """Up to CHANGES_MAX; the last one then tells how many more there are."""
    if len(changes) <= CHANGES_MAX:
        return tuple(changes)
    told = CHANGES_MAX - 1
    further = Change(FURTHER_FIELDS, "", _json(f"{len(changes) - told} further fields").decode())
    return (*changes[:told], further)


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


def _json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
