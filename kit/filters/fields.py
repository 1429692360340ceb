"""Changes to the fields of an event: each gives a new object that shares what it did not change."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any, Final

from kit.filters.actions import ENVELOPE
from kit.fql import parse_path
from kit.fql.values import text_of, utf8

Object = dict[str, Any]
Change = Callable[[Object], Object]
# Fields by their names, level by level; None marks a field that is meant as a whole.
_Tree = dict[str, "_Tree | None"]

# Objects that handlers read without asking whether they are there.
_BODY: Final = ("properties", "traits", "context")


def dropping(paths: Iterable[str]) -> Change:
    """Make a change that removes fields."""
    tree = _tree(paths)
    return lambda event: _without(event, tree)


def allowing(paths: Iterable[str]) -> Change:
    """Make a change that removes every field which is neither named nor the envelope's.

    `properties`, `traits` and `context` stay as objects, empty if need be, so that code which reads a field
    of theirs finds it undefined instead of failing.
    """
    empty: _Tree = {}
    tree: _Tree = dict.fromkeys(_BODY, empty) | _tree(paths) | dict.fromkeys(ENVELOPE)
    return lambda event: _only(event, tree)


def hashing(paths: Iterable[str]) -> Change:
    """Make a change that replaces fields by their hashes."""
    tree = _tree(paths)
    return lambda event: _hashed(event, tree)


def hash_of(value: Any) -> str:
    """The SHA-256 of a value's text, unsalted, so that others who know the value find the same."""
    return hashlib.sha256(utf8(text_of(value))).hexdigest()


def _tree(paths: Iterable[str]) -> _Tree:
    """Join paths; a field that is meant as a whole swallows what is named within it."""
    tree: _Tree = {}
    for path in paths:
        *above, last = parse_path(path)
        level: _Tree | None = tree
        for name in above:
            level = None if level is None else level.setdefault(name, {})
        if level is not None:
            level[last] = None
    return tree


def _without(value: Object, tree: _Tree) -> Object:
    changed = value
    for name, below in tree.items():
        if name not in value:
            continue
        old = value[name]
        new = _without(old, below) if below is not None and isinstance(old, dict) else old
        if below is not None and new is old:
            continue
        changed = dict(value) if changed is value else changed
        if below is None:
            del changed[name]
        else:
            changed[name] = new
    return changed


def _only(value: Object, tree: _Tree) -> Object:
    kept: Object = {}
    for name, old in value.items():
        if name not in tree:
            continue
        below = tree[name]
        if below is None:
            kept[name] = old
        elif isinstance(old, dict):
            kept[name] = _only(old, below)
    unchanged = len(kept) == len(value) and all(kept[name] is value[name] for name in kept)
    return value if unchanged else kept


def _hashed(value: Object, tree: _Tree) -> Object:
    changed = value
    for name, below in tree.items():
        old = value.get(name)
        # There is nothing to hide in null, and a hash would make it look like a value.
        if old is None:
            continue
        if below is None:
            new: Any = hash_of(old)
        else:
            new = _hashed(old, below) if isinstance(old, dict) else old
        if new is not old:
            changed = dict(value) if changed is value else changed
            changed[name] = new
    return changed
