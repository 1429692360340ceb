"""Scripts that try to leave the isolate, to read what is not theirs, or to decide how other events end."""

from __future__ import annotations

import mmap
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.executor.runtime.pool import Limits
from tests.integration.sandbox_attacks import Attack, attacks, script_of
from tests.integration.sandbox_world import Run, Sandbox, sandbox_of

pytestmark = pytest.mark.integration

PATIENT = Limits(wall_ms=10_000, cpu_ms=5_000)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with sandbox_of() as sandbox:
        yield sandbox


def _of_victims(run: Run, *jobs: int) -> list[object]:
    found: list[object] = []
    for job in jobs:
        outcome = run.outcomes[job]
        found.append(
            (outcome.error.kind, outcome.error.name, outcome.error.message) if outcome.error else outcome.value
        )
        assert outcome.logs == [], "lines of the attacker's in another attempt"
    return found


@pytest.mark.parametrize("attack", attacks(), ids=lambda attack: attack.name)
async def test_an_attack_gets_nothing_and_changes_no_other_event(sandbox: Sandbox, attack: Attack) -> None:
    """E16, E19"""
    run = await sandbox.load(script_of(attack), limits=PATIENT)
    await run.events({"n": 0, "__proto__": {"polluted": 1}}, {"n": 1}, {"n": 2})
    await run.events({"n": 1}, {"n": 2})
    assert run.exit is None
    assert run.outcomes[0].value == b'"nothing"', (run.outcomes[0].value, run.outcomes[0].error)
    real = [("RetryError", "RetryError", "real"), b'"real"']
    assert _of_victims(run, 1, 2, 3, 4) == real * 2
    assert {request.job_id for request in run.requests} <= {0}, "requests of the attacker's in another attempt"
    assert all(_is_plain(request.payload) for request in run.requests)


def _is_plain(payload: dict[str, object]) -> bool:
    headers = payload.get("headers", [])
    assert isinstance(headers, list)
    flat = [value for name, value in payload.items() if name != "headers"]
    return all(isinstance(value, str | int | None) for value in flat) and all(
        isinstance(text, str) for header in headers for text in header
    )


# Every way to a function that is made of a text.
WAYS = {
    "eval": "eval('2')",
    "eval by another name": "(0, eval)('2')",
    "Function": "Function('return 2')()",
    "new Function": "new Function('return 2')()",
    "of a function": "(() => {}).constructor('return 2')()",
    "of a class": "(class {}).constructor('return 2')()",
    "of V8's": "Math.max.constructor('return 2')()",
    "of ours": "setTimeout.constructor('return 2')()",
    "asynchronous": "await (async () => {}).constructor('return 2')()",
    "generator": "(function* () {}).constructor('yield 2')().next().value",
    "asynchronous generator": "(await (async function* () {}).constructor('yield 2')().next()).value",
    "parent of the asynchronous one": "Object.getPrototypeOf((async () => {}).constructor)('return 2')()",
    "Reflect.construct": "Reflect.construct(Function, ['return 2'])()",
    "subclass": "new (class X extends Function {})('return 2')()",
    "bound": "Function.bind(null, 'return 2')()()",
    "call": "Function.call(null, 'return 2')()",
    "template of lodash": "Number(_.template('<%= 1 + 1 %>')())",
    "argument of the script": "tell.constructor('return 2')()",
}
BY_NAME = list(WAYS)


@pytest.mark.parametrize("allowed", [True, False])
async def test_one_flag_decides_whether_texts_become_code(allowed: bool) -> None:
    """E19"""
    ways = ", ".join(f"async () => {code}" for code in WAYS.values())
    code = f"""const tell = arguments[2]; const ways = [{ways}];
    async function onTrack(e) {{ try {{ return await ways[e.n]() }} catch (error) {{ return error.name }} }}
    // console"""
    async with sandbox_of(allow_eval=allowed) as sandbox:
        run = await sandbox.run(code, *({"n": n} for n in range(len(WAYS))))
        found = {name: run.value(n) for n, name in enumerate(BY_NAME)}
    assert found == dict.fromkeys(WAYS, 2 if allowed else "EvalError")


