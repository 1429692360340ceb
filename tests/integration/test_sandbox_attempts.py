"""Attempts: what belongs to which, how they end, and what ends with them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.executor.runtime import worker_link
from services.executor.runtime.pool import HostRequest, Limits, Worker
from services.executor.runtime.wire import Kind
from tests.integration.sandbox_world import Sandbox, sandbox_of

pytestmark = pytest.mark.integration


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with sandbox_of() as sandbox:
        yield sandbox


RESPONSE = {"status": 200, "statusText": "OK", "url": "https://a.test/", "redirected": False, "headers": [], "body": ""}


def at_once(worker: Worker, request: HostRequest) -> None:
    worker.answer(request.request_id, result=RESPONSE)


async def test_lines_of_interleaved_events_stay_with_their_event(sandbox: Sandbox) -> None:
    code = """
    async function onTrack(e) {
      console.log('start', e.n);
      await null;
      console.warn('after await', e.n);
      await new Promise(done => setTimeout(done, 20 - e.n * 5));
      console.log('after timer', e.n);
      await fetch('https://a.test/');
      console.log('after fetch', e.n);
    }"""
    run = await sandbox.run(code, *({"n": n} for n in range(4)), answer=at_once)
    for n in range(4):
        assert run.logs(n) == [f"start {n}", f"after await {n}", f"after timer {n}", f"after fetch {n}"]
        assert [line.level for line in run.outcomes[n].logs] == ["log", "warn", "log", "log"]


async def test_requests_are_told_with_their_event(sandbox: Sandbox) -> None:
    run = await sandbox.run("const onTrack = e => fetch('https://a.test/' + e.n)", {"n": 0}, {"n": 1}, answer=at_once)
    assert [(request.job_id, request.payload["url"]) for request in run.requests] == [
        (0, "https://a.test/0"), (1, "https://a.test/1")
    ]  # fmt: skip


async def test_a_script_that_hides_what_it_touches_tells_its_events_apart_as_well(sandbox: Sandbox) -> None:
    code = "const say = (0, module.exports.x = [])['\\x66ilter']['construc' + 'tor']('t', 'con' + 'sole.log(t)');" + (
        "async function onTrack(e) { await null; say('event ' + e.n); return e.n }"
    )
    code = code.replace("construc' + 'tor", "const" + "' + '" + "ructor")
    run = await sandbox.load(code)
    assert not run.worker._one_by_one, "the script must not be seen through by its text"
    await run.events({"n": 0}, {"n": 1}, {"n": 2})
    assert [run.logs(n) for n in range(3)] == [["event 0"], ["event 1"], ["event 2"]]
    assert [run.value(n) for n in range(3)] == [0, 1, 2]
    await run.events({"n": 3}, {"n": 4})
    assert [run.logs(n) for n in (3, 4)] == [["event 3"], ["event 4"]]


async def test_nothing_of_an_attempt_runs_on_or_is_recorded_after_its_end(sandbox: Sandbox) -> None:
    """E3"""
    code = """
    let late = 0;
    async function onTrack(e) {
      if (e.ask) { await new Promise(done => setTimeout(done, 60)); return late }
      setInterval(() => { late += 1; console.log('interval') }, 1);
      setTimeout(() => { late += 1; console.log('timeout') }, 5);
      fetch('https://a.test/').then(() => { late += 1; console.log('answer') });
      return 'done';
    }"""
    run = await sandbox.run(code, {}, answer=at_once)
    assert run.value() == "done"
    assert run.logs() == []
    assert len(run.requests) == 1, "a request that has begun is still sent"
    await run.events({"ask": True})
    assert run.value(1) == 0


async def test_a_bomb_of_timers_ends_with_its_attempt(sandbox: Sandbox) -> None:
    """E3"""
    run = await sandbox.run("function onTrack() { for (let i = 0; i < 1e6; i++) setTimeout(() => {}, 1e6) }", {}, {})
    assert run.error(0).name == run.error(1).name == "RangeError"


async def test_an_error_in_a_timer_fails_its_attempt(sandbox: Sandbox) -> None:
    code = "const onTrack = () => new Promise(() => setTimeout(() => { throw new RetryError('late') }, 1))"
    run = await sandbox.run(code)
    assert (run.error().kind, run.error().message) == ("RetryError", "late")


async def test_timers_fire_in_order_and_can_be_cleared(sandbox: Sandbox) -> None:
    code = """
    async function onTrack() {
      const seen = [];
      setTimeout(a => seen.push(a), 20, 'b'); setTimeout(() => seen.push('a'), 10);
      clearTimeout(setTimeout(() => seen.push('never'), 5));
      let ticks = 0;
      await new Promise(done => {
        const id = setInterval(() => { if (++ticks === 3) { clearInterval(id); done() } }, 2);
      });
      await new Promise(done => setTimeout(done, 40));
      return [seen, ticks];
    }"""
    assert (await sandbox.run(code)).value() == [["a", "b"], 3]


async def test_a_promise_that_never_settles_is_a_timeout_and_the_worker_lives_on(sandbox: Sandbox) -> None:
    """E4"""
    code = """
    function onTrack(e) {
      console.log('kept');
      if (e.n === 1) return new Promise(() => {});
      if (e.n === 2) return { then() {} };
      return 'fine';
    }"""
    run = await sandbox.run(code, {"n": 0}, {"n": 1}, {"n": 2}, limits=Limits(wall_ms=300))
    assert run.value(0) == "fine"
    assert [run.error(n).kind for n in (1, 2)] == ["Timeout", "Timeout"]
    assert run.logs(1) == ["kept"]
    assert run.outcomes[1].wall_us >= 300_000
    await run.events({"n": 0})
    assert run.value(3) == "fine"


async def test_without_attribution_too_a_promise_that_never_settles_is_a_timeout(sandbox: Sandbox) -> None:
    """E4"""
    code = "const onTrack = e => e.n ? new Promise(() => {}) : 'fine'"
    run = await sandbox.run(code, {"n": 0}, {"n": 1}, {"n": 0}, limits=Limits(wall_ms=300))
    assert run.value(0) == run.value(2) == "fine"
    assert run.error(1).kind == "Timeout"


@pytest.mark.parametrize(("bytes_max", "frames"), [(1 << 18, 1), (0, 3)])
async def test_answers_of_one_moment_travel_together(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, bytes_max: int, frames: int
) -> None:
    monkeypatch.setattr(worker_link, "_ANSWERS_BYTES", bytes_max)
    waiting: list[HostRequest] = []
    sent: list[Kind] = []

    def all_at_once(worker: Worker, request: HostRequest) -> None:
        waiting.append(request)
        if len(waiting) == 3:
            for number, one in enumerate(waiting):
                worker.answer(one.request_id, result={**RESPONSE, "status": 200 + number})

    run = await sandbox.load("const onTrack = async () => (await fetch('https://a.test/')).status", answer=all_at_once)
    write = run.worker._write

    def note(kind: Kind, *parts: bytes) -> None:
        sent.append(kind)
        write(kind, *parts)

    monkeypatch.setattr(run.worker, "_write", note)
    await run.events({}, {}, {})
    assert [run.value(n) for n in range(3)] == [200, 201, 202]
    assert sent == [Kind.BATCH, *[Kind.ANSWERS] * frames]


async def test_ten_requests_run_at_once_and_fifty_in_all(sandbox: Sandbox) -> None:
    """E21"""
    waiting: list[HostRequest] = []
    most = 0

    def one_later(worker: Worker, request: HostRequest) -> None:
        nonlocal most
        waiting.append(request)
        most = max(most, len(waiting))
        if len(waiting) == 10:
            worker.answer(waiting.pop(0).request_id, result=RESPONSE)
        while len(run.requests) == 50 and waiting:
            worker.answer(waiting.pop().request_id, result=RESPONSE)

    code = """
    async function onTrack() {
      const all = await Promise.allSettled(Array.from({ length: 60 }, (_, n) => fetch('https://a.test/' + n)));
      const failed = all.filter(one => one.status === 'rejected').map(one => one.reason);
      return [failed.length, failed[0].name, failed[0].code, all.findIndex(one => one.status === 'rejected')];
    }"""
    run = await sandbox.load(code, answer=one_later)
    await run.events({})
    assert run.value() == [10, "FetchError", "LIMIT", 50]
    assert len(run.requests) == 50
    assert most == 10


async def test_an_uncaught_network_failure_is_told_apart(sandbox: Sandbox) -> None:
    def refuse(worker: Worker, request: HostRequest) -> None:
        code = "ECONNREFUSED" if "network" in request.payload["url"] else "EGRESS_DENIED"
        worker.answer(request.request_id, error={"code": code, "type": "system", "message": "no"})

    run = await sandbox.run(
        "const onTrack = e => fetch(e.u)", {"u": "https://network/"}, {"u": "https://denied/"}, answer=refuse
    )
    assert [run.error(n).network for n in (0, 1)] == [True, False]
    assert run.error().name == "FetchError"


async def test_console_lines_are_cut_at_their_limits(sandbox: Sandbox) -> None:
    code = """
    function onTrack(e) {
      if (e.lines) for (let i = 0; i < 1000; i++) console.log('x');
      else for (let i = 0; i < 20; i++) console.log('y'.repeat(10000));
    }"""
    run = await sandbox.run(code, {"lines": 1}, {})
    assert len(run.logs(0)) == 201
    assert run.logs(0)[-1].endswith("[cut]")
    assert len(run.logs(1)[0]) < 8 * 1024 + 10
    assert sum(map(len, run.logs(1))) < 64 * 1024 + 200


async def test_times_are_those_of_the_attempt(sandbox: Sandbox) -> None:
    code = """
    async function onTrack(e) {
      await null;
      if (e.busy) { const end = Date.now() + 60; while (Date.now() < end); }
      if (e.wait) await new Promise(done => setTimeout(done, 80));
    }"""
    run = await sandbox.run(code, {}, {"busy": 1}, {"wait": 1})
    idle, busy, waiting = (run.outcomes[n] for n in range(3))
    assert idle.cpu_us < busy.cpu_us
    assert busy.wall_us >= 59_000
    assert waiting.wall_us >= 79_000
    assert waiting.cpu_us < busy.wall_us


async def test_an_event_that_is_no_json_fails_its_batch_and_forges_nothing(sandbox: Sandbox) -> None:
    from services.executor.runtime.pool import Job

    run = await sandbox.load("const onTrack = e => e")
    run.worker.submit([Job(1, "track", b"{"), Job(2, "track", b"{}")])
    exit_ = await run.end()
    assert (exit_.reason, exit_.guilty, sorted(exit_.unfinished)) == ("crashed", None, [1, 2])
    assert run.outcomes == {}


async def test_a_group_that_an_event_left_open_does_not_indent_the_next_one(sandbox: Sandbox) -> None:
    code = "function onTrack(e) { console.log('before', e.n); console.group('open'); console.log('inside') }"
    run = await sandbox.run(code, {"n": 0}, {"n": 1})
    assert run.logs(1) == ["before 1", "open", "  inside"]


async def test_the_heap_in_use_is_told_when_nothing_runs(sandbox: Sandbox) -> None:
    run = await sandbox.load("let kept; const onTrack = () => { kept = 'x'.repeat(2 ** 20).split('').join('y') }")
    before = await run.worker.heap_used()
    await run.events({})
    assert await run.worker.heap_used() - before > 2**20
    run.worker.kill()
    await run.end()
    with pytest.raises(ConnectionError):
        await run.worker.heap_used()


@pytest.mark.parametrize("attributed", [False, True], ids=["batch", "attributed"])
async def test_an_attempt_that_was_cut_has_used_its_time(sandbox: Sandbox, attributed: bool) -> None:
    code = "const onTrack = (e) => { if (e.bad) for (;;); }" + ("// console" if attributed else "")
    run = await sandbox.run(code, {}, {"bad": 1}, limits=Limits(cpu_ms=100))
    exit_ = await run.end()
    assert exit_.guilty == 1
    assert 100_000 <= exit_.cpu_us <= exit_.wall_us + 20_000


async def test_an_attempt_that_took_its_worker_along_has_used_its_time(sandbox: Sandbox) -> None:
    code = """const onTrack = () => {
      const end = Date.now() + 50; while (Date.now() < end);
      return 'a'.repeat(2 ** 28).split('').length;
    }"""
    run = await sandbox.run(code)
    exit_ = await run.end()
    assert (exit_.reason, exit_.guilty) == ("out_of_memory", 0)
    assert exit_.wall_us >= 50_000


PAYLOAD = {
    "id": int, "method": str, "url": str, "headers": list, "body": str, "redirect": str, "follow": int,
    "timeout_ms": type(None), "size": int, "compress": bool, "plain": bool,
}  # fmt: skip


@pytest.mark.parametrize("poison", ["new Array(1e5).fill([])", "'\\ud800'.repeat(1e5)", "{ method: 1 }"])
async def test_what_the_host_gets_has_one_form_whatever_scripts_make_of_json(sandbox: Sandbox, poison: str) -> None:
    code = f"""
    const poison = {poison}, real = JSON.stringify;
    for (const type of [Object, Array, String, Number, Boolean]) type.prototype.toJSON = () => poison;
    const onTrack = () => fetch('https://a.test/\\ud800', {{ method: 'POST', body: 'x', headers: {{ a: 'b' }} }});"""
    run = await sandbox.run(code, answer=at_once)
    (request,) = run.requests
    assert {name: type(value) for name, value in request.payload.items()} == PAYLOAD
    assert ["a", "b"] in request.payload["headers"]
    assert all(type(part) is str for header in request.payload["headers"] for part in header)


async def test_a_request_that_is_too_large_does_not_reach_the_host(sandbox: Sandbox) -> None:
    code = """
    async function onTrack(e) {
      const headers = {}; for (let i = 0; i < e.headers; i++) headers['x-' + i] = 'v';
      const failed = (error) => [error.name, error.type, error.code, error.message.slice(-80)];
      const init = { method: 'POST', headers, body: 'b'.repeat(e.body) };
      return fetch('https://a.test/' + 'u'.repeat(e.url), init).then(() => 'sent', failed);
    }"""
    most = {"url": 1000, "headers": 100, "body": 5 * 2**20}
    over = [most | {"url": 2**17}, most | {"headers": 4000}, most | {"body": 5 * 2**20 + 3}]
    run = await sandbox.run(code, most, *over, answer=at_once, limits=Limits(cpu_ms=10_000, wall_ms=20_000))
    assert run.value(0) == "sent"
    head = "reason: the head of a request is over limit: 131072"
    assert [run.value(n)[:3] for n in (1, 2, 3)] == [["FetchError", "max-size", "TOO_LARGE"]] * 3
    assert [run.value(n)[3].endswith(head) for n in (1, 2)] == [True, True]
    assert run.value(3)[3].endswith("over limit: 5242880")
    assert len(run.requests) == 1


async def test_a_flood_of_aborts_tells_the_host_of_those_alone_that_it_has(sandbox: Sandbox) -> None:
    code = """
    async function onTrack() {
      for (let i = 0; i < 500; i++) {
        const c = new AbortController();
        fetch('https://a.test/' + i, { signal: c.signal }).catch(() => {});
        c.abort(); c.abort();
      }
    }"""
    run = await sandbox.run(code)
    sent = [request.request_id for request in run.requests if request.kind == "fetch"]
    aborted = [request.payload for request in run.requests if request.kind == "abort"]
    assert len(sent) == 10
    assert aborted == [{"id": number} for number in sent]


async def test_a_request_that_was_aborted_while_it_waited_is_never_sent(sandbox: Sandbox) -> None:
    code = """
    async function onTrack() {
      const c = new AbortController(), all = [];
      for (let i = 0; i < 14; i++) all.push(fetch('https://a.test/' + i, i > 9 && i < 13 ? { signal: c.signal } : {}));
      c.abort();
      return (await Promise.allSettled(all)).map((one) => one.status[0]).join('');
    }"""
    run = await sandbox.run(code, answer=at_once)
    assert run.value() == "f" * 10 + "r" * 3 + "f"
    assert [request.payload["url"][15:] for request in run.requests] == [*map(str, range(10)), "13"]
