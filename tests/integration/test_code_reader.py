"""A worker that waits, rehearsed, for somebody's code to check."""

from __future__ import annotations

import pytest

from kit.testing.eventually import eventually
from tests.integration.sandbox_world import sandbox_of

pytestmark = pytest.mark.integration

CODE = (
    "globalThis.seen = (globalThis.seen ?? 0) + 1\nconst onTrack = () => 1\nif (seen > 1) throw new Error('not alone')"
)


async def test_a_reader_reads_one_script_and_another_takes_its_place() -> None:
    """E25"""
    async with sandbox_of(readers=1) as sandbox:
        zygote = sandbox.zygote
        first = set(zygote.worker_pids)
        for checks in (1, 2):
            result = await zygote.check(CODE)
            assert (result.handlers, result.error, result.warnings) == (["onTrack"], None, [])
            await eventually(lambda: zygote.readers_ready == 1)
            # The spare one is still there; who read is gone.
            await eventually(lambda: len(zygote.worker_pids) == 2)
            assert len(first & set(zygote.worker_pids)) == 1, checks


async def test_a_reader_that_died_while_it_waited_is_not_missed() -> None:
    async with sandbox_of(readers=1) as sandbox:
        zygote = sandbox.zygote
        for pid in zygote.worker_pids:
            zygote.kill(pid)
        await eventually(lambda: not zygote.worker_pids)
        assert (await zygote.check(CODE)).handlers == ["onTrack"]
        await eventually(lambda: zygote.readers_ready == 1)
