"""The README's first function, command by command, on a stack that runs as the README starts it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import sysconfig
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kit.testing import servers
from kit.testing.eventually import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

STATES = ("delivered", "failed", "filtered", "pending")
ROOT = Path(__file__).resolve().parents[2]
# A cold start on a machine under load.
START_TIMEOUT_S = 90.0
# The whole page's commands; on an idle machine they take a few seconds.
COMMANDS_TIMEOUT_S = 150.0


def first_function() -> str:
    found = re.search(r"^## First function$\n(.*?)^## ", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```$", first_function(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 3
    return blocks


def environment() -> dict[str, str]:
    """As a person's shell: no variable of ours, and the programs of this virtual environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ONWARD_")}
    return kept | {"PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{kept['PATH']}", "COLUMNS": "200"}


@asynccontextmanager
async def onward_up(folder: Path) -> AsyncIterator[None]:
    """`onward up` in the folder, from ready to stopped by Ctrl-C."""
    process = await asyncio.create_subprocess_exec(
        "onward", "up", cwd=folder, env=environment(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            said = ""
            while "Ready." not in said:
                line = await process.stdout.readline()
                assert line, said
                said += line.decode()
        yield
        process.send_signal(signal.SIGINT)
        rest, _ = await process.communicate()
        assert process.returncode == 0, rest.decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def run(script: str, folder: Path) -> str:
    """What the script prints; it must not fail."""
    async with asyncio.timeout(COMMANDS_TIMEOUT_S):
        process = await asyncio.create_subprocess_exec(
            "bash",
            "-euc",
            script,
            cwd=folder,
            env=environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def counts(folder: Path) -> dict[str, int]:
    """What became of the events, over all destinations."""
    answer = json.loads(await run("onward deliveries summary --json", folder))
    found: Counter[str] = Counter()
    for destination in answer["destinations"]:
        found.update(
            {state: int(destination.get(state, 0)) for state in ("delivered", "failed", "filtered", "pending")}
        )
    return dict(found)


async def test_the_commands_of_the_readme_do_what_it_says() -> None:
    with servers.short_lived_folder() as folder:
        async with onward_up(folder):
            *first, change, people = commands()
            # One shell, as the reader has it.
            await run("\n".join(first), folder)
            await eventually(lambda: _came_to(folder, delivered=2, failed=1), timeout_s=30, interval_s=0.5)
            assert "message rejected: a sign-up needs an email" in await run(first[-1].splitlines()[-1], folder)
            trail = await run(change, folder)
            assert trail.count("FunctionVersionSaved") == 3
            await eventually(lambda: _came_to(folder, delivered=4, failed=1, filtered=1), timeout_s=30, interval_s=0.5)
            assert "functions-admin:welcome" in await run(people, folder)


async def _came_to(folder: Path, **expected: int) -> bool:
    assert {state: count for state, count in (await counts(folder)).items() if count} == expected
    return True


def test_the_readme_starts_what_make_up_starts() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "$ make up" in first_function()
    assert re.search(r"^up:.*\n\t@?\$\(BIN\)/onward up$", makefile, re.MULTILINE)
    assert sys.version_info >= (3, 11)
