"""Reading facts' proto-JSON quickly.

json_format takes 60 us for a fact, and a workspace's state is folded from all of its facts: with 100,000 of them that
are 6 s. What `serialize` writes is plain enough for 10 us; whatever is not goes to json_format, which decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, TypeAlias, TypeVar

import orjson
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

M = TypeVar("M", bound=Message)
# From a JSON value to what a message's constructor takes; None where that is the value itself.
Convert: TypeAlias = Callable[[Any], Any] | None

# JSON holds these as the constructor takes them.
_AS_THEY_ARE: Final = frozenset(
    {FieldDescriptor.CPPTYPE_STRING, FieldDescriptor.CPPTYPE_BOOL, FieldDescriptor.CPPTYPE_INT32,
     FieldDescriptor.CPPTYPE_UINT32}
)  # fmt: skip
_NUMBERS: Final[Mapping[int, Callable[[Any], Any]]] = {
    FieldDescriptor.CPPTYPE_INT64: int,
    FieldDescriptor.CPPTYPE_UINT64: int,
    FieldDescriptor.CPPTYPE_DOUBLE: float,
    FieldDescriptor.CPPTYPE_FLOAT: float,
}


def decode(data: bytes, kind: type[M]) -> M:
    """The message; fields that a newer release added are passed over. Raises json_format.ParseError."""
    try:
        message: M = _reader(kind.DESCRIPTOR)(orjson.loads(data))
    except (KeyError, TypeError, ValueError, AttributeError):
        # Unknown names, other spellings, text that orjson refuses.
        message = kind()
        json_format.Parse(data, message, ignore_unknown_fields=True)
    return message


def decode_value(value: Any, kind: type[M]) -> M:
    """The same of JSON that was read already."""
    try:
        message: M = _reader(kind.DESCRIPTOR)(value)
    except (KeyError, TypeError, ValueError, AttributeError):
        message = json_format.ParseDict(value, kind(), ignore_unknown_fields=True)
    return message


@cache
def _reader(descriptor: Descriptor) -> Callable[[dict[str, Any]], Any]:
    """Makes messages of a type from JSON objects. Kept for each type of message, of which the protos have so many."""
    kind = GetMessageClass(descriptor)
    if descriptor.file.package == "google.protobuf":
        # A Timestamp is text, and so on.
        return lambda value: json_format.ParseDict(value, kind())
    fields: dict[str, tuple[str, Convert]] = {}

    def read(value: dict[str, Any]) -> Message:
        if not fields:
            # Not before the first use: types may hold themselves.
            fields.update({field.json_name: (field.name, _convert(field)) for field in descriptor.fields})
        given = {}
        for name, one in value.items():
            field, convert = fields[name]
            given[field] = one if convert is None else convert(one)
        return kind(**given)

    return read


def _convert(field: FieldDescriptor) -> Convert:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return _convert_map(field.message_type)
    single = _convert_one(field)
    if not field.is_repeated or single is None:
        return single
    return lambda values: [single(one) for one in values]


def _convert_map(entry: Descriptor) -> Convert:
    key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
    convert = _convert_one(value)
    if key.type != FieldDescriptor.TYPE_STRING or value.message_type is not None:
        return _refuse
    return None if convert is None else lambda values: {name: convert(one) for name, one in values.items()}


def _convert_one(field: FieldDescriptor) -> Convert:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _refuse
    if field.cpp_type in _AS_THEY_ARE:
        return None
    if field.enum_type is not None:
        return _numbers(field.enum_type)
    if field.message_type is not None:
        return _reader(field.message_type)
    return _NUMBERS[field.cpp_type]


def _numbers(kind: EnumDescriptor) -> Callable[[Any], int]:
    return {value.name: value.number for value in kind.values}.__getitem__


def _refuse(_: Any) -> Any:
    raise TypeError("left to json_format")
