"""What whoever runs code by hand is told of it. Secrets are masked here, before anything leaves."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, cast

from google.protobuf.timestamp_pb2 import Timestamp

from onward.executor.v1 import execution_service_pb2 as pb
from onward.executor.v1 import outcomes_pb2
from services.executor.domain import errors
from services.executor.domain.errors import Verdict
from services.executor.domain.given import Given
from services.executor.handlers.egress import Exchange, http_error_status
from services.executor.handlers.judgement import as_thrown, ending_of, verdict_of
from services.executor.handlers.resolve import Program
from services.executor.handlers.trials import Observed
from services.executor.runtime.cuts import (
    ERROR_MESSAGE_MAX,
    ERROR_NAME_MAX,
    ERROR_STACK_MAX,
    redacted_lines,
    redacted_text,
    redacted_value,
)
from services.executor.runtime.egress_capture import captured
from services.executor.runtime.pool import CodeError, CodeWarning, LogLine, Outcome, UserError
from services.executor.runtime.redaction import Redactor

# Of all requests together; with the console, the value and the error that leaves room below gRPC's 4 MiB. What comes
# after has neither headers nor bodies.
REQUESTS_BYTES_MAX = 2 << 20
# Why production would run each event of a batch singly: what onBatch returned says nothing of them.
UNSHAPED = "unshaped"
_FRAME = re.compile(r"function\.js:(\d+):(\d+)")
# "TypeError: x is not a function", as V8 and the parser begin.
_NAMED = re.compile(r"(\w*Error): (.*)", re.DOTALL)


def of_run(program: Program, observed: Observed, given: Given) -> pb.RunReport:
    """Report a run that was begun."""
    outcome = observed.outcome
    status = http_error_status(observed)
    if outcome.ok and status and program.fail_on_http_error and outcome.results is None:
        outcome = as_thrown(outcome, status)
    report = pb.RunReport(
        handler=given.handler if given.handler in observed.handlers else "",
        wall_us=outcome.wall_us,
        cpu_us=outcome.cpu_us,
        heap_bytes=observed.heap_bytes,
    )
    report.start_time.FromDatetime(observed.started_at)
    verdict = verdict_of(program, outcome)
    judge_as(report, verdict)
    if given.is_batch:
        _add_events(report, program, outcome, verdict, len(given.events))
    _add_output(report, program.redactor, outcome)
    if given.is_batch and not report.handler:
        _tell_of_no_batches(report)
    report.requests.extend(_requests(observed.exchanges, observed.started_at, program.redactor))
    return report


def _tell_of_no_batches(report: pb.RunReport) -> None:
    """Say that no array was run: production would not have given one."""
    for name in ("error", "error_type", "events"):
        report.ClearField(name)
    report.result, report.reason = outcomes_pb2.RESULT_UNSPECIFIED, UNSHAPED


def _add_events(report: pb.RunReport, program: Program, outcome: Outcome, verdict: Verdict, count: int) -> None:
    """Say of each event of a batch what production would make of it."""
    results = outcome.results
    if outcome.unshaped or (results is not None and len(results) != count):
        report.result, report.reason = outcomes_pb2.RESULT_UNSPECIFIED, UNSHAPED
        return
    if results is None:
        results = [(0, "")] * count
        endings = [verdict] * count
    else:
        endings = [ending_of(program, status, message)[0] for status, message in results]
    for ending, (status, message) in zip(endings, results, strict=True):
        report.events.add(
            result=cast("outcomes_pb2.Result.ValueType", ending.result),
            error_type=cast("outcomes_pb2.ErrorType.ValueType", ending.error_type),
            message=redacted_text(program.redactor, message, ERROR_MESSAGE_MAX),
            status=status,
        )


def _add_output(report: pb.RunReport, redactor: Redactor, outcome: Outcome) -> None:
    """Add what the handler said, returned and threw."""
    if outcome.error is not None:
        report.error.CopyFrom(_error(outcome.error, redactor))
    if outcome.value is not None:
        value, report.value_cut = redacted_value(redactor, outcome.value, cut=outcome.value_cut)
        report.value = value.decode("utf-8", "replace")
    if outcome.value_error is not None:
        report.value_error = redacted_text(redactor, outcome.value_error.message, ERROR_MESSAGE_MAX)
    report.logs.extend(map(_log_line, redacted_lines(redactor, outcome.logs)))


def judge_as(report: pb.RunReport, verdict: Verdict) -> None:
    """Say what production would make of it."""
    report.result = cast("outcomes_pb2.Result.ValueType", verdict.result)
    report.error_type = cast("outcomes_pb2.ErrorType.ValueType", verdict.error_type)
    if verdict is errors.FILTERED:
        report.reason = errors.DROP_EVENT


def of_code_error(error: CodeError, redactor: Redactor) -> pb.RunReport:
    """Report code that does not compile, or throws at its top level: in production every event fails so."""
    report = pb.RunReport()
    judge_as(report, errors.BAD_REQUEST)
    named = _NAMED.fullmatch(error.message)
    name, message = (named[1], named[2]) if named else ("CodeError", error.message)
    report.error.name = redacted_text(redactor, name, ERROR_NAME_MAX)
    report.error.message = redacted_text(redactor, message, ERROR_MESSAGE_MAX)
    report.error.line, report.error.column = error.line or 0, error.column or 0
    return report


def of_invalid_settings(message: str) -> pb.RunReport:
    """Report settings with which the code must not run."""
    report = pb.RunReport(error=pb.RunError(name="InvalidSettings", message=message))
    judge_as(report, errors.INVALID_SETTINGS)
    return report


def of_filtered(reason: str) -> pb.RunReport:
    """Report an event that a filter, or what it says itself, kept from the handler."""
    report = pb.RunReport()
    judge_as(report, errors.FILTERED)
    report.reason = reason
    return report


def warned(report: pb.RunReport, warnings: Iterable[CodeWarning]) -> pb.RunReport:
    """Add what CheckCode says."""
    report.warnings.extend(map(warning, warnings))
    return report


def warning(found: CodeWarning) -> pb.CodeWarning:
    """As callers read it."""
    return pb.CodeWarning(rule=found.rule, message=found.message, line=found.line, column=found.column)


def _error(error: UserError, redactor: Redactor) -> pb.RunError:
    stack = redacted_text(redactor, error.stack, ERROR_STACK_MAX)
    line, column = _position(stack)
    return pb.RunError(
        name=redacted_text(redactor, error.name, ERROR_NAME_MAX),
        message=redacted_text(redactor, error.message, ERROR_MESSAGE_MAX),
        stack=stack,
        http_status=error.http_status or 0,
        line=line,
        column=column,
    )


def _position(stack: str) -> tuple[int, int]:
    """Where the topmost frame of the user's is; whoever writes a stack himself may make up numbers."""
    found = _FRAME.search(stack)
    line, column = (int(found[1][:9]), int(found[2][:9])) if found else (0, 0)
    return line, column


