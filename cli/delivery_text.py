"""Deliveries in words: rows of tables, lines of the tail, and one delivery with all that was captured."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from typing import Any

from rich.text import Text

from cli.output import Cell, console, enum_word, last_part, milliseconds, print_record, say, shortened, when
from onward.delivery.v1 import delivery_service_pb2 as pb
from onward.executor.v1 import outcomes_pb2

REASON_CHARACTERS_MAX = 60
# Of a request's or an answer's body; --json has what was captured.
BODY_CHARACTERS_MAX = 1000
STACK_LINES_MAX = 12

_STYLES = {"delivered": "green", "failed": "red", "pending": "yellow"}


def state_word(state: int) -> str:
    return enum_word(pb.DeliveryState.Name(state), "DELIVERY_STATE_")  # type: ignore[arg-type]  # an enum is an int


def error_word(error_type: int) -> str:
    return enum_word(outcomes_pb2.ErrorType.Name(error_type), "ERROR_TYPE_")  # type: ignore[arg-type]  # as above


def type_word(event_type: int) -> str:
    return enum_word(outcomes_pb2.EventType.Name(event_type), "EVENT_TYPE_")  # type: ignore[arg-type]  # as above


def event_words(one: pb.Delivery) -> str:
    """Give the type, and the name of a track event."""
    return f"{type_word(one.type)} {one.event_name}".rstrip()


def reason(one: pb.Delivery) -> str:
    """Say why it failed, or failed last."""
    if not one.error_type:
        return ""
    return shortened(f"{error_word(one.error_type)}: {one.error_message}", REASON_CHARACTERS_MAX)


def delivery_row(one: pb.Delivery) -> tuple[Cell, ...]:
    return (
        last_part(one.name),
        when(one.receive_time),
        last_part(one.destination),
        event_words(one),
        state_word(one.state),
        one.attempts,
        reason(one),
    )


def tail_line(one: pb.Delivery) -> Text:
    word = state_word(one.state)
    tries = f" after {one.attempts} tries" if one.attempts > 1 else ""
    return Text.assemble(
        (when(one.end_time if one.HasField("end_time") else one.receive_time, with_date=False), "dim"),
        " ",
        (f"{word:<9}", _STYLES.get(word, "")),
        f" {last_part(one.destination)}  {event_words(one)}  {one.message_id}{tries}",
        (f"  {reason(one)}" if one.error_type else "", "dim"),
    )


def summary_rows(found: pb.GetSummaryResponse) -> Iterator[tuple[Cell, ...]]:
    for one in found.destinations:
        ended = one.delivered > 0
        yield (
            last_part(one.destination),
            f"{one.delivered:,}",
            f"{one.delivered_after_retry:,}",
            f"{one.failed:,}",
            f"{one.filtered + one.skipped:,}",
            f"{one.pending:,}",
            milliseconds(one.latency_ms_p50) if ended else None,
            milliseconds(one.latency_ms_p95) if ended else None,
        )


def print_delivery(one: pb.Delivery) -> None:
    print_record(
        [
            ("delivery", last_part(one.name)),
            ("destination", last_part(one.destination)),
            ("source", last_part(one.source)),
            ("event", event_words(one)),
            ("messageId", one.message_id),
            ("state", state_word(one.state)),
            ("received", when(one.receive_time)),
            ("ended", when(one.end_time)),
            *([("next attempt", when(one.next_attempt_time))] if one.HasField("next_attempt_time") else []),
        ]
    )


def print_attempts(attempts: Iterable[pb.DeliveryAttempt]) -> None:
    for attempt in attempts:
        say()
        console().print(_heading(attempt), soft_wrap=True)
        if attempt.HasField("detail"):
            _print_detail(attempt.detail)
        else:
            say("  nothing was captured: of successes, a sample is kept")


def _heading(attempt: pb.DeliveryAttempt) -> Text:
    result = enum_word(outcomes_pb2.Result.Name(attempt.result), "RESULT_")
    error = f", {error_word(attempt.error_type)}" if attempt.error_type else ""
    style = {"delivered": "green", "failed": "red", "retryable": "yellow"}.get(result, "")
    took = milliseconds(attempt.wall_us / 1000)
    return Text.assemble(
        (f"Attempt {attempt.number}", "bold"),
        "  ",
        (f"{result}{error}", style),
        f"  {attempt.function} version {attempt.version}, {took}, ended {when(attempt.end_time)}",
    )


def _print_detail(detail: outcomes_pb2.AttemptDetail) -> None:
    if detail.error_name or detail.error_message:
        say(f"  error    {detail.error_name}: {detail.error_message}")
        stack = [line for line in detail.error_stack.splitlines() if line.lstrip().startswith("at ")]
        for line in stack[:STACK_LINES_MAX]:
            console().print(f"           {line.strip()}", style="dim", markup=False, soft_wrap=True)
    for entry in _entries(detail.logs):
        say(f"  {entry.get('level', 'log'):<8} {entry.get('line', '')}")
    for entry in _entries(detail.requests):
        _print_exchange(entry)
    if detail.value:
        say(f"  returned {shortened(detail.value.decode(errors='replace'), BODY_CHARACTERS_MAX)}")


def _print_exchange(entry: dict[str, Any]) -> None:
    say(f"  request  {entry.get('method', '')} {entry.get('url', '')}")
    _print_headers(entry.get("request_headers") or entry.get("headers"))
    _print_body(entry.get("request_body") if "request_body" in entry else entry.get("body"))
    if "status" in entry or "response_status" in entry:
        say(f"  response {entry.get('status', entry.get('response_status'))}")
    if entry.get("error"):
        say(f"  response none: {entry['error']}")
    _print_headers(entry.get("response_headers"))
    _print_body(entry.get("response_body"))


def _print_headers(headers: Any) -> None:
    pairs = headers.items() if isinstance(headers, dict) else headers or []
    for name, value in pairs:
        console().print(f"           {name}: {value}", style="dim", markup=False, soft_wrap=True)


def _print_body(body: Any) -> None:
    if body:
        say(f"           {shortened(str(body), BODY_CHARACTERS_MAX)}")


def _entries(data: bytes) -> list[dict[str, Any]]:
    try:
        entries = json.loads(data) if data else []
    except ValueError:
        return []
    return [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []


def captured(detail: outcomes_pb2.AttemptDetail) -> dict[str, Any]:
    """Give what was captured as JSON values; proto-JSON would show it as base64."""
    return {
        "event": _json_or_text(detail.event),
        "logs": _entries(detail.logs),
        "requests": _entries(detail.requests),
        "value": _json_or_text(detail.value),
    }


def _json_or_text(data: bytes) -> Any:
    try:
        return json.loads(data) if data else None
    except ValueError:
        return base64.b64encode(data).decode()
