"""A registry whose log does not fit the trail: nothing of it is recorded, and it is said so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from kit.eventstore.facts import Fact
from kit.testing.eventually import eventually
from tests.integration.audit_world import META, Owner, World, owning, running
from tests.integration.test_audit_service import source, sources

pytestmark = pytest.mark.integration

Answer = Callable[[list[Fact]], Sequence[Fact]]
SOON_S = 0.1


@pytest.fixture
async def owner(nats_url: str) -> AsyncIterator[Owner]:
    async with owning(nats_url) as owner:
        yield owner


@pytest.fixture
async def world(database: str, nats_url: str, owner: Owner) -> AsyncIterator[World]:
    async with running(database, nats_url, owner.address) as world:
        yield world


def answering(owner: Owner, monkeypatch: pytest.MonkeyPatch, answer: Answer) -> None:
    """The registry answers ReadFacts otherwise than its log says."""
    read = owner.store.read

    async def otherwise(workspace: str, after_position: int, limit: int = 1000) -> list[Fact]:
        return list(answer(await read(workspace, after_position, limit)))

    monkeypatch.setattr(owner.store, "read", otherwise)


def altered(number: int, /, **changes: Any) -> Answer:
    return lambda facts: [replace(one, **changes) if one.position == number else one for one in facts]


# The bus brings facts 1, 2 and 5; the registry is asked for what is between.
WRONG: dict[str, Answer] = {
    "facts of another workspace": altered(3, workspace="other"),
    "another position": altered(3, position=7),
    "one left out": lambda facts: [one for one in facts if one.position != 3],
    "the same twice": lambda facts: [one for one in facts for _ in range(2)],
    "in another order": lambda facts: facts[::-1],
    "a version that does not follow": altered(4, version=9, stream="sources/s2"),
    "no version": altered(3, version=0),
    "an id that is none": altered(3, fact_id="x"),
    "no type": altered(3, type=""),
    "another past: its data": altered(2, data=b"{}"),
    "another past: who did it": altered(2, meta=replace(META, principal="member:eve")),
    "another past: its id": altered(2, fact_id="00000000-0000-7000-8000-000000000000"),
    "another past: its time": altered(2, recorded_at=datetime(2020, 1, 1, tzinfo=UTC)),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_registry_that_answers_a_gap_wrongly_is_not_believed(
    world: World, owner: Owner, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    """D1: and once it answers rightly, the gap is filled."""
    facts = await owner.append(*sources(5))
    await owner.publish(facts[:2])
    await world.recorded(2)
    with monkeypatch.context() as lying, capture_logs() as lines:
        answering(owner, lying, WRONG[wrong])
        await owner.publish(facts[4:])
        await eventually(lambda: "log_unfit" in [one["event"] for one in lines])
        assert [one.position for one in await world.events()] == [1, 2]
    # It is delivered again.
    await world.recorded(5)
    stored = await world.rows("SELECT position, data FROM audit_facts ORDER BY index")
    assert [(row["position"], row["data"]) for row in stored] == [(one.position, one.data) for one in facts]


async def test_a_registry_with_another_past_is_noticed_before_anything_new_of_it_is_recorded(
    database: str, nats_url: str, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D1: such as one restored from an older backup, that went on from there."""
    async with running(database, nats_url, owner.address, SOON_S) as world:
        await owner.happen(*sources(3))
        await world.recorded(3)
        with capture_logs() as lines:
            answering(owner, monkeypatch, altered(3, data=b'{"source":"other"}'))
            await owner.append(source("new"))
            await eventually(lambda: "log_unfit" in [one["event"] for one in lines])
        assert [one.position for one in await world.events()] == [1, 2, 3]


async def test_a_fact_that_comes_again_with_other_data_changes_nothing_and_is_told(world: World, owner: Owner) -> None:
    """D1."""
    facts = await owner.happen(*sources(3))
    await world.recorded(3)
    with capture_logs() as lines:
        await owner.publish(facts)
        await owner.publish([replace(facts[1], data=b'{"source":"other"}')])
        await owner.happen(source("last"))
        await world.recorded(4)
    told = [(one["workspace"], one["position"]) for one in lines if one["event"] == "fact_differs_from_trail"]
    assert told == [("acme", 2)]
    (row,) = await world.rows("SELECT data FROM audit_facts WHERE position = 2")
    assert row["data"] == facts[1].data
