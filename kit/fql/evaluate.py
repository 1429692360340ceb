"""Makes closures of a condition's tree: it is read once, and tested on every event."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from kit.fql.functions import FUNCTIONS, SLOW_TEXT_CHARACTERS_MAX, TEXT_CHARACTERS_MAX
from kit.fql.glob import compile_glob, is_plain
from kit.fql.syntax import BOOL, And, Call, Compare, Items, Literal, Node, Not, Or, Path, type_of
from kit.fql.values import ITEMS_MAX, contained, equal

Event = Mapping[str, Any]
Value = Callable[[Event], Any]
Test = Callable[[Event], bool]

_ORDERINGS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def test_of(node: Node) -> Test:
    """Make the test of a condition: a value that is not true itself is false."""
    match node:
        case Not(operand=operand):
            return _not(test_of(operand))
        case And(operands=operands):
            return _and(tuple(map(test_of, operands)))
        case Or(operands=operands):
            return _or(tuple(map(test_of, operands)))
        case Compare():
            return _comparison(node)
        case _:
            value = value_of(node)
            return value if type_of(node) == BOOL else lambda event: value(event) is True


def value_of(node: Node) -> Value:
    """Make what gives a node's value."""
    match node:
        case Literal(value=value):
            return lambda event: value
        case Path(names=names):
            return field(names)
        case Items(items=items):
            values = tuple(map(value_of, items))
            return lambda event: [value(event) for value in values]
        case Call():
            return _call(node)
        case _:
            return test_of(node)


def field(names: tuple[str, ...]) -> Value:
    """Make what reads a field: None where it is absent, or where something on its way is no object."""
    if len(names) == 1:
        (only,) = names
        return lambda event: event.get(only)
    if len(names) == 2:
        return _field_in_object(*names)

    first, *rest = names

    def read(event: Event) -> Any:
        value = event.get(first)
        for name in rest:
            if not isinstance(value, dict):
                return None
            value = value.get(name)
        return value

    return read


def _field_in_object(first: str, second: str) -> Value:
    def read(event: Event) -> Any:
        value = event.get(first)
        return value.get(second) if isinstance(value, dict) else None

    return read


def _not(test: Test) -> Test:
    return lambda event: not test(event)


def _and(tests: tuple[Test, ...]) -> Test:
    def every(event: Event) -> bool:
        for test in tests:  # noqa: SIM110 - a generator costs half a microsecond an event
            if not test(event):
                return False
        return True

    return every


def _or(tests: tuple[Test, ...]) -> Test:
    def some(event: Event) -> bool:
        for test in tests:  # noqa: SIM110 - a generator costs half a microsecond an event
            if test(event):
                return True
        return False

    return some


def _comparison(node: Compare) -> Test:
    match node.operator:
        case "=":
            return _equals(node.left, node.right)
        case "!=":
            return _not(_equals(node.left, node.right))
        case "in":
            return _in(node.left, node.right)
        case _:
            return _ordering(_ORDERINGS[node.operator], value_of(node.left), value_of(node.right))


def _equals(left: Node, right: Node) -> Test:
    if isinstance(right, Literal):
        return _equals_literal(value_of(left), right.value)
    if isinstance(left, Literal):
        return _equals_literal(value_of(right), left.value)
    first, second = value_of(left), value_of(right)
    return lambda event: equal(first(event), second(event))


def _equals_literal(value: Value, literal: str | int | float | bool | None) -> Test:
    """Compare with a constant, whose type is known: nothing but a string equals a string."""
    if literal is None or isinstance(literal, bool):
        return lambda event: value(event) is literal
    if isinstance(literal, str):
        return lambda event: bool(value(event) == literal)

    def same_number(event: Event) -> bool:
        found = value(event)
        return found == literal and not isinstance(found, bool)

    return same_number


def _ordering(compare: Callable[[Any, Any], bool], left: Value, right: Value) -> Test:
    def ordered(event: Event) -> bool:
        a, b = left(event), right(event)
        return _is_number(a) and _is_number(b) and compare(a, b)

    return ordered


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _in(left: Node, right: Node) -> Test:
    value, values = value_of(left), value_of(right)
    if isinstance(right, Items) and all(isinstance(item, Literal) for item in right.items):
        return _in_literals(value, values({}))
    if isinstance(right, Items):
        return lambda event: contained(value(event), values(event))

    def found(event: Event) -> bool:
        within = values(event)
        return isinstance(within, list) and contained(value(event), within[:ITEMS_MAX])

    return found


def _in_literals(value: Value, literals: list[Any]) -> Test:
    # Sets, since a condition may hold thousands; true equals 1 in Python, so constants are apart.
    constants = [literal for literal in literals if literal is None or isinstance(literal, bool)]
    others = frozenset(literal for literal in literals if not (literal is None or isinstance(literal, bool)))

    def found(event: Event) -> bool:
        wanted = value(event)
        if isinstance(wanted, bool) or wanted is None:
            return any(wanted is constant for constant in constants)
        return isinstance(wanted, str | int | float) and wanted in others

    return found


def _call(node: Call) -> Value:
    call, arguments = FUNCTIONS[node.name].call, node.arguments
    if node.name == "match" and isinstance(arguments[1], Literal) and isinstance(arguments[1].value, str):
        return _match_literal(value_of(arguments[0]), arguments[1].value)
    first = value_of(arguments[0])
    if len(arguments) == 1:
        return lambda event: call(first(event))
    second = value_of(arguments[1])
    return lambda event: call(first(event), second(event))


def _match_literal(value: Value, pattern: str) -> Test:
    matches = compile_glob(pattern)
    characters_max = TEXT_CHARACTERS_MAX if is_plain(pattern) else SLOW_TEXT_CHARACTERS_MAX

    def matched(event: Event) -> bool:
        text = value(event)
        return isinstance(text, str) and len(text) <= characters_max and matches(text)

    return matched
