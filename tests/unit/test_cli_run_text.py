"""A run by hand as people read it."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from cli import output, run_text
from cli.code_frame import LINE_CHARACTERS_MAX, code_frame
from cli.error_hints import error_hint
from cli.run_text import DENIED, EVENTS_SHOWN_MAX, Code, print_report, went_well
from onward.executor.v1 import execution_service_pb2 as pb
from onward.executor.v1 import outcomes_pb2 as o
from tests.unit.test_cli_untrusted_text import ESCAPED, NASTY, assert_harmless

CODE = "async function onTrack(event) {\n  const user = event.user\n  return user.x\n}\n"


@pytest.fixture(autouse=True)
def _own_console() -> Iterator[None]:
    output.console.cache_clear()
    output.error_console.cache_clear()
    yield
    output.console.cache_clear()
    output.error_console.cache_clear()


def at(milliseconds: int) -> Timestamp:
    moment = Timestamp()
    moment.FromMilliseconds(milliseconds)
    return moment


def printed(
    capsys: pytest.CaptureFixture[str],
    report: pb.RunReport,
    code: Code | None = None,
    *,
    verbose: bool = False,
    if_denied: str = "",
) -> list[str]:
    print_report(report, code or Code("alerts.js", CODE), verbose=verbose, if_denied=if_denied)
    return [line for line in capsys.readouterr().out.splitlines() if line]


FAILED = pb.RunReport(
    handler="onTrack",
    result=o.RESULT_FAILED,
    error_type=o.ERROR_TYPE_BAD_REQUEST,
    error=pb.RunError(
        name="TypeError",
        message="Cannot read properties of undefined (reading 'x')",
        stack="TypeError: Cannot read properties of undefined (reading 'x')\n    at onTrack (function.js:3:15)",
        line=3,
        column=15,
    ),
    logs=[
        pb.RunLogLine(level="log", time=at(1_002), line="seen u1"),
        pb.RunLogLine(level="error", time=at(1_040), line="two\nlines"),
    ],
    requests=[
        pb.RunRequest(method="POST", url="https://a.example/", status=201, start_us=3_000, duration_us=34_000),
        pb.RunRequest(method="GET", url="https://b.example/", error="request to x failed, reason: no route"),
        pb.RunRequest(method="GET", url="https://c.example/", not_awaited=True),
    ],
    wall_us=41_000,
    cpu_us=3_400,
    heap_bytes=2_345_678,
    start_time=at(1_000),
)


def test_a_failed_run_tells_why_where_and_what_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, FAILED) == [
        "✗ onTrack threw TypeError after 41 ms",
        "  In production: failed as bad request, not tried again.",
        "  TypeError: Cannot read properties of undefined (reading 'x')",
        "    alerts.js:3:15",
        "      1 | async function onTrack(event) {",
        "      2 |   const user = event.user",
        "    > 3 |   return user.x",
        "        |               ^",
        "      4 | }",
        "    at onTrack (alerts.js:3:15)",
        "  console",
        "       +2 ms  log    seen u1",
        "      +40 ms  error  two",
        "                     lines",
        "  requests",
        "       +3 ms  POST https://a.example/ → 201 in 34 ms",
        "       +0 ms  GET https://b.example/ ✗ no route",
        "       +0 ms  GET https://c.example/ → not awaited: the handler ended before it was answered",
        "  41 ms, CPU 3.4 ms, heap 2.3 MB",
    ]
    assert not went_well(FAILED)


def test_a_run_that_went_well_tells_what_it_returned(capsys: pytest.CaptureFixture[str]) -> None:
    report = pb.RunReport(handler="onTrack", result=o.RESULT_DELIVERED, value='{"a":1}', wall_us=900)
    assert printed(capsys, report, Code("alerts", version=3))[:3] == [
        "✓ onTrack ended well in 0.9 ms",
        "  In production: delivered.",
        '  returned {"a":1}',
    ]
    assert printed(capsys, report, Code("alerts", version=3))[-1] == "  version 3, 0.9 ms, CPU 0.0 ms"
    assert '             "a": 1' in printed(capsys, report, verbose=True)


@pytest.mark.parametrize("value", ['{"a":[redacted]}', "[" * 9000, "1" * 5000])
def test_a_value_that_can_not_be_indented_is_shown_as_it_came(capsys: pytest.CaptureFixture[str], value: str) -> None:
    report = pb.RunReport(handler="onTrack", result=o.RESULT_DELIVERED, value=value)
    assert any(line.startswith(f"  returned {value[:16]}") for line in printed(capsys, report, verbose=True))
    assert went_well(report)


@pytest.mark.parametrize(
    ("report", "headline", "production"),
    [
        (
            pb.RunReport(
                handler="onTrack",
                result=o.RESULT_RETRYABLE,
                error_type=o.ERROR_TYPE_TIMEOUT,
                error=pb.RunError(name="Timeout"),
                wall_us=5_000_000,
            ),
            "✗ onTrack was ended after 5000 ms",
            "timeout, tried again later",
        ),
        (
            pb.RunReport(result=o.RESULT_FAILED, error_type=o.ERROR_TYPE_INVALID_SETTINGS),
            "✗ the code did not run",
            "failed as invalid settings, not tried again",
        ),
        (
            pb.RunReport(result=o.RESULT_FAILED, error_type=o.ERROR_TYPE_UNSUPPORTED_EVENT_TYPE),
            "✗ no handler was called in alerts.js",
            "failed as unsupported event type, not tried again",
        ),
        (
            pb.RunReport(
                result=o.RESULT_FAILED, error_type=o.ERROR_TYPE_BAD_REQUEST, error=pb.RunError(name="SyntaxError")
            ),
            "✗ alerts.js does not run",
            "never, since `onward functions save` refuses this code",
        ),
        (
            pb.RunReport(handler="onTrack", result=o.RESULT_FILTERED, reason="drop_event", wall_us=1_000),
            "✓ onTrack dropped the event in 1.0 ms",
            "filtered, which is no failure",
        ),
        (
            pb.RunReport(result=o.RESULT_FILTERED, reason="filters/no-bots"),
            "✓ the filter filters/no-bots dropped the event",
            "filtered, which is no failure",
        ),
        (
            pb.RunReport(handler="onBatch", reason="unshaped", wall_us=1_000),
            "✗ onBatch returned something else than one {status, errormessage} for each event, in 1.0 ms",
            "each event would be run singly",
        ),
        (
            pb.RunReport(reason="unshaped"),
            "✗ nothing was run: alerts.js has no onBatch, so give one event instead of an array",
            "each event would be run singly",
        ),
    ],
)
def test_each_kind_of_end_has_its_words(
    capsys: pytest.CaptureFixture[str], report: pb.RunReport, headline: str, production: str
) -> None:
    lines = printed(capsys, report)
    assert lines[:2] == [headline, f"  In production: {production}."]
    assert went_well(report) == headline.startswith("✓")


def test_of_a_batch_the_events_that_failed_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    report = pb.RunReport(handler="onBatch", result=o.RESULT_DELIVERED, wall_us=2_000)
    report.events.add(result=o.RESULT_DELIVERED, status=200)
    report.events.add(result=o.RESULT_RETRYABLE, error_type=o.ERROR_TYPE_RETRY, status=503, message="busy")
    assert printed(capsys, report)[:3] == [
        "✗ onBatch ended in 2.0 ms: 1 of 2 events delivered",
        "  In production, event by event:",
        "    event[1]  status 503, tried again later: busy",
    ]
    assert not went_well(report)
    del report.events[:]
    for _ in range(EVENTS_SHOWN_MAX + 5):
        report.events.add(result=o.RESULT_FAILED, error_type=o.ERROR_TYPE_BAD_REQUEST)
    assert "    and 5 more" in printed(capsys, report)


def test_headers_and_bodies_are_for_who_asks(capsys: pytest.CaptureFixture[str]) -> None:
    request = pb.RunRequest(
        method="POST",
        url="https://a.example/",
        headers={"X-One": "1"},
        body='{"a":1}',
        status=400,
        response_headers={"X-Two": "2"},
        response_body="no",
        cut=True,
    )
    report = pb.RunReport(handler="onTrack", result=o.RESULT_DELIVERED, requests=[request])
    assert "X-One" not in "".join(printed(capsys, report))
    lines = [line.strip() for line in printed(capsys, report, verbose=True)]
    assert lines[4:9] == ["> X-One: 1", '> {"a":1}', "< X-Two: 2", "< no", "(cut)"]


def test_where_an_address_was_closed_it_says_what_opens_it(capsys: pytest.CaptureFixture[str]) -> None:
    request = pb.RunRequest(method="GET", url="http://127.0.0.1/", error=f"request to x failed, reason: {DENIED}")
    report = pb.RunReport(handler="onTrack", result=o.RESULT_DELIVERED, requests=[request])
    assert "  Open it." in printed(capsys, report, if_denied="Open it.")
    del report.requests[:]
    assert "  Open it." not in printed(capsys, report, if_denied="Open it.")


def test_warnings_have_the_place_that_editors_understand(capsys: pytest.CaptureFixture[str]) -> None:
    warnings = [pb.CodeWarning(rule="logs-event", message="This logs.", line=2, column=3)]
    print_report(pb.RunReport(warnings=warnings), Code("alerts.js"), verbose=False)
    assert "alerts.js:2:3: This logs. (logs-event)" in capsys.readouterr().err


@pytest.mark.parametrize("verbose", [False, True])
def test_what_code_and_apis_say_is_harmless_to_a_terminal(capsys: pytest.CaptureFixture[str], verbose: bool) -> None:
    report = pb.RunReport(
        handler="onTrack",
        result=o.RESULT_FAILED,
        error=pb.RunError(name=NASTY, message=NASTY, stack=f"x\n    at {NASTY}", line=1, column=1),
        logs=[pb.RunLogLine(level=NASTY, line=NASTY)],
        requests=[
            pb.RunRequest(
                method=NASTY,
                url=NASTY,
                headers={NASTY: NASTY},
                body=NASTY,
                status=200,
                response_headers={NASTY: NASTY},
                response_body=NASTY,
            ),
            pb.RunRequest(method=NASTY, url=NASTY, error=NASTY),
        ],
        events=[pb.RunEvent(result=o.RESULT_FAILED, message=NASTY)],
        value_error=NASTY,
        warnings=[pb.CodeWarning(rule=NASTY, message=NASTY)],
    )
    report.value = '"\\u001b[2J"'
    print_report(report, Code(NASTY, f"{NASTY}\nx"), verbose=verbose)
    out, err = capsys.readouterr()
    assert_harmless(out + err)
    assert ESCAPED in out
    assert ESCAPED in err


# --- code frames ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("line", "column"), [(0, 1), (6, 1), (-1, 1)])
def test_a_place_that_is_not_there_has_no_frame(line: int, column: int) -> None:
    assert code_frame(CODE, line, column) == []


def test_the_mark_stands_below_the_column_whatever_tabs_there_are() -> None:
    frame = code_frame("\t\treturn x.y", 1, 12)
    assert frame == ["> 1 |         return x.y", "    |                  ^"]


def test_a_column_beyond_the_end_is_the_end() -> None:
    assert code_frame("ab", 1, 99)[1] == "    |   ^"


def test_of_a_long_line_the_part_around_the_column_is_shown() -> None:
    code = "a" * 5_000 + "X" + "b" * 5_000
    first, mark = code_frame(code, 1, 5_001)
    assert len(first) == LINE_CHARACTERS_MAX + len("> 1 | ")
    assert first[mark.index("^")] == "X"


def test_numbers_are_aligned_and_lines_end_as_v8_counts_them() -> None:
    code = "\r\n".join(str(number) for number in range(1, 12)).replace("\r\n3", "\u20283")
    assert code_frame(code, 10, 1) == ["   8 | 8", "   9 | 9", "> 10 | 10", "     | ^", "  11 | 11"]


def test_a_saved_version_that_does_not_run_is_no_code_that_save_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    report = pb.RunReport(result=o.RESULT_FAILED, error_type=o.ERROR_TYPE_BAD_REQUEST)
    lines = printed(capsys, report, Code("alerts", version=3))
    assert lines[1] == "  In production: failed as bad request, not tried again."


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("ReferenceError", "require is not defined", "Use fetch for HTTP"),
        ("Error", "Not supported", "Packages can't be loaded."),
        ("ReferenceError", "process is not defined", "second argument"),
        ("ReferenceError", "XMLHttpRequest is not defined", "lists the globals"),
    ],
)
def test_what_node_has_and_functions_have_not_is_told(
    capsys: pytest.CaptureFixture[str], name: str, message: str, hint: str
) -> None:
    report = pb.RunReport(handler="onTrack", result=o.RESULT_FAILED, error_type=o.ERROR_TYPE_BAD_REQUEST)
    report.error.name, report.error.message = name, message
    assert any(hint in line for line in printed(capsys, report))
    assert error_hint("Error", message + " by the author's words") == ""


def test_a_setting_of_another_type_is_told_with_its_form() -> None:
    hint = error_hint("InvalidSettings", "the setting `events` must be a list of strings")
    assert hint == """On the command line: 'events:=["Signed Up", "Order Completed"]'"""


def test_a_request_that_failed_after_the_end_is_not_called_sent(capsys: pytest.CaptureFixture[str]) -> None:
    one = pb.RunRequest(method="GET", url="https://a.example/", not_awaited=True, error="x failed, reason: refused")
    report = pb.RunReport(handler="onTrack", result=o.RESULT_DELIVERED, requests=[one])
    assert "       +0 ms  GET https://a.example/ ✗ not awaited, and failed: refused" in printed(capsys, report)


@pytest.mark.parametrize(("terminal", "verbose", "shown"), [(True, False, 40), (True, True, 200), (False, False, 200)])
def test_a_long_console_is_folded_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool, verbose: bool, shown: int
) -> None:
    monkeypatch.setattr(run_text, "console", lambda: SimpleNamespace(is_terminal=terminal))
    report = pb.RunReport(handler="onTrack", result=o.RESULT_DELIVERED)
    report.logs.extend(pb.RunLogLine(level="log", time=at(1), line=f"line {at_} {'x' * 2000}") for at_ in range(200))
    lines = printed(capsys, report, verbose=verbose)
    logged = [line for line in lines if "  line " in line]
    assert len(logged) == shown
    assert "line 199 " in logged[-1]
    assert any("160 lines before these" in line for line in lines) == (shown == 40)
    assert (len(logged[-1]) < 1100) == (shown == 40)
