"""Hostile scripts: each is cut, named, and hurts nobody but itself."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from kit.testing.eventually import eventually
from services.executor.runtime import wire
from services.executor.runtime import zygote as protocol
from services.executor.runtime.pool import HostRequest, Limits, Worker
from services.executor.runtime.wire import Kind
from tests.integration.sandbox_bombs import AFTER_ITS_TURN, ENDING, LATE, NEVER_ENDING
from tests.integration.sandbox_world import PATIENCE_S, Run, Sandbox, sandbox_of

pytestmark = pytest.mark.integration

QUICK = Limits(wall_ms=2000, cpu_ms=250)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with sandbox_of() as sandbox:
        yield sandbox


LOOPS = {
    "E1 loop": "for (;;);",
    "E6 finally": "try { for (;;); } finally { for (;;); }",
    "E6 nested": "const f = () => { try { for (;;); } finally { f() } }; f()",
    "uninterruptible": "Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1)",
    "E7 lookahead": r"/(?=(a+)+$)b/.test('a'.repeat(40) + '!'); for (;;);",
    "E13 toJSON": "return { toJSON() { for (;;); } }",
    "E13 getter": "return { get x() { for (;;); } }",
    "E13 proxy": "return new Proxy({}, { ownKeys() { for (;;); } })",
    "E13 error getter": "throw { get message() { for (;;); } }",
}
SPINS = {
    "await": "for (;;) await null",
    "promise chain": "const f = () => Promise.resolve().then(f); await f()",
    "loop after await": "await null; for (;;);",
    "floating": "(async () => { for (;;) await null })(); return 1",
}


@pytest.mark.parametrize("attributed", [False, True], ids=["batch", "attributed"])
@pytest.mark.parametrize("body", LOOPS.values(), ids=LOOPS.keys())
async def test_a_loop_is_cut_and_its_event_named(sandbox: Sandbox, body: str, attributed: bool) -> None:
    """E1, E6, E7, E13"""
    code = f"async function onTrack(e) {{ if (e.bad) {{ {body} }} }}" + ("// console" if attributed else "")
    run = await sandbox.run(code, {}, {"bad": 1}, {}, limits=QUICK)
    exit_ = await run.end()
    # What runs after an `await` or a return in an unattributed batch can't be told apart: nobody is blamed.
    known = attributed or "E13" not in _name(LOOPS, body)
    assert (exit_.reason, exit_.guilty) == ("timeout", 1 if known else None)
    assert set(exit_.unfinished) | set(run.outcomes) == {0, 1, 2}
    assert 1 in exit_.unfinished


@pytest.mark.parametrize("body", SPINS.values(), ids=SPINS.keys())
async def test_a_spin_of_microtasks_is_cut_and_its_event_named_when_it_runs_alone(sandbox: Sandbox, body: str) -> None:
    code = f"async function onTrack(e) {{ if (e.bad) {{ {body} }} }}"
    together = await sandbox.run(code, {}, {"bad": 1}, {}, limits=QUICK)
    assert (await together.end()).guilty is None
    assert together.exit is not None
    assert sorted(together.exit.unfinished) == [0, 1, 2]
    apart = await sandbox.load(code, limits=QUICK)
    await apart.events({}, {"bad": 1}, {}, alone=True)
    exit_ = await apart.end()
    assert (exit_.reason, exit_.guilty) == ("timeout", 1)
    assert apart.outcomes[0].ok, "what ended before the cut keeps its outcome"
    assert sorted(exit_.unfinished) == [1, 2]


def _name(cases: dict[str, str], body: str) -> str:
    return next(name for name, known in cases.items() if known == body)


@pytest.mark.parametrize("pattern", [r"/(a+)+$/", r"/(a*)*b/"])
async def test_a_catastrophic_pattern_ends_in_linear_time_or_is_cut(sandbox: Sandbox, pattern: str) -> None:
    """E7"""
    run = await sandbox.run(f"const onTrack = () => {pattern}.test('a'.repeat(5000) + '!')", limits=QUICK)
    assert run.exit is not None or run.value() is False


async def test_a_callback_that_loops_is_cut(sandbox: Sandbox) -> None:
    """E3"""
    run = await sandbox.run("const onTrack = () => new Promise(() => setTimeout(() => { for (;;); }, 5))", limits=QUICK)
    exit_ = await run.end()
    assert (exit_.reason, exit_.guilty) == ("timeout", 0)


async def test_cpu_time_adds_up_over_the_turns_of_an_attempt(sandbox: Sandbox) -> None:
    code = """
    async function onTrack() {
      for (;;) { const end = Date.now() + 20; while (Date.now() < end); await new Promise(done => setTimeout(done, 1)) }
    }"""
    run = await sandbox.run(code, limits=Limits(wall_ms=10_000, cpu_ms=200))
    assert (await run.end()).guilty == 0


BOMBS = {
    "objects": "const a = []; for (;;) a.push({ x: 1 })",
    "strings": "let s = 'x'; const a = []; for (;;) { s += s.slice(0, 1000); a.push(s + a.length) }",
    "map": "const m = new Map(); for (let i = 0; ; i++) m.set(i, 'v' + i)",
    "spread": "const a = new Array(2 ** 25).fill(1.1); return [...a, ...a, ...a, ...a].length",
    "split": "return 'a'.repeat(2 ** 28).split('').length",
    "parse": "const big = '[' + '{},'.repeat(5e6) + '{}]'; const a = []; for (;;) a.push(JSON.parse(big))",
    "after await": "await null; const a = []; for (;;) a.push({ x: 1 })",
}


# Beside what V8 and ArrayBuffers may use: pages of programs and libraries that are touched for the first time.
TOUCHED_BYTES = 24 << 20


@pytest.mark.parametrize("attributed", [False, True], ids=["batch", "attributed"])
@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS.keys())
async def test_a_memory_bomb_ends_its_worker_as_out_of_memory(sandbox: Sandbox, body: str, attributed: bool) -> None:
    """E9: and the worker never holds more than its budget."""
    code = f"async function onTrack(e) {{ if (e.bad) {{ {body} }} }}" + ("// console" if attributed else "")
    limits = Limits(cpu_ms=5000)
    run = await sandbox.load(code, limits=limits)
    budget = _resident_bytes(run.worker.pid) + limits.heap_bytes + limits.buffers_bytes + TOUCHED_BYTES
    async with asyncio.TaskGroup() as group:
        most = group.create_task(_most_resident_bytes(run))
        # It looks once before anything runs; then a worker may end before the next look.
        await asyncio.sleep(0)
        await run.events({}, {"bad": 1}, {})
        exit_ = await run.end()
    assert 0 < most.result() <= budget
    assert exit_.reason == "out_of_memory"
    assert exit_.guilty == 1 or (not attributed and _name(BOMBS, body) == "after await")
    assert (await sandbox.run("const onTrack = () => 1")).value() == 1


# How events are told apart makes a difference to who is blamed, not to how the code is stopped.
UNSTOPPABLE = [(name, name in LATE or name in ENDING) for name in (*NEVER_ENDING, *LATE, *ENDING)]


@pytest.mark.parametrize(("name", "attributed"), [*UNSTOPPABLE, *((name, False) for name in AFTER_ITS_TURN)])
async def test_code_that_v8_can_not_stop_ends_its_worker_and_is_named(
    sandbox: Sandbox, name: str, attributed: bool
) -> None:
    """E1, E9: in the middle of a batch."""
    body = (NEVER_ENDING | LATE | ENDING)[name]
    code = f"async function onTrack(e) {{ if (e.bad) {{ {body} }} return e.n }}" + ("// console" if attributed else "")
    limits = Limits(wall_ms=10_000, cpu_ms=5_000) if name in ENDING else QUICK
    run = await sandbox.run(code, {"n": 0}, {"bad": 1}, {"n": 2}, limits=limits)
    exit_ = await run.end()
    assert exit_.reason == ("out_of_memory" if name in ENDING else "timeout")
    assert exit_.guilty == (None if name in AFTER_ITS_TURN and not attributed else 1)
    assert 1 in exit_.unfinished
    assert set(exit_.unfinished) | set(run.outcomes) == {0, 1, 2}
    assert all(outcome.ok and run.value(job) == job for job, outcome in run.outcomes.items())


async def test_memory_that_runs_out_in_a_microtask_is_seen_though_v8_answers_as_if_nothing_were(
    sandbox: Sandbox,
) -> None:
    """E9: the flag is asked for after each turn."""
    code = (
        "let kept = []; async function onTrack(e) { await null; if (e.bad) for (;;) kept.push({ x: 1 }); return e.n }"
    )
    for suffix in ("", "// console"):
        run = await sandbox.run(code + suffix, {"n": 0}, {"bad": 1}, {"n": 2}, limits=Limits(cpu_ms=5000))
        exit_ = await run.end()
        assert (exit_.reason, exit_.guilty) == ("out_of_memory", 1 if suffix else None)


async def test_array_buffers_beyond_the_budget_are_range_errors(sandbox: Sandbox) -> None:
    """E10"""
    code = """
    function onTrack(e) {
      if (e.one) return new ArrayBuffer(2 ** 31).byteLength;
      if (e.many) { const a = []; for (;;) a.push(new Uint8Array(7 * 2 ** 20).fill(1)) }
      return 'fine';
    }"""
    run = await sandbox.run(code, {"one": 1}, {"many": 1}, {})
    assert [run.error(n).name for n in (0, 1)] == ["RangeError", "RangeError"]
    assert run.value(2) == "fine"
    assert _resident_bytes(run.worker.pid) < 400 << 20


async def _most_resident_bytes(run: Run) -> int:
    """The most that a worker has held until it ended, as far as looks tell."""
    most = 0
    while run.exit is None:
        with suppress(OSError, ValueError, IndexError):
            most = max(most, int(Path(f"/proc/{run.worker.pid}/status").read_text().split("VmHWM:")[1].split()[0]))
        await asyncio.sleep(0.002)
    return most * 1024


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    "body",
    ["const f = () => f(); f()", "const o = { toJSON() { return o.x }, get x() { return JSON.stringify(this) } }; o.x"],
)
async def test_a_stack_overflow_is_an_error_of_the_event(sandbox: Sandbox, body: str) -> None:
    """E11"""
    run = await sandbox.run(f"function onTrack(e) {{ if (e.bad) {{ {body} }} return 1 }}", {"bad": 1}, {})
    assert run.error().name == "RangeError"
    assert run.value(1) == 1


async def test_deep_json_is_an_error_of_the_event(sandbox: Sandbox) -> None:
    """E11"""
    code = (
        "function onTrack(e) { let v = JSON.parse('['.repeat(1e6) + ']'.repeat(1e6)); return JSON.stringify(v).length }"
    )
    run = await sandbox.run(code, {}, {}, limits=Limits(cpu_ms=5000))
    assert [run.outcomes[n].ok or run.error(n).name for n in (0, 1)] in (["RangeError"] * 2, [True] * 2)


POISON = """
const forged = { ok: true };
const trap = (object, key) =>
  Object.defineProperty(object, key, { __proto__: null, get() { return forged }, set() {}, configurable: true });
