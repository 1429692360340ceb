"""A run by hand in words: what became of the event, why, and all that the code did on its way."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rich.text import Text

from cli.code_frame import code_frame
from cli.error_hints import error_hint
from cli.output import (
    CONTINUATION,
    console,
    counted,
    enum_word,
    milliseconds,
    say,
    say_line,
    shortened,
    shown,
    styled,
    warn,
)
from onward.executor.v1 import execution_service_pb2 as pb
from onward.executor.v1 import outcomes_pb2 as o

BODY_CHARACTERS_MAX = 1000
VALUE_CHARACTERS_MAX = 1000
STACK_LINES_MAX = 12
# On a terminal, unless all is asked for.
LOG_LINES_SHOWN_MAX = 40
LOG_CHARACTERS_MAX = 1000
# Of a batch's events, those that were not delivered.
EVENTS_SHOWN_MAX = 20

# What the executor says of every address that it closes to functions.
DENIED = "connections to this address are not allowed"

_INDENT = " " * 4
_GOOD = (o.RESULT_DELIVERED, o.RESULT_FILTERED)
_LEVELS = {"error": "red", "warn": "yellow", "debug": "dim", "trace": "dim"}


@dataclass(frozen=True)
class Code:
    """What ran, as people know it: the file's name, or function and version; its text where that is known."""

    name: str
    text: str = ""
    # 0 for a file.
    version: int = 0


def went_well(report: pb.RunReport) -> bool:
    """Whether each event would be delivered, or filtered."""
    return report.result in _GOOD and all(one.result in _GOOD for one in report.events)


def print_report(report: pb.RunReport, code: Code, *, verbose: bool, if_denied: str = "") -> None:
    """Print all of it for people; `if_denied` says what to do where an address was closed to the code."""
    for one in report.warnings:
        place = f"{code.name}:{one.line}:{one.column or 1}" if one.line else code.name
        warn(f"{place}: {one.message} ({one.rule})")
    say_line(_headline(report, code))
    say(f"  {_in_production(report, code)}")
    _print_events(report.events)
    if report.HasField("error"):
        _print_error(report.error, code)
    _print_value(report, verbose=verbose)
    _print_logs(report, verbose=verbose)
    _print_requests(report.requests, verbose=verbose)
    if if_denied and any(one.error.endswith(DENIED) for one in report.requests):
        say()
        say(f"  {if_denied}", style="yellow")
    if report.handler:
        say()
        say(f"  {_used(report, code)}", style="dim")


# --- what became of it ----------------------------------------------------------------------------------------


def _headline(report: pb.RunReport, code: Code) -> Text:
    took = milliseconds(report.wall_us / 1000)
    if report.result == o.RESULT_DELIVERED:
        delivered = went_well(report)
        return styled(("✓ " if delivered else "✗ ", "bold green" if delivered else "bold red"), _ran(report, took))
    if report.result == o.RESULT_FILTERED:
        return styled(("✓ ", "bold green"), _filtered(report, took))
    return styled(("✗ ", "bold red"), (_failed(report, code, took), "bold"))


def _ran(report: pb.RunReport, took: str) -> str:
    if not report.events:
        return f"{report.handler} ended well in {took}"
    good = sum(one.result in _GOOD for one in report.events)
    return f"{report.handler} ended in {took}: {good} of {counted(len(report.events), 'event')} delivered"


def _filtered(report: pb.RunReport, took: str) -> str:
    if report.reason == "drop_event":
        return f"{report.handler} dropped the event in {took}"
    if report.reason == "integrations":
        return "the event's `integrations` keep it from this destination"
    return f"the filter {report.reason} dropped the event"


def _failed(report: pb.RunReport, code: Code, took: str) -> str:
    if report.reason == "unshaped":
        if not report.handler:
            return f"nothing was run: {code.name} has no onBatch, so give one event instead of an array"
        return f"{report.handler} returned something else than one {{status, errormessage}} for each event, in {took}"
    name = report.error.name
    if report.handler:
        return f"{report.handler} {_ENDINGS.get(name, f'threw {name}')} after {took}"
    if report.error_type == o.ERROR_TYPE_UNSUPPORTED_EVENT_TYPE:
        return f"no handler was called in {code.name}"
    return "the code did not run" if report.error_type == o.ERROR_TYPE_INVALID_SETTINGS else f"{code.name} does not run"


_ENDINGS = {
    "Timeout": "was ended",
    "OutOfMemory": "ran out of memory",
    "Internal": "was lost",
}


def _in_production(report: pb.RunReport, code: Code) -> str:
    if _does_not_run(report) and not code.version:
        return "In production: never, since `onward functions save` refuses this code."
    if report.reason == "unshaped":
        return "In production: each event would be run singly."
    if report.result == o.RESULT_DELIVERED:
        return "In production: delivered." if not report.events else "In production, event by event:"
    if report.result == o.RESULT_FILTERED:
        return "In production: filtered, which is no failure."
    return f"In production: {_outcome(report.result, report.error_type)}."


def _does_not_run(report: pb.RunReport) -> bool:
    """Whether the code does not compile, or throws at its top level."""
    return not report.handler and report.error_type == o.ERROR_TYPE_BAD_REQUEST


def _outcome(result: int, error_type: int) -> str:
    word = enum_word(o.ErrorType.Name(error_type), "ERROR_TYPE_")  # type: ignore[arg-type]  # an enum is an int
    if result == o.RESULT_RETRYABLE:
        return f"{word}, tried again later" if word != "retry" else "tried again later"
    return f"failed as {word}, not tried again"


