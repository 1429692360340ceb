"""The functions of the language: what each takes, what it gives, and that none of them ever raises."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from kit.fql.glob import GlobError, compile_glob
from kit.fql.syntax import BOOL, LIST, NUMBER, STRING
from kit.fql.tokens import number_of
from kit.fql.values import text_of, type_name, utf8

# Where a word ends within camelCase or after an acronym.
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_BETWEEN_WORDS: Final = re.compile(r"[\s_-]+")
_FALSE_TEXTS: Final = frozenset({"", "0", "false"})
_EVERY_TYPE: Final = frozenset[str]()


@dataclass(frozen=True, slots=True)
class Function:
    """`parameters` has the accepted types of each argument, none for every type; null is always accepted."""

    parameters: tuple[frozenset[str], ...]
    result: str
    call: Callable[..., Any]


def _contains(text: Any, part: Any) -> bool:
    return isinstance(text, str) and isinstance(part, str) and part in text


def _match(text: Any, pattern: Any) -> bool:
    """A pattern that comes from the event may be malformed; then it matches nothing."""
    if not isinstance(text, str) or not isinstance(pattern, str):
        return False
    try:
        return compile_glob(pattern)(text)
    except GlobError:
        return False


def _length(value: Any) -> int | None:
    if value is None:
        return 0
    if isinstance(value, str):
        return len(value) if value.isascii() else len(utf8(value))
    return len(value) if isinstance(value, list) else None


def _on_text(change: Callable[[str], str]) -> Callable[[Any], str | None]:
    return lambda value: change(value) if isinstance(value, str) else None


def _words(text: str) -> list[str]:
    """Split at spaces, `_`, `-` and the humps of camelCase."""
    return [word for word in _BETWEEN_WORDS.split(_HUMP.sub(" ", text)) if word]


def _snakecase(text: str) -> str:
    return "_".join(_words(text)).lower()


def _kebabcase(text: str) -> str:
    return "-".join(_words(text)).lower()


def _titlecase(text: str) -> str:
    return " ".join(word[0].upper() + word[1:].lower() for word in _words(text))


def _bool(value: Any) -> bool:
    if isinstance(value, str):
        return value.lower() not in _FALSE_TEXTS
    return bool(value)


def _string(value: Any) -> str | None:
    return None if value is None else text_of(value)


def _number(value: Any) -> int | float | None:
    if isinstance(value, str):
        return number_of(value.strip())
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


_TEXT: Final = frozenset({STRING})

FUNCTIONS: Final = {
    "contains": Function((_TEXT, _TEXT), BOOL, _contains),
    "match": Function((_TEXT, _TEXT), BOOL, _match),
    "length": Function((frozenset({STRING, LIST}),), NUMBER, _length),
    "lowercase": Function((_TEXT,), STRING, _on_text(str.lower)),
    "uppercase": Function((_TEXT,), STRING, _on_text(str.upper)),
    "snakecase": Function((_TEXT,), STRING, _on_text(_snakecase)),
    "kebabcase": Function((_TEXT,), STRING, _on_text(_kebabcase)),
    "titlecase": Function((_TEXT,), STRING, _on_text(_titlecase)),
    "typeof": Function((_EVERY_TYPE,), STRING, type_name),
    "bool": Function((_EVERY_TYPE,), BOOL, _bool),
    "string": Function((_EVERY_TYPE,), STRING, _string),
    "number": Function((frozenset({STRING, NUMBER}),), NUMBER, _number),
}
