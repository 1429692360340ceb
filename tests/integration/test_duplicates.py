"""The same messageId twice: at the executor, which runs one event of it, and at the tracker, which knows of others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from kit.embedded.nats import EmbeddedNats
from kit.errors import InvalidArgument
from onward.delivery.v1 import delivery_service_pb2 as dpb
from onward.delivery.v1 import duplicates_pb2 as duplicates_pb
from onward.executor.v1 import outcomes_pb2 as pb
from tests.integration.delivery_world import START_US, attempt, batch, running
from tests.integration.delivery_world import World as Tracker
from tests.integration.executor_world import Program, executor_world
from tests.integration.executor_world import World as Executor

pytestmark = pytest.mark.integration

ECHO = "async function onTrack(event) { return event.event; }"
DAY_US = 24 * 3600 * 1_000_000
DUPLICATE = (pb.RESULT_FILTERED, "duplicate")
DELIVERED = (pb.RESULT_DELIVERED, "")


def track(message_id: str, event: str = "Order") -> dict[str, Any]:
    return {"type": "track", "event": event, "userId": "u", "messageId": message_id}


@pytest.fixture
async def executor(nats_url: str, nats_server: EmbeddedNats) -> AsyncIterator[Executor]:
    async with executor_world(nats_url, nats_server.monitor_url) as made:
        yield made


@pytest.fixture
async def tracker(database: str, nats_url: str) -> AsyncIterator[Tracker]:
    async with running(database, nats_url) as made:
        yield made


async def results(executor: Executor, count: int) -> list[tuple[int, int, int, str]]:
    """(sequence, place, result, reason) of each attempt."""
    found = await executor.attempts("one", count)
    await executor.all_acknowledged()
    return sorted((one.stream_sequence, one.index, one.result, one.reason) for one in found)


# --- the executor


async def test_a_message_id_that_comes_again_is_delivered_once_whatever_its_body(executor: Executor) -> None:
    """A2, without a header by which JetStream could know: a publisher that is none of ours."""
    await executor.registry.connect("one", Program(ECHO))
    await executor.publish(track("m"), track("m"), track("m", "Other"), track("n"))
    found = await results(executor, 4)
    assert [one[2:] for one in found] == [DELIVERED, DUPLICATE, DUPLICATE, DELIVERED]


async def test_within_a_packed_batch_and_across_batches_a_message_id_counts_once(executor: Executor) -> None:
    """A2, for packed events."""
    await executor.registry.connect("one", Program(ECHO))
    packed = orjson.dumps({"batch": [track("a"), track("b"), track("a")]})
    await executor.publish(packed, packed, track("b"))
    found = await results(executor, 7)
    assert [one[:2] for one in found if one[2:] == DELIVERED] == [(1, 0), (1, 1)]
    assert [one[2:] for one in found].count(DUPLICATE) == 5


async def test_a_bad_event_of_a_packed_batch_fails_alone(executor: Executor) -> None:
    await executor.registry.connect("one", Program(ECHO))
    await executor.publish(orjson.dumps({"batch": [track("a"), {"type": "order"}, track("c")]}))
    assert [one[:3] for one in await results(executor, 2)] == [(1, 0, pb.RESULT_DELIVERED), (1, 2, pb.RESULT_DELIVERED)]
    assert [(one.index, one.reason) for one in executor.refused] == [(1, "unknown_type")]


async def test_what_another_executor_has_run_within_a_day_is_not_run_again(executor: Executor) -> None:
    executor.tracker.repeated = {"m"}
    await executor.registry.connect("one", Program(ECHO))
    await executor.publish(track("m"), track("n"))
    assert [one[2:] for one in await results(executor, 2)] == [DUPLICATE, DELIVERED]


async def test_while_nobody_can_tell_events_are_run(executor: Executor) -> None:
    """Rather twice than not at all."""
    executor.tracker.repeated = None
    await executor.registry.connect("one", Program(ECHO))
    await executor.publish(track("m"), track("n"))
    assert [one[2:] for one in await results(executor, 2)] == [DELIVERED, DELIVERED]


# --- the tracker


async def ask(tracker: Tracker, *events: tuple[str, str, int, int]) -> list[int]:
    """Ask about events: source, messageId, sequence and time of receipt."""
    sources, message_ids, sequences, times = zip(*events, strict=True)
    request = duplicates_pb.FindDuplicatesRequest(
        workspace="acme", sources=sources, message_ids=message_ids, stream_sequences=sequences,
        indexes=[0] * len(events), received_at_us=times,
    )  # fmt: skip
    return list((await tracker.internal.FindDuplicates(request)).duplicates)


async def test_an_id_is_known_within_its_source_and_for_a_day_and_to_itself_it_is_none(tracker: Tracker) -> None:
    await tracker.report(batch(attempt(1, message_id="m", received_at_us=START_US)))
    asked = [
        ("web", "m", 1, START_US),
        ("web", "m", 2, START_US + DAY_US - 1),
        ("web", "m", 3, START_US + DAY_US),
        ("shop", "m", 4, START_US),
        ("web", "n", 5, START_US),
    ]
    assert await ask(tracker, *asked) == [1]


async def test_lists_of_different_lengths_and_too_many_events_are_refused(tracker: Tracker) -> None:
    with pytest.raises(InvalidArgument):
        await tracker.internal.FindDuplicates(duplicates_pb.FindDuplicatesRequest(workspace="acme", message_ids=["m"]))
    with pytest.raises(InvalidArgument):
        await ask(tracker, *[("web", "m", number, START_US) for number in range(1001)])


async def test_a_repetition_that_is_reported_before_its_first_is_still_the_repetition(tracker: Tracker) -> None:
    second = attempt(2, message_id="m", result=pb.RESULT_FILTERED, reason="duplicate")
    await tracker.report(batch(second))
    await tracker.report(batch(attempt(1, message_id="m")))
    rows = await tracker.rows("SELECT stream_sequence, duplicate FROM attempts ORDER BY stream_sequence")
    assert [tuple(row) for row in rows] == [(1, False), (2, True)]
    assert await tracker.value("SELECT sum(duplicates)::int FROM rollups") == 1
    found = (
        await tracker.viewer.ListDeliveries(dpb.ListDeliveriesRequest(parent="workspaces/acme", message_id="m"))
    ).deliveries
    assert [(one.state, one.duplicate) for one in found] == [
        (dpb.DELIVERY_STATE_FILTERED, True),
        (dpb.DELIVERY_STATE_DELIVERED, False),
    ]
