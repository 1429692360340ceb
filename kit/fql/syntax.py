"""The tree of a condition, and what is known of its values before any event is seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kit.fql.errors import quoted

# The types of values, by the names that `typeof` gives them.
BOOL: Final = "bool"
NUMBER: Final = "number"
STRING: Final = "string"
LIST: Final = "list"
OBJECT: Final = "object"
NULL: Final = "null"
# Only the event tells.
ANY: Final = "any"


@dataclass(frozen=True, slots=True)
class Literal:
    """A string, number, true, false or null; `places` are those of a string token."""

    value: str | int | float | bool | None
    at: int
    places: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Path:
    """A field of the event."""

    names: tuple[str, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Items:
    """A list as written in the condition."""

    items: tuple[Node, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Call:
    """A function and its arguments; both were checked."""

    name: str
    arguments: tuple[Node, ...]
    at: int
    result: str


@dataclass(frozen=True, slots=True)
class Compare:
    """One of `= != < <= > >= in`."""

    operator: str
    left: Node
    right: Node
    at: int


@dataclass(frozen=True, slots=True)
class Not:
    operand: Node
    at: int


@dataclass(frozen=True, slots=True)
class And:
    operands: tuple[Node, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Or:
    operands: tuple[Node, ...]
    at: int


Node = Literal | Path | Items | Call | Compare | Not | And | Or


def type_of(node: Node) -> str:
    """The type that a node's value has in every event, or `ANY`; functions of null may still give null."""
    match node:
        case Literal(value=value):
            return literal_type(value)
        case Path():
            return ANY
        case Items():
            return LIST
        case Call(result=result):
            return result
        case _:
            return BOOL


def literal_type(value: str | int | float | bool | None) -> str:
    if value is None:
        return NULL
    if isinstance(value, bool):
        return BOOL
    return STRING if isinstance(value, str) else NUMBER


def described(node: Node) -> str:
    """Name a node in a message."""
    match node:
        case Literal(value=None):
            return "null"
        case Literal(value=str(value)):
            return f"the string {quoted(value)}"
        case Call(name=name, result=result):
            return f"`{name}(...)`, a {result}"
        case _:
            return f"a {type_of(node)}"