JSON.stringify = () => '{"value":"forged"}'; JSON.parse = () => ({ n: 1, t: ['onTrack'], c: [1], e: [] });
Promise.prototype.then = function () { return this }; Promise.resolve = () => forged;
trap(Array.prototype, 0);
Array.prototype.push = Array.prototype.join = Array.prototype.map = () => forged;
Array.prototype[Symbol.iterator] = function* () { yield forged };
Map.prototype.set = Map.prototype.get = Map.prototype.delete = () => forged;
String.prototype.slice = String.prototype.toString = () => 'forged';
Function.prototype.call = Function.prototype.apply = () => forged;
Reflect.apply = Reflect.construct = () => forged;
Date.now = () => 0; Object.hasOwn = () => true; WeakSet.prototype.has = () => true;
Error.prototype.toString = () => 'forged';
Object.prototype.then = undefined; Object.prototype.toJSON = () => 'forged'; Object.prototype.kind = 'DropEvent';
const keys = ['n', 'next', 'done', 'seq', 'run', 'resolve', 'value', 'error', 'logs', 'lastTimer', 1, 2];
for (let i = 0; i < keys.length; i++) trap(Object.prototype, keys[i]);
globalThis.Promise = globalThis.Error = globalThis.Map = undefined;
"""


@pytest.mark.parametrize("attributed", [False, True], ids=["batch", "attributed"])
async def test_poisoned_prototypes_forge_nothing(sandbox: Sandbox, attributed: bool) -> None:
    """E16"""
    code = f"""
    const MyError = TypeError;
    {POISON}
    async function onTrack(e) {{
      await 0;
      if (e.bad) throw new MyError('real');
    }} {"// console" if attributed else ""}"""
    run = await sandbox.load(code)
    await run.events({"bad": 1}, {}, {"bad": 1}, capture=False)
    await run.events({"bad": 1}, capture=False)
    assert [run.outcomes[n].ok for n in range(4)] == [False, True, False, False]
    for n in (0, 2, 3):
        assert (run.error(n).kind, run.error(n).name, run.error(n).message) == ("Error", "TypeError", "real")


async def test_a_poisoned_constructor_of_promises_hangs_only_its_own_events(sandbox: Sandbox) -> None:
    """E16"""
    code = """
    Object.defineProperty(Promise.prototype, 'constructor', { get() { return class Evil {} } });
    Promise.prototype.then = () => {};
    const onTrack = e => e.bad ? (async () => 1)() : 5;"""
    run = await sandbox.run(code, {"bad": 1}, {}, limits=Limits(wall_ms=300))
    assert run.error(0).kind == "Timeout"
    assert run.value(1) == 5


async def test_a_poisoned_then_of_objects_hangs_or_fails_only_its_own_event(sandbox: Sandbox) -> None:
    """E16"""
    code = """
    Object.prototype.then = function (resolve) { resolve('forged') };
    async function onTrack(e) { if (e.bad) throw new RetryError('real'); return e.object ? {} : 5 }"""
    run = await sandbox.run(code, {"bad": 1}, {"object": 1}, {})
    assert run.error(0).kind == "RetryError"
    assert run.value(2) == 5


async def test_the_parent_kills_a_worker_that_no_longer_answers(sandbox: Sandbox) -> None:
    run = await sandbox.load("const onTrack = () => 1", limits=Limits(wall_ms=200))
    os.kill(run.worker.pid, signal.SIGSTOP)
    await run.events({})
    exit_ = await run.end()
    assert (exit_.reason, exit_.unfinished, exit_.signal) == ("timeout", [0], "SIGKILL")


async def test_the_executor_reads_the_guilty_event_of_a_killed_worker(sandbox: Sandbox) -> None:
    run = await sandbox.load("function onTrack(e) { if (e.bad) for (;;); } // console", limits=Limits(cpu_ms=60_000))
    events = asyncio.ensure_future(run.events({}, {"bad": 1}, {}))
    await eventually(lambda: run.worker._cell[0] == 2)
    os.kill(run.worker.pid, signal.SIGSEGV)
    exit_ = await run.end()
    await events
    assert (exit_.reason, exit_.guilty, exit_.signal) == ("crashed", 1, "SIGSEGV")


async def test_bystanders_that_have_sent_requests_are_named(sandbox: Sandbox) -> None:
    """A request leaves when its turn ends, so the guilty event's own never did."""
    code = """
    async function onTrack(e) {
      if (e.bad) { fetch('https://a.test/never'); for (;;); }
      await fetch('https://a.test/' + e.n);
    }"""
    run = await sandbox.load(code, limits=QUICK)
    await run.events({"bad": 1}, {"n": 2})
    assert (await run.end()).sent_requests == set()
    other = await sandbox.load(code, limits=QUICK)
    first = asyncio.ensure_future(other.events({"n": 0}))
    await eventually(lambda: other.requests)
    second = asyncio.ensure_future(other.events({"bad": 1}))
    first.cancel()
    exit_ = await other.end()
    assert exit_.sent_requests == {0}
    assert [request.payload["url"] for request in other.requests] == ["https://a.test/0"]
    second.cancel()


