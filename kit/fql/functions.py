"""The functions of the language: what each takes, what it gives, and that none of them ever raises."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from kit.fql.glob import GlobError, compile_glob
from kit.fql.syntax import BOOL, LIST, NUMBER, STRING
from kit.fql.tokens import number_of
from kit.fql.values import is_large, text_of, type_name, utf8

# Functions that go through a text character by character look at texts up to here: names, addresses and URLs are
# shorter, and an event of 32 KiB would keep everybody else waiting.
TEXT_CHARACTERS_MAX: Final = 4096
# Slow ones, at some 0.3 us a character, at texts up to here: the longest URLs that browsers agree on.
SLOW_TEXT_CHARACTERS_MAX: Final = 2048
# The longest of _FALSE_TEXTS.
_FALSE_CHARACTERS_MAX: Final = 5

# Where a word ends within camelCase or after an acronym. The capital is looked for first, since most characters are
# none.
_HUMP: Final = re.compile(r"(?=[A-Z])(?:(?<=[a-z0-9])|(?<=[A-Z])(?=[A-Z][a-z]))")
# A search for a long text may take milliseconds.
PART_CHARACTERS_MAX: Final = 256
# Reading a pattern takes longer than matching it, and one of the event's own may be another one each time.
EVENT_PATTERN_CHARACTERS_MAX: Final = 100
_BETWEEN_WORDS: Final = re.compile(r"[\s_-]+")
_FALSE_TEXTS: Final = frozenset({"", "0", "false"})
_EVERY_TYPE: Final = frozenset[str]()


@dataclass(frozen=True, slots=True)
class Function:
    """`parameters` has the accepted types of each argument, none for every type; null is always accepted."""

    parameters: tuple[frozenset[str], ...]
    result: str
    call: Callable[..., Any]
    # Takes a fraction of a millisecond for a long text, instead of microseconds.
    slow: bool = False


def _contains(text: Any, part: Any) -> bool:
    return isinstance(text, str) and isinstance(part, str) and len(part) <= PART_CHARACTERS_MAX and part in text


def _match(text: Any, pattern: Any) -> bool:
    """A pattern that comes from the event may be malformed or long; then it matches nothing."""
    if not _readable(text, SLOW_TEXT_CHARACTERS_MAX) or not _readable(pattern, EVENT_PATTERN_CHARACTERS_MAX):
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


def _readable(value: Any, characters_max: int = TEXT_CHARACTERS_MAX) -> bool:
    return isinstance(value, str) and len(value) <= characters_max


def _on_text(change: Callable[[str], str]) -> Callable[[Any], str | None]:
    return lambda value: change(value) if _readable(value) else None


def _on_words(change: Callable[[str], str]) -> Callable[[Any], str | None]:
    return lambda value: change(value) if _readable(value, SLOW_TEXT_CHARACTERS_MAX) else None


def _words(text: str) -> list[str]:
    """Split at spaces, `_`, `-` and the humps of camelCase."""
    return [word for word in _BETWEEN_WORDS.split(_HUMP.sub(" ", text)) if word]


def _snakecase(text: str) -> str:
    return "_".join(_words(text)).lower()


def _kebabcase(text: str) -> str:
    return "-".join(_words(text)).lower()


def _titlecase(text: str) -> str:
    return " ".join(map(str.capitalize, _words(text)))


def _bool(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) > _FALSE_CHARACTERS_MAX or value.lower() not in _FALSE_TEXTS
    return bool(value)


def _string(value: Any) -> str | None:
    return None if value is None or is_large(value) else text_of(value)


def _number(value: Any) -> int | float | None:
    if isinstance(value, str):
        return number_of(value.strip()) if _readable(value) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


_TEXT: Final = frozenset({STRING})

FUNCTIONS: Final = {
    "contains": Function((_TEXT, _TEXT), BOOL, _contains),
    "match": Function((_TEXT, _TEXT), BOOL, _match, slow=True),
    "length": Function((frozenset({STRING, LIST}),), NUMBER, _length),
    "lowercase": Function((_TEXT,), STRING, _on_text(str.lower)),
    "uppercase": Function((_TEXT,), STRING, _on_text(str.upper)),
    "snakecase": Function((_TEXT,), STRING, _on_words(_snakecase), slow=True),
    "kebabcase": Function((_TEXT,), STRING, _on_words(_kebabcase), slow=True),
    "titlecase": Function((_TEXT,), STRING, _on_words(_titlecase), slow=True),
    "typeof": Function((_EVERY_TYPE,), STRING, type_name),
    "bool": Function((_EVERY_TYPE,), BOOL, _bool),
    "string": Function((_EVERY_TYPE,), STRING, _string),
    "number": Function((frozenset({STRING, NUMBER}),), NUMBER, _number),
}
