"""Applying facts: what the bus repeats, reorders and loses makes no difference."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random

import pytest

from kit.eventstore.consumer import MemoryFactApplier, MissingFactsError
from kit.eventstore.facts import Fact, Meta

AT = datetime(2026, 1, 1, tzinfo=UTC)


def fact(position: int, workspace: str = "acme") -> Fact:
    return Fact(workspace, position, "a", position, "Struct", b"{}", f"{workspace}-{position}", Meta("token:a"), AT)


class Owner:
    """The owning service's log; counts how often it is asked."""

    def __init__(self, head: int) -> None:
        self.head = head
        self.asked = 0

    async def read_facts(self, service: str, workspace: str, after_position: int, limit: int) -> Sequence[Fact]:
        self.asked += 1
        return [fact(n, workspace) for n in range(after_position + 1, min(self.head, after_position + limit) + 1)]


class Reader:
    """A read model that lists what was applied to it."""

    def __init__(self, owner: Owner) -> None:
        self.applied: list[str] = []
        self.applier = MemoryFactApplier(service="registry", apply=self.apply, read_facts=owner.read_facts)

    def apply(self, fact: Fact) -> None:
        self.applied.append(fact.fact_id)


def ids(head: int, workspace: str = "acme") -> list[str]:
    return [f"{workspace}-{n}" for n in range(1, head + 1)]


async def test_repeated_and_reordered_facts_are_applied_once_and_in_order() -> None:
    """A5."""
    reader = Reader(Owner(0))
    await reader.applier.deliver([fact(3), fact(1), fact(2), fact(1)])
    await reader.applier.deliver([fact(2), fact(3), fact(4)])
    assert reader.applied == ids(4)


async def test_a_gap_is_filled_from_the_owner() -> None:
    owner = Owner(10)
    reader = Reader(owner)
    await reader.applier.deliver([fact(1), fact(4), fact(8)])
    assert reader.applied == ids(8)
    assert owner.asked == 2


async def test_a_gap_longer_than_one_answer_is_filled() -> None:
    owner = Owner(1_200)
    reader = Reader(owner)
    await reader.applier.deliver([fact(1_200)])
    assert reader.applied == ids(1_200)


async def test_a_gap_that_the_owner_can_not_fill_applies_nothing_and_says_so() -> None:
    reader = Reader(Owner(0))
    with pytest.raises(MissingFactsError, match="registry/acme after 0"):
        await reader.applier.deliver([fact(2)])
    assert reader.applied == []


async def test_an_owner_that_answers_other_facts_than_asked_is_not_believed() -> None:
    async def skips(service: str, workspace: str, after_position: int, limit: int) -> Sequence[Fact]:
        return [fact(after_position + 2)]

    applier = MemoryFactApplier(service="registry", apply=lambda fact: None, read_facts=skips)
    with pytest.raises(MissingFactsError, match="in place of acme/1"):
        await applier.deliver([fact(5)])
    assert applier.positions == {}


async def test_a_fact_that_can_not_be_applied_stops_its_workspace_there_and_is_tried_again() -> None:
    broken = {"acme-2"}
    applied: list[str] = []

    def apply(fact: Fact) -> None:
        if fact.fact_id in broken:
            raise ValueError(fact.fact_id)
        applied.append(fact.fact_id)

    applier = MemoryFactApplier(service="registry", apply=apply, read_facts=Owner(0).read_facts)
    with pytest.raises(ValueError, match="acme-2"):
        await applier.deliver([fact(1), fact(2), fact(3)])
    assert applied == ids(1)
    broken.clear()
    await applier.deliver([fact(1), fact(2), fact(3)])
    assert applied == ids(3)


async def test_workspaces_have_positions_of_their_own() -> None:
    """C10."""
    reader = Reader(Owner(0))
    await reader.applier.deliver([fact(1, "globex"), fact(1, "acme"), fact(2, "globex")])
    assert reader.applier.positions == {"acme": 1, "globex": 2}


async def test_catching_up_reads_everything_and_live_facts_meanwhile_are_not_applied_twice() -> None:
    reader = Reader(Owner(1_100))
    await asyncio.gather(reader.applier.catch_up("acme"), reader.applier.deliver([fact(3), fact(1_101)]))
    assert reader.applied == ids(1_101)


@pytest.mark.parametrize("seed", range(5))
async def test_any_delivery_order_ends_the_same(seed: int) -> None:
    random = Random(seed)
    reader = Reader(Owner(60))
    sent = [fact(random.randint(1, 60)) for _ in range(200)] + [fact(60)]
    while sent:
        cut = random.randint(1, 20)
        await reader.applier.deliver(sent[:cut])
        sent = sent[cut:]
    assert reader.applied == ids(60)


async def test_waiting_for_a_position_ends_when_it_is_applied_or_in_time() -> None:
    reader = Reader(Owner(0))
    assert not await reader.applier.wait_applied("acme", 1, timeout_s=0)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(reader.applier.wait_applied("acme", 2, timeout_s=5))
        await reader.applier.deliver([fact(1)])
        await asyncio.sleep(0)
        assert not waiting.done()
        await reader.applier.deliver([fact(2)])
    assert waiting.result()
    assert await reader.applier.wait_applied("acme", 1, timeout_s=0)
