"""Splits the text of a condition into tokens, each with its place."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from kit.fql.errors import FqlError, error_at, quoted

KEYWORDS: Final = frozenset({"and", "or", "not", "in", "true", "false", "null", "all"})
# Deeper than any event that people make; it keeps walks along a path short.
PATH_NAMES_MAX: Final = 32

_SPACE: Final = re.compile(r"\s*")
# Possessive: what is no number after thousands of digits is not tried again with one digit less, and one less.
_NUMBER: Final = re.compile(r"[+-]?[0-9]++(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+")
_NAME: Final = r"(?:\\.|[\w-])+"
# The first name of a path must not look like a number.
_PATH: Final = re.compile(rf"(?=\\|[^\W\d]){_NAME}(?:\.{_NAME})*", re.DOTALL)
_WHOLE_PATH: Final = re.compile(rf"{_NAME}(?:\.{_NAME})*", re.DOTALL)
_STRING: Final = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"", re.DOTALL)
_OPERATOR: Final = re.compile(r"!=|<=|>=|[=<>!()\[\],]")
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
# What other languages write, and what it is called here.
_FOREIGN: Final = {"==": "=", "<>": "!=", "=>": ">=", "=<": "<=", "&&": "and", "||": "or"}
# Before any other character a backslash stays, so that patterns of `match` are written as they are.
_STRING_ESCAPES: Final = {"\\": "\\", "'": "'", '"': '"', "n": "\n", "r": "\r", "t": "\t"}


class Kind(Enum):
    """What a token is."""

    OPERATOR = "operator"
    KEYWORD = "keyword"
    PATH = "path"
    STRING = "string"
    NUMBER = "number"
    END = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """One token: `source` as written, `at` its offset in the text.

    `value` is a string's or number's value, or the names of a path. `places` are the offsets of a string's
    characters, so that a mistake within a pattern can be pointed at.
    """

    kind: Kind
    source: str
    at: int
    value: Any = None
    places: tuple[int, ...] = ()


def tokenize(text: str) -> list[Token]:
    """Split the text; the last token is always `Kind.END`. Raises `FqlError`."""
    tokens = []
    at = _skip_space(text, 0)
    while at < len(text):
        tokens.append(_token(text, at))
        at = _skip_space(text, at + len(tokens[-1].source))
    return [*tokens, Token(Kind.END, "", at)]


def parse_path(text: str) -> tuple[str, ...]:
    r"""Read a path that stands alone, such as `context.traits.email` or `properties.first\ name`.

    Raises `FqlError`.
    """
    found = _WHOLE_PATH.match(text)
    end = found.end() if found else 0
    if found is None or end != len(text):
        raise _bad_name(text, end, after_dot=text[end : end + 1] == ".")
    return _names(text, 0, text)


def _skip_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _token(text: str, at: int) -> Token:
    first = text[at]
    if first in "'\"":
        return _string(text, at)
    if found := _NUMBER.match(text, at):
        return _number(text, at, found[0])
    if found := _PATH.match(text, at):
        return _path(text, at, found[0])
    if text[at : at + 2] in _FOREIGN:
        written = text[at : at + 2]
        raise error_at(text, at, f"`{written}` is written `{_FOREIGN[written]}` here")
    if found := _OPERATOR.match(text, at):
        return Token(Kind.OPERATOR, found[0], at)
    raise _stray(text, at)


def _stray(text: str, at: int) -> FqlError:
    if text[at] == "\\":
        return error_at(text, at, "a character must follow the `\\`")
    if text[at] == ".":
        return error_at(text, at, "a path begins with a field's name and a number with a digit, not with a dot")
    return error_at(text, at, f"{quoted(text[at])} has no meaning here; in the name of a field, put a `\\` before it")


def _string(text: str, at: int) -> Token:
    found = _STRING.match(text, at)
    if found is None:
        raise error_at(text, at, f"this string has no end: expected a closing {text[at]}")
    value, places = [], []
    place, end = at + 1, found.end() - 1
    while place < end:
        places.append(place)
        escaped = _STRING_ESCAPES.get(text[place + 1]) if text[place] == "\\" else None
        value.append(text[place] if escaped is None else escaped)
        place += 1 if escaped is None else 2
    return Token(Kind.STRING, found[0], at, "".join(value), tuple(places))


def _number(text: str, at: int, source: str) -> Token:
    end = at + len(source)
    if text[end : end + 1] == "." or _PATH.match(text, end):
        raise error_at(text, end, "this number does not end well; a name that begins with a digit is written `\\1st`")
    value = number_of(source)
    if value is None:
        raise error_at(text, at, "this number is too large")
    return Token(Kind.NUMBER, source, at, value)


def _path(text: str, at: int, source: str) -> Token:
    end = at + len(source)
    if source in KEYWORDS:
        return Token(Kind.KEYWORD, source, at)
    if source.lower() in KEYWORDS:
        # As a field it would be absent, and nobody would be told.
        lower = source.lower()
        raise error_at(text, at, f"write `{lower}` in lower case, or `\\{source}` for a field of that name")
    if text[end : end + 1] == ".":
        raise _bad_name(text, end, after_dot=True)
    return Token(Kind.PATH, source, at, _names(source, at, text))


def _bad_name(text: str, at: int, *, after_dot: bool) -> FqlError:
    if after_dot and at > 0:
        return error_at(text, at + 1, "expected the name of a field after the dot")
    if at >= len(text):
        return error_at(text, at, "expected the name of a field")
    return _stray(text, at)


def _names(source: str, at: int, text: str) -> tuple[str, ...]:
    """Split a path at its dots, except at those after a backslash."""
    names = re.findall(_NAME, source, re.DOTALL)
    if len(names) > PATH_NAMES_MAX:
        raise error_at(text, at, f"this path has {len(names)} names; at most {PATH_NAMES_MAX} are accepted")
    return tuple(_ESCAPE.sub(r"\1", name) for name in names)


def number_of(text: str) -> int | float | None:
    """Read a decimal number; None where it is none, or beyond what a double holds."""
    if _NUMBER.fullmatch(text) is None:
        return None
    # Short whole numbers stay exact; a double holds no more digits than these, and int() of many is slow.
    if len(text) <= 18 and text.lstrip("+-").isdigit():
        return int(text)
    value = float(text)
    return value if math.isfinite(value) else None
