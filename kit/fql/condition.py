"""A condition: the text that people wrote, and the test that it became."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from kit.fql.cost import cost_of
from kit.fql.errors import FqlError
from kit.fql.evaluate import Test, test_of
from kit.fql.parser import parse

# The product's limit for the text of a condition.
TEXT_BYTES_MAX: Final = 5 * 1024
# Many destinations share the filters of their workspace, and a long condition takes ten milliseconds to compile.
CONDITIONS_KEPT_MAX: Final = 500
# The whole text of a condition that every event meets.
ALL: Final = "all"


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition; conditions of the same text are equal.

    Calling it tests an event, a JSON object of dicts and lists; it never raises and changes nothing.
    `matches` is the same without the cost of a method. `cost` is what it takes at worst, in points of kit/fql/cost.py.
    """

    text: str
    matches: Test = field(compare=False, repr=False)
    cost: int = field(compare=False, default=0)

    def __call__(self, event: Mapping[str, Any]) -> bool:
        return self.matches(event)


@lru_cache(maxsize=CONDITIONS_KEPT_MAX)
def compile_condition(text: str) -> Condition:
    """Compile the text of a condition, `all` for every event. Raises `FqlError`."""
    size_bytes = len(text.encode("utf-8", "surrogatepass"))
    if size_bytes > TEXT_BYTES_MAX:
        raise FqlError(f"the condition has {size_bytes} bytes; at most {TEXT_BYTES_MAX} are accepted", 1, 1)
    if text.strip() == ALL:
        return Condition(text, lambda event: True)
    tree = parse(text)
    return Condition(text, test_of(tree), cost_of(tree, size_bytes))
