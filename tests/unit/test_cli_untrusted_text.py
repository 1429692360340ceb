"""What users and events brought in is shown by the terminal, never obeyed, and can't pass for a line of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from cli import output
from cli.delivery_text import delivery_row, print_attempts, print_delivery, tail_line
from onward.delivery.v1 import delivery_service_pb2 as pb
from onward.executor.v1 import outcomes_pb2

CLEAR = "\x1b[2J"
NASTY = f"{CLEAR}[red]x[/red]\r\x9b1m\u202e"
ESCAPED = "\\x1b[2J[red]x[/red]\\r\\x9b1m\\u202e"


@pytest.fixture(autouse=True)
def _own_console() -> Iterator[None]:
    output.console.cache_clear()
    output.error_console.cache_clear()
    yield
    output.console.cache_clear()
    output.error_console.cache_clear()


def assert_harmless(printed: str) -> None:
    assert not any(ord(one) < 32 and one != "\n" for one in printed), printed
    assert not any(0x7F <= ord(one) <= 0x9F for one in printed), printed
    assert "\u202e" not in printed


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (CLEAR, "\\x1b[2J"),
        ("[red]", "[red]"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("\x00\x7f\x85\x9b", "\\x00\\x7f\\x85\\x9b"),
        ("\u202eabc\u2028", "\\u202eabc\\u2028"),
        ("\ud800", "\\ud800"),
        ("Zoë 👩 日本", "Zoë 👩 日本"),
    ],
)
def test_control_characters_become_escapes_and_the_rest_stays(text: str, told: str) -> None:
    assert output.shown(text) == told


def test_tables_records_lines_warnings_and_errors_show_what_a_terminal_would_obey(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.print_table(("name",), [(NASTY,)], title=NASTY)
    output.print_record([("name", NASTY)])
    output.say(NASTY)
    output.say_line(output.styled(NASTY, (NASTY, "dim")))
    output.warn(NASTY)
    output.print_error(NASTY)
    out, err = capsys.readouterr()
    assert_harmless(out + err)
    assert (out.count(ESCAPED), err.count(ESCAPED)) == (6, 2)


def test_a_newline_goes_on_indented_so_that_no_line_can_be_forged(capsys: pytest.CaptureFixture[str]) -> None:
    output.say("  log      hello\n  response 200 OK\r\nAttempt 2  delivered")
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["  log      hello", " " * 13 + "response 200 OK", " " * 11 + "Attempt 2  delivered"]


def test_a_delivery_with_all_that_was_captured_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    exchange = {
        "method": NASTY,
        "url": NASTY,
        "headers": [[NASTY, NASTY]],
        "body": {"text": NASTY},
        "response": {"status": 500, "reason": NASTY, "headers": [], "body": {"text": NASTY}},
        "error": {"message": NASTY, "code": NASTY},
    }
    detail = outcomes_pb2.AttemptDetail(
        error_name=NASTY,
        error_message=f"{NASTY}\nAttempt 2",
        error_stack=f"at {NASTY}",
        logs=json.dumps([{"level": "log", "line": f"{NASTY}\nAttempt 2"}]).encode(),
        requests=json.dumps([exchange]).encode(),
        value=NASTY.encode(),
    )
    failed = outcomes_pb2.ERROR_TYPE_BAD_REQUEST
    one = pb.Delivery(name=f"d/{NASTY}", message_id=NASTY, event_name=NASTY, error_type=failed, error_message=NASTY)
    print_delivery(one)
    print_attempts([pb.DeliveryAttempt(number=1, function=NASTY, detail=detail)])
    output.print_table(("a",) * 8, [delivery_row(one, wide=True)])
    output.say_line(tail_line(one))
    printed = capsys.readouterr().out
    assert_harmless(printed)
    assert "[red]x[/red]" in printed
    assert not any(line.startswith("Attempt 2") for line in printed.splitlines())


def test_json_is_exact(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json({"name": NASTY})
    output.print_json_line({"name": NASTY})
    whole, line = capsys.readouterr().out.split("}\n", 1)
    assert json.loads(whole + "}") == json.loads(line) == {"name": NASTY}


def test_code_is_exact_for_files_and_programs(capsys: pytest.CaptureFixture[str]) -> None:
    output.say_code("\tconst a = '[red]\x0c'\r\n")
    assert capsys.readouterr().out == "\tconst a = '[red]\x0c'\r\n"
