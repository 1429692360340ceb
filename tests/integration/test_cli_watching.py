"""--watch, with real files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cli.failures import CommandError
from cli.watching import watch
from kit.testing.eventually import eventually

pytestmark = pytest.mark.integration


class Runs:
    """Counts what was run, and does with each run what a test says."""

    def __init__(self, each: Callable[[int], Awaitable[None]] | None = None) -> None:
        self.count = 0
        self._each = each

    async def __call__(self) -> None:
        self.count += 1
        if self._each is not None:
            await self._each(self.count)


async def watched(runs: Runs, files: list[Path], change: Callable[[], Awaitable[None]]) -> None:
    """Watch files while a test changes them."""
    watching = asyncio.ensure_future(watch(files, runs, quiet=True))
    try:
        await eventually(lambda: runs.count >= 1 or watching.done())
        await change()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def test_each_of_the_files_is_run_anew_when_it_is_saved(tmp_path: Path) -> None:
    files = [tmp_path / "code.js", tmp_path / "event.json"]
    for path in files:
        path.write_text("1")
    runs = Runs()

    async def change() -> None:
        for number, path in enumerate(files, 2):
            path.write_text(f"{number}{number}")
            await eventually(lambda number=number: runs.count == number)  # type: ignore[misc]  # bound at once

    await watched(runs, files, change)


async def test_a_file_that_is_replaced_as_editors_do_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "code.js"
    path.write_text("1")
    runs = Runs()

    async def change() -> None:
        before = path.stat()
        other = tmp_path / ".code.js.swp"
        other.write_text("2")
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        other.rename(path)
        await eventually(lambda: runs.count == 2)

    await watched(runs, [path], change)


async def test_a_change_during_a_run_is_not_missed(tmp_path: Path) -> None:
    path = tmp_path / "code.js"
    path.write_text("1")

    async def each(number: int) -> None:
        if number == 1:
            path.write_text("22")

    runs = Runs(each)

    async def change() -> None:
        await eventually(lambda: runs.count == 2)

    await watched(runs, [path], change)


async def test_what_goes_wrong_is_told_and_ends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "code.js"
    path.write_text("1")

    async def each(number: int) -> None:
        if number == 1:
            raise CommandError("event.json is not JSON")

    runs = Runs(each)

    async def change() -> None:
        path.write_text("22")
        await eventually(lambda: runs.count == 2)

    await watched(runs, [path], change)
    assert "error: event.json is not JSON" in capsys.readouterr().err


async def test_a_fault_of_ours_ends_it(tmp_path: Path) -> None:
    async def each(number: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await watch([tmp_path / "none"], Runs(each), quiet=True)
