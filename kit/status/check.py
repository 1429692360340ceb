"""One thing that was checked, and the questions that find it out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from onward.common.v1.status_service_pb2 import Check, CheckLevel

__all__ = ["FAILURE", "OK", "WARNING", "Check", "Probe", "counted", "failure", "ok", "size", "warning"]

OK = CheckLevel.CHECK_LEVEL_OK
WARNING = CheckLevel.CHECK_LEVEL_WARNING
FAILURE = CheckLevel.CHECK_LEVEL_FAILURE

MIB = 1024**2
GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Probe:
    """A question of some checks; where it has no answer, the failure bears its name, and `advice`."""

    name: str
    ask: Callable[[], Awaitable[Sequence[Check]]]
    advice: str = "the log of the service says more"


def ok(name: str, message: str) -> Check:
    """As it should be."""
    return Check(name=name, level=OK, message=message)


def warning(name: str, message: str, advice: str) -> Check:
    """It works, and somebody should look."""
    return Check(name=name, level=WARNING, message=message, advice=advice)


def failure(name: str, message: str, advice: str) -> Check:
    """It does not work."""
    return Check(name=name, level=FAILURE, message=message, advice=advice)


def counted(number: int, noun: str) -> str:
    """A number and its noun: "1 fact", "2,000 facts"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def size(count: float) -> str:
    """Bytes for people: "9.4 MB", "23 GB"."""
    for unit, one in (("GB", GIB), ("MB", MIB)):
        if count >= one:
            return f"{count / one:.1f} {unit}" if count < 10 * one else f"{count / one:.0f} {unit}"
    return f"{count / 1024:.0f} kB"
