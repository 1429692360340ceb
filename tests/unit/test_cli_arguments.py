"""Command lines as they are read."""

from __future__ import annotations

import pytest

from cli.failures import UsageError
from cli.main import app


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
