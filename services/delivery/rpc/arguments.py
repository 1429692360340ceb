"""What requests of several methods name in the same way: a parent, and a span of time."""

from __future__ import annotations

from typing import Literal, Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from kit.auth.caller import Caller
from kit.clock import Clock
from kit.rpc import names
from kit.rpc.names import malformed
from services.delivery.domain.schedule import SECOND_US
from services.delivery.queries import Span
from services.delivery.queries.numbers import Asked

# Above every event that can be: PostgreSQL's bigint is far larger.
TIME_MAX_US = 253_402_300_799 * SECOND_US


class Timed(Protocol):
    """A request with a span of time."""

    @property
    def start_time(self) -> Timestamp: ...
    @property
    def end_time(self) -> Timestamp: ...
    def HasField(self, field_name: Literal["start_time", "end_time"], /) -> bool: ...


def last(clock: Clock, length_us: int) -> Span:
    """The time until now, to the end of this second, so that what was received just now counts."""
    now_us = (int(clock.now().timestamp()) + 1) * SECOND_US
    return Span(now_us - length_us, now_us)


def parse_parent(parent: str) -> tuple[str, str]:
    """The workspace and the destination, "" for all of them."""
    if names.WORKSPACE.matches(parent):
        return names.WORKSPACE.parse(parent)[0], ""
    if names.DESTINATION.matches(parent):
        workspace, destination = names.DESTINATION.parse(parent)
        return workspace, destination
    raise malformed("parent", f"must be of the form {names.WORKSPACE.text} or {names.DESTINATION.text}")


def asked_by(caller: Caller, parent: str) -> Asked:
    """Numbers of a parent, as far as its caller may see them."""
    return Asked(*parse_parent(parent), caller.functions, caller.sources)


def span_of(request: Timed, default: Span) -> Span:
    end_us = _time(request.end_time, "end_time") if request.HasField("end_time") else default.end_us
    start_us = _time(request.start_time, "start_time") if request.HasField("start_time") else default.start_us
    if start_us >= end_us:
        raise malformed("start_time", "must be before end_time")
    return Span(start_us, end_us)


def _time(time: Timestamp, field: str) -> int:
    micros = time.seconds * SECOND_US + time.nanos // 1000
    if not 0 <= micros <= TIME_MAX_US:
        raise malformed(field, "must be between 1970 and 9999")
    return micros
