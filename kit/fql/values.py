"""The values of JSON as conditions see them: their types, when they are equal, how they read as text."""

from __future__ import annotations

import json
from typing import Any, Final

from kit.fql.syntax import BOOL, LIST, NULL, NUMBER, OBJECT, STRING

# Doubles up to here are exact whole numbers.
_EXACT_MAX: Final = 2**53
# Lists and objects with more values, themselves and all levels counted, are equal to nothing and have no text: no
# condition is about these, and an event of 32 KiB may hold sixteen thousand.
VALUES_MAX: Final = 100
# `in` looks at so many items of a list: most of an event's 32 KiB if each is a name.
ITEMS_MAX: Final = 500


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
    """Whether both have the same type and value, all the way down; no more than VALUES_MAX are compared."""
    if isinstance(left, list | dict):
        return _compared(left, right, VALUES_MAX - 1)[0]
    return left is right if isinstance(left, bool) or isinstance(right, bool) else bool(left == right)


def _compared(left: Any, right: Any, values_max: int) -> tuple[bool, int]:
    """Whether both are equal, and what is left of `values_max`; negative if it was not enough.

    A stack of its own, since `==` takes true for 1, and both `==` and recursion end early on deep values.
    """
    pending = [(left, right)]
    while pending:
        a, b = pending.pop()
        if type(a) is not type(b) or len(a) != len(b):
            return False, values_max
        values_max -= len(a)
        if values_max < 0:
            return False, values_max
        if isinstance(a, dict):
            if a.keys() != b.keys():
                return False, values_max
            a, b = a.values(), [b[key] for key in a]
        for x, y in zip(a, b, strict=True):
            if isinstance(x, list | dict):
                pending.append((x, y))
            elif not equal(x, y):
                return False, values_max
    return True, values_max


def contained(value: Any, values: list[Any]) -> bool:
    """Whether one of the values equals `value`."""
    if isinstance(value, list | dict):
        return _holds_container(value, values)
    # C's search first, which finds every equal value: mostly there is none.
    if value not in values:
        return False
    if isinstance(value, str) or value is None:
        return True
    # Loops, since a generator would double the time.
    if isinstance(value, bool):
        for item in values:  # noqa: SIM110
            if item is value:
                return True
        return False
    for item in values:  # noqa: SIM110
        if item == value and item is not True and item is not False:
            return True
    return False


def _holds_container(value: Any, values: list[Any]) -> bool:
    """Compare with no more than VALUES_MAX values in all."""
    left = VALUES_MAX
    for item in values:
        left -= 1
        if type(item) is type(value) and len(item) == len(value):
            found, left = _compared(value, item, left)
            if found:
                return True
        if left <= 0:
            return False
    return False


def is_large(value: Any) -> bool:
    """Whether a list or object has more than VALUES_MAX values, itself and all levels counted."""
    left = VALUES_MAX - 1
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, list | dict):
            left -= len(one)
            if left < 0:
                return True
            pending.extend(one if isinstance(one, list) else one.values())
    return False


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
