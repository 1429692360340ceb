"""Asking before what can't be undone."""

from __future__ import annotations

import io

import pytest

from cli.confirmation import confirm
from cli.failures import CommandError, UsageError


class Terminal(io.StringIO):
    """A stdin that somebody sits at."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("answer", ["y\n", "YES\n", " yes \n"])
def test_yes_is_yes(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    confirm("Delete it?", yes=False)


@pytest.mark.parametrize("answer", ["", "\n", "n\n", "yep\n"])
def test_all_else_is_no(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    with pytest.raises(CommandError, match="nothing was done"):
        confirm("Delete it?", yes=False)


def test_where_nobody_can_be_asked_nothing_is_done_without_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(UsageError, match=r"Delete it\? .*--yes"):
        confirm("Delete it?", yes=False)
    confirm("Delete it?", yes=True)
