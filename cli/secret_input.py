"""A value that nobody else may see, as a command is given it: from stdin, or asked for without being shown.

It is never an argument, since shells and process lists keep those.
"""

from __future__ import annotations

import getpass
import json
import sys
import warnings
from typing import Literal

from cli.failures import UsageError
from cli.setting_values import to_value
from onward.registry.v1.resources_pb2 import SettingValue

Kind = Literal["string", "list", "map"]

# The registry takes values of 256 KiB; written as JSON they may be longer.
INPUT_BYTES_MAX = 1024 * 1024

_FORMS = {"list": "an array of strings", "map": "a map of strings"}


def read_secret(kind: Kind = "string") -> SettingValue:
    """Give the value, of which no error tells anything. Raises UsageError."""
    text = _asked() if sys.stdin.isatty() else _piped()
    # A file ends with a line break that is none of the value's.
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise UsageError("no value was given: paste it when it is asked for, or give it on stdin, as by < FILE")
    return SettingValue(string_value=text) if kind == "string" else _from_json(text, kind)


def _asked() -> str:
    with warnings.catch_warnings():
        # Where a terminal can't hide what is typed, getpass would only warn.
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass("The value (it is not shown): ")
        except getpass.GetPassWarning:
            raise UsageError("this terminal would show the value: give it on stdin, as by < FILE") from None
        except EOFError:
            return ""


def _piped() -> str:
    data = sys.stdin.buffer.read(INPUT_BYTES_MAX + 1)
    if len(data) > INPUT_BYTES_MAX:
        raise UsageError(f"stdin has more than {INPUT_BYTES_MAX:,} bytes: no value of a setting has so many")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UsageError("stdin is not UTF-8 text, as every value of a setting is") from None


def _from_json(text: str, kind: Literal["list", "map"]) -> SettingValue:
    try:
        value = to_value(json.loads(text))
    except ValueError:
        value = None
    if value is None or value.WhichOneof("value") != f"{kind}_value":
        raise UsageError(f"the value is not {_FORMS[kind]}, in JSON, which --type {kind} asks for")
    return value
