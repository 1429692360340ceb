"""Scripts: how handlers are found, what they get, what becomes of what they return and throw."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.executor.runtime.cuts import (
    CUT_MARK,
    ERROR_MESSAGE_MAX,
    ERROR_NAME_MAX,
    ERROR_STACK_MAX,
    redacted_lines,
    redacted_text,
    redacted_value,
)
from services.executor.runtime.pool import Limits, LoadLostError
from services.executor.runtime.redaction import REDACTED, Redactor
from tests.integration.sandbox_world import Sandbox, sandbox_of

pytestmark = pytest.mark.integration


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with sandbox_of() as sandbox:
        yield sandbox


FORMS = {
    "function declaration": "async function onTrack(e) { return e.n }",
    "plain function": "function onTrack(e) { return e.n }",
    "var": "var onTrack = async e => e.n",
    "let": "let onTrack = async function (e) { return e.n }",
    "const": "const onTrack = e => e.n",
    "assignment": "onTrack = e => e.n",
    "global assignment": "globalThis.onTrack = e => e.n",
    "exports": "exports.onTrack = e => e.n",
    "module.exports": "module.exports = { onTrack(e) { return this.times * e.n }, times: 1 }",
    "strict": "'use strict';\nfunction onTrack(e) { return this === undefined ? e.n : 'sloppy' }",
    "strict after a comment": "/* hello */ // there\n'use strict'\nconst onTrack = e => e.n",
    "top-level return": "function onTrack(e) { return e.n }\nif (true) return 5;\nlet never = 1",
    "trailing comment": "const onTrack = e => e.n // the end",
    "implicit globals": "counter = 0; function onTrack(e) { counter += e.n; return counter }",
    "thenable": "function onTrack(e) { return { then(resolve) { resolve(e.n) } } }",
}


@pytest.mark.parametrize("code", FORMS.values(), ids=FORMS.keys())
async def test_a_handler_is_found_in_every_form(sandbox: Sandbox, code: str) -> None:
    run = await sandbox.run(code, {"n": 7})
    assert run.worker.handlers == ["onTrack"]
    assert run.value() == 7


async def test_a_missing_handler_is_an_event_that_is_not_supported(sandbox: Sandbox) -> None:
    run = await sandbox.load("function onTrack() {}")
    await run.events({}, type_="page")
    assert (run.error().kind, run.error().name) == ("EventNotSupported", "EventNotSupported")
    assert run.error().message == "onPage is not defined"


async def test_something_that_is_no_function_is_no_handler(sandbox: Sandbox) -> None:
    """E25"""
    checked = await sandbox.zygote.check("const onTrack = 5; exports.onPage = {}; function onGroup() {}")
    assert checked.handlers == ["onGroup"]
    assert checked.error is None


SYNTAX = {
    "let x = ;": (1, 9),
    "\nfoo bar": (2, 5),
    "function onTrack() {\n  return (1\n}": (3, 1),
    "}) (function () {": (1, 1),
    "import x from 'y'": (1, 1),
    "null.x": (1, 6),
    "\n  throw new Error('boo')": (2, 9),
}


@pytest.mark.parametrize("code", SYNTAX)
async def test_a_script_that_does_not_compile_or_throws_is_refused_with_its_position(
    sandbox: Sandbox, code: str
) -> None:
    """E25"""
    error = (await sandbox.zygote.check(code)).error
    assert error is not None
    assert (error.line, error.column) == SYNTAX[code]


async def test_huge_and_deep_scripts_are_refused_or_run_and_hurt_nobody(sandbox: Sandbox) -> None:
    """E25"""
    deep = await sandbox.zygote.check("(" * 100_000 + ")" * 100_000)
    assert deep.error is not None
    nested = await sandbox.zygote.check("function f(){" * 100_000 + "}" * 100_000)
    assert nested.error is not None
    large = await sandbox.zygote.check("/*" + "x" * 10_000_000 + "*/ function onTrack() {}")
    assert large.handlers == ["onTrack"] or large.error is not None
    assert (await sandbox.run("const onTrack = () => 1")).value() == 1


async def test_a_top_level_that_does_not_end_is_refused(sandbox: Sandbox) -> None:
    """E1"""
    for code in ("for (;;);", "const a = []; for (;;) a.push({})", "'a'.repeat(2**28).split('')"):
        result = await sandbox.zygote.check(code)
        assert result.error is not None
        assert result.error.message.startswith("the script's top level ended the worker")


async def test_a_load_that_was_too_much_says_nothing_for_ever_of_code_that_has_loaded_before(sandbox: Sandbox) -> None:
    """E1: as if the worker were lost, so that lanes try again."""
    for code in ("for (;;);", "const a = []; for (;;) a.push({})", "'a'.repeat(2**28).split('')"):
        with pytest.raises(LoadLostError, match="the script's top level ended the worker"):
            await sandbox.load(code)


def hold_up(seconds: float) -> None:
    """The event loop, that is."""
    time.sleep(seconds)


LOADING = "let a = 0; for (let i = 0; i < 2e6; i++) a += i; const onTrack = () => 'loaded';"


async def test_an_executor_that_was_held_up_reads_what_its_worker_has_said(sandbox: Sandbox) -> None:
    loading = asyncio.create_task(sandbox.load(LOADING, limits=Limits(wall_ms=100)))
    while not any(one.transport and not one.handlers and one._callbacks for one in sandbox.zygote._workers.values()):
        await asyncio.sleep(0)
    hold_up(1.5)  # for longer than loading may take
    assert (await (await loading).events({})).value() == "loaded"


async def test_a_worker_that_stood_still_while_it_loaded_has_not_used_up_its_time(sandbox: Sandbox) -> None:
    loading = asyncio.create_task(sandbox.load(LOADING, limits=Limits(wall_ms=500)))
    await asyncio.sleep(0)
    (pid, *_) = sandbox.zygote.worker_pids
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(0.8)
    os.kill(pid, signal.SIGCONT)
    assert (await (await loading).events({})).value() == "loaded"


async def test_the_stack_has_the_users_numbers_and_no_frame_of_ours(sandbox: Sandbox) -> None:
    """E19"""
    code = "function deep() { null.x }\nasync function onTrack() {\n  await 0;\n  [1].map(deep)\n}"
    stack = (await sandbox.run(code)).error().stack.split("\n")
    assert stack == [
        "TypeError: Cannot read properties of null (reading 'x')",
        "    at deep (function.js:1:24)",
        "    at Array.map (<anonymous>)",
        "    at onTrack (function.js:4:7)",
    ]


async def test_what_a_script_sees_of_stacks_is_its_own(sandbox: Sandbox) -> None:
    """E19"""
    code = """
    function onTrack(e) {
      if (e.hook) Error.prepareStackTrace = (_, sites) => sites.map(s => s.getFunctionName() + s.getFileName());
      const { stack } = new Error('here');
      Error.prepareStackTrace = undefined;
      return stack;
    }"""
    run = await sandbox.run(code, {}, {"hook": True})
    assert run.value(0) == "Error: here\n    at onTrack (function.js:4:25)"
    assert len(run.value(1)) == 1
    assert "onTrack" in run.value(1)[0]


UNSHOWN = "a value that can not be shown"
THROWN: list[tuple[str, str, str, str]] = [
    ("new EventNotSupported('a')", "EventNotSupported", "EventNotSupported", "a"),
    ("new InvalidEventPayload('b')", "InvalidEventPayload", "InvalidEventPayload", "b"),
    ("new ValidationError('c')", "ValidationError", "ValidationError", "c"),
    ("new RetryError('d')", "RetryError", "RetryError", "d"),
    ("new DropEvent('e')", "DropEvent", "DropEvent", "e"),
    ("new (class Mine extends RetryError {})('f')", "RetryError", "RetryError", "f"),
    ("Object.assign(new Error('g'), { name: 'RetryError' })", "Error", "RetryError", "g"),
    ("{ name: 'DropEvent', message: 'h' }", "Error", "DropEvent", "h"),
    ("new TypeError('i')", "Error", "TypeError", "i"),
    ("'text'", "Error", "Error", "text"),
    ("undefined", "Error", "Error", "undefined"),
    ("null", "Error", "Error", "null"),
    ("{ a: 1 }", "Error", "Error", '{"a":1}'),
    ("Symbol('s')", "Error", "Error", "Symbol(s)"),
    ("new Proxy({}, { get() { throw 1 }, getPrototypeOf() { throw 2 } })", "Error", "Error", UNSHOWN),
    ("Object.create(null)", "Error", "Error", "{}"),
]


@pytest.mark.parametrize(("thrown", "kind", "name", "message"), THROWN, ids=[case[0] for case in THROWN])
async def test_anything_may_be_thrown(sandbox: Sandbox, thrown: str, kind: str, name: str, message: str) -> None:
    run = await sandbox.run(f"async function onTrack() {{ throw {thrown} }}")
    assert (run.error().kind, run.error().name, run.error().message) == (kind, name, message)


STATUSES = {
    "Object.assign(new Error(), { status: 503 })": 503,
    "Object.assign(new Error(), { statusCode: 429 })": 429,
    "Object.assign(new Error(), { response: { status: 404 } })": 404,
    "Object.assign(new RetryError(), { status: 401 })": 401,
    "Object.assign(new Error(), { status: 'gone' })": None,
    "Object.assign(new Error(), { status: 12 })": None,
    "Object.defineProperty(new Error(), 'status', { get() { throw 1 } })": None,
}


@pytest.mark.parametrize("thrown", STATUSES)
async def test_an_error_tells_the_http_status_it_carries(sandbox: Sandbox, thrown: str) -> None:
    assert (await sandbox.run(f"function onTrack() {{ throw {thrown} }}")).error().http_status == STATUSES[thrown]


async def test_messages_stacks_and_values_are_cut_at_their_limits(sandbox: Sandbox) -> None:
    code = """
    function onTrack(e) { if (e.value) return 'v'.repeat(1e6); const x = new Error('m'.repeat(1e6)); throw x }"""
    run = await sandbox.run(code, {}, {"value": 1})
    assert len(run.error().message) < 8 * 1024 + 20
    assert len(run.error().stack) < 16 * 1024 + 20
    assert run.error().message.endswith("[cut]")
    assert len(run.outcomes[1].value or b"") == 16 * 1024
    assert run.outcomes[1].value_cut


SECRET = "key-😀-hunter2"


async def test_no_cut_of_the_sandbox_leaves_the_head_of_a_secret(sandbox: Sandbox) -> None:
    """G1: wherever the cut goes through the secret, be it through one character."""
    code = """
    function onTrack({ kept, last }, settings) {
      const filled = (cap) => 'x'.repeat(cap - kept) + settings.key;
      console.log(filled(8 * 1024));
      for (let i = 0; i < 7; i++) console.log('x'.repeat(8 * 1024 - 7));
      console.log('x'.repeat(42 - kept) + settings.key);
      if (last) return filled(16 * 1024 - 1);
      const error = new Error(filled(8 * 1024));
      error.name = filled(256);
      error.stack = filled(16 * 1024);
      throw error;
    }"""
    redactor = Redactor([SECRET])
    events = [{"kept": kept, "last": last} for kept in range(3, 10) for last in (0, 1)]
    run = await sandbox.run(code, *events, settings={"key": SECRET})
    for number, outcome in run.outcomes.items():
        kept = redacted_lines(redactor, outcome.logs)
        assert not [line.text[-30:] for line in kept if "key" in line.text]
        assert kept[0].text.endswith(REDACTED[: events[number]["kept"]] + CUT_MARK)
        if outcome.value is not None:
            assert b"key" not in redacted_value(redactor, outcome.value, cut=outcome.value_cut)[0]
            continue
        error = run.error(number)
        assert "key" not in redacted_text(redactor, error.name, ERROR_NAME_MAX)
        assert "key" not in redacted_text(redactor, error.message, ERROR_MESSAGE_MAX)
        assert "key" not in redacted_text(redactor, error.stack, ERROR_STACK_MAX)
        assert len(error.name) < ERROR_NAME_MAX + 10


async def test_a_value_that_is_no_json_is_told_apart_from_a_failure(sandbox: Sandbox) -> None:
    """E13"""
    code = """
    const values = {
      cycle() { const a = {}; a.a = a; return a },
      getter: () => ({ get x() { throw new Error('get') } }),
      toJSON: () => ({ toJSON() { throw new Error('json') } }),
      bigint: () => 1n,
      proxy: () => new Proxy({}, { ownKeys() { throw new Error('keys') } }),
      nothing: () => undefined,
    };
    const onTrack = e => values[e.v]();"""
    names = ["cycle", "getter", "toJSON", "bigint", "proxy", "nothing"]
    run = await sandbox.run(code, *({"v": name} for name in names))
    assert all(run.outcomes[n].ok for n in range(6))
    errors = [run.outcomes[n].value_error for n in range(6)]
    assert [error and error.name for error in errors] == ["TypeError", "Error", "Error", "TypeError", "Error", None]
    assert run.outcomes[5].value is None


async def test_every_attempt_gets_fresh_copies_of_event_and_settings(sandbox: Sandbox) -> None:
    """E27"""
    code = "function onTrack(e, s) { e.a.n += 1; s.list.push(1); s.flat += '!'; return [e.a.n, s.list.length, s.flat] }"
    settings = {"list": [], "flat": "x"}
    run = await sandbox.load(code, settings=settings)
    await run.events({"a": {"n": 1}}, {"a": {"n": 1}})
    await run.events({"a": {"n": 1}}, alone=True)
    assert [run.value(n) for n in range(3)] == [[2, 1, "x!"]] * 3


@pytest.mark.parametrize("settings", [{"__proto__": {"a": 1}}, {"a": "\u2028\U0001f600</script>", "b": [None, 1.5]}])
async def test_settings_arrive_as_they_are(sandbox: Sandbox, settings: dict[str, Any]) -> None:
    run = await sandbox.run("const onTrack = (e, s) => [Object.keys(s), s]", settings=settings)
    assert run.value() == [list(settings), settings]


async def test_module_state_lives_on_between_events_of_one_worker_only(sandbox: Sandbox) -> None:
    """E17, E18"""
    code = """let n = 0; Object.prototype.mark = 1; leaked = 1;
    const onTrack = () => [++n, typeof ({}).mark, typeof leaked]"""
    run = await sandbox.run(code, {}, {})
    assert [run.value(0), run.value(1)] == [[1, "number", "number"], [2, "number", "number"]]
    other = await sandbox.run("const onTrack = () => [typeof ({}).mark, typeof leaked]")
    assert other.value() == ["undefined", "undefined"]


async def test_lone_surrogates_are_replaced(sandbox: Sandbox) -> None:
    run = await sandbox.run("function onTrack() { console.log('\\ud800x'); throw new Error('\\udfff') }")
    assert run.logs() == ["\ufffdx"]
    assert run.error().message == "\ufffd"


async def test_nothing_of_ours_or_of_the_process_can_be_reached(sandbox: Sandbox) -> None:
    """E10, E19"""
    code = """
    const names = ['require', 'process', 'global', 'WebAssembly', 'SharedArrayBuffer', 'Atomics', 'Deno', 'fs'];
    async function onTrack() {
      const found = names.filter(name => name in globalThis);
      const ours = Object.getOwnPropertyNames(globalThis).filter(name => name.startsWith('__'));
      let escaped; try { escaped = this.constructor.constructor('return process')() } catch (e) { escaped = e.name }
      let imported; try { await import('fs') } catch (e) { imported = 'refused' }
      return [found, ours, escaped, imported, (function f() { return f.caller })()];
    }"""
    assert (await sandbox.run(code)).value() == [[], [], "ReferenceError", "refused", None]


async def test_an_unclosed_bracket_is_placed_at_the_end_of_the_users_own_code(sandbox: Sandbox) -> None:
    """E25: what we put around a script has no line numbers of the user's."""
    result = await sandbox.zygote.check("function onTrack() {\n  if (1) {")
    assert result.error is not None
    assert (result.error.line, result.error.column) == (2, 11)
