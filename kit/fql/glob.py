r"""Patterns of `match`: `*`, `?`, `[abc]`, `[a-z]`, `[^...]` and `\x`, on the whole text, in bounded time.

Patterns of text and stars alone, which most are, are searched piece by piece. All others run as the bits of a
number, one bit for each place in the pattern (Baeza-Yates and Gonnet, "A new approach to text searching",
1992; the bits that stay set are the stars), so that no text makes them slow: a few operations a character.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from operator import xor
from sys import maxunicode
from typing import Final

# Longer than any pattern that people write; with it a text of 2,048 characters takes half a millisecond at worst.
PATTERN_CHARACTERS_MAX: Final = 256

Glob = Callable[[str], bool]
_Range = tuple[int, int]
_EVERY: Final[list[_Range]] = [(0, maxunicode)]


class GlobError(ValueError):
    """A pattern that cannot be; `index` is the character of the pattern where the mistake is."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


@dataclass(slots=True)
class _Element:
    """One character to match: its ranges, and whether any text may stand before it."""

    ranges: list[_Range]
    after_star: bool

    @property
    def character(self) -> str | None:
        """The character, where only one will do."""
        low, high = self.ranges[0] if len(self.ranges) == 1 else (0, 1)
        return chr(low) if low == high else None


@lru_cache(maxsize=256)
def compile_glob(pattern: str) -> Glob:
    """Make a test for whole texts of it. Raises `GlobError`."""
    if len(pattern) > PATTERN_CHARACTERS_MAX:
        message = f"this pattern has {len(pattern)} characters; at most {PATTERN_CHARACTERS_MAX} are accepted"
        raise GlobError(message, 0)
    elements, ends_with_star = _parse(pattern)
    characters = [element.character for element in elements]
    if None in characters:
        return _bits(elements, ends_with_star)
    return _pieces(elements, ends_with_star)


def is_plain(pattern: str) -> bool:
    """Whether a pattern is of text and stars alone, and so is matched in microseconds. Raises `GlobError`."""
    return all(element.character is not None for element in _parse(pattern)[0])


def _parse(pattern: str) -> tuple[list[_Element], bool]:
    """Read the elements, and whether a star stands after the last one."""
    elements: list[_Element] = []
    star = False
    at = 0
    while at < len(pattern):
        if pattern[at] == "*":
            star, at = True, at + 1
            continue
        ranges, at = _element(pattern, at)
        elements.append(_Element(ranges, star))
        star = False
    return elements, star


def _element(pattern: str, at: int) -> tuple[list[_Range], int]:
    if pattern[at] == "?":
        return _EVERY, at + 1
    if pattern[at] == "[":
        return _class(pattern, at)
    character, at = _character(pattern, at)
    return [(character, character)], at


def _character(pattern: str, at: int) -> tuple[int, int]:
    """Read one character, which a backslash makes plain."""
    if pattern[at] != "\\":
        return ord(pattern[at]), at + 1
    if at + 1 == len(pattern):
        raise GlobError("a character must follow the `\\`", at)
    return ord(pattern[at + 1]), at + 2


def _class(pattern: str, opened: int) -> tuple[list[_Range], int]:
    at = opened + 1
    negated = pattern[at : at + 1] == "^"
    at += negated
    first = at
    ranges = []
    while at < len(pattern) and pattern[at] != "]":
        found, at = _range(pattern, at)
        ranges.append(found)
    if at >= len(pattern):
        raise GlobError("this `[` is never closed: expected `]`; a plain one is written `\\[`", opened)
    if at == first:
        raise GlobError("expected a character between `[` and `]`; a plain `]` is written `\\]`", at)
    merged = _merge(ranges)
    return (_others(merged) if negated else merged), at + 1


def _range(pattern: str, at: int) -> tuple[_Range, int]:
    """Read `a` or `a-z`; a `-` at either end of the class stands for itself."""
    low, after = _character(pattern, at)
    if pattern[after : after + 1] != "-" or pattern[after + 1 : after + 2] in ("]", ""):
        return (low, low), after
    high, end = _character(pattern, after + 1)
    if high < low:
        raise GlobError(f"the range `{pattern[at:end]}` is empty: its ends are in the wrong order", at)
    return (low, high), end


def _merge(ranges: list[_Range]) -> list[_Range]:
    merged: list[_Range] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def _others(ranges: list[_Range]) -> list[_Range]:
    """What is left of all characters; nothing may be, and then the pattern never matches."""
    lows = [0, *(high + 1 for _, high in ranges)]
    highs = [*(low - 1 for low, _ in ranges), maxunicode]
    return [(low, high) for low, high in zip(lows, highs, strict=True) if low <= high]


def _pieces(elements: list[_Element], ends_with_star: bool) -> Glob:
    """Match texts between stars: one at each end, and the ones between them as early as they come."""
    pieces = [""]
    for element in elements:
        if element.after_star:
            pieces.append("")
        pieces[-1] += chr(element.ranges[0][0])
    if ends_with_star:
        pieces.append("")
    first, *middle, last = pieces if len(pieces) > 1 else (pieces[0], "")
    if len(pieces) == 1:
        return first.__eq__
    shortest = len(first) + len(last)

    def matches(text: str) -> bool:
        if len(text) < shortest or not text.startswith(first) or not text.endswith(last):
            return False
        at, end = len(first), len(text) - len(last)
        for piece in middle:
            found = text.find(piece, at, end)
            if found < 0:
                return False
            at = found + len(piece)
        return True

    return matches


def _bits(elements: list[_Element], ends_with_star: bool) -> Glob:
    """Keep bit i set while the text so far may end before element i; the last bit is the end of the pattern."""
    stars = sum(1 << i for i, element in enumerate(elements) if element.after_star)
    accepted = 1 << len(elements)
    if ends_with_star:
        stars |= accepted
    starts, masks = _masks(elements)

    def matches(text: str) -> bool:
        state = 1
        for character in text:
            taken = state & masks[bisect_right(starts, ord(character)) - 1]
            state = (taken << 1) | (state & stars)
            if not state:
                return False
        return bool(state & accepted)

    return matches


def _masks(elements: list[_Element]) -> tuple[list[int], list[int]]:
    """Cut the alphabet where any range begins or ends; each part has the bits of the elements that take it."""
    toggles: defaultdict[int, int] = defaultdict(int, {0: 0})
    for i, element in enumerate(elements):
        for low, high in element.ranges:
            toggles[low] ^= 1 << i
            toggles[high + 1] ^= 1 << i
    starts = sorted(toggles)
    return starts, list(accumulate((toggles[start] for start in starts), xor))
