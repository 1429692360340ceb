"""Commands as somebody types them at a terminal, and what the terminal shows: for tests, and for pages of docs/."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.onward_program import COMMAND_TIMEOUT_S, ONWARD, environment

# Of tokens and write keys, what is left to see.
_SECRET = re.compile(r"\b(onwk?_[a-z0-9]+)_[A-Za-z0-9]+")


@dataclass(frozen=True)
class Step:
    """A command of somebody's, and what it came to."""

    who: str
    command: str
    code: int
    shown: str


@dataclass
class Transcript:
    """Runs commands in one folder and remembers them, with prose in between."""

    data: Path
    folder: Path
    parts: list[str | Step] = field(default_factory=list)

    @property
    def steps(self) -> list[Step]:
        return [part for part in self.parts if isinstance(part, Step)]

    def tell(self, prose: str) -> None:
        self.parts.append(prose)

    def run(self, who: str, token: str, command: str, *words: str) -> Step:
        """Run `onward` with these words, shown as `command`, by a token ("": the data folder's)."""
        variables = environment(self.data) | ({"ONWARD_TOKEN": token} if token else {})
        code, shown = _at_terminal([str(ONWARD), *words], variables, self.folder)
        assert "Traceback" not in shown, shown
        step = Step(who, command, code, shown)
        self.parts.append(step)
        return step

    def markdown(self) -> str:
        """Give prose and commands in their order, without secrets; commands in succession share a block."""
        blocks: list[str] = []
        before: str | Step = ""
        for part in self.parts:
            if isinstance(part, str):
                blocks.append(part)
            elif isinstance(before, Step):
                blocks[-1] = blocks[-1].removesuffix("```") + _block(part) + "```"
            else:
                blocks.append(f"```console\n{_block(part)}```")
            before = part
        return _SECRET.sub(r"\1_...", "\n\n".join(blocks)) + "\n"


def _block(step: Step) -> str:
    lines = [line.rstrip() for line in step.shown.splitlines()]
    return "\n".join([f"{step.who}$ {step.command}", *lines]) + "\n"


def _at_terminal(words: list[str], variables: dict[str, str], folder: Path) -> tuple[int, str]:
    """Run a program at a terminal of its own; give its exit code and what the terminal was sent."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=variables, cwd=folder)
        os.close(theirs)
        shown = _read_all(ours)
        return process.wait(COMMAND_TIMEOUT_S), shown.decode().replace("\r\n", "\n")
    finally:
        os.close(ours)


def _read_all(terminal: int) -> bytes:
    found = b""
    while True:
        ready, _, _ = select.select([terminal], [], [], COMMAND_TIMEOUT_S)
        assert ready, f"nothing more within {COMMAND_TIMEOUT_S} s after {found!r}"
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            # Linux says so when nobody has the other end any more.
            return found
        if not piece:
            return found
        found += piece