async def test_answers_to_the_dead_and_unknown_are_dropped(sandbox: Sandbox) -> None:
    def twice(worker: Worker, request: HostRequest) -> None:
        worker.answer(999_999, result=1)
        worker.answer(request.request_id, error={"code": "ECONNRESET", "type": "system", "message": "x"})
        worker.answer(request.request_id, result={})

    run = await sandbox.run("const onTrack = () => fetch('https://a.test/').catch(e => e.code)", answer=twice)
    assert run.value() == "ECONNRESET"


async def test_the_zygote_is_started_again_when_it_dies_and_its_workers_die_with_it(sandbox: Sandbox) -> None:
    run = await sandbox.load("const onTrack = () => 1")
    process = sandbox.zygote._process
    assert process is not None
    process.kill()
    exit_ = await run.end()
    assert exit_.reason == "lost"
    async with asyncio.timeout(PATIENCE_S):
        await eventually(lambda: not Path(f"/proc/{run.worker.pid}").exists())
        assert (await sandbox.run("const onTrack = () => 2")).value() == 2


async def test_a_worker_that_is_killed_while_it_loads_says_nothing_of_the_script(sandbox: Sandbox) -> None:
    """A6: were it taken for an error of the code, every event of the destination would end as failed."""
    loading = asyncio.ensure_future(sandbox.load("for (;;);", limits=Limits(cpu_ms=60_000, wall_ms=60_000)))
    while not loading.done():
        for worker in list(sandbox.zygote._workers.values()):
            os.kill(worker.pid, signal.SIGKILL)
        await asyncio.sleep(0.05)
    with pytest.raises(ConnectionError, match="lost"):
        loading.result()
    assert (await sandbox.run("const onTrack = () => 1")).value() == 1


