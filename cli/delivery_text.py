"""Deliveries in words: rows of tables, lines of the tail, and one delivery with all that was captured."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal

from rich.text import Text

from cli.breaker_text import HELD
from cli.error_hints import error_hint
from cli.output import (
    CONTINUATION,
    Cell,
    enum_word,
    last_part,
    milliseconds,
    plain,
    print_record,
    say,
    say_line,
    shortened,
    shown,
    styled,
    when,
    when_short,
)
from onward.delivery.v1 import delivery_service_pb2 as pb
from onward.executor.v1 import outcomes_pb2

# What fetch says of a failure begins with the URL, and ends with the cause.
REASON_CHARACTERS_MAX = 120
# Of a request's or an answer's body; --json has what was captured.
BODY_CHARACTERS_MAX = 1000
STACK_LINES_MAX = 12

# Why an attempt may have no more than its result.
_WITHOUT_DETAIL = {
    outcomes_pb2.RESULT_DELIVERED: "nothing was captured: of successes, a sample is kept",
    outcomes_pb2.RESULT_LOST: "nothing is known of it: its executor ended before it could tell",
}
_RESULTS = {"retryable": "failed, to be tried again"}
# Of a delivery that failed since nothing was left of its retries.
EXHAUSTED = "exhausted"
_STYLES = {"delivered": "green", "failed": "red", EXHAUSTED: "red", "pending": "yellow"}

EndWord = Literal["delivered", "failed", "filtered", "skipped", "cancelled"]
FailureWord = Literal[
    "bad-request",
    "invalid-settings",
    "message-rejected",
    "unsupported-event-type",
    "retry",
    "timeout",
    "too-many-requests",
    "internal",
    "crashed",
]


def state_named(word: Literal["any", "pending", EndWord]) -> pb.DeliveryState.ValueType:
    """Give the state of a word; the unspecified one of "any"."""
    return pb.DeliveryState.Value("DELIVERY_STATE_" + ("UNSPECIFIED" if word == "any" else word.upper()))


def error_type_named(word: Literal["any", FailureWord]) -> outcomes_pb2.ErrorType.ValueType:
    """Give the error type of a word; the unspecified one of "any"."""
    name = "UNSPECIFIED" if word == "any" else word.upper().replace("-", "_")
    return outcomes_pb2.ErrorType.Value(f"ERROR_TYPE_{name}")


def state_word(state: int) -> str:
    return enum_word(pb.DeliveryState.Name(state), "DELIVERY_STATE_")  # type: ignore[arg-type]  # an enum is an int


def ended_word(one: pb.Delivery) -> str:
    """Give the state; of what failed, whether its retries are used up."""
    return EXHAUSTED if one.reason == EXHAUSTED else state_word(one.state)


def error_word(error_type: int) -> str:
    return enum_word(outcomes_pb2.ErrorType.Name(error_type), "ERROR_TYPE_")  # type: ignore[arg-type]  # as above


def type_word(event_type: int) -> str:
    return enum_word(outcomes_pb2.EventType.Name(event_type), "EVENT_TYPE_")  # type: ignore[arg-type]  # as above


def event_words(one: pb.Delivery) -> str:
    """Give the type, and the name of a track event."""
    return f"{type_word(one.type)} {one.event_name}".rstrip()


def reason(one: pb.Delivery) -> str:
    """Say why it failed, or failed last, or was dropped; and when what waits goes on."""
    text = _why(one)
    if held := HELD.get(one.reason):
        return "; ".join(part for part in (text, held) if part)
    if not one.HasField("next_attempt_time"):
        return text
    return "; ".join(part for part in (text, f"next attempt {when_short(one.next_attempt_time)}") if part)


def _why(one: pb.Delivery) -> str:
    if not one.error_type:
        return shortened(one.error_message or _dropped_by(one), REASON_CHARACTERS_MAX)
    return shortened(f"{error_word(one.error_type)}: {one.error_message}", REASON_CHARACTERS_MAX)


def _dropped_by(one: pb.Delivery) -> str:
    """Give what filtered or cancelled it."""
    return "" if one.reason in (*HELD, EXHAUSTED) else one.reason


LIST_COLUMNS = ("delivery", "received", "destination", "~event", "state", "~why")
LIST_COLUMNS_WIDE = ("delivery", "received", "destination", "event", "state", ">tries", "messageId", "~why")


def list_columns(*, wide: bool) -> tuple[str, ...]:
    return LIST_COLUMNS_WIDE if wide else LIST_COLUMNS


def delivery_row(one: pb.Delivery, *, wide: bool) -> tuple[Cell, ...]:
    """Give a row of list_columns."""
    start = (last_part(one.name), when_short(one.receive_time), last_part(one.destination), event_words(one))
    if wide:
        return (*start, ended_word(one), one.attempts, one.message_id, reason(one))
    return (*start, ended_word(one), _short_reason(one))


def _short_reason(one: pb.Delivery) -> str:
    """As reason(), with the kind of error alone."""
    if one.reason in HELD:
        return HELD[one.reason]
    if not one.error_type or not one.HasField("next_attempt_time"):
        return error_word(one.error_type) if one.error_type else reason(one)
    return f"{error_word(one.error_type)}; next attempt {when_short(one.next_attempt_time)}"


def tail_line(one: pb.Delivery) -> Text:
    word = ended_word(one)
    tries = f" after {one.attempts} tries" if one.attempts > 1 else ""
    why = reason(one)
    return styled(
        (when(one.end_time if one.HasField("end_time") else one.receive_time, with_date=False), "dim"),
        " ",
        (f"{word:<9}", _STYLES.get(word, "")),
        f" {last_part(one.destination)}  {event_words(one)}  {one.message_id}{tries}",
        (f"  {why}" if why else "", "dim"),
    )


def print_delivery(one: pb.Delivery) -> None:
    print_record(
        [
            ("delivery", last_part(one.name)),
            ("destination", last_part(one.destination)),
            ("source", last_part(one.source)),
            ("event", event_words(one)),
            ("messageId", one.message_id),
            ("state", ended_word(one)),
            ("received", when(one.receive_time)),
            ("ended", when(one.end_time)),
            *([("why", why)] if (why := _dropped_by(one)) else []),
            *_goes_on(one),
        ]
    )


def _goes_on(one: pb.Delivery) -> Iterable[tuple[str, str]]:
    """Say when what waits goes on: of what is held back, the time that was planned has often passed."""
    if held := HELD.get(one.reason):
        yield "next attempt", held
    elif one.HasField("next_attempt_time"):
        yield "next attempt", when(one.next_attempt_time)


def print_attempts(attempts: Iterable[pb.DeliveryAttempt]) -> None:
    for attempt in attempts:
        say()
        say_line(_heading(attempt))
        if attempt.HasField("detail"):
            _print_detail(attempt.detail)
        else:
            say(f"  {_WITHOUT_DETAIL.get(attempt.result, 'nothing was captured')}")


def _heading(attempt: pb.DeliveryAttempt) -> Text:
    result = enum_word(outcomes_pb2.Result.Name(attempt.result), "RESULT_")
    word = error_word(attempt.error_type) if attempt.error_type else ""
    error = f", {word}" if word not in ("", "retry") else ""
    style = {"delivered": "green", "failed": "red", "retryable": "yellow"}.get(result, "")
    took = f", {milliseconds(attempt.wall_us / 1000)}" if attempt.result != outcomes_pb2.RESULT_LOST else ""
    batch = f" in a batch of {attempt.batch_events}" if attempt.batch_events else ""
    return styled(
        (f"Attempt {attempt.number}", "bold"),
        "  ",
        (f"{_RESULTS.get(result, result)}{error}", style),
        f"  {attempt.function} version {attempt.version}{took}{batch}, ended {when(attempt.end_time)}",
    )


def _print_detail(detail: outcomes_pb2.AttemptDetail) -> None:
    if detail.error_name or detail.error_message:
        say(f"  error    {detail.error_name}: {detail.error_message}")
        if hint := error_hint(detail.error_name, detail.error_message):
            say(f"{CONTINUATION}{hint}", style="yellow")
        stack = [line for line in detail.error_stack.splitlines() if line.lstrip().startswith("at ")]
        for line in stack[:STACK_LINES_MAX]:
            say(f"{CONTINUATION}{line.strip()}", style="dim")
    for entry in _entries(detail.logs):
        say(f"  {entry.get('level', 'log'):<8} {entry.get('line', '')}")
    for entry in _entries(detail.requests):
        _print_exchange(entry)
    if detail.value:
        say(f"  returned {shortened(detail.value.decode(errors='replace'), BODY_CHARACTERS_MAX)}")


def _print_exchange(entry: dict[str, Any]) -> None:
    """Print a request and its answer, in the form that the executor captures."""
    if entry.get("cut"):
        say("  request  more requests were made; they are not kept")
        return
    unawaited = "" if entry.get("awaited", True) else "  (not awaited)"
    say(f"  request  {entry.get('method', '')} {entry.get('url', '')}{unawaited}")
    _print_headers(entry.get("headers"))
    _print_body(entry.get("body"))
    response, error = entry.get("response"), entry.get("error")
    if isinstance(response, dict):
        took = milliseconds(float(entry.get("duration_ms", 0)))
        say(f"  response {response.get('status', '')} {response.get('reason', '')} after {took}")
        _print_headers(response.get("headers"))
        _print_body(response.get("body"))
    if isinstance(error, dict):
        say(f"  response none: {error.get('message', '')} ({error.get('code', '')})")


def _print_headers(headers: Any) -> None:
    for name, value in headers or []:
        say(f"{CONTINUATION}{shown(str(name))}: {shown(str(value))}", style="dim")


def _print_body(body: Any) -> None:
    if isinstance(body, dict) and body.get("text"):
        say(f"{CONTINUATION}{shortened(str(body['text']), BODY_CHARACTERS_MAX)}")


def _entries(data: bytes) -> list[dict[str, Any]]:
    try:
        entries = json.loads(data) if data else []
    except ValueError:
        return []
    return [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []


def delivery_as_json(found: pb.GetDeliveryResponse) -> dict[str, Any]:
    """Give a delivery as proto-JSON, what was captured as JSON values instead of base64."""
    document: dict[str, Any] = plain(found)
    for attempt, message in zip(document["attempts"], found.attempts, strict=True):
        if not message.HasField("detail"):
            continue
        for name in ("event", "logs", "requests", "value"):
            attempt["detail"][name] = _json_or_text(getattr(message.detail, name))
    return document


def _json_or_text(data: bytes) -> Any:
    try:
        return json.loads(data) if data else None
    except ValueError:
        return data.decode(errors="replace")
