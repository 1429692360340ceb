"""`onBatch` in the executor, with real NATS, V8 and HTTP: what each event of a batch ends as."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from aiohttp import web

from kit.embedded.nats import EmbeddedNats
from kit.testing.eventually import eventually
from onward.executor.v1 import outcomes_pb2 as pb
from onward.registry.v1 import facts_pb2 as facts
from onward.registry.v1 import resources_pb2 as resources
from tests.integration.executor_world import WORKSPACE, Program, World, executor_world

pytestmark = pytest.mark.integration

DROP = resources.FilterAction(drop=True)
# The single handler says so: its requests, logs and errors tell it from a batch.
SINGLE = "async function onTrack(event) { throw new RetryError('singly') }\n"


@pytest.fixture
async def world(nats_url: str, nats_server: EmbeddedNats) -> AsyncIterator[World]:
    async with executor_world(nats_url, nats_server.monitor_url) as made:
        yield made


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[str, list[Any]]]:
    """An HTTP server that answers with the status in its path, and keeps the key and the body of what it saw."""
    seen: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.headers.get("Idempotency-Key"), orjson.loads(await request.read() or b"null")))
        return web.Response(status=int(request.match_info["status"]), headers={"Retry-After": "7"})

    app = web.Application(client_max_size=16 << 20)
    app.router.add_route("*", "/{status}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", seen
    await runner.cleanup()


def track(message_id: str, **fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": "Order", "userId": "u", "messageId": message_id, **fields}


def events(count: int, first: int = 0) -> list[dict[str, Any]]:
    return [track(f"m{number}") for number in range(first, first + count)]


async def publish(world: World, *documents: dict[str, Any]) -> None:
    """Publish events that certainly arrive together."""
    await world.publish({"batch": list(documents)})


def policy(events_max: int = 100, wait_ms: int = 0, **fields: Any) -> resources.DeliveryPolicy:
    return resources.DeliveryPolicy(batching=resources.Batching(max_events=events_max, max_wait_ms=wait_ms), **fields)


async def outcomes(world: World, count: int, destination: str = "one") -> dict[str, pb.Attempt]:
    """Wait for exactly so many outcomes, one for each event."""
    found = {one.message_id: one for one in await world.attempts(destination, count)}
    assert len(found) == len(world.of(destination)) == count
    return found


async def test_events_that_come_together_run_as_one_batch_in_their_order(world: World) -> None:
    code = (
        SINGLE
        + "async function onBatch(events) { console.log(events.map(e => e.messageId).join()); throw new Error() }"
    )
    await world.registry.connect("one", Program(code))
    mixed = [*events(3), {"type": "identify", "userId": "u", "messageId": "m3"}]
    await publish(world, *mixed)
    found = await outcomes(world, 4)
    assert {one.batch_events for one in found.values()} == {4}
    assert {orjson.loads(one.detail.logs)[0]["line"] for one in found.values()} == {"m0,m1,m2,m3"}
    await world.all_acknowledged()


async def test_a_batch_that_returns_nothing_has_delivered_all_and_shares_out_its_time(world: World) -> None:
    code = SINGLE + "function onBatch() { const end = Date.now() + 40; while (Date.now() < end); }"
    await world.registry.connect("one", Program(code))
    await publish(world, *events(4))
    found = await outcomes(world, 4)
    assert {one.result for one in found.values()} == {pb.RESULT_DELIVERED}
    assert all(one.wall_us >= 9_000 for one in found.values())
    took_us = max(one.ended_at_us for one in found.values()) - min(one.received_at_us for one in found.values())
    assert sum(one.wall_us for one in found.values()) <= took_us


async def test_each_event_ends_as_its_own_result_says(world: World) -> None:
    code = (
        SINGLE
        + """
      async function onBatch(events) {
        return events.map(({ properties: { status } }) => ({ status, errormessage: 'said ' + status }))
      }"""
    )
    await world.registry.connect("one", Program(code))
    statuses = [200, 204, 400, 404, 408, 423, 429, 500, 503, 302]
    await publish(world, *[track(f"m{status}", properties={"status": status}) for status in statuses])
    found = await outcomes(world, len(statuses))
    results = {status: found[f"m{status}"].result for status in statuses}
    assert [status for status in statuses if results[status] == pb.RESULT_DELIVERED] == [200, 204]
    assert [status for status in statuses if results[status] == pb.RESULT_RETRYABLE] == [408, 423, 429, 500, 503]
    assert [status for status in statuses if results[status] == pb.RESULT_FAILED] == [400, 404, 302]
    assert found["m503"].error_type == pb.ERROR_TYPE_RETRY
    assert found["m400"].error_type == pb.ERROR_TYPE_BAD_REQUEST
    detail = found["m503"].detail
    assert (detail.error_message, detail.http_status) == ("said 503", 503)
    assert orjson.loads(detail.event)["messageId"] == "m503"
    assert not found["m200"].HasField("detail") or not found["m200"].detail.error_name


@pytest.mark.parametrize(
    ("thrown", "result", "error_type"),
    [
        ("new Error('x')", pb.RESULT_FAILED, pb.ERROR_TYPE_BAD_REQUEST),
        ("new RetryError('x')", pb.RESULT_RETRYABLE, pb.ERROR_TYPE_RETRY),
        ("new DropEvent('x')", pb.RESULT_FILTERED, pb.ERROR_TYPE_UNSPECIFIED),
        ("new EventNotSupported('x')", pb.RESULT_FAILED, pb.ERROR_TYPE_UNSUPPORTED_EVENT_TYPE),
        ("Object.assign(new Error('x'), {status: 503})", pb.RESULT_RETRYABLE, pb.ERROR_TYPE_RETRY),
    ],
)
async def test_what_a_batch_throws_holds_for_each_of_its_events(
    world: World, thrown: str, result: int, error_type: int
) -> None:
    await world.registry.connect("one", Program(SINGLE + f"async function onBatch() {{ throw {thrown} }}"))
    await publish(world, *events(3))
    found = await outcomes(world, 3)
    assert {(one.result, one.error_type, one.batch_events) for one in found.values()} == {(result, error_type, 3)}


async def test_one_event_goes_to_its_single_handler(world: World) -> None:
    await world.registry.connect("one", Program(SINGLE + "function onBatch() { }"))
    await publish(world, *events(1))
    (one,) = (await outcomes(world, 1)).values()
    assert (one.detail.error_message, one.batch_events) == ("singly", 0)


async def test_a_policy_of_one_event_gives_each_to_its_single_handler(world: World) -> None:
    await world.registry.connect("one", Program(SINGLE + "function onBatch() { }", policy=policy(1)))
    await publish(world, *events(3))
    assert {one.detail.error_message for one in (await outcomes(world, 3)).values()} == {"singly"}


async def test_a_return_of_another_shape_runs_every_event_singly(world: World) -> None:
    code = SINGLE + "async function onBatch(events) { return [{ status: 200 }] }"
    await world.registry.connect("one", Program(code))
    await publish(world, *events(3))
    found = await outcomes(world, 3)
    assert {one.detail.error_message for one in found.values()} == {"singly"}
    # What is retried must not be in a batch once more.
    assert {(one.batch_events, one.batch_limit) for one in found.values()} == {(0, 1)}


async def test_without_a_single_handler_another_shape_is_told_as_the_reason(world: World) -> None:
    await world.registry.connect("one", Program("async function onBatch() { return 5 }"))
    await publish(world, *events(2))
    found = await outcomes(world, 2)
    assert {one.error_type for one in found.values()} == {pb.ERROR_TYPE_UNSUPPORTED_EVENT_TYPE}
    assert "onBatch returned something else" in found["m0"].detail.error_message
    assert "onTrack" in found["m0"].detail.error_message


async def test_batches_are_no_larger_than_the_policy_says(world: World) -> None:
    code = SINGLE + "async function onBatch(events) { console.log(events.length); throw new Error('x') }"
    await world.registry.connect("one", Program(code, policy=policy(4)))
    await publish(world, *events(11))
    sizes = Counter(one.batch_events for one in (await outcomes(world, 11)).values())
    assert sizes == {4: 8, 3: 3}


async def test_large_events_make_smaller_batches(world: World) -> None:
    """Or user code would run out of memory over what it was given."""
    code = SINGLE + "async function onBatch(events) { throw new Error('x') }"
    await world.registry.connect("one", Program(code, policy=policy(500)))
    large = [track(f"m{number}", properties={"text": "x" * 30_000}) for number in range(100)]
    for start in range(0, 100, 10):
        await publish(world, *large[start : start + 10])
    found = await world.attempts("one", 100)
    assert max(one.batch_events * len(one.detail.event) for one in found) <= 2 << 20


async def test_a_batch_that_does_not_settle_times_out_and_is_retried_in_halves(world: World) -> None:
    code = SINGLE + "async function onBatch(events) { await new Promise(() => {}) }"
    await world.registry.connect("one", Program(code, timeout_ms=300))
    await publish(world, *events(8))
    found = await outcomes(world, 8)
    told = {(one.result, one.error_type, one.batch_limit) for one in found.values()}
    assert told == {(pb.RESULT_RETRYABLE, pb.ERROR_TYPE_TIMEOUT, 4)}


@pytest.mark.parametrize("poison", ["for (;;);", "const kept = []; for (;;) kept.push('x'.repeat(1e6) + kept.length);"])
async def test_an_event_that_costs_the_worker_ends_up_alone_and_its_neighbours_are_delivered(
    world: World, poison: str
) -> None:
    """E1, E9: the batch is halved until the guilty event is named."""
    code = f"""
      function run(event) {{ if (event.messageId === 'm5') {{ {poison} }} }}
      const onTrack = run
      async function onBatch(events) {{ events.forEach(run) }}"""
    await world.registry.connect("one", Program(code, timeout_ms=1000))
    await publish(world, *events(12))
    found = await outcomes(world, 12)
    guilty = found.pop("m5")
    assert {one.result for one in found.values()} == {pb.RESULT_DELIVERED}
    assert (guilty.result, guilty.batch_events, guilty.batch_limit) == (pb.RESULT_RETRYABLE, 0, 1)
    await world.all_acknowledged()


async def test_a_lost_batch_that_sent_requests_is_retried_by_the_tracker(world: World, receiver: Any) -> None:
    url, seen = receiver
    code = (
        SINGLE
        + f"""async function onBatch(events) {{
      await fetch('{url}/200', {{ method: 'POST', body: JSON.stringify(events) }}); for (;;);
    }}"""
    )
    await world.registry.connect("one", Program(code, timeout_ms=1000))
    await publish(world, *events(4))
    found = await outcomes(world, 4)
    told = {(one.result, one.error_type, one.batch_events, one.batch_limit) for one in found.values()}
    assert told == {(pb.RESULT_RETRYABLE, pb.ERROR_TYPE_TIMEOUT, 4, 2)}
    assert len(seen) == 1


def posting(url: str, status: int) -> str:
    return f"""
    const onTrack = () => {{ throw new Error('singly') }}
    async function onBatch(events) {{
      console.log('posting')
      const response = await fetch('{url}/{status}', {{ method: 'POST', body: JSON.stringify(events) }})
      if (!response.ok) throw Object.assign(new Error('refused'), {{ status: response.status }})
    }}"""


async def test_one_request_of_a_batch_is_captured_with_each_event_that_failed(world: World, receiver: Any) -> None:
    url, seen = receiver
    await world.registry.connect("one", Program(posting(url, 503)))
    await publish(world, *events(3))
    found = await outcomes(world, 3)
    assert [event["messageId"] for event in seen[0][1]] == ["m0", "m1", "m2"]
    assert {one.retry_after_ms for one in found.values()} == {7000}
    for one in found.values():
        assert orjson.loads(one.detail.requests)[0]["response"]["status"] == 503
        assert orjson.loads(one.detail.logs)[0]["line"] == "posting"
        assert orjson.loads(one.detail.event)["messageId"] == one.message_id


async def test_what_a_batch_captured_is_kept_within_bounds_and_cuts_are_marked(world: World) -> None:
    code = """
    const onTrack = () => {}
    async function onBatch(events) {
      for (let i = 0; i < 7; i++) console.log('x'.repeat(8000))
      throw new Error('x')
    }"""
    await world.registry.connect("one", Program(code))
    await publish(world, *events(20))
    found = await outcomes(world, 20)
    logs = [len(one.detail.logs) for one in found.values()]
    assert sum(logs) < 600 * 1024
    cut = [one for one in found.values() if one.detail.logs == b'[{"cut":true}]']
    assert 0 < len(cut) < 20
    assert all(one.detail.event and one.detail.error_message == "x" for one in cut)


async def test_a_batch_that_is_retried_whole_bears_the_same_key(world: World, receiver: Any) -> None:
    url, seen = receiver
    await world.registry.connect("one", Program(posting(url, 503)))
    await publish(world, *events(3))
    found = await outcomes(world, 3)
    again = [
        pb.DueDelivery(
            workspace=WORKSPACE, source="web", destination="one", stream_sequence=one.stream_sequence, index=one.index,
            attempt=2, retries_used=1, message_id=one.message_id, type=one.type, received_at_us=one.received_at_us,
            event=one.detail.event, gathered=True,
        )
        for one in sorted(found.values(), key=lambda one: one.index)
    ]  # fmt: skip
    for due in again:
        await world.publisher.publish(f"due.{WORKSPACE}", due.SerializeToString())
    later = (await world.attempts("one", 6))[3:]
    assert {(one.attempt, one.batch_events) for one in later} == {(2, 3)}
    assert seen[0] == seen[1]
    assert seen[0][0]


async def test_a_destination_may_send_no_key_of_ours(world: World, receiver: Any) -> None:
    url, seen = receiver
    await world.registry.connect("one", Program(posting(url, 200), policy=policy(omit_idempotency_key=True)))
    await publish(world, *events(3))
    await outcomes(world, 3)
    assert [key for key, _ in seen] == [None]


async def test_an_answer_of_400_counts_for_each_event_where_the_policy_says_so(world: World, receiver: Any) -> None:
    url, _ = receiver
    code = f"const onTrack = () => {{}}\nasync function onBatch() {{ await fetch('{url}/400') }}"
    await world.registry.connect("strict", Program(code, policy=policy(fail_on_http_error=True)))
    await world.registry.connect("lenient", Program(code, policy=policy()))
    await publish(world, *events(2))
    strict, lenient = await outcomes(world, 2, "strict"), await outcomes(world, 2, "lenient")
    assert {(one.result, one.http_error) for one in strict.values()} == {(pb.RESULT_FAILED, True)}
    assert {(one.result, one.http_error) for one in lenient.values()} == {(pb.RESULT_DELIVERED, True)}


async def test_events_that_filters_drop_are_in_no_batch(world: World) -> None:
    code = (
        "async function onBatch(events) { throw new Error(events.map(e => e.messageId + e.properties.email).join()) }"
    )
    await world.registry.connect("one", Program(code))
    drop = resources.FilterRule(title="drop", enabled=True, condition='messageId = "m1"', actions=[DROP])
    await world.registry.filter("one", drop)
    await publish(world, *[track(f"m{n}", properties={"email": ""}) for n in range(4)])
    found = await outcomes(world, 4)
    assert found.pop("m1").result == pb.RESULT_FILTERED
    assert {one.detail.error_message for one in found.values()} == {"m0,m2,m3"}


async def test_an_event_that_must_run_alone_is_in_no_batch(world: World) -> None:
    await world.registry.connect("one", Program(SINGLE + "function onBatch() { }"))
    for n in range(3):
        due = pb.DueDelivery(
            workspace=WORKSPACE, source="web", destination="one", stream_sequence=n + 1, attempt=2, retries_used=1,
            message_id=f"m{n}", type=pb.EVENT_TYPE_TRACK, received_at_us=1, event=orjson.dumps(track(f"m{n}")),
            alone=n == 1,
        )  # fmt: skip
        await world.publisher.publish(f"due.{WORKSPACE}", due.SerializeToString())
    found = await outcomes(world, 3)
    assert found["m1"].detail.error_message == "singly"


# --- waiting for others


BATCH_SIZES = SINGLE + "async function onBatch(events) { throw new RetryError(String(events.length)) }"


def sent_off(found: list[pb.Attempt]) -> list[pb.Attempt]:
    """What was given to the tracker to wait there."""
    return [one for one in found if one.batch_events_max]


async def test_a_short_wait_gathers_what_comes_one_after_the_other(world: World) -> None:
    await world.registry.connect("one", Program(BATCH_SIZES, policy=policy(100, wait_ms=200)))
    await world.publish(track("first"))
    await world.attempts("one", 1)
    await world.publish(track("a"), track("b"), track("c"))
    found = {one.message_id: one for one in await world.attempts("one", 4)}
    assert {found[name].batch_events for name in "abc"} == {3}
    assert found["first"].detail.error_message == "singly"


async def test_a_full_batch_waits_for_nobody(world: World) -> None:
    await world.registry.connect("one", Program(BATCH_SIZES, policy=policy(3, wait_ms=60_000)))
    await publish(world, *events(6))
    found = await outcomes(world, 6)
    assert {one.batch_events for one in found.values()} == {3}


async def test_a_long_wait_is_waited_in_the_tracker_and_holds_no_message(world: World) -> None:
    """The event is acknowledged within a second though it may wait for one minute; its time is from its arrival on."""
    await world.registry.connect("one", Program(BATCH_SIZES, policy=policy(100, wait_ms=60_000)))
    await publish(world, *events(3))
    found = await outcomes(world, 3)
    await world.all_acknowledged()
    for one in found.values():
        assert (one.result, one.error_type) == (pb.RESULT_DEFERRED, pb.ERROR_TYPE_UNSPECIFIED)
        assert one.batch_events_max == 100
        # Its minute began when it had come, and before this was written.
        assert one.received_at_us - 10_000 <= one.batch_until_us - 60_000_000 <= one.ended_at_us
        assert orjson.loads(one.detail.event)["messageId"] == one.message_id


def due_of(one: pb.Attempt, **fields: Any) -> pb.DueDelivery:
    values: dict[str, Any] = {"attempt": one.attempt, "retries_used": one.retries_used, "gathered": True}
    return pb.DueDelivery(
        workspace=WORKSPACE, source="web", destination="one", stream_sequence=one.stream_sequence, index=one.index,
        message_id=one.message_id, type=one.type, received_at_us=one.received_at_us, event=one.detail.event,
        **{**values, **fields},
    )  # fmt: skip


async def test_what_has_waited_runs_with_those_that_come_with_it_and_waits_no_more(world: World) -> None:
    await world.registry.connect("one", Program(BATCH_SIZES, policy=policy(100, wait_ms=60_000)))
    await publish(world, *events(4))
    for one in (await outcomes(world, 4)).values():
        await world.publisher.publish(f"due.{WORKSPACE}", due_of(one).SerializeToString())
    later = (await world.attempts("one", 8))[4:]
    assert {(one.attempt, one.retries_used, one.batch_events) for one in later} == {(1, 0, 4)}


async def test_a_retry_waits_for_others_like_what_is_new(world: World) -> None:
    await world.registry.connect("one", Program(BATCH_SIZES, policy=policy(2, wait_ms=60_000)))
    await publish(world, *events(1))
    (one,) = (await outcomes(world, 1)).values()
    retry = due_of(one, attempt=2, retries_used=1, gathered=False)
    await world.publisher.publish(f"due.{WORKSPACE}", retry.SerializeToString())
    found = await world.attempts("one", 2)
    assert (found[1].attempt, found[1].result, found[1].batch_events_max) == (2, pb.RESULT_DEFERRED, 2)


async def test_events_within_their_limit_come_into_no_larger_batch(world: World) -> None:
    await world.registry.connect("one", Program(BATCH_SIZES, policy=policy(100, wait_ms=60_000)))
    await publish(world, *events(4))
    for one in (await outcomes(world, 4)).values():
        await world.publisher.publish(f"due.{WORKSPACE}", due_of(one, batch_limit=2).SerializeToString())
    later = (await world.attempts("one", 8))[4:]
    assert {(one.batch_events, one.batch_limit) for one in later} == {(2, 2)}


async def test_a_policy_without_batches_lets_what_was_gathered_run_singly(world: World) -> None:
    await world.registry.connect("one", Program(BATCH_SIZES, policy=policy(100, wait_ms=60_000)))
    await publish(world, *events(3))
    found = await outcomes(world, 3)
    world.registry.programs["one"].policy = policy(1)
    changed = facts.DeliveryPolicyUpdated(destination="one", policy=policy(1))
    await world.registry.record("destinations/one", changed)
    for one in found.values():
        await world.publisher.publish(f"due.{WORKSPACE}", due_of(one).SerializeToString())
    later = (await world.attempts("one", 6))[3:]
    assert {one.detail.error_message for one in later} == {"singly"}


async def test_a_change_while_events_are_gathered_loses_none(world: World) -> None:
    await world.registry.connect("one", Program(BATCH_SIZES, policy=policy(100, wait_ms=250)))
    await world.publish(track("first"))
    await world.attempts("one", 1)
    for round_ in range(5):
        await world.publish(*events(3, first=3 * round_))
        await world.registry.deploy("one", BATCH_SIZES)
    found = await outcomes(world, 16)
    assert {one.result for one in found.values()} == {pb.RESULT_RETRYABLE}
    await world.all_acknowledged()


async def test_batches_that_hang_hold_no_others(world: World) -> None:
    """What finds no room goes to the tracker, the batch that is full and can't start included."""
    code = "async function onBatch() { await new Promise(() => {}) }"
    await world.registry.connect("one", Program(code, policy=policy(10), timeout_ms=60_000))
    await publish(world, *events(100))
    found = await outcomes(world, 60)
    assert {(one.result, one.batch_events_max) for one in found.values()} == {(pb.RESULT_DEFERRED, 0)}


