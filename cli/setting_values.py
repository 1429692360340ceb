"""Setting values as they are written on the command line.

`name=text` is a string, `name=@file` the content of a file (`@-`: stdin), so that secrets stay out of the shell's
history, and `name:=json` is a boolean, an array of strings or a map of strings.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cli.failures import UsageError
from onward.registry.v1.resources_pb2 import SettingDefinition, SettingType, SettingValue, StringList, StringMap

# The registry's own limit is 16 KiB; what is larger than this is the wrong file.
FILE_BYTES_MAX = 64 * 1024

_TYPES = {
    "string": SettingType.SETTING_TYPE_STRING,
    "boolean": SettingType.SETTING_TYPE_BOOLEAN,
    "list": SettingType.SETTING_TYPE_STRING_LIST,
    "map": SettingType.SETTING_TYPE_STRING_MAP,
}
TYPE_WORDS = {number: word for word, number in _TYPES.items()}


def parse_assignments(texts: Iterable[str]) -> dict[str, SettingValue]:
    """Give the values by setting name. Raises UsageError."""
    values: dict[str, SettingValue] = {}
    for text in texts:
        name, value = _parse(text)
        if name in values:
            raise UsageError(f"setting {name} is given twice: leave one out")
        values[name] = value
    return values


def _parse(text: str) -> tuple[str, SettingValue]:
    name, equals, value = text.partition("=")
    is_json = name.endswith(":")
    name = name.removesuffix(":")
    if not equals or not name:
        raise UsageError(f"{text!r} is not a setting: write name=text, name=@file or name:=json")
    if is_json:
        return name, _from_json(name, value)
    if value.startswith("@"):
        value = _content(name, value[1:])
    return name, SettingValue(string_value=value)


def _from_json(name: str, text: str) -> SettingValue:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"the value of {name} is not JSON ({error}): write {name}=text for a string") from None
    made = to_value(value)
    if made is None:
        raise UsageError(
            f"the value of {name} must be a string, true or false, an array of strings or a map of strings"
        )
    return made


def to_value(value: Any) -> SettingValue | None:
    """Give the setting value of a JSON value; None where it is of no setting's type."""
    match value:
        case bool():
            return SettingValue(bool_value=value)
        case str():
            return SettingValue(string_value=value)
        case list() if all(isinstance(one, str) for one in value):
            return SettingValue(list_value=StringList(values=value))
        case dict() if all(isinstance(one, str) for one in value.values()):
            return SettingValue(map_value=StringMap(values=value))
        case _:
            return None


def _content(name: str, path: str) -> str:
    try:
        data = sys.stdin.buffer.read(FILE_BYTES_MAX + 1) if path == "-" else Path(path).read_bytes()
        if len(data) > FILE_BYTES_MAX:
            raise UsageError(f"{path} has more than {FILE_BYTES_MAX} bytes: it is no value for {name}")
        # A key that an editor saved ends with a line break that is none of its own.
        return data.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise UsageError(f"{path} can't be read ({error.strerror}): it should hold the value of {name}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text: it can't be the value of {name}") from None


def shown(value: SettingValue) -> str:
    """Give a value for people."""
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "bool_value":
            return "true" if value.bool_value else "false"
        case "list_value":
            return json.dumps(list(value.list_value.values), ensure_ascii=False)
        case "map_value":
            return json.dumps(dict(value.map_value.values), ensure_ascii=False, sort_keys=True)
        case _:
            return ""


def parse_definitions(text: str, origin: str) -> list[SettingDefinition]:
    """Read setting definitions: a JSON array of objects.

    `type` is string, boolean, list or map (string where absent); `label` is the name where absent.
    Raises UsageError.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{origin} is not JSON ({error})") from None
    if not isinstance(document, list):
        raise UsageError(f'{origin} must be a JSON array of definitions, such as [{{"name": "endpoint"}}]')
    return [_definition(one, f"{origin}: definition {number}") for number, one in enumerate(document, 1)]


def _definition(one: Any, where: str) -> SettingDefinition:
    if not isinstance(one, dict) or not isinstance(one.get("name"), str):
        raise UsageError(f'{where} must be an object with a "name"')
    fields = {"name", "label", "type", "description", "required", "encrypted"}
    unknown = sorted(set(one) - fields)
    if unknown:
        raise UsageError(f"{where} has an unknown field {unknown[0]!r}: the fields are {', '.join(sorted(fields))}")
    word = str(one.get("type", "string")).removeprefix("SETTING_TYPE_").removeprefix("STRING_").lower()
    if word not in _TYPES:
        raise UsageError(f"{where} has the type {one['type']!r}: it must be one of {', '.join(_TYPES)}")
    return SettingDefinition(
        name=one["name"],
        label=str(one.get("label", one["name"])),
        type=_TYPES[word],
        description=str(one.get("description", "")),
        required=one.get("required") is True,
        encrypted=one.get("encrypted") is True,
    )