async def test_where_texts_are_no_code_all_that_is_ours_still_works() -> None:
    """Modules that are evaluated late, strict scripts, fresh settings; and nobody gets V8's own constructor by them."""
    code = """'use strict';
    const seen = []; const create = Object.create;
    Object.create = (p, d) => { if (d) seen.push(d); return create(p, d) };
    async function onTrack(e, settings) {
      console.log({ a: [1] }, new URL('https://a.test/b').href, Buffer.from('x').toString('hex'));
      for (const table of seen) for (const { value } of Object.values(table))
        if (value && value.Function && value.Function !== Function) return 'V8s own';
      return [settings.a, crypto.createHash('md5').update('x').digest('hex').length, this === undefined, _.sum([1, 2])];
    }"""
    async with sandbox_of(allow_eval=False) as sandbox:
        run = await sandbox.run(code, settings={"a": 1})
        assert run.value() == [1, 32, True, 3]
        assert run.logs() == ["{ a: [ 1 ] } https://a.test/b 78"]


async def test_modules_are_what_was_built_whatever_typed_arrays_have_become() -> None:
    """E19: else a script could have a text of its own evaluated as a module of ours, flag or no flag."""
    code = """
    const Native = Uint8Array, made = [];
    class Mine extends Native { constructor(...all) { super(...all); made.push(this.length) } }
    const species = { get() { return { [Symbol.species]: Mine } }, configurable: true };
    Object.defineProperty(Native.prototype, 'constructor', species);
    function onTrack() { return [new AbortController().signal.aborted, made.filter((size) => size > 1000)] }"""
    async with sandbox_of(allow_eval=False) as sandbox:
        assert (await sandbox.run(code)).value() == [False, []]


async def test_without_compiled_code_everything_works_as_with_it() -> None:
    """The jitless tier: V8 has no page that may be written and executed; libffi has one for callbacks."""
    code = """
    async function onTrack(e) {
      console.log(_.chunk([1, 2, 3], 2));
      await new Promise((done) => setTimeout(done, 1));
      if (e.bad) for (;;);
      return [new URL('https://a.test/b').pathname, crypto.createHash('md5').update('x').digest('hex')];
    }"""
    async with sandbox_of(jitless=True) as sandbox:
        run = await sandbox.run(code)
        assert run.value() == ["/b", "9dd4e461268c8034f5c8564e155c67a6"]
        assert run.logs() == ["[ [ 1, 2 ], [ 3 ] ]"]
        if os.geteuid() == 0:
            assert _writable_code_bytes(run.worker.pid) <= mmap.PAGESIZE
        cut = await sandbox.run(code, {"bad": 1}, limits=Limits(wall_ms=2000, cpu_ms=250))
        assert (await cut.end()).reason == "timeout"


