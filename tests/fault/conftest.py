"""One system for all tests of a module: it takes seconds to start, and each test has a source of its own in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.fault.system import System, all_serving, running_system


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_system() -> AsyncIterator[System]:
    """Runs in a task of its own: fixtures are set up and torn down in different ones, and a task group forbids that."""
    ready: asyncio.Future[System] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def run() -> None:
        async with running_system() as system:
            ready.set_result(system)
            await over.wait()

    task = asyncio.get_running_loop().create_task(run())
    # Where it does not start, the task ends first.
    task.add_done_callback(lambda ended: None if ready.done() else ready.set_exception(ended.exception() or EOFError()))
    yield await ready
    over.set()
    await task


@pytest_asyncio.fixture(loop_scope="module")
async def system(module_system: System) -> System:
    """The system, well again after whatever the last test did."""
    await all_serving(module_system)
    return module_system


@pytest.fixture(autouse=True)
def _marked(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("fault"), "fault tests bear the marker"
