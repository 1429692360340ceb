"""What hostile code, hostile events and hostile APIs may do to the executor: nothing that others notice."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from aiohttp import web

from kit.embedded.nats import EmbeddedNats
from kit.testing.eventually import eventually
from onward.delivery.v1 import internal_service_pb2 as delivery_pb
from onward.executor.v1 import outcomes_pb2 as pb
from onward.registry.v1 import resources_pb2 as resources
from services.executor.runtime import recycling
from tests.integration.executor_world import Program, World, executor_world
from tests.integration.sandbox_bombs import AFTER_ITS_TURN, ENDING, LATE, NEVER_ENDING

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


@dataclass
class HangingApi:
    """It counts what it is asked, and answers nothing."""

    url: str = ""
    requests: int = 0


@pytest.fixture
async def hanging_api() -> AsyncIterator[HangingApi]:
    made = HangingApi()
    released = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        made.requests += 1
        await released.wait()
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/", hang)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    released.set()
    await runner.cleanup()


GROUPS = {"never ending": NEVER_ENDING, "late": LATE, "ending": ENDING}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("group", GROUPS)
async def test_neighbours_of_code_that_v8_can_not_stop_run_again_and_count_no_attempt(world: World, group: str) -> None:
    """E1, E3, E9: the event in the middle ends by what it did, and the others as if it had not been there."""
    expected = pb.ERROR_TYPE_INTERNAL if group == "ending" else pb.ERROR_TYPE_TIMEOUT
    for number, (name, body) in enumerate(GROUPS[group].items()):
        destination = f"d{number}"
        code = f"async function onTrack(e) {{ if (e.properties.bad) {{ {body} }} return e.messageId }}"
        await world.registry.connect(destination, Program(code))
        events = [
            track(f"{destination}-{at}", properties={"bad": at == 2}, integrations={"All": False, destination: True})
            for at in range(5)
        ]
        await world.publish(orjson.dumps({"batch": events}))
        attempts = {one.message_id: one for one in await world.attempts(destination, 5)}
        bad = attempts.pop(f"{destination}-2")
        assert (bad.result, bad.error_type, bad.attempt) == (pb.RESULT_RETRYABLE, expected, 1), name
        # Where each runs alone to find the guilty one, some wait for so long that the tracker brings them later.
        assert {one.result for one in attempts.values()} <= {pb.RESULT_DELIVERED, pb.RESULT_DEFERRED}, name
        assert {(one.attempt, one.retries_used) for one in attempts.values()} == {(1, 0)}, name
        assert name in AFTER_ITS_TURN or {one.result for one in attempts.values()} == {pb.RESULT_DELIVERED}, name
        assert len(world.of(destination)) == 5, f"{name}: an attempt was recorded twice"
    await world.all_acknowledged()


async def test_an_endless_loop_is_recorded_with_its_time_its_limit_and_what_it_logged(world: World) -> None:
    """E1"""
    code = "function onTrack(e) { console.log('before', e.messageId); if (e.properties.bad) for (;;); }"
    await world.registry.connect("one", Program(code))
    events = [track(f"m{at}", properties={"bad": at == 1}) for at in range(3)]
    await world.publish(orjson.dumps({"batch": events}))
    attempts = {one.message_id: one for one in await world.attempts("one", 3)}
    looped = attempts["m1"]
    assert looped.error_type == pb.ERROR_TYPE_TIMEOUT
    # A machine that is short of CPU takes longer for a second of it.
    assert looped.detail.error_message.startswith(("the handler used up its CPU time of", "the handler did not settle"))
    assert looped.cpu_us > 100_000
    assert looped.wall_us >= looped.cpu_us - 20_000
    assert [line["line"] for line in orjson.loads(looped.detail.logs)] == ["before m1"]


async def test_a_neighbour_whose_request_had_left_ends_as_internal_and_others_run_again(
    world: World, hanging_api: HangingApi
) -> None:
    """E1: it is retried alone; what that counts for is the tracker's to say (unit/test_delivery_domain.py)."""
    code = f"""async function onTrack(e) {{
      if (e.properties.bad) for (;;);
      if (e.properties.asks) await fetch('{hanging_api.url}/');
      return 1;
    }}"""
    await world.registry.connect("one", Program(code))
    await world.publish(track("asks", properties={"asks": True}))
    await eventually(lambda: hanging_api.requests == 1, timeout_s=20)
    events = [track(name, properties={"bad": name == "bad"}) for name in ("before", "bad", "after")]
    await world.publish(orjson.dumps({"batch": events}))
    attempts = {one.message_id: one for one in await world.attempts("one", 4)}
    ended = {name: (one.result, one.error_type, one.attempt) for name, one in attempts.items()}
    assert ended == {
        "asks": (pb.RESULT_RETRYABLE, pb.ERROR_TYPE_INTERNAL, 1),
        "bad": (pb.RESULT_RETRYABLE, pb.ERROR_TYPE_TIMEOUT, 1),
        "before": (pb.RESULT_DELIVERED, pb.ERROR_TYPE_UNSPECIFIED, 1),
        "after": (pb.RESULT_DELIVERED, pb.ERROR_TYPE_UNSPECIFIED, 1),
    }
    assert hanging_api.requests == 1, "nobody sends a second request for an attempt that was lost"


