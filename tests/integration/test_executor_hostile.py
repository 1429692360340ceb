"""What hostile code, hostile events and hostile APIs may do to the executor: nothing that others notice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from aiohttp import web

from kit.embedded.nats import EmbeddedNats
from kit.testing.eventually import eventually
from onward.delivery.v1 import internal_service_pb2 as delivery_pb
from onward.executor.v1 import outcomes_pb2 as pb
from tests.integration.executor_world import Program, World, executor_world

pytestmark = pytest.mark.integration

ECHO = "async function onTrack(event) { return event.event; }"


def track(message_id: str, **fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": "Order", "userId": "u", "messageId": message_id, **fields}


@pytest.fixture
async def world(nats_url: str, nats_server: EmbeddedNats) -> AsyncIterator[World]:
    async with executor_world(nats_url, nats_server.monitor_url) as made:
        yield made


@pytest.fixture
async def api() -> AsyncIterator[str]:
    """An API that answers 503 with a Retry-After of its path."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=503, headers={"Retry-After": request.match_info["wait"]})

    app = web.Application()
    app.router.add_route("*", "/{wait}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize("options", ["{timeout: '5000'}", "{timeout: {}}", "{follow: 'many'}", "{size: NaN}"])
async def test_strange_options_of_fetch_harm_only_their_own_attempt(world: World, api: str, options: str) -> None:
    code = f"async function onTrack() {{ await fetch('{api}/1', {options}); }}"
    await world.registry.connect("strange", Program(code))
    await world.registry.connect("plain", Program(ECHO))
    await world.publish(track("m1"), track("m2"))
    await world.attempts("strange", 2)
    assert {one.result for one in await world.attempts("plain", 2)} == {pb.RESULT_DELIVERED}
    await world.all_acknowledged()


async def test_an_event_that_is_nested_too_deeply_is_refused_and_the_next_one_runs(world: World) -> None:
    await world.registry.connect("one", Program(ECHO))
    deep = orjson.dumps(track("m1")).replace(b'"Order"', b'"Order","p":' + b"[" * 400 + b"]" * 400)
    await world.publish(deep, track("m2"))
    assert (await world.attempts("one"))[0].message_id == "m2"
    await eventually(lambda: [one.reason for one in world.refused] == ["too_deep"], timeout_s=20)
    await world.all_acknowledged()


async def test_a_subject_that_is_no_source_is_reported_in_short(world: World) -> None:
    await world.publish(track("m1"), source="x" * 3000)
    await eventually(lambda: world.refused, timeout_s=20)
    assert (world.refused[0].reason, len(world.refused[0].source)) == ("unknown_source", 63)


async def test_outcomes_with_long_texts_fit_into_their_messages(world: World) -> None:
    await world.registry.connect("one", Program("function onTrack(e) { throw new Error('x'.repeat(8000)) }"))
    wide = "\N{PILE OF POO}" * 200
    events = [track(wide[: 200 - len(str(number))] + str(number), event=wide) for number in range(600)]
    await world.publish(orjson.dumps({"batch": events[:300]}), orjson.dumps({"batch": events[300:]}))
    assert len(await world.attempts("one", 600)) == 600
    await world.all_acknowledged()


@pytest.mark.parametrize(("wait", "expected_ms"), [("7", 7000), ("%C2%B2", 0), ("-1", 0), ("9" * 30, 0), ("soon", 0)])
async def test_no_retry_after_upsets_the_executor(world: World, api: str, wait: str, expected_ms: int) -> None:
    code = f"""async function onTrack() {{
      const {{status}} = await fetch('{api}/{wait}');
      throw Object.assign(Error(), {{status}});
    }}"""
    await world.registry.connect("one", Program(code))
    await world.publish(track("m1"))
    attempt = (await world.attempts("one"))[0]
    assert (attempt.result, attempt.retry_after_ms) == (pb.RESULT_RETRYABLE, expected_ms)


async def test_a_request_that_nobody_awaits_is_captured_and_marked(world: World, api: str) -> None:
    code = f"async function onTrack() {{ fetch('{api}/1'); throw new Error('early'); }}"
    await world.registry.connect("one", Program(code))
    await world.publish(track("m1"))
    attempt = (await world.attempts("one"))[0]
    assert [one["awaited"] for one in orjson.loads(attempt.detail.requests)] == [False]


async def test_an_http_error_inside_a_success_is_captured(world: World, api: str) -> None:
    await world.registry.connect("one", Program(f"async function onTrack() {{ await fetch('{api}/1'); }}"))
    await world.publish(track("m1"))
    attempt = (await world.attempts("one"))[0]
    assert (attempt.result, attempt.http_error) == (pb.RESULT_DELIVERED, True)
    assert orjson.loads(attempt.detail.requests)[0]["response"]["status"] == 503


async def test_only_the_unfinished_events_of_a_packed_message_run_again(world: World) -> None:
    """A6: the tracker knows of the events with an odd place; the others are recorded as lost and run."""
    await world.registry.connect("one", Program("async function onTrack() { await new Promise(() => {}); }"))
    await world.publish(orjson.dumps({"batch": [track(f"m{number}") for number in range(6)]}))
    assert world.app is not None
    app = world.app
    await eventually(lambda: len(app._tickets) == 1, timeout_s=20)
    await world.stop_executor(drain=False)
    world.tracker.known = [
        delivery_pb.KnownOutcome(
            event=delivery_pb.EventReference(stream_sequence=1, index=index), destination="one", attempt=1,
            result=pb.RESULT_DELIVERED,
        )
        for index in (1, 3, 5)
    ]  # fmt: skip
    await world.registry.deploy("one", ECHO)
    await world.start_executor()
    attempts = await world.attempts("one", 6)
    ran = sorted(one.message_id for one in attempts if one.result == pb.RESULT_DELIVERED)
    lost = sorted(one.message_id for one in attempts if one.result == pb.RESULT_LOST)
    assert ran == lost == ["m0", "m2", "m4"]
    await world.all_acknowledged()


async def test_more_destinations_than_workers_all_get_their_events(world: World) -> None:
    """With two places, idle workers make room for others; nobody is forgotten."""
    await world.stop_executor()
    world.settings = world.settings.model_copy(update={"workers_max": 2})
    await world.start_executor()
    for number in range(6):
        await world.registry.connect(f"d{number}", Program(ECHO))
    await world.publish(track("m1"))
    for number in range(6):
        results = [one.result for one in await world.attempts(f"d{number}")]
        assert results[0] in (pb.RESULT_DELIVERED, pb.RESULT_DEFERRED)
    await world.all_acknowledged()


@pytest.mark.parametrize(
    "code",
    [
        "throw Object.assign(Error('e'), { name: settings.key })",
        "throw Error('y'.repeat(8192 - 20) + settings.key)",
        "console.log('y'.repeat(8192 - 20) + settings.key); throw Error('e')",
        "console.log(settings.key.slice(0, 16)); console.log(settings.key.slice(16)); throw Error('e')",
    ],
)
async def test_no_part_of_a_secret_leaves_by_a_cut(world: World, code: str) -> None:
    """G1: texts are cut in the sandbox, where nobody knows the secrets."""
    secret = "canary-0123456789-secret-9876543"
    program = Program(f"function onTrack(event, settings) {{ {code} }}", secrets={"key": secret})
    await world.registry.connect("one", program)
    await world.publish(track("m1"))
    reported = (await world.attempts("one"))[0].SerializeToString()
    assert b"canary-0123456789" not in reported
    assert b"secret-9876543" not in reported
