"""Errors that are the same but for what differs from one event to the next."""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

# What is looked at of a message, and what is kept of its shape: the words that tell errors apart come first.
MESSAGE_LENGTH_MAX = 1000
SHAPE_LENGTH_MAX = 256
NAME_LENGTH_MAX = 100
# Nearly all errors of a destination say the same at any time.
CACHED_MAX = 4096

# One pass from left to right; of what begins at the same place, the first kind wins. Quoted texts have their bound so
# that a stray quote costs little. The key of a JSON object stays: it says what the value is about.
_KINDS = (
    ("key", r'"[A-Za-z_][\w$.-]{0,60}"(?=\s?:)'),
    ("string", r'"[^"\n]{0,300}"|(?<!\w)\'[^\'\n]{0,300}\'(?!\w)|`[^`\n]{0,300}`|“[^”\n]{0,300}”'),
    ("email", r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"),
    ("uuid", r"(?<!\w)[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}(?!\w)"),
    ("time", r"(?<!\w)\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?(?!\w)"),
    ("hex", r"(?<!\w)(?:0x[0-9a-fA-F]+|(?=[a-fA-F]*\d)(?=\d*[a-fA-F])[0-9a-fA-F]{8,})(?!\w)"),
    ("number", r"(?<!\w)\d+(?:[.,:]\d+)*(?!\w)"),
    ("id", r"(?<!\w)\w*\d[\w-]*"),
)
_DIFFERING = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in _KINDS))
# A key with a number in it is a value: {"user_17": ...}.
_DIGIT = re.compile(r"\d")


def message_shape(message: str) -> str:
    """The message with placeholders such as <number> for numbers, ids, quoted strings, addresses and times."""
    line = " ".join(message[:MESSAGE_LENGTH_MAX].split())
    return _DIFFERING.sub(_placeholder, line)[:SHAPE_LENGTH_MAX]


def _placeholder(found: re.Match[str]) -> str:
    kind = found.lastgroup
    if kind == "key":
        return "<string>" if _DIGIT.search(found[0]) else found[0]
    return f"<{kind}>"


class ErrorShape(NamedTuple):
    """What makes errors of a destination one group."""

    # onward.executor.v1.ErrorType
    error_type: int
    name: str
    http_status: int
    message: str


@lru_cache(maxsize=CACHED_MAX)
def error_shape(error_type: int, name: str, http_status: int, message: str) -> ErrorShape:
    """The shape of an error."""
    return ErrorShape(error_type, name[:NAME_LENGTH_MAX], http_status, message_shape(message))


@lru_cache(maxsize=CACHED_MAX)
def group_number(destination: str, shape: ErrorShape) -> int:
    """The id of a destination's errors of one shape: of 63 bits, never 0, and the same wherever it is computed."""
    return _number(f"{destination}\0{shape.error_type}\0{shape.http_status}\0{shape.name}\0{shape.message}")


def overflow_number(destination: str, error_type: int) -> int:
    """The id of the group for errors of a type that find no group of their own."""
    return _number(f"{destination}\0{error_type}\0")


def _number(text: str) -> int:
    digest = blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
    return (int.from_bytes(digest) >> 1) or 1


def group_name(number: int) -> str:
    """The id as people write it; empty for none."""
    return f"e{number:016x}" if number else ""


_GROUP_NAME = re.compile(r"e([0-7][0-9a-f]{15})")


def parse_group_name(text: str) -> int | None:
    """The id that group_name wrote; None where it is none."""
    match = _GROUP_NAME.fullmatch(text)
    return int(match[1], 16) if match else None
