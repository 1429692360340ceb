"""Whose a line, a request, a timer and an outcome are, when events of one function wait for the same things.

A promise that one event settles continues all that wait for it: each must go on as itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.executor.runtime.pool import HostRequest, Job, Limits, Worker
from tests.integration.sandbox_world import Run, Sandbox, sandbox_of

pytestmark = pytest.mark.integration

RESPONSE = {"status": 200, "statusText": "OK", "url": "https://a.test/", "redirected": False, "headers": [], "body": ""}
# Far below what a test may take, and far above what its events take: an attempt that nobody continues ends by it.
LIMITS = Limits(wall_ms=3_000)
EVENTS = [{"n": n} for n in range(3)]


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with sandbox_of() as sandbox:
        yield sandbox


def soon(worker: Worker, request: HostRequest) -> None:
    """Not at once: the others are to begin, and to wait, meanwhile."""
    asyncio.get_running_loop().call_later(0.02, lambda: worker.answer(request.request_id, result=RESPONSE))


def sent(run: Run, job: int) -> list[str]:
    return [request.payload["url"].rpartition("/")[2] for request in run.requests if request.job_id == job]


# How an event waits for what another one settles; `shared` is a promise, `gate` waits until all events have come.
WAYS = {
    "await": "await shared",
    "then": "await new Promise((done) => { shared.then(() => { say('then'); done() }) })",
    "finally": "await shared.finally(() => say('then'))",
    "all": "await Promise.all([shared, 1])",
    "race": "await Promise.race([shared])",
    "allSettled": "await Promise.allSettled([shared])",
    "any": "await Promise.any([shared])",
    "resolved with it": "await new Promise((done) => done(shared))",
    "returned": "await (async () => shared)()",
    "thenable": "await { then(done) { say('then'); shared.then(done) } }",
    "thenable in its continuation": "await shared; await { then(done) { say('then'); done() } }",
    "subclass": "await class extends Promise { then(...all) { return super.then(...all) } }.resolve(shared)",
    "microtask": "await shared; await new Promise((done) => queueMicrotask(() => { say('then'); done() }))",
    "own generator": "const g = async function* () { await shared; yield 1 }; for await (const x of g()) say('got')",
    "for await": "for await (const one of [shared, shared]) say('got')",
    "fromAsync": "await Array.fromAsync([shared], () => say('got'))",
    "timer in its continuation": "await shared; await new Promise((d) => setTimeout(() => { say('then'); d() }, 1))",
    "request in its continuation": "await shared; await fetch('https://a.test/more' + e.n)",
    "cache": "await cache.load('k', 60000, () => shared)",
    "raw": "await new Promise((done) => { waiting.push(done); shared.then(() => waiting.forEach((one) => one())) })",
}


@pytest.mark.parametrize("way", WAYS)
async def test_each_event_goes_on_as_itself_whoever_settles_what_it_waits_for(sandbox: Sandbox, way: str) -> None:
    code = f"""
    let shared; const waiting = [];
    async function onTrack(e) {{
      const say = (what) => console.log(what, e.n);
      shared ??= fetch('https://a.test/token');
      {WAYS[way]};
      say('on');
      await fetch('https://a.test/send' + e.n);
      say('done');
      if (e.n === 1) throw new RetryError('of 1');
      return e.n;
    }}"""
    run = await sandbox.run(code, *EVENTS, answer=soon, limits=LIMITS)
    assert [run.value(0), run.error(1).message, run.value(2)] == [0, "of 1", 2]
    for n in range(3):
        assert run.logs(n)[-2:] == [f"on {n}", f"done {n}"]
        assert {line.rpartition(" ")[2] for line in run.logs(n)} == {str(n)}
        assert [one for one in sent(run, n) if one.startswith("send")] == [f"send{n}"]
        assert {one[-1] for one in sent(run, n) if one != "token"} == {str(n)}
    assert [one for n in range(3) for one in sent(run, n)].count("token") == 1
    assert sent(run, 0)[0] == "token", "what is shared is asked for by the event that came first"


async def test_events_that_another_one_releases_end_as_themselves(sandbox: Sandbox) -> None:
    code = """
    const waiting = [];
    async function onTrack(e) {
      if (e.n < 2) await new Promise((done) => waiting.push(done));
      else { await new Promise((done) => setTimeout(done, 20)); waiting.forEach((one) => one(1)); return 'released' }
      console.log('after', e.n); await fetch('https://a.test/' + e.n); return e.n;
    }"""
    run = await sandbox.run(code, *EVENTS, answer=soon, limits=LIMITS)
    assert [run.value(n) for n in range(3)] == [0, 1, "released"]
    assert [run.logs(n) for n in range(3)] == [["after 0"], ["after 1"], []]
    assert [sent(run, n) for n in range(3)] == [["0"], ["1"], []]


async def test_events_of_batches_that_started_in_one_turn_are_told_apart_as_well(sandbox: Sandbox) -> None:
    """They wait across batches; the script is not seen to do anything that has to be told apart."""
    code = """
    const say = [].filter['const' + 'ructor']('t', 'con' + 'sole.log(t)');
    let go; const gate = new Promise((done) => { go = done });
    async function onTrack(e) {
      if (e.n === 2) go();
      await gate; say('of ' + e.n);
      if (e.n === 1) throw new RetryError('1');
      return e.n;
    }"""
    code = code.replace("const' + 'ructor", "cons' + 'tructor")
    run = await sandbox.load(code, limits=LIMITS)
    assert not run.worker._one_by_one, "the script must not be seen through by its text"
    run.worker.submit([Job(n, "track", b'{"n":%d}' % n, capture=True) for n in (0, 1)])
    run.worker.submit([Job(n, "track", b'{"n":%d}' % n, capture=True) for n in (2, 3)])
    await run.until(lambda: len(run.outcomes) == 4)
    assert [run.value(0), run.error(1).message, run.value(2), run.value(3)] == [0, "1", 2, 3]
    assert [run.logs(n) for n in range(4)] == [[f"of {n}"] for n in range(4)]


async def test_what_an_ended_event_waits_for_is_nobody_elses(sandbox: Sandbox) -> None:
    """E3"""
    code = """
    let go; const gate = new Promise((done) => { go = done });
    async function onTrack(e) {
      const late = () => { console.log('late'); fetch('https://a.test/late'); setTimeout(() => console.log('x'), 1) };
      if (e.n === 0) { gate.then(late); return 0 }
      go(); await null; await new Promise((done) => setTimeout(done, 20)); return 1;
    }"""
    run = await sandbox.run(code, *EVENTS[:2], answer=soon, limits=LIMITS)
    assert [run.value(n) for n in range(2)] == [0, 1]
    assert [run.logs(n) for n in range(2)] == [[], []]
    assert run.requests == []


async def test_what_the_top_level_has_begun_runs_for_whoever_wakes_it(sandbox: Sandbox) -> None:
    code = """
    let go; const wake = async () => { console.log('woken'); await fetch('https://a.test/ready') };
    const ready = new Promise((done) => { go = done }).then(wake);
    async function onTrack(e) { if (e.n === 1) go(); await ready; console.log('on', e.n) }"""
    run = await sandbox.run(code, *EVENTS[:2], answer=soon, limits=LIMITS)
    assert [run.logs(n) for n in range(2)] == [["on 0"], ["woken", "on 1"]]
    assert [sent(run, n) for n in range(2)] == [[], ["ready"]]


async def test_a_listener_runs_for_whoever_dispatches(sandbox: Sandbox) -> None:
    """As in Node, where listeners have the dispatcher's context."""
    code = """
    const target = new EventTarget();
    async function onTrack(e) {
      const listen = (done) => target.addEventListener('go', () => { console.log('heard'); done() });
      if (e.n === 0) { await new Promise(listen); console.log('on 0') }
      else { target.dispatchEvent(new Event('go')); console.log('told') }
    }"""
    run = await sandbox.run(code, *EVENTS[:2], limits=LIMITS)
    assert [run.logs(n) for n in range(2)] == [["on 0"], ["heard", "told"]]


