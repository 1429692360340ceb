"""Doing something again whenever one of some files is saved."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path

from cli.failures import explain
from cli.output import console, print_error, say

# Saving and looking go together without waiting; a look is some calls of stat.
LOOK_S = 0.2
# A file that did not change for so long is whole; one that changes all the time is taken as it is.
SETTLE_S = 0.05
SETTLE_LOOKS_MAX = 20

# What tells a file from the same file after it was saved.
Stamp = tuple[int, int, int]


async def watch(files: Sequence[Path], run: Callable[[], Awaitable[object]], *, quiet: bool) -> None:
    """Run at once and after each change, until cancelled; what goes wrong is printed and ends nothing.

    `quiet` prints nothing of its own, for programs.
    """
    while True:
        seen = await _settled(files)
        if not quiet and console().is_terminal:
            console().clear()
        if not quiet:
            say(f"── {datetime.now().astimezone():%H:%M:%S} ──", style="dim")
        try:
            await run()
        except Exception as error:
            told = explain(error)
            if told is None:
                raise
            print_error(told[0])
        if not quiet:
            say()
            say(f"Waiting for changes of {', '.join(map(str, files))}; Ctrl-C ends.", style="dim")
        while _stamps(files) == seen:
            await asyncio.sleep(LOOK_S)


async def _settled(files: Sequence[Path]) -> list[Stamp | None]:
    """The files once they are whole: some editors empty a file before they write it."""
    seen = _stamps(files)
    for _ in range(SETTLE_LOOKS_MAX):
        await asyncio.sleep(SETTLE_S)
        seen, before = _stamps(files), seen
        if seen == before:
            break
    return seen


def _stamps(files: Sequence[Path]) -> list[Stamp | None]:
    return [_stamp(path) for path in files]


def _stamp(path: Path) -> Stamp | None:
    """None for one that is not there, as editors have it for a moment."""
    try:
        found = path.stat()
    except OSError:
        return None
    # Editors that write another file and rename it change the inode, whatever the clock's resolution.
    return (found.st_mtime_ns, found.st_size, found.st_ino)
