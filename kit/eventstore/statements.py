"""One statement out of several parts, each written with parameters of its own."""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, chain
from typing import Any

from kit.eventstore.store import Statement

_PARAMETER = re.compile(r"\$(\d+)")
# Shapes: each kind of change, with and without an answer that is remembered and a client that is kept.
_SHAPES_KEPT_MAX = 512


def composed(template: str, own: Sequence[Any], parts: Sequence[Statement]) -> Statement:
    """The template, whose arguments are `own`: the first part is in place of {projected}, the others of {also}."""
    counts = (len(own), *(len(part.args) for part in parts))
    text = _text(template, tuple(part.text for part in parts), counts)
    return Statement(text, (*own, *chain.from_iterable(part.args for part in parts)))


@lru_cache(_SHAPES_KEPT_MAX)
def _text(template: str, parts: Sequence[str], counts: Sequence[int]) -> str:
    projected, *also = [_moved(text, first) for text, first in zip(parts, accumulate(counts), strict=False)]
    written = "".join(f", also_{number} AS (\n    {part}\n)" for number, part in enumerate(also, 1))
    return template.replace("{projected}", projected).replace("{also}", written)


def _moved(text: str, first: int) -> str:
    return _PARAMETER.sub(lambda found: f"${int(found[1]) + first}", text)
