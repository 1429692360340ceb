"""Looking a leaked value up: how it is read, and what is told."""

from __future__ import annotations

import getpass
import io
import sys
import warnings

import pytest

from cli.commands.audit_leaked import HINTS_MAX, leaked_lines
from cli.failures import Exit, UsageError
from cli.main import main
from cli.secret_input import INPUT_BYTES_MAX, Kind, read_secret
from cli.setting_values import shown
from onward.registry.v1 import workspace_service_pb2 as pb

SECRET = "s3cret-canary"


def piped(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


class Terminal(io.StringIO):
    """A stdin that somebody sits at."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (b"abc", "abc"),
        (b"abc\n", "abc"),
        (b"abc\r\n", "abc"),
        (b"abc\n\n", "abc\n"),
        (b" a b ", " a b "),
        ("é".encode(), "é"),
        (b'["a"]', '["a"]'),
    ],
)
def test_stdin_is_the_value_without_one_line_break_at_its_end(
    monkeypatch: pytest.MonkeyPatch, given: bytes, read: str
) -> None:
    piped(monkeypatch, given)
    assert read_secret().string_value == read


@pytest.mark.parametrize(
    ("kind", "text", "read"), [("list", '["a", "b"]\n', "list_value"), ("map", '{"a": "b"}', "map_value")]
)
def test_lists_and_maps_are_json(monkeypatch: pytest.MonkeyPatch, kind: Kind, text: str, read: str) -> None:
    piped(monkeypatch, text.encode())
    value = read_secret(kind)
    assert (value.WhichOneof("value"), shown(value)) == (read, text.strip())


@pytest.mark.parametrize(
    ("kind", "data", "told"),
    [
        ("string", b"", "no value was given"),
        ("string", b"\n", "no value was given"),
        ("string", SECRET.encode() + b"\xff", "not UTF-8"),
        ("string", b"x" * (INPUT_BYTES_MAX + 1), "more than 1,048,576 bytes"),
        ("list", SECRET.encode(), "not an array of strings, in JSON"),
        ("list", f'{{"{SECRET}": "b"}}'.encode(), "not an array of strings, in JSON"),
        ("list", f'["{SECRET}", 1]'.encode(), "not an array of strings, in JSON"),
        ("map", f'["{SECRET}"]'.encode(), "not a map of strings, in JSON"),
    ],
)
def test_what_is_no_value_is_refused_without_being_repeated(
    monkeypatch: pytest.MonkeyPatch, kind: Kind, data: bytes, told: str
) -> None:
    piped(monkeypatch, data)
    with pytest.raises(UsageError, match=told) as caught:
        read_secret(kind)
    assert SECRET not in str(caught.value)


def test_at_a_terminal_it_is_asked_for_without_being_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("what was typed ahead\n"))
    asked: list[str] = []

    def unshown(prompt: str) -> str:
        asked.append(prompt)
        return SECRET

    monkeypatch.setattr(getpass, "getpass", unshown)
    assert read_secret().string_value == SECRET
    assert len(asked) == 1


def test_a_terminal_that_would_show_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(SECRET))

    def echoing(_prompt: str) -> str:
        warnings.warn("Can not control echo on the terminal.", getpass.GetPassWarning, stacklevel=2)
        return SECRET

    monkeypatch.setattr(getpass, "getpass", echoing)
    with pytest.raises(UsageError, match="would show the value"):
        read_secret()


def test_the_end_of_input_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal())

    def ended(_prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr(getpass, "getpass", ended)
    with pytest.raises(UsageError, match="no value was given"):
        read_secret()


def test_a_value_is_no_argument(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "leaked", SECRET, "--data", "/does/not/exist"]) == Exit.USAGE


def use(destination: str, *, current: bool) -> pb.SecretUse:
    return pb.SecretUse(destination=f"workspaces/acme/destinations/{destination}", setting="apiKey", current=current)


def told(*uses: pb.SecretUse, more: int = 0) -> str:
    return "\n".join(leaked_lines(pb.FindSecretResponse(uses=uses, found=len(uses) + more)))


def test_a_value_in_use_is_told_with_how_to_replace_it_and_who_set_it() -> None:
    lines = told(use("eu", current=True), use("us", current=False), use("eu", current=False))
    assert "in use in 1 place" in lines
    assert "onward destinations set eu apiKey=@new-value.txt" in lines
    for destination in ("eu", "us"):
        assert lines.count(f"onward audit list --action SettingsChanged --target destinations/{destination}") == 1


def test_a_value_that_is_in_use_no_more_needs_no_replacement() -> None:
    lines = told(use("eu", current=False))
    assert "in use nowhere" in lines
    assert "destinations set" not in lines


def test_what_the_table_leaves_out_is_told() -> None:
    assert "It was set 1,200 times" in told(use("eu", current=True), more=1_199)
    lines = told(*(use(f"d{number}", current=False) for number in range(HINTS_MAX + 2)))
    assert lines.count("onward audit list") == HINTS_MAX
    assert "2 other destinations" in lines
