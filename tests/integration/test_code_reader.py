"""A worker that waits, rehearsed, for somebody's code to check."""

from __future__ import annotations

import asyncio

import pytest

from kit.testing.eventually import eventually
from services.executor.runtime import readers
from services.executor.runtime.jobs import CheckResult
from services.executor.runtime.pool import Zygote, ZygoteLostError
from services.executor.runtime.wire import Kind
from tests.integration.sandbox_world import sandbox_of

pytestmark = pytest.mark.integration

CODE = (
    "globalThis.seen = (globalThis.seen ?? 0) + 1\nconst onTrack = () => 1\nif (seen > 1) throw new Error('not alone')"
)
# Names that would do harm where one stood as a key in a plain object, and what a reader must not run.
HOSTILE = """
const __proto__ = 1, constructor = 2, toString = 3, hasOwnProperty = 4
Object.prototype.type = 'Literal'; Array.prototype.push = null; Map.prototype.get = () => 7
class then { static #__proto__ = 1; static { this.constructor = then } }
function onTrack({ __proto__: valueOf }, settings) { __proto__: for (;;) break __proto__; settings.__proto__ }
"""
MISTAKEN = "async function onTrack(event, settings) {\n  fetch(settings.nothing)\n}"


def told(result: CheckResult) -> list[tuple[str, int]]:
    assert (result.handlers, result.error, result.unread) == (["onTrack"], None, None)
    return [(one.rule, one.line) for one in result.warnings]


def readers_of(zygote: Zygote) -> set[int]:
    """Those that wait."""
    return {reader.worker.pid for reader in zygote._readers._ready}


async def test_a_reader_goes_on_and_what_has_run_the_script_does_not() -> None:
    """E25"""
    async with sandbox_of(readers=1, spares=0) as sandbox:
        zygote = sandbox.zygote
        before = readers_of(zygote)
        assert len(before) == 1
        for _ in range(3):
            assert told(await zygote.check(CODE)) == []
        assert readers_of(zygote) == before
        await eventually(lambda: set(zygote.worker_pids) == before)


async def test_what_a_reader_has_read_changes_nothing_of_what_it_says_next() -> None:
    async with sandbox_of(readers=1) as sandbox:
        zygote = sandbox.zygote
        expected = told(await zygote.check(MISTAKEN))
        assert expected == [("fetch-not-awaited", 2), ("unknown-setting", 2)]
        before = readers_of(zygote)
        for hostile in (HOSTILE, "function (", "/(a+)+$/.test('" + "a" * 40_000 + "')"):
            await zygote.check(hostile)
            assert told(await zygote.check(MISTAKEN)) == expected
        assert readers_of(zygote) == before


async def test_a_reader_is_replaced_after_many_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "_READS_MAX", readers._REHEARSALS + 2)
    async with sandbox_of(readers=1, spares=0) as sandbox:
        zygote = sandbox.zygote
        before = readers_of(zygote)
        await zygote.check(CODE)
        assert readers_of(zygote) == before
        await zygote.check(CODE)
        await eventually(lambda: zygote.readers_ready == 1 and set(zygote.worker_pids) == readers_of(zygote))
        assert not before & readers_of(zygote)


async def test_of_readers_that_were_needed_at_once_the_one_that_has_read_most_stays() -> None:
    async with sandbox_of(readers=1, spares=0) as sandbox:
        zygote = sandbox.zygote
        before = readers_of(zygote)
        await asyncio.gather(*(zygote.check(CODE) for _ in range(4)))
        await eventually(lambda: set(zygote.worker_pids) == before)
        assert readers_of(zygote) == before


async def test_a_reader_that_answers_unasked_is_not_believed() -> None:
    async with sandbox_of(readers=1) as sandbox:
        zygote = sandbox.zygote
        before = readers_of(zygote)
        zygote._readers._ready[0].worker.received(Kind.CHECKED, b'{"warnings":[],"meant":[]}')
        result = await zygote.check(MISTAKEN)
        assert (result.handlers, result.warnings) == (["onTrack"], [])
        assert result.unread is not None
        assert "nobody asked" in result.unread
        await eventually(lambda: zygote.readers_ready == 1)
        assert not before & readers_of(zygote)


async def test_a_check_that_comes_after_the_end_starts_no_other_zygote() -> None:
    async with sandbox_of(readers=1) as sandbox:
        zygote = sandbox.zygote
        await zygote.stop()
        with pytest.raises(ZygoteLostError, match="stopped"):
            await zygote.check(CODE)


async def test_a_reader_that_died_while_it_waited_is_not_missed() -> None:
    async with sandbox_of(readers=1) as sandbox:
        zygote = sandbox.zygote
        for pid in zygote.worker_pids:
            zygote.kill(pid)
        await eventually(lambda: not zygote.worker_pids)
        assert (await zygote.check(CODE)).handlers == ["onTrack"]
        await eventually(lambda: zygote.readers_ready == 1)
