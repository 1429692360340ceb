"""Workspaces' states in memory: what is read once, and which facts make rights be asked for again."""

from __future__ import annotations

from typing import Any, cast

import pytest

from kit.eventstore.facts import Meta, NewFact
from kit.eventstore.memory import MemoryEventStore
from kit.eventstore.store import READ_FACTS_MAX, Unit
from onward.registry.v1 import facts_pb2
from services.registry.domain.evolve import FACT_TYPES, LEAVE_RIGHTS_ALONE
from services.registry.handlers.states import StateCache

LIMIT = facts_pb2.LimitsSet(functions_max=1)


class Counting:
    """A unit that notes where it was read from, and whose caller's time ends at the second read."""

    def __init__(self, unit: Unit, ends: bool) -> None:
        self._unit = unit
        self._ends = ends
        self.read_from: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._unit, name)

    async def read_data(self, after_position: int) -> Any:
        self.read_from.append(after_position)
        if self._ends and len(self.read_from) == 2:
            raise TimeoutError
        return await self._unit.read_data(after_position)


async def append(store: MemoryEventStore, *facts: Any) -> None:
    async with store.writing("acme") as unit:
        await unit.append([NewFact("workspace", fact) for fact in facts], Meta("operator"))


async def test_what_was_folded_when_a_callers_time_ended_is_not_read_again() -> None:
    store, states = MemoryEventStore(), StateCache()
    await append(store, facts_pb2.WorkspaceCreated(workspace="acme"), *[LIMIT] * (READ_FACTS_MAX - 1))
    await append(store, *[LIMIT] * 5)
    async with store.writing("acme") as unit:
        with pytest.raises(TimeoutError):
            await states.load(cast(Unit, Counting(unit, ends=True)))
        counting = Counting(unit, ends=False)
        known = await states.load(cast(Unit, counting))
    assert counting.read_from == [READ_FACTS_MAX]
    assert (known.position, known.state.revision) == (READ_FACTS_MAX + 5, READ_FACTS_MAX + 5)


async def test_the_last_fact_that_could_change_rights_is_known() -> None:
    store, states = MemoryEventStore(), StateCache()
    await append(store, facts_pb2.WorkspaceCreated(workspace="acme"))
    async with store.writing("acme") as unit:
        assert (await states.load(unit)).access_position == 1
    await append(store, LIMIT)
    async with store.writing("acme") as unit:
        assert (await states.load(unit)).access_position == 1
    await append(store, facts_pb2.MemberAdded(member="ada"), LIMIT)
    async with store.writing("acme") as unit:
        assert (await states.load(unit)).access_position >= 3


def test_no_fact_of_people_and_no_beginning_or_end_leaves_rights_alone() -> None:
    decisive = ("Workspace", "Member", "Person", "Role", "Token", "Created", "Deleted", "Connected", "Disconnected")
    suspects = {kind for kind in FACT_TYPES if any(word in kind.DESCRIPTOR.name for word in decisive)}
    # A filter and a write key are nobody's target.
    harmless = {facts_pb2.FilterCreated, facts_pb2.FilterDeleted}
    assert not (suspects - harmless) & LEAVE_RIGHTS_ALONE
