"""What is printed: times, words, tables at 80 columns, JSON."""

from __future__ import annotations

import json

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console

from cli import output
from cli.delivery_text import delivery_as_json, delivery_row, reason, tail_line
from cli.durations import parse_duration
from cli.failures import UsageError
from onward.delivery.v1 import delivery_service_pb2 as pb
from onward.executor.v1 import outcomes_pb2
from onward.registry.v1 import resources_pb2


def test_a_table_of_80_columns_loses_no_character_of_a_cell() -> None:
    cell = "x" * 150
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115 - closed with the test
    console.print(output.make_table(("name", ">value"), [(cell, "42")]))
    text = console.export_text()
    console.file.close()
    assert text.count("x") == 150
    assert max(map(len, text.splitlines())) <= 80


def test_json_has_every_field_so_that_programs_need_not_know_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json({"function": resources_pb2.Function(name="workspaces/w/functions/f")})
    shown = json.loads(capsys.readouterr().out)["function"]
    assert shown["name"] == "workspaces/w/functions/f"
    assert (shown["latestVersion"], shown["handlers"], shown["description"]) == (0, [], "")


def test_brackets_in_what_users_wrote_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    output.console.cache_clear()
    output.say("const list = [bold]")
    output.print_table(("value",), [("[red]x",)])
    printed = capsys.readouterr().out
    output.console.cache_clear()
    assert "[bold]" in printed
    assert "[red]x" in printed


def test_a_time_that_is_not_set_is_a_dash() -> None:
    assert output.when(Timestamp()) == "-"


@pytest.mark.parametrize(
    ("value", "text"), [(0.04, "0.0 ms"), (3.14, "3.1 ms"), (812.3, "812 ms"), (12_345.0, "12.3 s")]
)
def test_durations_have_as_many_digits_as_tell_something(value: float, text: str) -> None:
    assert output.milliseconds(value) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 events"), (1, "1 event"), (2000, "2,000 events")])
def test_a_noun_agrees_with_its_number(number: int, text: str) -> None:
    assert output.counted(number, "event") == text


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("1.5m", 90), ("2h", 7200), ("7d", 604_800)])
def test_durations_are_read_with_their_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "h", "-1h", "1w", "1e3s", "99999999d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"write 30s, 15m, 1h or 7d|too long"):
        parse_duration(text)


def test_the_reason_of_a_failure_is_one_short_line() -> None:
    failed = pb.Delivery(
        error_type=outcomes_pb2.ERROR_TYPE_MESSAGE_REJECTED, error_message="first line\nsecond" + "x" * 200
    )
    assert reason(failed).startswith("message rejected: first line second")
    assert len(reason(failed)) <= 120
    assert reason(pb.Delivery()) == ""


def test_a_dropped_event_tells_why_at_every_width() -> None:
    dropped = pb.Delivery(state=pb.DELIVERY_STATE_FILTERED, error_message="no consent")
    assert delivery_row(dropped, wide=False)[-1] == delivery_row(dropped, wide=True)[-1] == "no consent"
    assert "no consent" in tail_line(dropped).plain


def test_what_an_attempt_captured_is_json_and_not_base64() -> None:
    detail = outcomes_pb2.AttemptDetail(event=b'{"type":"page"}', logs=b'[{"line":"hello"}]', value=b"not json")
    found = pb.GetDeliveryResponse(attempts=[pb.DeliveryAttempt(number=1), pb.DeliveryAttempt(number=2, detail=detail)])
    bare, full = delivery_as_json(found)["attempts"]
    assert "detail" not in bare
    assert full["detail"]["event"] == {"type": "page"}
    assert full["detail"]["logs"] == [{"line": "hello"}]
    assert full["detail"]["value"] == "not json"
    assert full["detail"]["requests"] is None
