"""Every command tells what it does, with an example that can be typed as it stands."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator

import pytest
from cyclopts import App

from cli.main import app
from cli.options import LocalOptions, Options

# The demo has a folder of its own and calls nothing that stands elsewhere.
WITHOUT_OPTIONS = ("demo",)
# They only print.
WITHOUT_SERVICES = ("functions run-local", "functions types")
COLUMNS = 80


def commands(above: App, path: tuple[str, ...] = ()) -> Iterator[tuple[str, App]]:
    for name in above:
        if not name.startswith("-"):
            below, words = above[name], (*path, name)
            if below.default_command is None:
                yield from commands(below, words)
            else:
                yield " ".join(words), below


COMMANDS = dict(commands(app))


def test_all_commands_are_found() -> None:
    assert {"up", "whoami", "functions diff", "sources keys create", "filters preview", "keys rotate"} <= {*COMMANDS}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_an_example_of_itself_that_can_be_typed(name: str) -> None:
    told = COMMANDS[name].default_command.__doc__
    assert told
    found = re.search(r"^ *Example: onward (.+(?:\n +\S.*)*?)\n *(?:\n|$)", told, re.MULTILINE)
    assert found, told
    words = shlex.split(found[1].replace("\\\n", " ").partition(" > ")[0])
    assert words[: len(name.split())] == name.split()
    # Raises where an option or a value is none.
    app.parse_args(words, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("name", sorted({*COMMANDS} - {*WITHOUT_OPTIONS}))
def test_a_command_takes_the_common_options(name: str) -> None:
    annotations = COMMANDS[name].default_command.__annotations__
    wanted = LocalOptions if name in WITHOUT_SERVICES else Options
    assert annotations.get("options") in (wanted, wanted.__name__)


# Those of the trail are still to be folded.
@pytest.mark.parametrize("name", [name for name in COMMANDS if not name.startswith("audit ")])
def test_help_fits_a_terminal_of_80_columns_as_it_is_written(name: str) -> None:
    told = inspect.cleandoc(COMMANDS[name].default_command.__doc__ or "").partition("\nParameters\n")[0]
    _, *lines = told.splitlines()
    assert [line for line in lines if len(line) > COLUMNS - 2] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_first_line_says_what_a_command_does_in_a_sentence(name: str) -> None:
    first = (COMMANDS[name].default_command.__doc__ or "").splitlines()[0]
    assert re.fullmatch(r"[A-Z].*\.", first), first
