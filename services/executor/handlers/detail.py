"""What is kept of an attempt that somebody will want to look at. Secrets are masked here, before anything leaves."""

from __future__ import annotations

import orjson

from onward.executor.v1 import outcomes_pb2 as pb
from services.executor.domain.errors import Verdict
from services.executor.handlers.work import Batch, Begun, Item
from services.executor.runtime.cuts import (
    ERROR_MESSAGE_MAX,
    ERROR_NAME_MAX,
    ERROR_STACK_MAX,
    redacted_lines,
    redacted_text,
    redacted_value,
)
from services.executor.runtime.egress_capture import captured
from services.executor.runtime.pool import Outcome, UserError
from services.executor.runtime.redaction import Redactor

# All of an attempt's captures together, so that one message of OUTCOMES has room for four of the largest.
CAPTURE_BYTES_MAX = 128 * 1024
_CUT = b'[{"cut":true}]'
# All copies of what a batch's events share: one message of OUTCOMES more, at most, for the batch.
SHARED_BYTES_MAX = 512 * 1024


def build(item: Item, outcome: Outcome, verdict: Verdict, redactor: Redactor) -> pb.AttemptDetail:
    """Build the full record of one attempt: event, error, console, requests, callback return."""
    detail = pb.AttemptDetail()
    if verdict.result not in (pb.RESULT_DELIVERED, pb.RESULT_FILTERED):
        _add_event(detail, item)
    _add_error(detail, outcome.error, redactor)
    _add_captures(detail, item, outcome, redactor)
    return detail


class BatchDetails:
    """Builds the records of a batch's events: each has its event and error, and what all share while there is room."""

    def __init__(self, batch: Batch, outcome: Outcome, redactor: Redactor) -> None:
        self._redactor = redactor
        self._shared = pb.AttemptDetail()
        _add_captures(self._shared, batch, outcome, redactor)
        self._room = SHARED_BYTES_MAX

    def build(self, item: Item, error: UserError | None, verdict: Verdict) -> pb.AttemptDetail:
        detail = pb.AttemptDetail()
        if verdict.result not in (pb.RESULT_DELIVERED, pb.RESULT_FILTERED):
            _add_event(detail, item)
        _add_error(detail, error, self._redactor)
        size_bytes = self._shared.ByteSize()
        if size_bytes <= self._room:
            detail.MergeFrom(self._shared)
            self._room -= size_bytes
        else:
            detail.logs = _CUT if self._shared.logs else b""
            detail.requests = _CUT if self._shared.requests else b""
        return detail


def _add_captures(detail: pb.AttemptDetail, begun: Begun, outcome: Outcome, redactor: Redactor) -> None:
    if outcome.value is not None:
        detail.value, _ = redacted_value(redactor, outcome.value, cut=outcome.value_cut)
    room = CAPTURE_BYTES_MAX
    if outcome.logs:
        lines = redacted_lines(redactor, outcome.logs)
        logs = orjson.dumps([{"level": one.level, "time_ms": one.time_ms, "line": one.text} for one in lines])
        detail.logs = logs if len(logs) <= room else _CUT
        room -= len(detail.logs)
    if begun.exchanges:
        detail.requests = _requests(begun, redactor, room)


def _add_event(detail: pb.AttemptDetail, item: Item) -> None:
    """Add the event as it came, so that a retry is filtered as is right then, and what may be shown of it."""
    detail.event = item.payload
    if item.filtered is not None:
        detail.filtered_event = item.filtered


def _add_error(detail: pb.AttemptDetail, error: UserError | None, redactor: Redactor) -> None:
    if error is None:
        return
    detail.error_name = redacted_text(redactor, error.name, ERROR_NAME_MAX)
    detail.error_message = redacted_text(redactor, error.message, ERROR_MESSAGE_MAX)
    detail.error_stack = redacted_text(redactor, error.stack, ERROR_STACK_MAX)
    detail.http_status = error.http_status or 0


def _requests(begun: Begun, redactor: Redactor, room: int) -> bytes:
    """Give the exchanges as JSON, in order; what has no room is left out and said so."""
    kept: list[bytes] = []
    for exchange in begun.exchanges:
        record = captured(
            exchange.request,
            exchange.response,
            exchange.error,
            started_at=exchange.started_at,
            duration_ms=exchange.duration_ms,
            awaited=exchange.awaited,
            redactor=redactor,
        )
        record["body"]["bytes"] = exchange.request_bytes
        if exchange.response is not None:
            record["response"]["body"]["bytes"] = exchange.response_bytes
        one = orjson.dumps(record)
        room -= len(one) + 1
        if room < len(_CUT):
            kept.append(_CUT[1:-1])
            break
        kept.append(one)
    return b"[" + b",".join(kept) + b"]"


def failure(item: Item, name: str, message: str) -> pb.AttemptDetail:
    """Build the record of an attempt whose code never ran."""
    detail = pb.AttemptDetail(error_name=name, error_message=message)
    _add_event(detail, item)
    return detail


def event_only(item: Item) -> pb.AttemptDetail:
    """Build the record of a deferral: the event, so that it can run later."""
    detail = pb.AttemptDetail()
    _add_event(detail, item)
    return detail
