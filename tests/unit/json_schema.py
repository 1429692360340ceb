"""As much of JSON Schema as the tests use; a keyword beyond that is refused, so that none is passed over.

https://json-schema.org/draft/2020-12
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_TYPES: Mapping[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
# They say nothing about what is valid.
_SILENT = frozenset({"$schema", "$id", "$comment", "$defs", "title"})


def faults(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any] | None = None, path: str = "") -> list[str]:
    """What is wrong with a value; nothing where it is valid."""
    root = root or schema
    return [f"{path or '/'}: {told}" for told in _faults(value, schema)] + [
        told
        for inner_path, inner, inner_schema in _within(value, schema, root)
        for told in faults(inner, inner_schema, root, path + inner_path)
    ]


def _faults(value: Any, schema: Mapping[str, Any]) -> Iterator[str]:
    for keyword, wanted in schema.items():
        if not _holds(value, keyword, wanted, schema):
            yield f"{keyword} {wanted!r} does not hold for {value!r}"


def _holds(value: Any, keyword: str, wanted: Any, schema: Mapping[str, Any]) -> bool:
    match keyword:
        case "type":
            return any(_is_a(value, name) for name in ([wanted] if isinstance(wanted, str) else wanted))
        case "required":
            return not isinstance(value, dict) or set(wanted) <= value.keys()
        case "additionalProperties":
            return wanted or not isinstance(value, dict) or value.keys() <= schema.get("properties", {}).keys()
        case "enum":
            return value in wanted
        case "const":
            return bool(value == wanted)
        case "anyOf":
            return any(not list(_faults(value, one)) for one in wanted)
        case "pattern":
            return not isinstance(value, str) or re.search(wanted, value) is not None
        case "maxLength":
            return not isinstance(value, str) or len(value) <= wanted
        case "minimum":
            return bool(value >= wanted)
        case "maximum":
            return bool(value <= wanted)
        case "deprecated":
            return not wanted
        case "properties" | "items" | "$ref":
            return True
        case _:
            assert keyword in _SILENT, f"{keyword} is not known here"
            return True


def _is_a(value: Any, name: str) -> bool:
    return isinstance(value, _TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def _within(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    if "$ref" in schema:
        yield "", value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    if isinstance(value, dict):
        known = schema.get("properties", {})
        yield from ((f"/{name}", inner, known[name]) for name, inner in value.items() if name in known)
    if isinstance(value, list) and "items" in schema:
        yield from ((f"/{number}", inner, schema["items"]) for number, inner in enumerate(value))
