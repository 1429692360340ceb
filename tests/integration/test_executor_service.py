"""Events in, outcomes out: the executor with real NATS, real V8 and real HTTP."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import orjson
import pytest
from aiohttp import web

from kit.bus.errors import NoResponders
from kit.bus.publish import TIMEOUT_S
from kit.embedded.nats import EmbeddedNats
from kit.testing.eventually import eventually
from onward.delivery.v1 import internal_service_pb2 as delivery_pb
from onward.executor.v1 import outcomes_pb2 as pb
from onward.registry.v1 import facts_pb2 as facts
from services.executor.consumers.floods import Floods
from tests.integration.executor_world import WORKSPACE, Program, World, executor_world

pytestmark = pytest.mark.integration

ECHO = "async function onTrack(event) { return event.event; }"


def track(message_id: str, **fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": "Order", "userId": "u", "messageId": message_id, **fields}


@pytest.fixture
async def world(nats_url: str, nats_server: EmbeddedNats) -> AsyncIterator[World]:
    async with executor_world(nats_url, nats_server.monitor_url) as made:
        yield made


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """An HTTP server that answers with the status in its path, and keeps what it saw."""
    seen: list[dict[str, Any]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append({"headers": dict(request.headers), "body": await request.text()})
        headers = {"Retry-After": "7"} if request.match_info["status"] == "429" else {}
        return web.Response(status=int(request.match_info["status"]), text="said", headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{status}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield f"http://127.0.0.1:{port}", seen
    await runner.cleanup()


def post_to(url: str) -> str:
    return f"""
    async function onTrack(event, settings) {{
      const response = await fetch('{url}', {{
        method: 'POST', body: JSON.stringify(event), headers: {{ Authorization: 'Bearer ' + settings.apiKey }},
      }});
      console.log('answer', response.status, settings.apiKey);
      const error = new Error('refused with ' + settings.apiKey);
      error.status = response.status;
      if (!response.ok) throw error;
    }}"""


async def test_every_event_reaches_every_enabled_destination_and_is_acknowledged(world: World) -> None:
    await world.registry.connect("one", Program(ECHO))
    await world.registry.connect("two", Program(ECHO))
    await world.publish(*[track(f"m{number}") for number in range(50)])
    for destination in ("one", "two"):
        attempts = await world.attempts(destination, 50)
        assert {attempt.message_id for attempt in attempts} == {f"m{number}" for number in range(50)}
        assert {attempt.result for attempt in attempts} == {pb.RESULT_DELIVERED}
    await world.all_acknowledged()


async def test_pulls_are_as_large_as_floods_allow(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.registry.connect("one", Program(ECHO))
    monkeypatch.setattr(Floods, "pull_max", lambda self, stream, most: 3)
    await world.publish(track("m1"))
    await world.attempts("one", 1)
    assert world.app is not None
    (puller,) = (puller for name, puller in world.app._pullers.items() if name != "DUE")
    await eventually(lambda: puller._asked_for == 3)


async def test_an_event_published_after_a_change_runs_against_it(world: World) -> None:
    """The fence: facts and events travel on different streams, and still no event overtakes a change."""
    for number in range(30):
        await world.registry.connect(f"d{number}", Program("function onTrack() {}"))
        await world.publish(track(f"m{number}"))
    for number in range(30):
        await eventually(partial(_has_run, world, f"d{number}", f"m{number}"), timeout_s=20)


def _has_run(world: World, destination: str, message_id: str) -> bool:
    return message_id in {one.message_id for one in world.of(destination)}


async def test_a_deployed_version_runs_from_the_next_event_on(world: World) -> None:
    await world.registry.connect("one", Program(ECHO))
    await world.publish(track("m1"))
    await world.attempts("one", 1)
    await world.registry.deploy("one", "function onTrack() { throw new ValidationError('two'); }")
    await world.publish(track("m2"))
    attempts = await world.attempts("one", 2)
    assert [(seen.version, seen.attempt.result) for seen in world.seen] == [
        (1, pb.RESULT_DELIVERED),
        (2, pb.RESULT_FAILED),
    ]
    assert attempts[1].error_type == pb.ERROR_TYPE_MESSAGE_REJECTED


async def test_a_fact_that_the_bus_lost_is_read_from_the_log(world: World) -> None:
    world.registry.programs["one"] = Program(ECHO)
    connected = facts.DestinationConnected(destination="one", display_name="One", function="f", source="web", version=1)
    await world.registry.record("destinations/one", connected, publish=False)
    await world.registry.record("destinations/one", facts.DestinationEnabled(destination="one"))
    await world.publish(track("m1"))
    assert (await world.attempts("one"))[0].result == pb.RESULT_DELIVERED


async def test_what_is_no_event_is_reported_with_its_reason_and_a_sample(world: World) -> None:
    await world.registry.connect("one", Program(ECHO))
    await world.publish(b"{no json", track("m1", type="order"), track("m2", properties="x" * 33_000), track("good"))
    await world.publish(track("m3"), source="nowhere")
    await world.publish(orjson.dumps({"batch": [track("b1"), {"type": "track"}, track("b2")]}))
    await eventually(lambda: len(world.refused) == 5, timeout_s=20)
    reasons = sorted(failure.reason for failure in world.refused)
    assert reasons == ["invalid_json", "missing_user", "too_large", "unknown_source", "unknown_type"]
    assert any(failure.sample == b"{no json" for failure in world.refused)
    attempts = await world.attempts("one", 3)
    assert {attempt.message_id for attempt in attempts} == {"good", "b1", "b2"}
    await world.all_acknowledged()


async def test_disabled_and_excluded_destinations_run_nothing_and_say_so(world: World) -> None:
    await world.registry.connect("off", Program(ECHO), enable=False)
    await world.registry.connect("out", Program(ECHO))
    await world.publish(track("m1", integrations={"All": True, "OUT": False}))
    assert (await world.attempts("off"))[0].result == pb.RESULT_SKIPPED
    assert (await world.attempts("out"))[0].result == pb.RESULT_FILTERED
    await world.all_acknowledged()


async def test_a_failed_request_is_captured_without_the_secret(world: World, receiver: Any) -> None:
    """G1: the secret is in the log, the error and the header; nothing that is reported holds it."""
    url, seen = receiver
    await world.registry.connect("one", Program(post_to(f"{url}/503"), secrets={"apiKey": "canary-secret-1"}))
    await world.publish(track("m1"))
    attempt = (await world.attempts("one"))[0]
    assert (attempt.result, attempt.error_type) == (pb.RESULT_RETRYABLE, pb.ERROR_TYPE_RETRY)
    assert seen[0]["headers"]["Authorization"] == "Bearer canary-secret-1"
    assert b"canary-secret-1" not in attempt.SerializeToString()
    assert attempt.detail.error_message == "refused with [redacted]"
    assert orjson.loads(attempt.detail.logs)[0]["line"] == "answer 503 [redacted]"
    request = orjson.loads(attempt.detail.requests)[0]
    assert request["response"]["status"] == 503
    assert orjson.loads(attempt.detail.event)["messageId"] == "m1"


async def test_a_400_is_final_and_a_429_waits_as_long_as_it_asks(world: World, receiver: Any) -> None:
    url, _ = receiver
    secrets = {"apiKey": "canary-secret-1"}
    await world.registry.connect("bad", Program(post_to(f"{url}/400"), secrets=secrets))
    await world.registry.connect("busy", Program(post_to(f"{url}/429"), secrets=secrets))
    await world.publish(track("m1"))
    assert (await world.attempts("bad"))[0].result == pb.RESULT_FAILED
    busy = (await world.attempts("busy"))[0]
    assert (busy.result, busy.retry_after_ms) == (pb.RESULT_RETRYABLE, 7000)


async def test_the_same_key_goes_with_every_attempt_of_a_delivery(world: World, receiver: Any) -> None:
    url, seen = receiver
    await world.registry.connect("one", Program(post_to(f"{url}/503"), secrets={"apiKey": "canary-secret-1"}))
    await world.publish(track("m1"))
    first = (await world.attempts("one"))[0]
    due = pb.DueDelivery(
        workspace=WORKSPACE, source="web", destination="one", stream_sequence=first.stream_sequence, attempt=2,
        retries_used=1, message_id="m1", type=pb.EVENT_TYPE_TRACK, received_at_us=first.received_at_us,
        event=first.detail.event,
    )  # fmt: skip
    await world.publisher.publish(f"due.{WORKSPACE}", due.SerializeToString())
    second = (await world.attempts("one", 2))[1]
    assert (second.attempt, second.retries_used) == (2, 1)
    assert seen[0]["headers"]["Idempotency-Key"] == seen[1]["headers"]["Idempotency-Key"]
    await world.all_acknowledged("DUE")


async def test_a_missing_required_setting_ends_without_running_the_code(world: World) -> None:
    await world.registry.connect("one", Program("throw new Error('must not run')", required=["apiKey"]))
    await world.publish(track("m1"))
    attempt = (await world.attempts("one"))[0]
    assert (attempt.result, attempt.error_type) == (pb.RESULT_FAILED, pb.ERROR_TYPE_INVALID_SETTINGS)
    assert "apiKey" in attempt.detail.error_message


async def test_a_hanging_destination_holds_up_nobody(world: World) -> None:
    hang = "async function onTrack() { await new Promise(() => {}); }"
    await world.registry.connect("quick", Program(ECHO))
    await world.publish(track("first"))
    await world.attempts("quick")
    await world.registry.connect("hanging", Program(hang, timeout_ms=60_000))
    await world.publish(*[track(f"m{number}") for number in range(600)])
    await world.attempts("quick", 601)
    await eventually(lambda: any(one.result == pb.RESULT_DEFERRED for one in world.of("hanging")), timeout_s=20)
    deferred = [one for one in world.of("hanging") if one.result == pb.RESULT_DEFERRED]
    assert all(one.detail.event and one.fresh for one in deferred)


async def test_after_a_lost_connection_to_nats_nothing_older_counts_as_nobody_elses(world: World) -> None:
    await world.registry.connect("quick", Program(ECHO))
    await world.publish(track("m1"))
    await world.attempts("quick")
    app = world.app
    assert app is not None
    assert app._fence.is_new(time.time_ns())
    lost_ns = time.time_ns()
    transport = app._bus.client._transport
    assert transport is not None
    transport.close()  # type: ignore[no-untyped-call]  # nats-py ships no types for it
    await eventually(lambda: not app._fence.is_new(time.time_ns()))
    await world.publish(track("m2"))
    await world.attempts("quick", 2)
    assert not app._fence.is_new(lost_ns)
    assert app._fence.is_new(time.time_ns())


async def test_outcomes_that_are_not_stored_are_told_so_at_once(world: World) -> None:
    """What is repeated says no more that nobody else was given its message."""
    assert world.app is not None
    async with asyncio.timeout(TIMEOUT_S / 2):
        with pytest.raises(NoResponders):
            await world.app._publish("nobody.listens", b"", "id")


async def test_an_endless_loop_is_blamed_alone(world: World) -> None:
    """E1: the guilty event times out, the others of its batch are delivered."""
    code = "function onTrack(event) { if (event.messageId === 'm7') for (;;); return 1; }"
    await world.registry.connect("one", Program(code))
    await world.publish(*[track(f"m{number}") for number in range(20)])
    attempts = await world.attempts("one", 20)
    results = {attempt.message_id: attempt.result for attempt in attempts}
    assert results.pop("m7") == pb.RESULT_RETRYABLE
    assert set(results.values()) == {pb.RESULT_DELIVERED}
    guilty = next(attempt for attempt in attempts if attempt.message_id == "m7")
    assert guilty.error_type == pb.ERROR_TYPE_TIMEOUT


async def test_a_killed_worker_loses_no_event(world: World) -> None:
    """A6: what had sent nothing runs again."""
    await world.registry.connect(
        "one", Program("async function onTrack() { await new Promise(r => setTimeout(r, 400)); }")
    )
    await world.publish(*[track(f"m{number}") for number in range(10)])
    assert world.app is not None
    zygote = world.app._zygote
    await eventually(lambda: any(worker.in_flight for worker in zygote._workers.values()), timeout_s=20)
    for pid, worker in list(zygote._workers.items()):
        if worker.in_flight:
            os.kill(pid, signal.SIGKILL)
    attempts = await world.attempts("one", 10)
    assert {attempt.message_id for attempt in attempts} == {f"m{number}" for number in range(10)}
    await world.all_acknowledged()


async def test_a_crashed_executor_repeats_only_what_has_no_outcome(world: World) -> None:
    """A6: the lost attempt is recorded and uses up no retry; what is recorded does not run again."""
    await world.registry.connect("one", Program("async function onTrack() { await new Promise(() => {}); }"))
    await world.publish(track("m1"), track("m2"))
    assert world.app is not None
    app = world.app
    await eventually(lambda: len(app._tickets) == 2, timeout_s=20)
    await world.stop_executor(drain=False)
    world.tracker.known = [
        delivery_pb.KnownOutcome(
            event=delivery_pb.EventReference(stream_sequence=2), destination="one", attempt=1,
            result=pb.RESULT_DELIVERED,
        )
    ]  # fmt: skip
    await world.registry.deploy("one", ECHO)
    await world.start_executor()
    attempts = await world.attempts("one", 2)
    assert [(one.message_id, one.attempt, one.result, one.retries_used) for one in attempts] == [
        ("m1", 1, pb.RESULT_LOST, 0),
        ("m1", 2, pb.RESULT_DELIVERED, 0),
    ]
    await world.all_acknowledged()


async def test_settings_are_fresh_and_in_clear_for_the_code(world: World) -> None:
    code = """function onTrack(event, settings) {
      if (settings.apiKey !== 'canary-secret-1' || settings.plain !== 'p') throw new ValidationError('wrong settings');
      settings.apiKey = 'changed'; event.event = 'changed';
    }"""
    program = Program(code, settings={"plain": "p"}, secrets={"apiKey": "canary-secret-1"})
    await world.registry.connect("one", program)
    await world.publish(*[track(f"m{number}") for number in range(5)])
    assert {one.result for one in await world.attempts("one", 5)} == {pb.RESULT_DELIVERED}


async def test_code_that_does_not_load_fails_its_events_for_good(world: World) -> None:
    await world.registry.connect("one", Program("throw new Error('at the top')"))
    await world.publish(track("m1"))
    attempt = (await world.attempts("one"))[0]
    assert (attempt.result, attempt.error_type) == (pb.RESULT_FAILED, pb.ERROR_TYPE_BAD_REQUEST)
    assert "at the top" in attempt.detail.error_message


async def test_a_stopped_executor_finishes_what_it_took(world: World) -> None:
    await world.registry.connect(
        "one", Program("async function onTrack() { await new Promise(r => setTimeout(r, 200)); }")
    )
    await world.publish(*[track(f"m{number}") for number in range(10)])
    assert world.app is not None
    app = world.app
    await eventually(lambda: len(app._tickets) > 0, timeout_s=20)
    await world.stop_executor()
    taken = len(world.of("one"))
    await world.start_executor()
    attempts = await world.attempts("one", 10)
    assert taken > 0
    assert sorted(one.message_id for one in attempts) == sorted(f"m{number}" for number in range(10))
    assert {one.result for one in attempts} == {pb.RESULT_DELIVERED}


async def test_fresh_events_run_while_the_tracker_is_away(world: World) -> None:
    """Only what was delivered before has to wait for what the tracker knows."""
    await world.registry.connect("one", Program("async function onTrack() { await new Promise(() => {}); }"))
    await world.publish(track("m1"))
    assert world.app is not None
    app = world.app
    await eventually(lambda: len(app._tickets) == 1, timeout_s=20)
    await world.stop_executor(drain=False)
    world.tracker.answers.clear()
    await world.registry.deploy("one", ECHO)
    await world.start_executor()
    await eventually(lambda: world.tracker.asked, timeout_s=20)
    await world.publish(track("m2"))
    assert [one.message_id for one in await world.attempts("one")] == ["m2"]
    world.tracker.answers.set()
    assert {one.message_id for one in await world.attempts("one", 3)} == {"m1", "m2"}
    await world.all_acknowledged()
