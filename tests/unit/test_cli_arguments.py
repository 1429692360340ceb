"""Command lines as they are read."""

from __future__ import annotations

import pytest

from cli.failures import Exit, UsageError
from cli.main import app, main


@pytest.mark.parametrize(
    ("words", "file"),
    [("web", None), ("web -", "-"), ("web - --rate 5", "-"), ("--rate 5 web events.ndjson", "events.ndjson")],
)
def test_events_are_read_from_a_file_or_with_a_dash_from_stdin(words: str, file: str | None) -> None:
    _, bound, _ = app.parse_args(["events", "publish", *words.split()], exit_on_error=False, print_error=False)
    assert bound.arguments["source"] == "web"
    assert bound.arguments.get("file") == file


async def test_an_option_that_does_not_exist_is_not_taken_for_a_file() -> None:
    command, bound, _ = app.parse_args(["events", "publish", "web", "--ratte"], exit_on_error=False, print_error=False)
    with pytest.raises(UsageError, match="Unknown option: --ratte"):
        await command(*bound.args, **bound.kwargs)


@pytest.mark.parametrize("token", ["", "onw_\u00e9", "a b", "a\n"])
@pytest.mark.parametrize("by", ["option", "variable"])
def test_what_was_named_as_a_token_and_is_none_is_refused(
    token: str, by: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["whoami", "--data", "/does/not/exist"]
    if by == "variable":
        monkeypatch.setenv("ONWARD_TOKEN", token)
    else:
        words += ["--token", token]
    assert main(words) == Exit.USAGE
    told = capsys.readouterr().err
    assert "the token is empty" in told if not token else "printable ASCII" in told
