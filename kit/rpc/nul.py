"""Texts of a request that Postgres can't store."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from kit.errors import InvalidArgument


def refuse_nul(request: Message) -> None:
    """Raises InvalidArgument for a string with a NUL character, which Postgres can't store; all else is literal."""
    for path, text in _strings(request, ""):
        if "\0" in text:
            description = "must not contain the character U+0000"
            raise InvalidArgument(f"{path}: {description}", violations=[(path, description)])


def _strings(message: Message, prefix: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for field, value in message.ListFields():
        found += _in_field(field, value, prefix + field.name)
    return found


def _in_field(field: FieldDescriptor, value: object, path: str) -> list[tuple[str, str]]:
    if isinstance(value, str):
        return [(path, value)]
    if isinstance(value, Message):
        return _strings(value, f"{path}.")
    if isinstance(value, (bool, int, float, bytes)):
        return []
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return _in_map(value, path)
    assert isinstance(value, Sequence)
    return [pair for index, one in enumerate(value) for pair in _in_field(field, one, f"{path}[{index}]")]


def _in_map(value: object, path: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    assert hasattr(value, "items")
    for key, one in value.items():
        if isinstance(key, str):
            found.append((f"{path} (a key)", key))
        if isinstance(one, str):
            found.append((f"{path}[{key!r}]", one))
        elif isinstance(one, Message):
            found += _strings(one, f"{path}[{key!r}].")
    return found
