"""Waiting for an event of this process."""

import asyncio

import pytest

from kit.waiting import is_set_within


@pytest.mark.parametrize("timeout_s", [0.0, 1000.0, None])
async def test_what_is_set_already_is_not_waited_for(timeout_s: float | None) -> None:
    event = asyncio.Event()
    event.set()
    assert await is_set_within(event, timeout_s)


@pytest.mark.parametrize("timeout_s", [1000.0, None])
async def test_what_is_set_meanwhile_ends_the_wait(timeout_s: float | None) -> None:
    event = asyncio.Event()
    waiting = asyncio.create_task(is_set_within(event, timeout_s))
    await asyncio.sleep(0)
    assert not waiting.done()
    event.set()
    assert await waiting


async def test_what_is_not_set_in_time_is_given_up() -> None:
    assert not await is_set_within(asyncio.Event(), 0.0)


async def test_a_wait_can_be_cancelled() -> None:
    waiting = asyncio.create_task(is_set_within(asyncio.Event(), None))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