@pytest.mark.parametrize("spin", ["touched", "ended"])
async def test_the_event_that_computes_for_too_long_is_to_blame_in_whosever_turn(sandbox: Sandbox, spin: str) -> None:
    """Event 0 settles what 1 waits for; then one of both never comes to an end."""
    code = """
    let go; const gate = new Promise((done) => { go = done });
    async function onTrack(e) {
      if (e.n === 1) { await gate; console.log('on'); if (e.spin === 'touched') for (;;); return 1 }
      go(); await gate; await null; await null; await null; await null; await null; await null;
      for (;;);
    }"""
    run = await sandbox.load(code, limits=Limits(cpu_ms=200))
    await run.events({"n": 1, "spin": spin}, {"n": 0})
    assert (await run.end()).guilty == (0 if spin == "touched" else 1)


async def test_nothing_lets_scripts_at_what_says_who_runs(sandbox: Sandbox) -> None:
    """E19"""
    code = """
    const seen = [], { apply, ownKeys } = Reflect, zero = globalThis[0];
    const note = (name) => { if (/ontinuation|mbedder/.test(String(name))) seen.push(name) };
    for (const one of [globalThis, console]) ownKeys(one).forEach(note);
    Reflect.apply = (f, self, all) => { note(f.name); return apply(f, self, all) };
    Function.prototype.call = function (self, ...all) { note(this.name); return apply(this, self, all) };
    async function onTrack() { console.log(1); setTimeout(() => {}, 1); return [seen, zero === undefined] }"""
    assert (await sandbox.run(code)).value() == [[], True]


async def test_a_shared_abort_is_each_events_own(sandbox: Sandbox) -> None:
    code = """
    const shared = new AbortController();
    async function onTrack(e) {
      const asked = fetch('https://a.test/' + e.n, { signal: shared.signal }).catch((error) => error.name);
      if (e.n === 2) setTimeout(() => shared.abort(), 20);
      const name = await asked; console.log(name, e.n); return name;
    }"""
    run = await sandbox.run(code, *EVENTS, limits=LIMITS)
    assert [run.value(n) for n in range(3)] == ["AbortError"] * 3
    assert [run.logs(n) for n in range(3)] == [[f"AbortError {n}"] for n in range(3)]
    numbers = {one.job_id: one.request_id for one in run.requests if one.kind == "fetch"}
    assert {one.job_id: one.payload["id"] for one in run.requests if one.kind == "abort"} == numbers