def _print_events(events: Iterable[pb.RunEvent]) -> None:
    bad = [(number, one) for number, one in enumerate(events) if one.result not in _GOOD]
    for number, one in bad[:EVENTS_SHOWN_MAX]:
        status = f"status {one.status}, " if one.status else ""
        message = f": {one.message}" if one.message else ""
        say(f"{_INDENT}event[{number}]  {status}{_outcome(one.result, one.error_type)}{message}")
    if len(bad) > EVENTS_SHOWN_MAX:
        say(f"{_INDENT}and {len(bad) - EVENTS_SHOWN_MAX:,} more")


# --- why ------------------------------------------------------------------------------------------------------


def _print_error(error: pb.RunError, code: Code) -> None:
    say()
    status = f" (status {error.http_status})" if error.http_status else ""
    say_line(styled("  ", (error.name, "bold red"), f": {error.message}{status}"))
    if hint := error_hint(error.name, error.message):
        say(f"  {hint}", style="yellow")
    frame = code_frame(code.text, error.line, error.column) if error.line and code.text else []
    if frame:
        say()
        say(f"{_INDENT}{code.name}:{error.line}:{error.column}", style="dim")
    for line in frame:
        say_line(styled((f"{_INDENT}{line}", "" if line.startswith(">") else "dim")))
    calls = [line.strip() for line in error.stack.splitlines() if line.lstrip().startswith("at ")]
    if calls:
        say()
    for line in calls[:STACK_LINES_MAX]:
        say(f"{_INDENT}{line.replace('function.js', code.name) if code.text else line}", style="dim")


def _print_value(report: pb.RunReport, *, verbose: bool) -> None:
    if report.value_error:
        say()
        say(f"  returned something that can't be shown: {report.value_error}")
    if not report.value:
        return
    say()
    indented = _indented(report.value) if verbose and not report.value_cut else []
    for number, line in enumerate(indented):
        say_line(styled(f"  {'returned ' if number == 0 else CONTINUATION[2:]}{line}"))
    if not indented:
        say(f"  returned {shortened(report.value, VALUE_CHARACTERS_MAX)}{' (cut)' if report.value_cut else ''}")


def _indented(value: str) -> list[str]:
    """The lines of a document; none of what is none, or too deep to be written so."""
    try:
        return json.dumps(json.loads(value), indent=2, ensure_ascii=False).splitlines()
    except (ValueError, RecursionError):
        return []


# --- what it did ----------------------------------------------------------------------------------------------


def _print_logs(report: pb.RunReport, *, verbose: bool) -> None:
    if not report.logs:
        return
    say()
    say("  console", style="bold")
    started_ms = report.start_time.ToMilliseconds()
    # A screen has some forty lines; whoever reads from a pipe has room for all.
    folds = console().is_terminal and not verbose
    left_out = len(report.logs) - LOG_LINES_SHOWN_MAX if folds else 0
    if left_out > 0:
        say(f"{_INDENT}{left_out} lines before these: --verbose shows them", style="dim")
    for one in report.logs[max(left_out, 0) :]:
        after = f"+{max(0, one.time.ToMilliseconds() - started_ms)} ms"
        style = _LEVELS.get(one.level, "")
        text = shortened(one.line, LOG_CHARACTERS_MAX) if folds and len(one.line) > LOG_CHARACTERS_MAX else one.line
        first, *rest = text.split("\n")
        say_line(styled((f"{_INDENT}{after:>8}  ", "dim"), (f"{one.level:<5}  ", style), first))
        for line in rest:
            say_line(styled(f"{_INDENT}{'':>17}{line}"))


def _print_requests(requests: Iterable[pb.RunRequest], *, verbose: bool) -> None:
    for number, one in enumerate(requests):
        if number == 0:
            say()
            say("  requests", style="bold")
        after = f"+{one.start_us // 1000} ms"
        say_line(styled((f"{_INDENT}{after:>8}  ", "dim"), f"{one.method} {one.url}", *_answer(one)))
        if verbose:
            _print_exchange(one)


def _answer(one: pb.RunRequest) -> list[str | tuple[str, str]]:
    took = milliseconds(one.duration_us / 1000)
    if one.status:
        return [" → ", (str(one.status), "green" if one.status < 400 else "red"), f" in {took}"]
    if one.error:
        return [" ✗ ", ("not awaited, and failed: " if one.not_awaited else "", "yellow"), (_reason(one), "red")]
    return [(" → not awaited: the handler ended before it was answered", "yellow")]


def _reason(one: pb.RunRequest) -> str:
    # The address stands before it already.
    return one.error.partition("failed, reason: ")[2] or one.error


def _print_exchange(one: pb.RunRequest) -> None:
    _print_message(">", one.headers, one.body)
    _print_message("<", one.response_headers, one.response_body)
    if one.cut:
        say(f"{_INDENT}{CONTINUATION}(cut)", style="dim")


def _print_message(mark: str, headers: Mapping[str, str], body: str) -> None:
    for name, value in sorted(headers.items()):
        say(f"{_INDENT}{CONTINUATION}{mark} {shown(name)}: {shown(value)}", style="dim")
    if body:
        say(f"{_INDENT}{CONTINUATION}{mark} {shortened(body, BODY_CHARACTERS_MAX)}")


def _used(report: pb.RunReport, code: Code) -> str:
    parts = [f"version {code.version}"] if code.version else []
    parts += [milliseconds(report.wall_us / 1000), f"CPU {milliseconds(report.cpu_us / 1000)}"]
    if report.heap_bytes:
        parts.append(f"heap {report.heap_bytes / 1_000_000:.1f} MB")
    return ", ".join(parts)
