"""Filters as they are written on the command line and shown: actions as options, conditions with their mistakes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Group, Parameter

from cli.failures import CommandError, UsageError
from kit.errors import InvalidArgument
from onward.registry.v1.resources_pb2 import FieldPaths, FilterAction, Sampling

_ACTIONS = Group("What it does", sort_key=5)
# Of a condition's line, so much stands on both sides of a mistake.
CONTEXT_CHARACTERS = 60


def _option(name: str, description: str) -> Parameter:
    return Parameter(name=name, help=description, group=_ACTIONS, negative="", show_default=False)


@Parameter(name="*")
@dataclass(frozen=True)
class Actions:
    """What a filter does, each once at most."""

    drop: Annotated[bool, _option("--drop", "Drop the events.")] = False
    sample: Annotated[float | None, _option("--sample", "Keep this part of them, 0 to 1, drop the others.")] = None
    by: Annotated[
        str, _option("--by", "With --sample: keep or drop all with the same value of this field, such as userId.")
    ] = ""
    drop_fields: Annotated[
        str, _option("--drop-fields", "Remove these fields: context.ip,traits.email; \\, is a comma within a name.")
    ] = ""
    allow_fields: Annotated[str, _option("--allow-fields", "Remove all fields but these.")] = ""
    hash_fields: Annotated[str, _option("--hash-fields", "Put the SHA-256 of these fields in their place.")] = ""


NO_ACTIONS = Actions()


def parse_actions(given: Actions) -> list[FilterAction]:
    """Give the actions. Raises UsageError."""
    if given.by and given.sample is None:
        raise UsageError("--by goes with --sample: say which part to keep")
    actions = [FilterAction(drop=True)] if given.drop else []
    if given.sample is not None:
        actions.append(FilterAction(sample=Sampling(rate=given.sample, path=given.by)))
    if given.drop_fields:
        actions.append(FilterAction(drop_fields=_paths(given.drop_fields)))
    if given.allow_fields:
        actions.append(FilterAction(allow_fields=_paths(given.allow_fields)))
    if given.hash_fields:
        actions.append(FilterAction(hash_fields=_paths(given.hash_fields)))
    return actions


def _paths(text: str) -> FieldPaths:
    """Split at commas. One after a backslash belongs to a name; the backslash stays, as field names have it."""
    paths, start, at = [], 0, 0
    while at < len(text):
        if text[at] == ",":
            paths.append(text[start:at])
            start = at + 1
        at += 2 if text[at] == "\\" else 1
    paths.append(text[start:])
    return FieldPaths(paths=[one.strip() for one in paths if one.strip()])


def actions_text(actions: Iterable[FilterAction]) -> str:
    """Give actions for people."""
    return "; ".join(map(_action_text, actions))


def _action_text(action: FilterAction) -> str:
    kind = action.WhichOneof("action") or "nothing"
    if kind == "sample":
        by = f" by {action.sample.path}" if action.sample.path else ""
        return f"sample {action.sample.rate:g}{by}"
    if kind in ("drop_fields", "allow_fields", "hash_fields"):
        return f"{kind.replace('_', ' ')} {', '.join(getattr(action, kind).paths)}"
    return kind


@contextmanager
def condition_errors(condition: str) -> Iterator[None]:
    """Have a refused condition shown with a caret at its mistake."""
    try:
        yield
    except InvalidArgument as error:
        line, column = error.metadata.get("line", ""), error.metadata.get("column", "")
        if not (line.isdecimal() and column.isdecimal()):
            raise
        where = f"line {line}, column {column}: "
        told = next((text for _, text in error.violations if text.startswith(where)), error.message)
        place = pointed_at(condition, int(line), int(column))
        raise CommandError(f"in the condition, {where}{told.removeprefix(where)}\n{place}") from error


def pointed_at(text: str, line: int, column: int) -> str:
    """Give the line of a text and below it a caret at the column, both from 1; of a long line what is around it."""
    lines = text.split("\n")
    found = lines[line - 1] if 0 < line <= len(lines) else ""
    start = max(0, column - 1 - CONTEXT_CHARACTERS)
    piece = found[start : column + CONTEXT_CHARACTERS].expandtabs(1)
    return f"{piece}\n{' ' * (column - 1 - start)}^"
