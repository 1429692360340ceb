"""Applies filters to an event, in the order that the product promises."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from kit.filters.actions import AllowFields, Drop, DropFields, FilterError, FilterSpec, HashFields, Sample, violations
from kit.filters.fields import Change, allowing, dropping, hashing
from kit.filters.sampling import Keeps, Random, keeping
from kit.fql import compile_condition

# The kinds of actions on fields, in the order in which they are applied.
_DROP_FIELDS: Final = 0
_ALLOW_FIELDS: Final = 1
_HASH_FIELDS: Final = 2


class Applied(NamedTuple):
    """What became of an event: the event itself where nothing changed, a changed copy, or None.

    A copy shares all that did not change with the event that was given. `dropped_by` is the name of the
    filter that dropped it, "" if none did.
    """

    event: dict[str, Any] | None
    dropped_by: str = ""


class FilterChain:
    """The enabled filters of a workspace, a source and a destination, ready to be applied.

    Each group is applied as a whole before the next one, which sees only what it has left: what a workspace
    removes, no filter of a destination can look at. Raises `FilterError` where an enabled filter is not
    valid; the registry saves none such.
    """

    def __init__(self, *groups: Iterable[FilterSpec | CompiledFilter]) -> None:
        enabled = (_Group(one for one in group if one.enabled) for group in groups)
        self._groups = tuple(group for group in enabled if not group.is_empty)

    @property
    def is_empty(self) -> bool:
        """Whether no event can be changed or dropped, so that it need not even be decoded."""
        return not self._groups

    def apply(self, event: dict[str, Any], random: Random) -> Applied:
        """Apply all filters; the given event is never changed.

        `random` gives a number from 0 to 1, without 1, for each sample that needs one.
        """
        for group in self._groups:
            applied = group.apply(event, random)
            if applied.event is None:
                return applied
            event = applied.event
        return Applied(event)


class _Group:
    """The filters of one owner; all conditions see the event as it came to the group.

    Otherwise the order of two filters could decide whether a field is hashed: one that drops the field on
    which the other's condition looks would switch it off.
    """

    def __init__(self, filters: Iterable[FilterSpec | CompiledFilter]) -> None:
        self._filters = tuple(CompiledFilter(one) if isinstance(one, FilterSpec) else one for one in filters)
        self.is_empty = not self._filters

    def apply(self, event: dict[str, Any], random: Random) -> Applied:
        matching = [each for each in self._filters if each.matches(event)]
        if not matching:
            return Applied(event)
        for each in matching:
            if not all(keeps(event, random) for keeps in each.samples):
                return Applied(None, each.name)
        for each in matching:
            if each.drops:
                return Applied(None, each.name)
        changed = event
        # Sorting keeps the filters' order within a kind.
        for _, change in sorted((pair for each in matching for pair in each.changes), key=_kind):
            changed = change(changed)
        return Applied(changed)


class CompiledFilter:
    """One filter, ready to be applied. Raises `FilterError` where it is not valid."""

    def __init__(self, spec: FilterSpec) -> None:
        if found := violations(spec):
            raise FilterError(spec.name, found)
        self.name = spec.name
        self.enabled = spec.enabled
        self.matches = compile_condition(spec.condition).matches
        self.drops = Drop() in spec.actions
        self.samples: list[Keeps] = [keeping(action) for action in spec.actions if isinstance(action, Sample)]
        self.changes: list[tuple[int, Change]] = []
        for action in spec.actions:
            match action:
                case DropFields(paths=paths):
                    self.changes.append((_DROP_FIELDS, dropping(paths)))
                case AllowFields(paths=paths):
                    self.changes.append((_ALLOW_FIELDS, allowing(paths)))
                case HashFields(paths=paths):
                    self.changes.append((_HASH_FIELDS, hashing(paths)))


def _kind(pair: tuple[int, Change]) -> int:
    return pair[0]
