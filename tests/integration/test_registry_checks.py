"""Checks of code that is saved, and how workspaces share them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from kit.testing.eventually import eventually
from tests.integration.registry_world import World, a_function, running, save

pytestmark = pytest.mark.integration


@pytest.fixture
async def world(database: str, nats_url: str) -> AsyncIterator[World]:
    async with running(database, nats_url) as world:
        yield world


async def test_a_workspace_that_saves_much_leaves_places_at_the_executor_to_others(world: World) -> None:
    owner, other = await world.workspace(), await world.workspace("other")
    await a_function(owner, [])
    await a_function(other, [], workspace="other")
    world.executor.answers.clear()
    many = [asyncio.ensure_future(save(owner, [], code="function onTrack() {}")) for _ in range(5)]
    await eventually(lambda: bool(world.executor.running))
    one = asyncio.ensure_future(save(other, [], workspace="other", code="function onPage() {}"))
    await eventually(lambda: "function onPage() {}" in world.executor.running)
    assert len(world.executor.running) == 2
    world.executor.answers.set()
    assert (await one).version.number == 3
    assert sorted([(await each).version.number for each in many]) == [3, 4, 5, 6, 7]
