"""Many workers, and more than one executor: what is ready before it is needed, and what is shared. Real NATS and V8."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from kit.embedded.nats import EmbeddedNats
from kit.testing.eventually import eventually
from onward.executor.v1 import outcomes_pb2 as pb
from services.executor.app import App, build
from services.executor.consumers.floods import MachineIdle
from services.executor.handlers.lanes import Lane
from tests.integration.executor_world import WORKSPACE, Program, World, executor_world

pytestmark = pytest.mark.integration

ECHO = "async function onTrack(event) { return event.event; }"
SLOW = "async function onTrack(event) { await new Promise((done) => setTimeout(done, 400)); }"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def track(message_id: str, **fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": "Order", "userId": "u", "messageId": message_id, **fields}


@pytest.fixture
async def world(nats_url: str, nats_server: EmbeddedNats) -> AsyncIterator[World]:
    async with executor_world(nats_url, nats_server.monitor_url) as made:
        # What it reads at its start is no change.
        await eventually(lambda: made.app is not None and made.app._view.knows_source(WORKSPACE, "web"), timeout_s=20)
        yield made


def lane_of(app: App | None, destination: str) -> Lane | None:
    assert app is not None
    return app._lanes._lanes.get((WORKSPACE, destination))


def version_ready(app: App | None, destination: str) -> int:
    lane = lane_of(app, destination)
    current = lane._current if lane is not None else None
    return current.program.version if current is not None and current.worker is not None else 0


async def test_the_worker_of_a_destination_is_there_before_its_first_event(world: World) -> None:
    await world.registry.connect("one", Program(ECHO))
    await eventually(lambda: version_ready(world.app, "one") == 1, timeout_s=20)


async def test_the_next_version_of_a_destination_in_use_is_loaded_before_its_next_event(world: World) -> None:
    await world.registry.connect("one", Program(ECHO))
    await world.publish(track("m1"))
    await world.attempts("one")
    await world.registry.deploy("one", ECHO + "\n// another version")
    await eventually(lambda: version_ready(world.app, "one") == 2, timeout_s=20)
    await world.publish(track("m2"))
    await world.attempts("one", 2)
    assert [seen.version for seen in world.seen] == [1, 2]


async def test_a_destination_that_nobody_uses_is_not_warmed_up_by_a_change(world: World) -> None:
    await world.registry.connect("one", Program(ECHO), enable=False)
    await world.registry.deploy("one", ECHO + "\n// another version")
    await world.registry.connect("two", Program(ECHO))
    await eventually(lambda: version_ready(world.app, "two") == 1, timeout_s=20)
    assert lane_of(world.app, "one") is None


async def test_an_event_that_is_published_after_a_change_does_not_run_before_it_though_others_still_do(
    world: World,
) -> None:
    await world.registry.connect("one", Program(SLOW))
    await world.publish(track("m1"))
    await eventually(lambda: version_ready(world.app, "one") == 1, timeout_s=20)
    lane = lane_of(world.app, "one")
    assert lane is not None
    await eventually(lambda: lane.busy, timeout_s=20)
    # The registry does not answer, so the next version can't be had while these are published.
    world.registry.answers.clear()
    await world.registry.deploy("one", ECHO)
    await world.publish(track("m2"), track("m3"))
    await world.attempts("one")
    world.registry.answers.set()
    await world.attempts("one", 3)
    ran = {seen.attempt.message_id: seen.version for seen in world.seen if seen.attempt.result == pb.RESULT_DELIVERED}
    # These may be deferred while they wait for the registry; one that comes now is not.
    assert {ran[name] for name in ("m2", "m3") if name in ran} <= {2}
    assert ran["m1"] == 1
    await eventually(lambda: version_ready(world.app, "one") == 2, timeout_s=20)
    await world.publish(track("m4"))
    await world.attempts("one", 4)
    assert [seen.version for seen in world.seen if seen.attempt.message_id == "m4"] == [2]


@pytest.mark.parametrize(
    ("code", "carried"),
    [("async function onTrack() { throw new RetryError('again') }", TRACEPARENT), (ECHO, "")],
)
async def test_an_attempt_that_may_come_again_bears_the_trace_of_its_event(
    world: World, code: str, carried: str
) -> None:
    await world.registry.connect("one", Program(code))
    subject = f"events.{WORKSPACE}.web"
    await world.publisher.publish(subject, orjson.dumps(track("m1")), headers={"traceparent": TRACEPARENT})
    assert (await world.attempts("one"))[0].traceparent == carried


async def test_a_retry_goes_on_in_the_trace_that_it_was_released_with(world: World) -> None:
    await world.registry.connect("one", Program("async function onTrack() { throw new RetryError('again') }"))
    due = pb.DueDelivery(
        workspace=WORKSPACE, source="web", destination="one", stream_sequence=7, attempt=2, retries_used=1,
        message_id="m7", type=pb.EVENT_TYPE_TRACK, received_at_us=1, event=orjson.dumps(track("m7")),
        traceparent=TRACEPARENT,
    )  # fmt: skip
    await world.publisher.publish(f"due.{WORKSPACE}", due.SerializeToString())
    assert (await world.attempts("one"))[0].traceparent == TRACEPARENT


async def test_attempts_are_counted_by_what_became_of_them(world: World) -> None:
    code = "async function onTrack(event) { if (event.event === 'Bad') throw new Error('no'); }"
    await world.registry.connect("one", Program(code))
    await world.publish(track("m1"), track("m2", event="Bad"), track("m3", integrations={"All": False}))
    await world.attempts("one", 3)
    assert world.app is not None
    meters = world.app.meters
    counted = {(labels["onward.result"], labels.get("error.type")): count for labels, count in meters.executions()}
    assert counted == {("delivered", None): 1, ("failed", "bad_request"): 1, ("filtered", None): 1}
    assert meters.filtered == {"integrations": 1}
    assert {phase: histogram.count for phase, histogram in meters.phases.items()} == dict.fromkeys(
        ("program", "place", "start"), 1
    )


async def test_two_executors_share_the_events_of_a_destination_and_one_goes_on_when_the_other_is_gone(
    world: World,
) -> None:
    """Both have a worker of it; what the first had not reported when it died is run by the second."""
    await world.registry.connect("one", Program(ECHO))
    second = await build(world.settings)
    await second.start()
    running = asyncio.ensure_future(second.run())
    try:
        await eventually(lambda: version_ready(world.app, "one") == 1, timeout_s=20)
        names = []
        for turn in range(200):
            names += [f"m{turn}-{number}" for number in range(20)]
            await asyncio.gather(*(world.publish(track(name)) for name in names[-20:]))
            if _ran(world.app) and _ran(second):
                break
        assert _ran(world.app)
        assert _ran(second)
        last = [f"last{number}" for number in range(50)]
        await asyncio.gather(*(world.publish(track(name)) for name in last))
        await world.stop_executor(drain=False)
        names += last
        await eventually(lambda: _delivered(world) == set(names), timeout_s=40)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await second.stop()
        await world.start_executor()


def _delivered(world: World) -> set[str]:
    return {one.message_id for one in world.of("one") if one.result == pb.RESULT_DELIVERED}


def _ran(app: App | None) -> int:
    assert app is not None
    return sum(count for _, count in app.meters.executions())


def test_this_machine_says_how_idle_it_was() -> None:
    # Since it was started, which is neither never nor always; that would be the answer of a machine that does not say.
    assert 0 < MachineIdle()() < 1
