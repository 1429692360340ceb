"""TestFunction from inside: what a run by hand tells, and what it may use. Real V8, real requests, no registry."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from kit.clock import SystemClock
from kit.errors import InvalidArgument, NotFound, Overloaded
from kit.testing.eventually import eventually
from onward.executor.v1 import execution_service_pb2 as pb
from onward.executor.v1 import outcomes_pb2 as o
from onward.registry.v1 import resources_pb2 as r
from services.executor.domain.given import EVENTS_MAX
from services.executor.handlers.run_reports import REQUESTS_BYTES_MAX
from services.executor.handlers.trial_places import TrialPlaces
from tests.integration.trial_world import (
    CRM,
    TRACK,
    Receiver,
    TrialWorld,
    definition,
    receiver,
    request_of,
    text,
    trial_world,
)

pytestmark = pytest.mark.integration

SECRET = "s3cret-value-9876"
KEY = definition("apiKey", encrypted=True)


@pytest.fixture
async def world() -> AsyncIterator[TrialWorld]:
    async with trial_world() as world:
        yield world


@pytest.fixture
async def api() -> AsyncIterator[Receiver]:
    async with receiver() as found:
        yield found


def with_url(api: Receiver) -> dict[str, object]:
    return {"definitions": [definition("url")], "settings": {"url": text(api.url)}}


# --- what is told ---------------------------------------------------------------------------------------------


async def test_a_run_that_goes_well_tells_handler_value_logs_and_what_it_used(world: TrialWorld) -> None:
    report = await world.run(
        """
        async function onTrack(event, settings) {
          console.log('got', event.event)
          console.error('%d of them', 2)
          return { plan: event.properties.plan }
        }
        """
    )
    assert (report.handler, report.result, report.error_type) == ("onTrack", o.RESULT_DELIVERED, 0)
    assert json.loads(report.value) == {"plan": "pro"}
    assert [(one.level, one.line) for one in report.logs] == [("log", "got Signed Up"), ("error", "2 of them")]
    assert report.logs[0].time.ToMilliseconds() <= report.logs[1].time.ToMilliseconds()
    assert report.wall_us > 0
    assert 0 < report.cpu_us < 1_000_000
    assert 100_000 < report.heap_bytes < 64 << 20
    assert not report.HasField("error")


class LateClock(SystemClock):
    """Its first look is a second early: as if the worker got its job so long after it was sent."""

    def __init__(self) -> None:
        self._late = timedelta(seconds=1)

    def now(self) -> datetime:
        late, self._late = self._late, timedelta()
        return super().now() - late


async def test_times_count_from_the_handlers_start(world: TrialWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.tests._trials, "_clock", LateClock())
    code = "async function onTrack() { await new Promise((r) => setTimeout(r, 20)); console.log('at the end') }"
    report = await world.run(code)
    (line,) = report.logs
    assert line.time.ToMicroseconds() - report.start_time.ToMicroseconds() <= report.wall_us


async def test_an_error_has_the_codes_own_line_and_no_frame_of_ours(world: TrialWorld) -> None:
    code = "function deep(x) {\n  return x.y.z\n}\nasync function onTrack(event) {\n  return deep({})\n}\n"
    report = await world.run(code)
    assert (report.result, report.error_type) == (o.RESULT_FAILED, o.ERROR_TYPE_BAD_REQUEST)
    error = report.error
    assert (error.name, error.line, error.column) == ("TypeError", 2, 14)
    assert error.message == "Cannot read properties of undefined (reading 'z')"
    frames = [line.strip() for line in error.stack.splitlines()[1:]]
    assert frames == ["at deep (function.js:2:14)", "at onTrack (function.js:5:10)"]


@pytest.mark.parametrize(
    ("thrown", "result", "error_type"),
    [
        ("new RetryError('later')", o.RESULT_RETRYABLE, o.ERROR_TYPE_RETRY),
        ("new ValidationError('no')", o.RESULT_FAILED, o.ERROR_TYPE_MESSAGE_REJECTED),
        ("Object.assign(new Error('busy'), { status: 503 })", o.RESULT_RETRYABLE, o.ERROR_TYPE_RETRY),
        ("Object.assign(new Error('gone'), { status: 404 })", o.RESULT_FAILED, o.ERROR_TYPE_BAD_REQUEST),
    ],
)
async def test_a_report_says_what_production_would_make_of_an_error(
    world: TrialWorld, thrown: str, result: int, error_type: int
) -> None:
    report = await world.run(f"function onTrack() {{ throw {thrown} }}")
    assert (report.result, report.error_type) == (result, error_type)


async def test_a_dropped_event_is_filtered_and_says_why(world: TrialWorld) -> None:
    report = await world.run("function onTrack() { throw new DropEvent('nobody') }")
    assert (report.result, report.reason, report.handler) == (o.RESULT_FILTERED, "drop_event", "onTrack")


async def test_an_event_without_a_handler_calls_nothing(world: TrialWorld) -> None:
    report = await world.run("function onPage() {}")
    assert (report.handler, report.error_type) == ("", o.ERROR_TYPE_UNSUPPORTED_EVENT_TYPE)
    assert report.error.message == "onTrack is not defined"


async def test_what_can_not_be_shown_of_a_return_is_no_failure(world: TrialWorld) -> None:
    report = await world.run("function onTrack() { const a = {}; a.a = a; return a }")
    assert (report.result, report.value) == (o.RESULT_DELIVERED, "")
    assert "circular" in report.value_error


async def test_a_large_return_is_cut_and_says_so(world: TrialWorld) -> None:
    report = await world.run("function onTrack() { return 'x'.repeat(20000) }")
    assert report.value_cut
    assert len(report.value) == 16 * 1024


async def test_requests_are_told_with_their_answers_and_times(world: TrialWorld, api: Receiver) -> None:
    report = await world.run(
        """
        async function onTrack(event, settings) {
          await fetch(settings.url + '/status/201', { method: 'post', body: 'a=1', headers: { 'x-trace': 'one' } })
          await fetch(settings.url + '/status/404')
        }
        """,
        **with_url(api),
    )
    first, second = report.requests
    assert (first.method, first.url, first.status) == ("POST", f"{api.url}/status/201", 201)
    assert (first.headers["x-trace"], first.body) == ("one", "a=1")
    assert first.response_headers["Content-Type"].startswith("application/json")
    assert json.loads(first.response_body) == {"id": 7}
    assert 0 < first.duration_us < report.wall_us + 1_000_000
    assert first.start_us <= second.start_us
    assert (second.method, second.status, second.not_awaited, second.cut) == ("GET", 404, False, False)
    # As in production, where answers of 400 and more are told apart but are no failures by themselves.
    assert report.result == o.RESULT_DELIVERED


async def test_a_request_that_nobody_awaits_is_sent_and_marked(world: TrialWorld, api: Receiver) -> None:
    code = "async function onTrack(event, settings) { fetch(settings.url + '/slow'); return 1 }"
    report = await world.run(code, **with_url(api))
    (told,) = report.requests
    assert (told.url, told.not_awaited, told.status, told.error) == (f"{api.url}/slow", True, 0, "")
    await eventually(lambda: len(api.asked) == 1)


async def test_a_request_that_nobody_awaits_and_that_is_refused_is_told_so(world: TrialWorld, api: Receiver) -> None:
    code = """async function onTrack(event, settings) {
      fetch('http://127.0.0.1:1/');
      await fetch(settings.url + '/created');
    }"""
    first, _ = (await world.run(code, **with_url(api))).requests
    assert "ECONNREFUSED" in first.error
    code = "function onTrack() { fetch('http://127.0.0.1:1/') }"
    (told,) = (await world.run(code)).requests
    assert told.not_awaited
    assert told.error == "" or "ECONNREFUSED" in told.error


async def test_a_denied_address_is_told_in_the_words_of_fetch(world: TrialWorld) -> None:
    """F4"""
    report = await world.run("async function onTrack() { await fetch('http://169.254.169.254/latest') }")
    (told,) = report.requests
    denied = "request to http://169.254.169.254/latest failed, reason: connections to this address are not allowed"
    assert (told.status, told.error) == (0, denied)
    assert (report.error.name, report.error.message) == ("FetchError", denied)


async def test_ranges_are_those_of_the_workspace(world: TrialWorld, api: Receiver) -> None:
    del world.ranges["acme"]
    report = await world.run("async function onTrack(e, s) { await fetch(s.url) }", **with_url(api))
    assert "not allowed" in report.requests[0].error
    assert api.asked == []


async def test_an_answer_that_is_no_text_is_shown_as_far_as_it_is(world: TrialWorld, api: Receiver) -> None:
    code = """async function onTrack(event, settings) {
      await fetch(settings.url + '/echo', { method: 'POST', body: Buffer.from([0x61, 0xff, 0x62]) })
    }"""
    (told,) = (await world.run(code, **with_url(api))).requests
    assert (told.body, told.response_body) == ("a\ufffdb", "a\ufffdb")


async def test_long_bodies_are_cut_and_marked(world: TrialWorld, api: Receiver) -> None:
    code = "async function onTrack(e, s) { await fetch(s.url + '/echo', { method: 'PUT', body: 'x'.repeat(100000) }) }"
    (told,) = (await world.run(code, **with_url(api))).requests
    assert (len(told.body), len(told.response_body), told.cut) == (16 << 10, 16 << 10, True)


async def test_a_report_stays_within_a_message_whatever_its_requests_hold(world: TrialWorld, api: Receiver) -> None:
    code = """async function onTrack(event, settings) {
      const headers = {}
      for (let i = 0; i < 60; i += 1) headers['x-' + i] = 'y'.repeat(900)
      for (let i = 0; i < 50; i += 1) {
        await fetch(settings.url + '/echo', { method: 'POST', body: 'x'.repeat(16000), headers })
      }
    }"""
    report = await world.run(code, timeout_ms=60_000, **with_url(api))
    assert len(report.requests) == 50
    assert sum(one.ByteSize() for one in report.requests) < REQUESTS_BYTES_MAX + 50 * 1024
    assert (report.requests[0].cut, report.requests[-1].cut) == (False, True)
    assert report.requests[-1].status == 200


async def test_warnings_come_with_the_report(world: TrialWorld) -> None:
    report = await world.run("function onTrack(event) {\n  console.log(event)\n}")
    assert [(one.rule, one.line) for one in report.warnings] == [("logs-event", 2)]


@pytest.mark.parametrize(
    ("code", "name", "message", "place"),
    [
        ("function onTrack() {\n  return 1 +\n}", "SyntaxError", "Unexpected token '}'", (3, 1)),
        ("\nthrow new TypeError('early')", "TypeError", "early", (2, 7)),
    ],
)
async def test_code_that_does_not_start_is_a_report_and_no_error(
    world: TrialWorld, code: str, name: str, message: str, place: tuple[int, int]
) -> None:
    report = await world.run(code)
    assert (report.handler, report.result, report.error_type) == ("", o.RESULT_FAILED, o.ERROR_TYPE_BAD_REQUEST)
    assert (report.error.name, report.error.message) == (name, message)
    assert (report.error.line, report.error.column) == place


# --- what is given --------------------------------------------------------------------------------------------


async def test_an_event_is_completed_as_a_published_one_is(world: TrialWorld) -> None:
    report = await world.run("function onTrack(event) { return event }")
    event = json.loads(report.value)
    assert event["messageId"].startswith("by-hand-")
    assert event["receivedAt"] == event["timestamp"]


@pytest.mark.parametrize(
    ("event", "path", "reason"),
    [
        ("{", "event", "invalid_json"),
        ('"track"', "event", "not_an_object"),
        ({**TRACK, "type": "trick"}, "event", "unknown_type"),
        ({"type": "track", "event": "x"}, "event", "missing_user"),
        ({"type": "group", "userId": "u1"}, "event", "missing_groupId"),
        ({**TRACK, "messageId": "x" * 300}, "event", "invalid_message_id"),
        ({**TRACK, "properties": {"x": "y" * 40_000}}, "event", "too_large"),
        ([TRACK, {**TRACK, "userId": ""}], "event[1]", "missing_user"),
        ([TRACK, [TRACK]], "event[1]", "not_an_object"),
        ([], "event", "invalid_batch"),
        ([TRACK] * (EVENTS_MAX + 1), "event", "invalid_batch"),
    ],
)
async def test_an_event_that_would_be_refused_at_the_door_is_refused_here(
    world: TrialWorld, event: object, path: str, reason: str
) -> None:
    """H2"""
    with pytest.raises(InvalidArgument) as caught:
        await world.run("function onTrack() {}", event)
    assert [one for one, _ in caught.value.violations] == [path]
    assert caught.value.metadata == {"event_reason": reason}


async def test_settings_come_with_their_types_and_absent_ones_are_absent(world: TrialWorld) -> None:
    definitions = [
        definition("name"),
        definition("on", type=r.SETTING_TYPE_BOOLEAN),
        definition("list", type=r.SETTING_TYPE_STRING_LIST),
        definition("map", type=r.SETTING_TYPE_STRING_MAP),
        definition("absent"),
    ]
    settings = {
        "name": text("x"),
        "on": r.SettingValue(bool_value=True),
        "list": r.SettingValue(list_value=r.StringList(values=["a", "b"])),
        "map": r.SettingValue(map_value=r.StringMap(values={"k": "v"})),
    }
    report = await world.run(
        "function onTrack(e, settings) { return settings }", definitions=definitions, settings=settings
    )
    assert json.loads(report.value) == {"name": "x", "on": True, "list": ["a", "b"], "map": {"k": "v"}}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "the required setting `apiKey` has no value"),
        ({"apiKey": text("")}, "the required setting `apiKey` has no value"),
        ({"apiKey": r.SettingValue(bool_value=True)}, "the setting `apiKey` must be a string"),
    ],
)
async def test_invalid_settings_keep_the_code_from_running(
    world: TrialWorld, settings: dict[str, r.SettingValue], message: str
) -> None:
    report = await world.run(
        "function onTrack() { console.log('ran') }",
        definitions=[definition("apiKey", required=True)],
        settings=settings,
    )
    assert (report.result, report.error_type) == (o.RESULT_FAILED, o.ERROR_TYPE_INVALID_SETTINGS)
    assert (report.error.name, report.error.message) == ("InvalidSettings", message)
    assert (report.handler, list(report.logs)) == ("", [])


@pytest.mark.parametrize(
    ("definitions", "settings", "path"),
    [
        ([KEY], ["other"], "settings[0].name"),
        ([KEY], ["apiKey", "apiKey"], "settings[1].name"),
        ([KEY, KEY], [], "definitions[1].name"),
        ([r.SettingDefinition(name="apiKey")], [], "definitions[0].type"),
    ],
)
async def test_settings_that_can_not_be_meant_are_refused(
    world: TrialWorld, definitions: list[r.SettingDefinition], settings: list[str], path: str
) -> None:
    request = request_of("function onTrack() {}", definitions=definitions)
    request.settings.extend(pb.TestSetting(name=name, value=text("x")) for name in settings)
    with pytest.raises(InvalidArgument) as caught:
        await world.tests.run(request, "acme", "")
    assert [one for one, _ in caught.value.violations] == [path]


async def test_encrypted_values_are_masked_wherever_they_come_up(world: TrialWorld, api: Receiver) -> None:
    code = """async function onTrack(event, settings) {
      console.log(settings.apiKey, btoa(settings.apiKey))
      await fetch(settings.url + '/echo?key=' + encodeURIComponent(settings.apiKey), {
        method: 'POST', body: JSON.stringify({ key: settings.apiKey }),
        headers: { authorization: 'Bearer ' + settings.apiKey, 'x-plain': settings.apiKey },
      })
      if (event.userId === 'u2') throw new Error('bad key ' + settings.apiKey)
      return { key: settings.apiKey }
    }"""
    settings = {"url": text(api.url), "apiKey": text(SECRET)}
    for user in ("u1", "u2"):
        report = await world.run(
            code, {**TRACK, "userId": user}, definitions=[KEY, definition("url")], settings=settings
        )
        told = str(report)
        assert SECRET not in told
        assert base64.b64encode(SECRET.encode()).decode() not in told
        assert told.count("[redacted]") >= 7
        assert report.requests[0].response_headers["X-Api-Key"] == "[redacted]"
    # It was sent as it is.
    assert api.asked[0].headers["x-plain"] == SECRET


async def test_a_version_runs_with_its_own_definitions_and_time_limit(world: TrialWorld) -> None:
    world.versions.append(r.Version(number=1, code="function onTrack() { return 'one' }", definitions=[]))
    world.versions.append(
        r.Version(
            number=2,
            code="async function onTrack(e, s) { console.log(s.apiKey); await new Promise(() => {}) }",
            definitions=[KEY],
            timeout_ms=1000,
        )
    )
    first = await world.tests.run(request_of(name=CRM, version=1), "acme", "crm")
    assert (first.version, first.report.value) == (1, '"one"')
    newest = await world.tests.run(request_of(name=CRM, settings={"apiKey": text(SECRET)}), "acme", "crm")
    assert (newest.version, newest.report.error_type) == (2, o.ERROR_TYPE_TIMEOUT)
    assert newest.report.logs[0].line == "[redacted]"
    assert "did not settle within 1 s" in newest.report.error.message
    assert newest.report.wall_us > 900_000


async def test_code_of_a_function_that_is_not_there_is_not_run(world: TrialWorld) -> None:
    with pytest.raises(NotFound):
        await world.run("function onTrack() {}", name="workspaces/acme/functions/none")
    with pytest.raises(InvalidArgument, match="only functions have versions"):
        await world.run(version=1)


# --- batches --------------------------------------------------------------------------------------------------


async def test_an_array_goes_to_on_batch_and_each_event_is_told_of(world: TrialWorld) -> None:
    code = """function onBatch(events) {
      return events.map((event) => ({ status: event.properties.status, errormessage: event.userId }))
    }"""
    events = [{**TRACK, "userId": f"u{status}", "properties": {"status": status}} for status in (200, 400, 503)]
    report = await world.run(code, events)
    assert (report.handler, report.result) == ("onBatch", o.RESULT_DELIVERED)
    assert [(one.result, one.error_type, one.status, one.message) for one in report.events] == [
        (o.RESULT_DELIVERED, 0, 200, "u200"),
        (o.RESULT_FAILED, o.ERROR_TYPE_BAD_REQUEST, 400, "u400"),
        (o.RESULT_RETRYABLE, o.ERROR_TYPE_RETRY, 503, "u503"),
    ]


async def test_a_batch_that_throws_tells_the_same_of_each_event(world: TrialWorld) -> None:
    report = await world.run("function onBatch() { throw new RetryError('later') }", [TRACK, TRACK])
    assert (report.result, report.error.message) == (o.RESULT_RETRYABLE, "later")
    assert [(one.result, one.error_type) for one in report.events] == [(o.RESULT_RETRYABLE, o.ERROR_TYPE_RETRY)] * 2


async def test_a_batch_that_returns_nothing_is_delivered(world: TrialWorld) -> None:
    report = await world.run("function onBatch() {}", [TRACK, TRACK])
    assert [one.result for one in report.events] == [o.RESULT_DELIVERED] * 2


async def test_a_return_of_another_shape_says_that_each_event_would_run_singly(world: TrialWorld) -> None:
    report = await world.run("function onBatch() { return [{ status: 200 }] }", [TRACK, TRACK])
    assert (report.result, report.reason, list(report.events)) == (o.RESULT_UNSPECIFIED, "unshaped", [])


async def test_an_array_for_code_without_on_batch_says_what_production_does(world: TrialWorld) -> None:
    report = await world.run("function onTrack() {}", [TRACK, TRACK])
    assert (report.handler, report.result, report.reason) == ("", o.RESULT_UNSPECIFIED, "unshaped")
    assert not report.HasField("error")


# --- limits ---------------------------------------------------------------------------------------------------

RUNAWAY = {
    "a synchronous loop": ("for (;;);", o.ERROR_TYPE_TIMEOUT, "the handler "),
    "microtasks without end": ("for (;;) await 0", o.ERROR_TYPE_TIMEOUT, "the handler "),
    "a promise that never settles": ("await new Promise(() => {})", o.ERROR_TYPE_TIMEOUT, "did not settle within 2 s"),
    "memory": ("const a = []; for (;;) a.push(new Array(1000).fill(1.5))", o.ERROR_TYPE_INTERNAL, "out of memory"),
}


@pytest.mark.parametrize("kind", RUNAWAY)
async def test_runaway_code_ends_as_in_production_and_its_worker_is_gone(world: TrialWorld, kind: str) -> None:
    """E1, E4"""
    code, error_type, words = RUNAWAY[kind]
    report = await world.run(f"async function onTrack() {{ {code} }}", timeout_ms=2000)
    assert (report.handler, report.result, report.error_type) == ("onTrack", o.RESULT_RETRYABLE, error_type)
    assert words in report.error.message
    assert (await world.run("function onTrack() { return 1 }")).value == "1"


async def test_a_loop_is_told_by_its_cpu_time(world: TrialWorld) -> None:
    # A machine that is short of CPU takes a multiple of it.
    report = await world.run("function onTrack() { for (;;); }", timeout_ms=60_000)
    assert "used up its CPU time of 1 s" in report.error.message


@pytest.mark.parametrize("kind", RUNAWAY)
async def test_what_runaway_code_had_logged_is_kept(world: TrialWorld, kind: str) -> None:
    busy = "const end = Date.now() + 60; while (Date.now() < end);"
    code = f"console.warn('begun', {{ at: 'ä' }}); await 1; console.log('going on'); {busy} {RUNAWAY[kind][0]}"
    report = await world.run(f"async function onTrack() {{ {code} }}", timeout_ms=2000)
    assert [(line.level, line.line) for line in report.logs] == [("warn", "begun { at: 'ä' }"), ("log", "going on")]
    assert report.wall_us >= 59_000


async def test_of_many_lines_before_a_loop_the_last_ones_are_kept(world: TrialWorld) -> None:
    code = "function onTrack() { for (let i = 0; i < 190; i++) console.log(i, 'x'.repeat(300)); for (;;); }"
    lines = (await world.run(code)).logs
    assert 50 < len(lines) < 190
    assert [int(line.line.split()[0]) for line in lines] == list(range(190 - len(lines), 190))


async def test_each_run_has_a_worker_of_its_own_that_is_gone_afterwards(world: TrialWorld) -> None:
    code = "let runs = 0; function onTrack() { runs += 1; return runs }"
    assert [(await world.run(code)).value for _ in range(2)] == ["1", "1"]
    await eventually(lambda: world.zygote.worker_pids == [])


async def test_who_goes_away_leaves_no_worker_behind(world: TrialWorld, api: Receiver) -> None:
    code = "async function onTrack(e, s) { await fetch(s.url + '/slow') }"
    waiting = asyncio.ensure_future(world.run(code, timeout_ms=60_000, **with_url(api)))
    await eventually(lambda: len(api.asked) == 1)
    await eventually(lambda: len(world.zygote.worker_pids) == 1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await eventually(lambda: world.zygote.worker_pids == [])


async def test_a_workspace_takes_a_few_places_and_leaves_others_theirs(api: Receiver) -> None:
    """G1"""
    code = "async function onTrack(e, s) { await fetch(s.url + '/slow') }"
    async with trial_world(TrialPlaces(most=3, most_per_workspace=2, wait_s=0.2)) as world:
        world.ranges["apex"] = world.ranges["acme"]
        request = request_of(code, definitions=[definition("url")], settings={"url": text(api.url)}, timeout_ms=30_000)
        async with asyncio.TaskGroup() as group:
            held = [group.create_task(world.tests.run(request, "acme", "")) for _ in range(2)]
            await eventually(lambda: len(api.asked) == 2)
            with pytest.raises(Overloaded, match="a workspace may try 2"):
                await world.tests.run(request, "acme", "")
            other = group.create_task(world.tests.run(request, "apex", ""))
            await eventually(lambda: len(api.asked) == 3)
            api.released.set()
        assert {one.result().report.result for one in (*held, other)} == {o.RESULT_DELIVERED}
        # All places are free again.
        assert (await world.tests.run(request, "acme", "")).report.result == o.RESULT_DELIVERED
