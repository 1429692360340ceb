"""Onward's filter query language: conditions on events, compiled once and tested on every event.

docs/filters.md is the language as its users know it.
"""

from kit.fql.condition import ALL, TEXT_BYTES_MAX, Condition, compile_condition
from kit.fql.errors import FqlError
from kit.fql.tokens import parse_path

__all__ = ["ALL", "TEXT_BYTES_MAX", "Condition", "FqlError", "compile_condition", "parse_path"]
