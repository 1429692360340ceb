"""Roles and filters' actions as people read them, from their proto-JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

# What a role's scope is made of; others hold for the whole workspace.
_SCOPED: Mapping[str, str] = MappingProxyType(
    {"FUNCTIONS_ADMIN": "functions", "FUNCTIONS_READ_ONLY": "functions", "SOURCE_ADMIN": "sources"}
)
_FIELD_ACTIONS: Mapping[str, str] = MappingProxyType(
    {"dropFields": "drop fields", "allowFields": "allow fields", "hashFields": "hash fields"}
)


def grant_in_words(grant: Mapping[str, Any]) -> str:
    """Such as "FUNCTIONS_ADMIN of all functions" or "SOURCE_ADMIN of sources/web"."""
    role = str(grant.get("role", "")).removeprefix("ROLE_")
    scope = grant.get("scope", {})
    if "names" in scope:
        names = [_within_workspace(str(name)) for name in scope["names"].get("names", ())]
        return f"{role} of {', '.join(sorted(names))}"
    return f"{role} of all {_SCOPED[role]}" if role in _SCOPED else role


def actions_in_words(actions: Iterable[Mapping[str, Any]]) -> list[str]:
    """Such as ["sample 0.1 by userId", "drop fields context.ip"]."""
    return [_action(name, value) for action in actions for name, value in action.items()]


def _action(name: str, value: Any) -> str:
    if name in _FIELD_ACTIONS:
        return f"{_FIELD_ACTIONS[name]} {', '.join(value.get('paths', ()))}"
    if name == "sample":
        path = value.get("path", "")
        return f"sample {value.get('rate', 0)}" + (f" by {path}" if path else "")
    return name


def _within_workspace(name: str) -> str:
    parts = name.split("/", 2)
    return parts[2] if len(parts) == 3 and parts[0] == "workspaces" else name
