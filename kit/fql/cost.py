"""What a condition costs at worst, found from its tree before any event is seen.

In points of some 10 us on one core of 3 GHz. They are measured with the worst event of 32 KiB for each function, so
usual events cost a hundredth of it.
"""

from __future__ import annotations

from typing import Final

from kit.fql.functions import FUNCTIONS
from kit.fql.glob import is_plain
from kit.fql.syntax import LIST, And, Call, Compare, Items, Literal, Node, Not, Or, type_of

# `snakecase` and the like, and `match` by a pattern that is run character by character.
SLOW_CALL: Final = 50
# 100 numbers of the event as JSON.
_STRING: Final = 18
# A search of 30,000 characters for 255.
_CONTAINS: Final = 10
# 4,096 characters that are more than one in the other case.
_CASE: Final = 7
_CALL: Final = 1
# Two lists of the event, or one that is looked through.
_COMPARE: Final = 5
# All else, such as fields, comparisons with constants and items of lists: at most 0.05 us a character.
_BYTES_A_POINT: Final = 250

_CALLS: Final = {"string": _STRING, "contains": _CONTAINS, "lowercase": _CASE, "uppercase": _CASE}


def cost_of(node: Node, size_bytes: int) -> int:
    """Give the points of a condition; `size_bytes` is the length of its text."""
    points = size_bytes // _BYTES_A_POINT
    # A list of its own: a tree may be as deep as the stack.
    pending = [node]
    while pending:
        one = pending.pop()
        points += _own(one)
        pending += _within(one)
    return points


def _own(node: Node) -> int:
    match node:
        case Call(name=name):
            return SLOW_CALL if is_slow(node) else _CALLS.get(name, _CALL)
        case Compare(operator="=" | "!=", left=left, right=right):
            return 0 if isinstance(left, Literal) or isinstance(right, Literal) else _COMPARE
        case Compare(operator="in", right=right):
            return 0 if type_of(right) == LIST else _COMPARE
        case _:
            return 0


def _within(node: Node) -> tuple[Node, ...]:
    match node:
        case Call(arguments=within) | Items(items=within) | And(operands=within) | Or(operands=within):
            return within
        case Compare(left=left, right=right):
            return left, right
        case Not(operand=operand):
            return (operand,)
        case _:
            return ()


def is_slow(call: Call) -> bool:
    """Whether a call may take half a millisecond; a `match` that is no more than a search, or none at all, does not."""
    if call.name != "match":
        return FUNCTIONS[call.name].slow
    pattern = call.arguments[1]
    return not isinstance(pattern, Literal) or (isinstance(pattern.value, str) and not is_plain(pattern.value))
