"""What a checking worker sends is believed in its shape only, and the clearer of two messages is told."""

from __future__ import annotations

from typing import Any

import pytest

from services.executor.runtime.findings import Findings, read_findings
from services.executor.runtime.jobs import CodeError


def syntax(line: int, column: int, *, generic: bool = False, at_end: bool = False) -> Findings:
    told = {"message": "ours", "line": line, "column": column, "generic": generic, "atEnd": at_end}
    return read_findings({"syntax": told})


@pytest.mark.parametrize(
    "sent",
    [
        None,
        7,
        [],
        "syntax",
        {},
        {"warnings": 1},
        {"warnings": [{}], "meant": []},
        {"warnings": [{"rule": "a", "message": "b", "line": "x", "column": 1}], "meant": []},
        {"warnings": [], "meant": [[]]},
        {"syntax": {}},
        {"failed": "RangeError"},
    ],
)
def test_what_is_no_finding_means_that_the_code_was_not_read(sent: Any) -> None:
    """E22"""
    findings = read_findings(sent)
    assert (findings.warnings, findings.meant, findings.syntax) == ([], [], None)
    assert findings.unread


def test_findings_are_bounded_whoever_sends_them() -> None:
    """E22"""
    one = {"rule": "r" * 10_000, "message": "m" * 10_000, "line": 2**40, "column": -1}
    findings = read_findings({"warnings": [one] * 1000, "meant": []})
    result = findings.result([])
    assert len(result.warnings) == 50
    warning = result.warnings[-1]
    assert (len(warning.rule), len(warning.message)) == (1000, 1000)
    assert (warning.line, warning.column) == (2**31 - 1, 0)


@pytest.mark.parametrize(
    ("findings", "theirs", "told"),
    [
        (syntax(1, 5), CodeError("V8", 2, 1, compiled=False), "ours"),  # V8 was fooled by our bracket
        (syntax(2, 5), CodeError("V8", 2, 1, compiled=False), "V8"),
        (syntax(2, 1), CodeError("V8", 2, 1, compiled=False), "V8"),
        (syntax(2, 1, at_end=True, generic=True), CodeError("V8", 2, 1, compiled=False), "ours"),
        (syntax(2, 1), CodeError("Invalid or unexpected token", 2, 1, compiled=False), "ours"),
        (syntax(2, 1, generic=True), CodeError("Invalid or unexpected token", 2, 1, compiled=False), "Invalid"),
        (syntax(2, 1), CodeError("V8", compiled=False), "ours"),
        (syntax(1, 1), CodeError("thrown", 3, 1), "thrown"),
        (Findings(), CodeError("V8", 2, 1, compiled=False), "V8"),
    ],
)
def test_the_message_that_shows_the_mistake_is_told(findings: Findings, theirs: CodeError, told: str) -> None:
    """E25"""
    assert told in findings.clearest(theirs).message


def test_code_that_v8_runs_and_the_parser_refuses_is_saved_without_warnings() -> None:
    """E25"""
    result = syntax(3, 1).result(["onTrack"])
    assert (result.handlers, result.error, result.warnings) == (["onTrack"], None, [])
    assert result.unread == "ours (line 3)"
    assert [one.rule for one in syntax(3, 1).result([]).warnings] == ["no-handler"]
