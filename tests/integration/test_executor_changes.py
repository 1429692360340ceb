"""What the registry changes takes effect with the next event: filters, policy, disconnecting. Real NATS and V8."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from kit.embedded.nats import EmbeddedNats
from kit.testing.eventually import eventually
from onward.executor.v1 import outcomes_pb2 as pb
from onward.registry.v1 import facts_pb2 as facts
from onward.registry.v1 import internal_service_pb2 as registry_pb
from onward.registry.v1 import resources_pb2 as resources
from tests.integration.executor_world import WORKSPACE, Program, World, executor_world

pytestmark = pytest.mark.integration

ECHO = "async function onTrack(event) { return event.event; }"
SHOW = "async function onTrack(event) { throw new RetryError('saw ' + JSON.stringify(event.properties)); }"
EMAIL = "ada@example.com"
HASH = hashlib.sha256(EMAIL.encode()).hexdigest()


def track(message_id: str, **fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": "Order", "userId": "u", "messageId": message_id, **fields}


def rule(title: str, *actions: resources.FilterAction, condition: str = "all") -> resources.FilterRule:
    return resources.FilterRule(title=title, enabled=True, condition=condition, actions=actions)


DROP = resources.FilterAction(drop=True)
HASH_EMAIL = resources.FilterAction(hash_fields=resources.FieldPaths(paths=["properties.email"]))


@pytest.fixture
async def world(nats_url: str, nats_server: EmbeddedNats) -> AsyncIterator[World]:
    async with executor_world(nats_url, nats_server.monitor_url) as made:
        yield made


def due_again(first: pb.Attempt, destination: str = "one") -> bytes:
    return pb.DueDelivery(
        workspace=WORKSPACE,
        source="web",
        destination=destination,
        stream_sequence=first.stream_sequence,
        attempt=2,
        retries_used=1,
        message_id=first.message_id,
        type=pb.EVENT_TYPE_TRACK,
        received_at_us=first.received_at_us,
        event=first.detail.event,
    ).SerializeToString()


async def test_a_dropped_event_invokes_nothing_and_names_its_filter(world: World) -> None:
    await world.registry.connect("one", Program("async function onTrack() { throw new Error('must not run'); }"))
    await world.registry.filter("one", rule("no-orders", DROP, condition="event = 'Order'"))
    await world.publish(track("m1"))
    seen = (await world.attempts("one"))[0]
    assert (seen.result, seen.reason) == (pb.RESULT_FILTERED, "destinations/one/filters/no-orders")
    assert seen.wall_us == 0
    assert world.seen[0].filter_revision == 1
    await world.all_acknowledged()


async def test_the_next_event_meets_the_filters_of_now(world: World) -> None:
    await world.registry.connect("one", Program(ECHO))
    await world.publish(track("m1"))
    await world.attempts("one", 1)
    await world.registry.filter("one", rule("none", DROP))
    await world.publish(track("m2"))
    await world.attempts("one", 2)
    await world.registry.filter("one")
    await world.publish(track("m3"))
    await world.attempts("one", 3)
    assert [(one.attempt.result, one.filter_revision) for one in world.seen] == [
        (pb.RESULT_DELIVERED, 0),
        (pb.RESULT_FILTERED, 1),
        (pb.RESULT_DELIVERED, 2),
    ]


async def test_thousands_of_dropped_events_all_end_as_filtered(world: World) -> None:
    await world.registry.connect("one", Program(ECHO))
    await world.registry.filter("one", rule("none", DROP))
    batch = [track(f"m{number}") for number in range(1500)]
    await world.publish(orjson.dumps({"batch": batch}), orjson.dumps({"batch": batch}))
    attempts = await world.attempts("one", 3000)
    assert {one.result for one in attempts} == {pb.RESULT_FILTERED}
    await world.all_acknowledged()


async def test_a_hashed_field_shows_in_no_sample_and_a_retry_is_filtered_anew(world: World) -> None:
    await world.registry.connect("one", Program(SHOW))
    await world.registry.filter("one", rule("private", HASH_EMAIL))
    await world.publish(track("m1", properties={"email": EMAIL}))
    first = (await world.attempts("one"))[0]
    assert first.result == pb.RESULT_RETRYABLE
    assert first.detail.error_message == f'saw {{"email":"{HASH}"}}'
    assert orjson.loads(first.detail.filtered_event)["properties"] == {"email": HASH}
    # What a retry begins with is the event as it came, so that nothing is hashed twice.
    assert orjson.loads(first.detail.event)["properties"] == {"email": EMAIL}
    await world.publisher.publish(f"due.{WORKSPACE}", due_again(first))
    second = (await world.attempts("one", 2))[1]
    assert second.detail.error_message == first.detail.error_message
    await world.registry.filter("one", rule("none", DROP))
    await world.publisher.publish(f"due.{WORKSPACE}.again", due_again(first))
    assert (await world.attempts("one", 3))[2].result == pb.RESULT_FILTERED


async def test_an_event_that_ends_without_running_is_shown_as_filters_left_it(world: World) -> None:
    await world.registry.connect("one", Program(ECHO, required=["apiKey"]))
    await world.registry.filter("one", rule("private", HASH_EMAIL))
    await world.publish(track("m1", properties={"email": EMAIL}))
    detail = (await world.attempts("one"))[0].detail
    assert orjson.loads(detail.filtered_event)["properties"] == {"email": HASH}


async def test_an_event_never_passes_a_filter_that_is_not_understood(world: World) -> None:
    await world.registry.connect("one", Program(ECHO))
    await world.registry.filter("one", rule("of a newer release", resources.FilterAction()))
    await world.publish(track("m1", properties={"email": EMAIL}))
    attempt = (await world.attempts("one"))[0]
    assert (attempt.result, attempt.error_type) == (pb.RESULT_FAILED, pb.ERROR_TYPE_INVALID_SETTINGS)
    assert "of a newer release" in attempt.detail.error_message
    assert attempt.detail.HasField("filtered_event")
    assert attempt.detail.filtered_event == b""


async def test_filters_of_workspace_and_source_come_first(world: World) -> None:
    await world.registry.connect("one", Program(ECHO))
    await world.registry.filter("one", rule("own", DROP))
    name = f"workspaces/{WORKSPACE}/filters/all"
    group = registry_pb.FilterGroup(filters=[resources.Filter(name=name, rule=rule("all", DROP))])
    world.registry.programs["one"].filters.insert(0, group)
    await world.publish(track("m1"))
    assert (await world.attempts("one"))[0].reason == "filters/all"


async def test_why_an_event_was_filtered_is_told(world: World) -> None:
    await world.registry.connect("one", Program("async function onTrack() { throw new DropEvent('no need'); }"))
    await world.publish(track("m1"), track("m2", integrations={"one": False}))
    reasons = {one.message_id: one.reason for one in await world.attempts("one", 2)}
    assert reasons == {"m1": "drop_event", "m2": "integrations"}


async def test_a_new_policy_judges_the_next_attempt(world: World) -> None:
    failing = "async function onTrack() { const e = new Error('busy'); e.status = 503; throw e; }"
    await world.registry.connect("one", Program(failing))
    await world.publish(track("m1"))
    assert (await world.attempts("one"))[0].result == pb.RESULT_RETRYABLE
    policy = resources.DeliveryPolicy(retry_only_explicit=True)
    world.registry.programs["one"].policy.CopyFrom(policy)
    fact = facts.DeliveryPolicyUpdated(destination="one", policy=policy)
    await world.registry.record("destinations/one", fact)
    await world.publish(track("m2"))
    assert (await world.attempts("one", 2))[1].result == pb.RESULT_FAILED


async def test_a_retry_for_a_disconnected_destination_is_cancelled_and_never_run(world: World) -> None:
    """Fault A25."""
    await world.registry.connect("one", Program(SHOW))
    await world.publish(track("m1"))
    first = (await world.attempts("one"))[0]
    await world.registry.end("one")
    await world.publisher.publish(f"due.{WORKSPACE}", due_again(first))
    second = (await world.attempts("one", 2))[1]
    assert (second.result, second.reason, second.attempt) == (pb.RESULT_CANCELLED, "destination_disconnected", 2)
    await world.all_acknowledged("DUE")


async def test_what_waits_in_a_lane_ends_when_its_function_is_deleted(world: World) -> None:
    """Fault A25."""
    await world.registry.connect("one", Program(ECHO))
    world.registry.answers.clear()
    await world.publish(track("m1"))
    await eventually(lambda: world.registry.asked == ["one"])
    await world.registry.end("one", function_too=True)
    world.registry.answers.set()
    attempt = (await world.attempts("one"))[0]
    assert (attempt.result, attempt.reason) == (pb.RESULT_CANCELLED, "function_deleted")
    await world.all_acknowledged()


async def test_an_executor_says_what_it_has_applied_and_when_it_leaves(
    nats_url: str, nats_server: EmbeddedNats
) -> None:
    async with executor_world(nats_url, nats_server.monitor_url) as world:
        reports = world.registry.reports
        await eventually(lambda: len(reports) == 1)
        assert reports[0].complete
        begun = reports[0].positions[WORKSPACE]
        await world.registry.connect("one", Program(ECHO))
        await eventually(lambda: reports[-1].positions.get(WORKSPACE) == begun + 2)
        assert not reports[-1].complete
        world.registry.forgotten = True
        await world.registry.record("workspace", facts.WorkspaceUpdated(display_name="Acme"))
        await eventually(lambda: reports[-1].complete)
        assert reports[-1].positions[WORKSPACE] == begun + 3
    assert reports[-1].leaving
    assert len({one.executor for one in reports}) == 1