async def test_a_worker_that_ends_while_events_are_gathered_loses_none(world: World) -> None:
    """A6: they were not in it, so they wait on and run once."""
    await world.registry.connect("one", Program(BATCH_SIZES, policy=policy(100, wait_ms=250)))
    await world.publish(track("first"))
    await world.attempts("one", 1)
    assert world.app is not None
    zygote, lane = world.app._zygote, world.app._lanes._lanes[WORKSPACE, "one"]
    await publish(world, *events(3))
    await eventually(lambda: lane._current is not None and len(lane._current.gathering or ()) == 3)
    assert lane._current is not None
    assert lane._current.worker is not None
    zygote._workers[lane._current.worker.pid].kill()
    found = await outcomes(world, 4)
    assert {found[f"m{number}"].batch_events for number in range(3)} == {3}
    await world.all_acknowledged()


async def test_a_killed_executor_runs_what_it_had_gathered_once(world: World) -> None:
    """A6: its messages come again; what was put off is known to the tracker."""
    await world.registry.connect("one", Program(BATCH_SIZES, policy=policy(100, wait_ms=250)))
    await publish(world, *events(3))
    await world.stop_executor(drain=False)
    await world.start_executor()
    found = {one.message_id: one for one in await world.attempts("one", 3) if one.result != pb.RESULT_LOST}
    await world.all_acknowledged()
    assert len(found) == 3


async def test_a_stopped_executor_finishes_what_it_had_gathered(world: World) -> None:
    await world.registry.connect("one", Program(BATCH_SIZES, policy=policy(100, wait_ms=60_000)))
    await publish(world, *events(3))
    assert world.app is not None
    tickets = world.app._tickets
    await eventually(lambda: len(tickets) > 0 or world.of("one"), timeout_s=20)
    await world.stop_executor()
    assert len(sent_off(await world.attempts("one", 3))) == 3
    await world.start_executor()
    await world.all_acknowledged()
    assert len(world.of("one")) == 3