def _log_line(line: LogLine) -> pb.RunLogLine:
    time = Timestamp()
    # A worker that user code has taken over may say any time.
    time.FromMilliseconds(max(0, min(int(line.time_ms), 253_402_300_799_999)))
    return pb.RunLogLine(level=line.level, time=time, line=line.text)


def _requests(exchanges: Iterable[Exchange], started_at: datetime, redactor: Redactor) -> list[pb.RunRequest]:
    room = REQUESTS_BYTES_MAX
    told: list[pb.RunRequest] = []
    for exchange in exchanges:
        one = _request(exchange, started_at, redactor)
        size = one.ByteSize()
        if size > room:
            for name in ("headers", "body", "response_headers", "response_body"):
                one.ClearField(name)
            one.cut = True
        room -= min(size, room)
        told.append(one)
    return told


def _request(exchange: Exchange, started_at: datetime, redactor: Redactor) -> pb.RunRequest:
    record = captured(
        exchange.request,
        # One that came after the handler's end was for nobody.
        exchange.response if exchange.awaited else None,
        exchange.error,
        started_at=exchange.started_at,
        duration_ms=exchange.duration_ms,
        awaited=exchange.awaited,
        redactor=redactor,
    )
    answer = record.get("response")
    told = pb.RunRequest(
        method=record["method"],
        url=record["url"],
        headers=_headers(record["headers"]),
        body=_text(record["body"]),
        start_us=max(0, int((exchange.started_at - started_at).total_seconds() * 1_000_000)),
        duration_us=int(exchange.duration_ms * 1000) if exchange.awaited else 0,
        not_awaited=not exchange.awaited,
        cut=record["body"]["cut"] or exchange.request_bytes > record["body"]["bytes"],
    )
    if answer is not None:
        told.status = answer["status"]
        told.response_headers.update(_headers(answer["headers"]))
        told.response_body = _text(answer["body"])
        told.cut = told.cut or answer["body"]["cut"] or exchange.response_bytes > answer["body"]["bytes"]
    # Also of one that failed after the handler's end: it was not sent, or nobody took it.
    if exchange.error is not None:
        told.error = _failure(exchange, record)
    return told


def _failure(exchange: Exchange, record: dict[str, Any]) -> str:
    error = record["error"]
    message: str = error["message"]
    if exchange.error is not None and error["type"] == "system" and exchange.error.phase == "request":
        return f"request to {record['url']} failed, reason: {message}"
    return message


def _headers(pairs: Iterable[list[str]]) -> dict[str, str]:
    """One value a name, as `Headers` shows them."""
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return {_utf8(name): _utf8(value) for name, value in joined.items()}


def _text(body: dict[str, Any]) -> str:
    if body.get("base64"):
        return base64.b64decode(body["text"]).decode("utf-8", "replace")
    return str(body["text"])


def _utf8(text: str) -> str:
    """What a header may hold and a proto may not."""
    return text.encode("utf-8", "replace").decode("utf-8")
