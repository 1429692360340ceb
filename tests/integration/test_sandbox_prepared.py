"""Workers that have evaluated libraries ahead: who gets them, and that nothing of it shows."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator

import pytest

from kit.testing.eventually import eventually
from services.executor.runtime.prepared import KEPT_MAX
from tests.integration.sandbox_world import Sandbox, sandbox_of

pytestmark = pytest.mark.integration

LODASH = "function onTrack(event) { return _.get(event, 'a.b') }"
# In no text that names a library.
GLOBALS = "function onTrack() { return Object.getOwnPropertyNames(globalThis).sort() }"
XML = "function onTrack() { return xml({ a: 1 }) }"
OAUTH = "function onTrack() { return typeof OAuth }"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with sandbox_of() as sandbox:
        yield sandbox


async def _prepared(sandbox: Sandbox, *names: str) -> int:
    await eventually(lambda: names in sandbox.zygote.prepared)
    return sandbox.zygote.prepared[names]


async def test_a_script_that_names_a_library_gets_a_worker_that_has_it_already(sandbox: Sandbox) -> None:
    first = await sandbox.run(LODASH, {"a": {"b": 5}})
    pid = await _prepared(sandbox, "_")
    second = await sandbox.run(LODASH, {"a": {"b": 6}})
    assert (first.value(), second.value()) == (5, 6)
    assert second.worker.pid == pid
    assert await _prepared(sandbox, "_") != pid


async def test_a_prepared_library_shows_in_no_scope_but_of_code_that_names_it(sandbox: Sandbox) -> None:
    plain = (await sandbox.run(GLOBALS)).value()
    await sandbox.run(LODASH)
    await _prepared(sandbox, "_")
    assert (await sandbox.run(GLOBALS)).value() == plain
    assert (await sandbox.run("function onTrack() { return typeof globalThis['\\x5f'] }")).value() == "undefined"


async def test_a_prepared_worker_has_the_scope_of_one_that_was_not(sandbox: Sandbox) -> None:
    fresh = (await sandbox.run(f"/* _ */ {GLOBALS}")).value()
    pid = await _prepared(sandbox, "_")
    run = await sandbox.run(f"/* _ */ {GLOBALS}")
    assert run.worker.pid == pid
    assert run.value() == fresh
    assert "_" in fresh


async def test_a_script_that_names_more_than_was_prepared_gets_all_that_it_names(sandbox: Sandbox) -> None:
    await sandbox.run(LODASH)
    pid = await _prepared(sandbox, "_")
    run = await sandbox.run("function onTrack() { return [typeof _, xml({ a: 1 })] }")
    assert run.value() == ["function", "<a>1</a>"]
    assert run.worker.pid != pid


async def test_a_prepared_worker_that_dies_is_given_to_nobody(sandbox: Sandbox) -> None:
    await sandbox.run(LODASH)
    os.kill(await _prepared(sandbox, "_"), signal.SIGKILL)
    await eventually(lambda: not sandbox.zygote.prepared)
    assert (await sandbox.run(LODASH, {"a": {"b": 7}})).value() == 7


async def test_only_the_libraries_named_last_are_kept_ready(sandbox: Sandbox) -> None:
    for code, name in ((LODASH, "_"), (XML, "xml"), (OAUTH, "OAuth")):
        await sandbox.run(code)
        await _prepared(sandbox, name)
    assert list(sandbox.zygote.prepared) == [("xml",), ("OAuth",)]
    assert len(sandbox.zygote.prepared) == KEPT_MAX


async def test_workers_of_one_zygote_draw_different_random_numbers(sandbox: Sandbox) -> None:
    drawn = [(await sandbox.run("function onTrack() { return Math.random() }")).value() for _ in range(3)]
    assert len(set(drawn)) == 3