NONSENSE = {
    "events without number": wire.frame(Kind.BATCH_REPLY, wire.BATCH_REPLY_HEADER.pack(1, 2**32 - 1, 0, 0)),
    "records of another shape": wire.frame(Kind.REPLY, b'{"settled":[1,1,1],"records":[[0,1,[]]]}'),
    "logs of another shape": wire.frame(Kind.REPLY, b'{"settled":[1,1,1],"records":[[0,1,{"logs":[5]}]]}'),
    "a value that is no text": wire.frame(Kind.REPLY, b'{"settled":[1,1,1],"records":[[0,1,{"value":5}]]}'),
    "settled halves": wire.frame(Kind.REPLY, b'{"settled":[1,1],"records":[]}'),
    "no JSON": wire.frame(Kind.REPLY, b"]"),
    "an exit without a reason": wire.frame(Kind.EXIT, wire.EXIT_HEADER.pack(200, 1, 0, 0)),
    "a frame without end": wire.HEADER.pack(2**32 - 1, Kind.REPLY),
}


@pytest.mark.parametrize("frame", NONSENSE.values(), ids=NONSENSE.keys())
async def test_a_worker_that_was_taken_over_and_says_nonsense_is_killed(sandbox: Sandbox, frame: bytes) -> None:
    """E22"""
    run = await sandbox.load("const onTrack = () => new Promise(() => {})")
    pending = asyncio.ensure_future(run.events({}))
    await asyncio.sleep(0)
    run.worker.protocol.data_received(frame)
    exit_ = await run.end()
    await pending
    assert (exit_.reason, exit_.unfinished, run.outcomes) == ("crashed", [0], {})


