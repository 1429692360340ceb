"""Writers of one workspace take turns."""

import asyncio

import pytest

from kit.errors import Overloaded
from kit.eventstore.turns import Turns


async def test_turns_come_in_the_order_of_arrival() -> None:
    turns = Turns()
    order: list[int] = []

    async def take(number: int) -> None:
        async with turns.turn("acme"):
            await asyncio.sleep(0)
            order.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(take(number))
    assert order == [0, 1, 2, 3, 4]


async def test_a_turn_that_does_not_come_in_time_is_refused_and_others_go_on() -> None:
    turns = Turns()

    async def take(name: str) -> str:
        async with turns.turn(name, wait_s=0):
            return name

    async with turns.turn("acme"):
        with pytest.raises(Overloaded):
            await take("acme")
        assert await take("globex") == "globex"
    assert await take("acme") == "acme"


async def test_nothing_is_kept_of_a_workspace_that_nobody_writes() -> None:
    turns = Turns()
    async with turns.turn("acme"):
        assert len(turns._locks) == 1
    assert len(turns._locks) == 0
