"""The values of JSON as conditions see them: their types, when they are equal, how they read as text."""

from __future__ import annotations

import json
from typing import Any, Final

from kit.fql.syntax import BOOL, LIST, NULL, NUMBER, OBJECT, STRING

# Doubles up to here are exact whole numbers.
_EXACT_MAX: Final = 2**53


def type_name(value: Any) -> str:
    """What `typeof` answers."""
    if value is None:
        return NULL
    if isinstance(value, str):
        return STRING
    # bool is an int in Python, and a type of its own in JSON.
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, int | float):
        return NUMBER
    return LIST if isinstance(value, list) else OBJECT


def equal(left: Any, right: Any) -> bool:
    """Whether both have the same type and value, all the way down.

    A stack of its own, since `==` takes true for 1, and both `==` and recursion end early on deep values.
    """
    pending = [(left, right)]
    while pending:
        a, b = pending.pop()
        if isinstance(a, dict) and isinstance(b, dict):
            if a.keys() != b.keys():
                return False
            pending.extend((a[key], b[key]) for key in a)
        elif isinstance(a, list) and isinstance(b, list):
            if len(a) != len(b):
                return False
            pending.extend(zip(a, b, strict=True))
        elif type_name(a) != type_name(b) or a != b:
            return False
    return True


def contained(value: Any, values: list[Any]) -> bool:
    """Whether one of the values equals `value`."""
    if isinstance(value, list | dict):
        return any(equal(value, item) for item in values)
    # C's search first, which finds every equal value: mostly there is none, and lists may be long.
    if value not in values:
        return False
    return isinstance(value, str) or any(equal(value, item) for item in values)


def text_of(value: Any) -> str:
    """A value as text: strings as they are, anything else as compact JSON, whole numbers without a fraction.

    Equal numbers read alike, 1 and 1.0. A value nested deeper than Python can write reads as "".
    """
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT_MAX:
        return str(int(value))
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (RecursionError, ValueError):
        return ""


def utf8(text: str) -> bytes:
    """The bytes of a text; half a surrogate pair, which JSON may hold, counts three bytes like any other."""
    return text.encode("utf-8", "surrogatepass")
