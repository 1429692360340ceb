"""Reads a condition by recursive descent: `or` < `and` < `!` < comparisons < values."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final

from kit.fql.cost import is_slow
from kit.fql.errors import FqlError, error_at, quoted
from kit.fql.functions import FUNCTIONS
from kit.fql.glob import GlobError, compile_glob
from kit.fql.syntax import (
    ANY,
    BOOL,
    LIST,
    NULL,
    NUMBER,
    And,
    Call,
    Compare,
    Items,
    Literal,
    Node,
    Not,
    Or,
    Path,
    described,
    type_of,
)
from kit.fql.tokens import Kind, Token, tokenize

# Each level takes five frames of the stack here and up to three when it is tested: far from Python's 1,000.
NESTING_MAX: Final = 32

# What one condition may cost an event, since all events of all workspaces wait while it is tested. People write a few
# calls and compare with lists rather than in a row.
CALLS_MAX: Final = 20
SLOW_CALLS_MAX: Final = 3
COMPARISONS_MAX: Final = 50

_ORDERINGS: Final = frozenset({"<", "<=", ">", ">="})
_COMPARISONS: Final = _ORDERINGS | {"=", "!=", "in"}
_CONSTANTS: Final = {"true": True, "false": False, "null": None}


def parse(text: str) -> Node:
    """Read the whole text as one condition. Raises `FqlError`."""
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokenize(text)
        self._next = 0
        self._depth = 0
        self._calls = 0
        self._slow_calls = 0
        self._comparisons = 0

    def whole(self) -> Node:
        if len(self._tokens) == 1:
            raise self._expected("a condition, such as `type = 'track'`, or `all`")
        node = self._condition(self._or())
        if self._token.kind is not Kind.END:
            raise self._expected("`and`, `or` or the end")
        return node

    def _or(self) -> Node:
        first = self._and()
        if not self._sees("or"):
            return first
        operands = [self._condition(first)]
        while self._accept("or"):
            operands.append(self._condition(self._and()))
        return Or(tuple(operands), first.at)

    def _and(self) -> Node:
        first = self._not()
        if not self._sees("and"):
            return first
        operands = [self._condition(first)]
        while self._accept("and"):
            operands.append(self._condition(self._not()))
        return And(tuple(operands), first.at)

    def _not(self) -> Node:
        at, count = self._token.at, 0
        # A loop, so that a thousand of them are no deeper than one.
        while self._accept("!") or self._accept("not"):
            count += 1
        operand = self._comparison()
        if not count:
            return operand
        self._condition(operand)
        negated = Not(operand, at)
        return negated if count % 2 else Not(negated, at)

    def _comparison(self) -> Node:
        left = self._value()
        operator = self._token
        if operator.source not in _COMPARISONS or operator.kind is Kind.STRING:
            return left
        self._next += 1
        right = self._value()
        self._check_comparison(operator, left, right)
        self._comparisons += 1
        if self._comparisons > COMPARISONS_MAX:
            message = f"too many comparisons; at most {COMPARISONS_MAX} are accepted. Compare with a list by `in`"
            raise self._error(operator.at, message)
        if self._token.kind is Kind.OPERATOR and self._token.source in _COMPARISONS:
            raise self._error(self._token.at, "comparisons do not chain: join two of them with `and`")
        return Compare(operator.source, left, right, left.at)

    def _value(self) -> Node:
        token = self._token
        if token.kind is Kind.STRING or token.kind is Kind.NUMBER:
            self._next += 1
            return Literal(token.value, token.at, token.places)
        if token.kind is Kind.KEYWORD and token.source in _CONSTANTS:
            self._next += 1
            return Literal(_CONSTANTS[token.source], token.at)
        if token.kind is Kind.PATH:
            self._next += 1
            return self._call(token) if self._sees("(") else Path(token.value, token.at)
        if self._sees("["):
            return Items(self._sequence("[", "]"), token.at)
        if self._sees("("):
            return self._group()
        raise self._expected("a field, a string, a number, a list, a function or `(`")

    def _group(self) -> Node:
        self._deeper()
        self._next += 1
        node = self._or()
        self._require(")")
        self._depth -= 1
        return node

    def _sequence(self, opening: str, closing: str) -> tuple[Node, ...]:
        """Read `[a, b]` or `(a, b)`."""
        self._deeper()
        self._require(opening)
        items: list[Node] = []
        while not self._sees(closing):
            if items and not self._accept(","):
                raise self._expected(f"`,` or `{closing}`")
            items.append(self._or())
        self._require(closing)
        self._depth -= 1
        return tuple(items)

    def _call(self, name: Token) -> Node:
        function = FUNCTIONS.get(name.source)
        if function is None:
            raise self._unknown_function(name)
        self._calls += 1
        if self._calls > CALLS_MAX:
            raise self._error(name.at, f"too many functions; at most {CALLS_MAX} calls are accepted")
        arguments = self._sequence("(", ")")
        if len(arguments) != len(function.parameters):
            wanted = "1 argument" if len(function.parameters) == 1 else f"{len(function.parameters)} arguments"
            raise self._error(name.at, f"`{name.source}` takes {wanted}, not {len(arguments)}")
        for argument, types in zip(arguments, function.parameters, strict=True):
            if types and type_of(argument) not in types | {ANY, NULL}:
                wanted = " or a ".join(sorted(types, reverse=True))
                raise self._error(argument.at, f"`{name.source}` takes a {wanted} here, not {described(argument)}")
        if name.source == "match":
            self._check_pattern(arguments[1])
        call = Call(name.source, arguments, name.at, function.result)
        if is_slow(call):
            self._count_slow(name)
        return call

    def _count_slow(self, name: Token) -> None:
        self._slow_calls += 1
        if self._slow_calls <= SLOW_CALLS_MAX:
            return
        message = (
            f"too many slow functions; at most {SLOW_CALLS_MAX} calls are accepted of snakecase, kebabcase, titlecase,"
            " and of match with `?`, `[` or a field as its pattern. Use `*` alone, or a list with `in`"
        )
        raise self._error(name.at, message)

    def _unknown_function(self, name: Token) -> FqlError:
        near = get_close_matches(name.source.lower(), FUNCTIONS, 1)
        hint = f"did you mean `{near[0]}`?" if near else f"the functions are {', '.join(FUNCTIONS)}"
        return self._error(name.at, f"there is no function {quoted(name.source)}; {hint}")

    def _check_pattern(self, pattern: Node) -> None:
        if not isinstance(pattern, Literal) or not isinstance(pattern.value, str):
            return
        try:
            compile_glob(pattern.value)
        except GlobError as error:
            at = pattern.places[error.index] if pattern.places else pattern.at
            raise self._error(at, str(error)) from None

    def _check_comparison(self, operator: Token, left: Node, right: Node) -> None:
        """Refuse what is false for every event, where it can only be a mistake."""
        if operator.source == "in" and type_of(right) not in (LIST, ANY):
            raise self._error(right.at, f"`in` needs a list or a field on its right, not {described(right)}")
        if operator.source in _ORDERINGS:
            for side in (left, right):
                if type_of(side) not in (NUMBER, ANY):
                    raise self._error(side.at, f"`{operator.source}` compares numbers; this is {described(side)}")

    def _condition(self, node: Node) -> Node:
        if type_of(node) in (BOOL, ANY):
            return node
        message = f"expected a condition, such as `type = 'track'`; this is {described(node)}"
        raise self._error(node.at, message)

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _sees(self, source: str) -> bool:
        token = self._token
        return token.source == source and token.kind in (Kind.OPERATOR, Kind.KEYWORD)

    def _accept(self, source: str) -> bool:
        seen = self._sees(source)
        self._next += seen
        return seen

    def _require(self, source: str) -> None:
        if not self._accept(source):
            raise self._expected(f"`{source}`")

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > NESTING_MAX:
            raise self._error(self._token.at, f"too many levels of brackets; at most {NESTING_MAX} are accepted")

    def _expected(self, what: str) -> FqlError:
        token = self._token
        if token.kind is Kind.END:
            return self._error(token.at, f"expected {what}, found the end")
        message = f"expected {what}, found {quoted(token.source)}"
        return self._error(token.at, message + _hint(token))

    def _error(self, at: int, message: str) -> FqlError:
        return error_at(self._text, at, message)


def _hint(found: Token) -> str:
    """What its writer may have meant."""
    word = found.source.lower()
    if word == "not":
        return "; `not` stands before a whole comparison: `not event in ['A', 'B']`"
    if word == "all":
        return "; `all` stands alone, and a field of that name is written `\\all`"
    if found.kind is Kind.KEYWORD:
        return f"; a field of that name is written `\\{word}`"
    return ""
