"""A filter as it is saved: its condition, its actions, and what may be asked of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from kit.fql import ALL, FqlError, compile_condition, parse_path

# More fields than one action of a filter ever named; an event has 32 KiB.
PATHS_MAX: Final = 100

# Of a sample by a field, in the points of conditions: 100 numbers as text, and their hash.
_SAMPLE_COST: Final = 20

# Fields without which an event is none, or could not be traced.
_NEEDED: Final = frozenset({"type", "messageId", "timestamp", "receivedAt"})
# Who it is about and what happened: an event without these would be refused on its way in.
_WHO: Final = frozenset({"userId", "anonymousId", "groupId", "previousId"})
_WHAT: Final = frozenset({"event"})
# Text in place of these is no name or time any more.
_NOT_HASHED: Final = _NEEDED | _WHAT | {"originalTimestamp", "sentAt", "integrations"}
# What an allow list keeps although it does not name it.
ENVELOPE: Final = _NOT_HASHED | _WHO | {"name", "category", "channel", "version"}


@dataclass(frozen=True, slots=True)
class Drop:
    """Drops the event."""


@dataclass(frozen=True, slots=True)
class DropFields:
    """Removes these fields."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AllowFields:
    """Removes all fields but these and the envelope's."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HashFields:
    """Puts the SHA-256 of these fields in their place, in lower-case hexadecimal."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """Keeps this share of the events, 0 to 1: at random, or always the same values of the field `path`."""

    rate: float
    path: str = ""


Action = Drop | DropFields | AllowFields | HashFields | Sample


@dataclass(frozen=True, slots=True)
class FilterSpec:
    """A filter; `name` is the resource's name, `condition` is FQL or `all`, `actions` has at least one."""

    name: str
    actions: tuple[Action, ...]
    condition: str = ALL
    title: str = ""
    description: str = ""
    enabled: bool = True


class FilterError(ValueError):
    """A filter that cannot be; `violations` are pairs of the path of a field and what is wrong with it."""

    def __init__(self, name: str, found: list[tuple[str, str]]) -> None:
        super().__init__(f"filter {name}: " + "; ".join(f"{field}: {message}" for field, message in found))
        self.violations = found


def cost_of(spec: FilterSpec) -> int:
    """What a valid filter takes at worst to decide on an event, in the points of kit/fql/cost.py.

    What it does to fields is left out: each is hashed but once, and all else takes microseconds.
    """
    samples = sum(_SAMPLE_COST for action in spec.actions if isinstance(action, Sample) and action.path)
    return compile_condition(spec.condition).cost + samples


def violations(spec: FilterSpec) -> list[tuple[str, str]]:
    """List all that is wrong with a filter: pairs of (path of the field, what is wrong and what to do)."""
    return [*_condition(spec.condition), *_actions(spec.actions)]


def _condition(text: str) -> Iterator[tuple[str, str]]:
    try:
        compile_condition(text)
    except FqlError as error:
        yield "condition", str(error)


def _actions(actions: tuple[Action, ...]) -> Iterator[tuple[str, str]]:
    if not actions:
        yield "actions", "a filter needs at least one action"
    for kind, count in Counter(map(type, actions)).items():
        if count > 1:
            yield "actions", f"{kind.__name__} is here {count} times; once is enough"
    for index, action in enumerate(actions):
        for field, message in _action(action):
            yield f"actions[{index}].{field}", message


def _action(action: Action) -> Iterator[tuple[str, str]]:
    match action:
        case Drop():
            return
        case Sample(rate=rate, path=path):
            # A NaN is in no range.
            if isinstance(rate, bool) or not 0 <= rate <= 1:
                yield "rate", f"{rate} is no share: it is a number from 0 (none is kept) to 1 (all are)"
            if path:
                yield from _path("path", path, action)
        case _:
            yield from _paths(action)


def _paths(action: DropFields | AllowFields | HashFields) -> Iterator[tuple[str, str]]:
    if not 0 < len(action.paths) <= PATHS_MAX:
        yield "paths", f"this action has {len(action.paths)} fields; it needs 1 to {PATHS_MAX}"
        return
    for index, path in enumerate(action.paths):
        yield from _path(f"paths[{index}]", path, action)


def _path(field: str, path: str, action: Action) -> Iterator[tuple[str, str]]:
    try:
        first = parse_path(path)[0]
    except FqlError as error:
        yield field, str(error)
        return
    if isinstance(action, DropFields) and first in _WHO:
        yield field, f"`{first}` says who the event is about and can't be dropped; hash it instead"
    elif isinstance(action, DropFields) and first in _NEEDED | _WHAT:
        yield field, f"`{first}` can't be dropped: without it the event would not be valid"
    elif isinstance(action, HashFields) and first in _NOT_HASHED:
        yield field, f"`{first}` can't be hashed: destinations need it as it is"