def _writable_code_bytes(pid: int) -> int:
    lines = [line.split() for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
    ends = [area.split("-") for area, rights, *_ in lines if rights.startswith("rwx")]
    return sum(int(end, 16) - int(start, 16) for start, end in ends)


async def test_ten_thousand_requests_at_once_are_fifty(sandbox: Sandbox) -> None:
    """E21: the rest is rejected in the isolate, and costs the executor nothing. More than the heap holds is its end."""
    code = """
    async function onTrack() {
      const all = []; for (let i = 0; i < 1e4; i += 1) all.push(fetch('https://a.test/').catch((error) => error.code));
      return (await Promise.all(all.slice(50))).filter((code) => code === 'LIMIT').length;
    }"""
    run = await sandbox.load(code, limits=Limits(wall_ms=60_000, cpu_ms=30_000))
    await run.events({})
    assert run.value() == 9_950
    assert len(run.requests) == 10


async def test_clocks_have_a_resolution_of_a_millisecond(sandbox: Sandbox) -> None:
    """E24"""
    code = """
    function onTrack() {
      const steps = { Date: new Set(), performance: new Set(), Temporal: new Set() };
      const end = Date.now() + 20;
      for (let now = Date.now(); now < end; now = Date.now()) {
        steps.Date.add(now % 1); steps.performance.add(performance.now() % 1);
        steps.Temporal.add(Number(Temporal.Now.instant().epochNanoseconds % 1000000n));
      }
      return Object.values(steps).map((found) => [...found]);
    }"""
    assert (await sandbox.run(code)).value() == [[0], [0], [0]]


async def test_workers_share_no_randomness(sandbox: Sandbox) -> None:
    """They are copies of one process: numbers of one must tell nothing of those of another."""
    code = "const onTrack = () => [Math.random(), crypto.randomUUID(), crypto.randomBytes(8).toString('hex')]"
    found = [(await sandbox.run(code)).value() for _ in range(4)]
    for each in zip(*found, strict=True):
        assert len(set(each)) == 4


async def test_what_one_worker_pollutes_no_other_sees_be_it_of_the_same_destination(sandbox: Sandbox) -> None:
    """E18: there is no isolate and no process for two, and a spare one was forked before any code ran."""
    polluted = await sandbox.run(
        "Object.prototype.x = 1; Math.max = () => 9; cache.load('k', 1e6, () => 1); const onTrack = () => 1"
    )
    assert polluted.exit is None
    code = """let loaded = 0;
    async function onTrack() {
      await cache.load('k', 1, () => { loaded += 1 });
      return [{}.x ?? 0, Math.max(1, 2), loaded];
    }"""
    for _ in range(2):
        assert (await sandbox.run(code)).value() == [0, 2, 1]


TOO_DEEP = {
    "functions": ("function f() {" * 100_000 + "}" * 100_000, "RangeError: Maximum call stack size exceeded"),
    "brackets": ("(" * 100_000 + ")" * 100_000, "RangeError: Maximum call stack size exceeded"),
    "10 MB": ("const onTrack = () => 1; //" + "x" * (10 << 20), None),
}


@pytest.mark.parametrize("name", TOO_DEEP)
async def test_code_that_is_too_much_for_the_parser_is_an_error_and_no_crash(sandbox: Sandbox, name: str) -> None:
    """E25: larger code than 256 KiB is refused before it comes here."""
    code, message = TOO_DEEP[name]
    result = await sandbox.zygote.check(code)
    assert (result.error and result.error.message) == message
    assert (await sandbox.run("const onTrack = () => 1")).value() == 1


async def test_a_handler_that_is_no_function_is_none(sandbox: Sandbox) -> None:
    """E25"""
    code = "const onTrack = 5; exports.onPage = {}; module.exports.onGroup = null; var onAlias = class {}; let onScreen"
    result = await sandbox.zygote.check(code)
    assert result.handlers == ["onAlias"]
    run = await sandbox.run(code)
    assert run.error().kind == "EventNotSupported"


async def test_requests_whatever_is_in_them_are_the_attempts_own(sandbox: Sandbox) -> None:
    """E16: `toJSON` may make anything of a request, which then is refused by what checks requests."""
    code = """
    async function onTrack(e) {
      if (!e.bad) return 'real';
      Object.prototype.toJSON = () => [undefined, 5, '],[1,2,3', {}][e.bad - 1];
      fetch('https://a.test/').catch(() => {});
      delete Object.prototype.toJSON;
      return 'real';
    }"""
    run = await sandbox.run(code, *({"bad": bad} for bad in range(1, 5)), {})
    assert [run.value(job) for job in range(5)] == ["real"] * 5
    assert [request.job_id for request in run.requests] == [0, 1, 2, 3]
