"""Names in `integrations` that are no destination's: counted by the executor, shown by the tracker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from kit.embedded.nats import EmbeddedNats
from kit.testing.eventually import eventually
from onward.delivery.v1 import unmatched_pb2 as upb
from onward.executor.v1 import outcomes_pb2 as pb
from services.delivery.projections import unmatched
from tests.integration.delivery_world import START_US, attempt, batch, running
from tests.integration.delivery_world import World as Tracker
from tests.integration.executor_world import Program, executor_world
from tests.integration.executor_world import World as Executor

pytestmark = pytest.mark.integration

ACME = "workspaces/acme"


@pytest.fixture
async def executor(nats_url: str, nats_server: EmbeddedNats) -> AsyncIterator[Executor]:
    async with executor_world(nats_url, nats_server.monitor_url) as made:
        yield made


@pytest.fixture
async def tracker(database: str, nats_url: str) -> AsyncIterator[Tracker]:
    async with running(database, nats_url) as made:
        yield made


def track(**integrations: Any) -> dict[str, Any]:
    return {"type": "track", "event": "Order", "userId": "u", "integrations": integrations}


def counted(name: str, events: int = 1, source: str = "web", at_us: int = START_US) -> pb.UnmatchedIntegration:
    return pb.UnmatchedIntegration(
        source=source, name=name, events=events, first_received_at_us=at_us, last_received_at_us=at_us
    )


async def listed(tracker: Tracker) -> list[upb.UnmatchedIntegrationCount]:
    request = upb.ListUnmatchedIntegrationsRequest(parent=ACME)
    return list((await tracker.viewer.ListUnmatchedIntegrations(request)).integrations)


async def test_the_executor_counts_each_name_once_an_event(executor: Executor) -> None:
    await executor.registry.connect("one", Program("async function onTrack() {}"))
    await executor.publish(track(All=False, one=True), track(one=True, oen=True), track(oen=False, mail=True))
    await executor.attempts("one", 3)
    found: dict[str, int] = {}

    def summed() -> bool:
        found.clear()
        for one in executor.unmatched:
            found[one.name] = found.get(one.name, 0) + one.events
        return sum(found.values()) >= 3

    await eventually(summed)
    assert found == {"oen": 2, "mail": 1}


async def test_names_are_added_up_and_listed_the_last_seen_first(tracker: Tracker) -> None:
    later = START_US + 1_000_000
    await tracker.report(
        batch(attempt(1), unmatched_integrations=[counted("oen", 2), counted("mail", at_us=later)]),
        batch(unmatched_integrations=[counted("oen", 3), counted("oen", source="shop")]),
    )
    found = await listed(tracker)
    assert [(one.source, one.name, one.events) for one in found] == [
        (f"{ACME}/sources/web", "mail", 1),
        (f"{ACME}/sources/shop", "oen", 1),
        (f"{ACME}/sources/web", "oen", 5),
    ]
    assert found[0].last_receive_time.ToMicroseconds() == later


async def test_a_batch_that_comes_again_counts_once(tracker: Tracker) -> None:
    one = batch(attempt(1), unmatched_integrations=[counted("oen", 2)])
    await tracker.report(one)
    await tracker.report(one)
    assert [found.events for found in await listed(tracker)] == [2]


async def test_pages_follow_one_another(tracker: Tracker) -> None:
    await tracker.report(batch(unmatched_integrations=[counted(f"n-{number}") for number in range(5)]))
    names: list[str] = []
    token = ""
    while True:
        request = upb.ListUnmatchedIntegrationsRequest(parent=ACME, page_size=2, page_token=token)
        answer = await tracker.viewer.ListUnmatchedIntegrations(request)
        names += [one.name for one in answer.integrations]
        token = answer.next_page_token
        if not token:
            break
    assert names == [f"n-{number}" for number in range(5)]


async def test_names_of_a_source_are_bounded_and_those_that_are_known_count_on(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unmatched, "NAMES_MAX", 2)
    for name in ("a", "b", "c", "a\0"):
        await tracker.report(batch(unmatched_integrations=[counted(name)]))
    await tracker.report(batch(unmatched_integrations=[counted("a")]))
    assert sorted((one.name, one.events) for one in await listed(tracker)) == [("a", 2), ("b", 1)]
