"""The caps on what runs at once."""

import asyncio

from services.executor.runtime.connection_pool import Slots


async def test_slots_are_handed_over_in_order() -> None:
    """F17"""
    slots = Slots(1)
    await slots.acquire("host")
    order: list[int] = []

    async def wait(number: int) -> None:
        await slots.acquire("host")
        order.append(number)
        slots.release("host")

    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(wait(number))
        await asyncio.sleep(0)
        slots.release("host")
    assert order == [0, 1, 2, 3, 4]


async def test_keys_do_not_hold_each_other_up() -> None:
    """F17"""
    slots = Slots(1)
    await slots.acquire("slow")
    async with asyncio.timeout(1):
        await slots.acquire("fast")


async def test_a_waiter_cancelled_just_as_it_is_served_passes_its_slot_on() -> None:
    slots = Slots(1)
    await slots.acquire("host")
    first = asyncio.ensure_future(slots.acquire("host"))
    second = asyncio.ensure_future(slots.acquire("host"))
    await asyncio.sleep(0)
    slots.release("host")  # handed to the first, which has not run yet
    first.cancel()
    async with asyncio.timeout(1):
        await second
    assert first.cancelled()


async def test_a_cancelled_waiter_is_passed_over() -> None:
    slots = Slots(1)
    await slots.acquire("host")
    gone = asyncio.ensure_future(slots.acquire("host"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    slots.release("host")
    async with asyncio.timeout(1):
        await slots.acquire("host")