async def test_a_worker_that_can_not_be_had_costs_no_other_worker(sandbox: Sandbox) -> None:
    code = "async function onTrack(e) { if (e.wait) await new Promise((done) => setTimeout(done, 300)); return 'fine' }"
    run = await sandbox.load(code)
    running = asyncio.create_task(run.events({"wait": 1}))
    files = Path(f"/proc/{sandbox.zygote.pid}/fd")
    zygote, most = sandbox.zygote.pid, resource.prlimit(sandbox.zygote.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(zygote, resource.RLIMIT_NOFILE, (3, most[1]))
    with pytest.raises(OSError, match="could not be forked"):
        await sandbox.zygote.bare()
    resource.prlimit(zygote, resource.RLIMIT_NOFILE, most)
    await running
    assert (run.value(), run.exit, sandbox.zygote.pid) == ("fine", None, zygote)
    before = len(list(files.iterdir()))
    assert (await sandbox.run("const onTrack = () => 1")).value() == 1
    assert len(list(files.iterdir())) == before


async def test_a_fork_that_the_system_refuses_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> int:
        raise BlockingIOError(errno.EAGAIN, "no process left")

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    monkeypatch.setattr(os, "fork", refused)
    zygote = protocol.Zygote.__new__(protocol.Zygote)
    zygote._control, zygote._workers = theirs, set()
    with ours, theirs:
        passed = [os.memfd_create("end"), os.memfd_create("cell")]
        open_before = len(os.listdir("/proc/self/fd"))
        socket.send_fds(ours, [protocol.REQUEST.pack(protocol.FORK, 0)], passed)
        assert zygote._handle_request()
        assert protocol.REPORT.unpack(ours.recv(100)) == (protocol.FORK_FAILED, 0, errno.EAGAIN)
        assert len(os.listdir("/proc/self/fd")) == open_before
        for end in passed:
            os.close(end)
