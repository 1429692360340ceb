"""Asking before what can't be undone."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from cli.failures import CommandError, UsageError
from cli.output import error_console, shown

Yes = Annotated[bool, Parameter(name=("--yes", "-y"), help="Do not ask; needed where nobody can be asked.")]


def confirm(question: str, *, yes: bool) -> None:
    """Return where the answer is yes. Raises CommandError where it is no, UsageError where there is no terminal."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Nobody can be asked here, so say it with --yes")
    error_console().print(Text(f"{shown(question)} [y/N] "), end="")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was done")