async def test_a_worker_is_replaced_after_its_events_and_loses_none(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E17: module state goes with its worker, which may happen at any time."""
    monkeypatch.setattr(recycling, "EVENTS_MAX", 10)
    code = "let n = 0; function onTrack() { console.log('in ' + ++n); throw new ValidationError('shown') }"
    await world.registry.connect("one", Program(code))
    for number in range(5):
        await world.publish(orjson.dumps({"batch": [track(f"{number}-{at}") for at in range(10)]}))
        await world.attempts("one", 10 * (number + 1))
    attempts = world.of("one")
    assert sorted(one.message_id for one in attempts) == sorted(f"{n}-{at}" for n in range(5) for at in range(10))
    counted = [one.detail.logs.decode().split('"in ')[1].split('"')[0] for one in attempts]
    assert counted.count("1") >= 3, "each worker counts from one"
    assert max(map(int, counted)) < 40
    await world.all_acknowledged()


async def test_a_worker_whose_heap_fills_is_replaced_before_an_event_finds_none(world: World) -> None:
    """E9: a function that keeps a little of each event would else cost an event its attempt, again and again."""
    code = "const kept = []; function onTrack(e) { for (let i = 0; i < 40000; i++) kept.push({ i, e }); return 1 }"
    await world.registry.connect("one", Program(code))
    for number in range(40):
        await world.publish(orjson.dumps({"batch": [track(f"{number}-{at}") for at in range(2)]}))
        await world.attempts("one", 2 * (number + 1))
    assert {one.result for one in world.of("one")} == {pb.RESULT_DELIVERED}
    assert len(world.of("one")) == 80


SECRET = "canary/0123+secret=98 76"
LEAKS = {
    "logged": "console.log(f(settings.key))",
    "logged in parts": "const t = f(settings.key); console.log(t.slice(0, 9)); console.log(t.slice(9))",
    "logged in an object": "console.log({ a: [f(settings.key)] })",
    "thrown": "throw new Error('no ' + f(settings.key))",
    "thrown as a name": "throw Object.assign(new Error('x'), { name: f(settings.key) })",
    "thrown as an object": "throw { key: f(settings.key) }",
    "in a stack": "const e = new Error('x'); e.stack = f(settings.key); throw e",
    "in a URL": "const k = encodeURIComponent(f(settings.key)); await fetch('API/' + k + '?k=' + k)",
    "in a header": "await fetch('API/', { headers: { 'x-custom': f(settings.key) } })",
    "in a body": "await fetch('API/', { method: 'POST', body: JSON.stringify({ a: f(settings.key) }) })",
    "returned": "console.log('x'); return { a: f(settings.key) }",
}
WRITTEN = {
    "as it is": "(t) => t",
    "in base64": "(t) => btoa(t)",
    "within base64": "(t) => btoa('user:' + t + ':x')",
    "encoded": "(t) => encodeURIComponent(t)",
    "in hexadecimal": "(t) => Buffer.from(t).toString('hex')",
}


@pytest.mark.parametrize("written", WRITTEN)
async def test_a_secret_is_masked_wherever_it_is_put_and_however_it_is_written(
    world: World, api: str, written: str
) -> None:
    """G1"""
    every = resources.DeliveryPolicy(success_sample_rate=1)
    for number, leak in enumerate(LEAKS.values()):
        body = leak.replace("API", api)
        code = f"const f = {WRITTEN[written]}; async function onTrack(event, settings) {{ {body} }}"
        await world.registry.connect(f"d{number}", Program(code, secrets={"key": SECRET}, policy=every))
    await world.publish(track("m1"))
    for number, name in enumerate(LEAKS):
        attempt = (await world.attempts(f"d{number}"))[0]
        shown = attempt.SerializeToString().decode("latin-1")
        assert "[redacted]" in shown, name
        for form in _forms(SECRET):
            assert form not in shown, (name, form)
        assert ("a secret was split over several lines" in shown) == (name == "logged in parts")


def _forms(secret: str) -> list[str]:
    """The secret as it may be found, and large pieces of it."""
    encoded = [base64.b64encode(b"\0" * n + secret.encode()).decode()[4:-4] for n in range(3)]
    return [secret, secret[:9], secret[9:], quote(secret, safe=""), secret.encode().hex(), *encoded]


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
