"""What is told about code when it is saved: read by the parser in the sandbox, run by V8, put together in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from onward.executor.v1 import execution_service_pb2 as pb
from services.executor.handlers.places import CheckPlaces
from services.executor.rpc import ExecutionService
from services.executor.runtime.pool import CheckResult, Limits
from services.registry.templates import load_templates
from tests.integration.sandbox_world import Sandbox, sandbox_of

pytestmark = pytest.mark.integration

SETTINGS = ("apiKey", "region", "endpoint")
HANDLER = "async function onTrack(event, settings) {{ {} }}"
HEX = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"

# Code, and where which warnings are: (rule, line), in order.
Expected = list[tuple[str, int]]
IN_HANDLER: dict[str, Expected] = {
    # literal-key: prefixes
    "x('sk_live_abcdefgh1234')": [("literal-key", 1)],
    "x(\n`ghp_0123456789abcdefABCD`)": [("literal-key", 2)],
    "x('AKIAIOSFODNN7SAMPLEZ')": [("literal-key", 1)],
    "x({ headers: { Authorization: 'Bearer abcdefghijk1' } })": [("literal-key", 1)],
    "x('Basic dXNlcjpwYXNzd29yZA==')": [("literal-key", 1)],
    "x('https://user:hunter2hunter@api.acme.io/')": [("literal-key", 1)],
    "x('https://api.acme.io/?api_key=1234abcd5678')": [("literal-key", 1)],
    # literal-key: names
    'const apiKey = "hunter2hunter2"; x(apiKey)': [("literal-key", 1)],
    'let password\npassword = "correcthorse"; x(password)': [("literal-key", 2)],
    "x({ clientSecret: 'abc123def456' })": [("literal-key", 1)],
    "x(settings.apiKey || 'abc123def456')": [],
    "const token = settings.apiKey || 'abc123def456'; x(token)": [("literal-key", 1)],
    "headers.set('X-Api-Key', 'abc123def456')": [("literal-key", 1)],
    "class A { secret = 'topsecret' }; x(A)": [("literal-key", 1)],
    # literal-key: shapes
    f"x('{HEX}')": [("literal-key", 1)],
    "x('q3Zt8KfLw0PzXvB7nM2sRdY5uHc1JgTa9EoWi4Qk')": [("literal-key", 1)],
    # no keys
    "x('https://example.com/a/path/that/is/rather/long/and/has/no/secret/in/it')": [],
    "x('Properties.apiKey is required, so nothing was sent to the endpoint: add it')": [],
    f"x({{ templateId: '{HEX}', list_id: '{HEX}' }})": [],
    f"x('d-{HEX}')": [],
    "x({ 'Content-Type': 'application/x-www-form-urlencoded;charset=UTF-8' })": [],
    "x({ type: 'password', grant_type: 'client_credentials', token: 'access_token' })": [],
    "const tokenName = 'x-session-token'; x(tokenName)": [],
    "const token = 'access_token'; x(token)": [],
    "const apiKey = 'YOUR_API_KEY'; x(apiKey)": [],
    "const apiKey = settings.apiKey; x(apiKey)": [],
    "const apiKey = `Bearer ${settings.apiKey}`; x(apiKey)": [],
    "x({ password: 'traits.password', secret: 'user_secret_1' })": [],
    "x('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/')": [],
    "x('00000000-0000-0000-0000-000000000000', '00000000000000000000000000000000')": [],
    "x(event['0f1e2d3c4b5a69788796a5b4c3d2e1f0'])": [],
    f"x('{'1' * 16 + '0' * 16}')": [],
    "const USE_CREDENTIALS = 'use-credentials'; x(USE_CREDENTIALS)": [],
    # logs
    "console.log(event)": [("logs-event", 1)],
    "console.log('got',\n event)": [("logs-event", 1)],
    "console.error(JSON.stringify(event, null, 2))": [("logs-event", 1)],
    "console.log(`got ${JSON.stringify(event)}`)": [("logs-event", 1)],
    "console.log('got ' + JSON.stringify(event))": [("logs-event", 1)],
    "console.log({ event }, [settings])": [("logs-event", 1), ("logs-settings", 1)],
    "console.info({ ...settings })": [("logs-settings", 1)],
    "console.table(Object.entries(settings))": [("logs-settings", 1)],
    "const log = console.log\nlog(settings)": [("logs-settings", 2)],
    "const copy = event\nconsole.log(copy)": [("logs-event", 2)],
    "console.log(event.messageId, settings.region)": [],
    "console.log(JSON.stringify(event.properties))": [],
    "console.log(JSON.stringify(event, ['messageId', 'type']))": [],
    "console.log(Object.keys(settings))": [],
    "console.log(summary(event))": [],
    "const console = { log() {} }; console.log(event)": [],
    "[1].map((event) => console.log(event))": [],
    # fetches
    "fetch(settings.endpoint)": [("fetch-not-awaited", 1)],
    "\nfetch(settings.endpoint).then((r) => r.text()).catch(() => {})": [("fetch-not-awaited", 2)],
    "const r = fetch(settings.endpoint)\nif (!r.ok) throw new Error('x')": [("fetch-not-awaited", 1)],
    "const r = fetch(settings.endpoint).ok; return r": [("fetch-not-awaited", 1)],
    "const { ok } = fetch(settings.endpoint); return ok": [("fetch-not-awaited", 1)],
    "event.userId && fetch(settings.endpoint)": [("fetch-not-awaited", 1)],
    "void fetch(settings.endpoint)": [("fetch-not-awaited", 1)],
    "if (fetch(settings.endpoint)) return 1": [("fetch-not-awaited", 1)],
    "Promise.all([fetch(settings.endpoint)])": [("fetch-not-awaited", 1)],
    "const all = []\nall.push(fetch(settings.endpoint))": [("fetch-not-awaited", 2)],
    "event.list.forEach(async (one) => {\n await fetch(one) })": [("fetch-not-awaited", 1)],
    "event.list.forEach((one) => fetch(one))": [("fetch-not-awaited", 1)],
    "event.list.map((one) => fetch(one))": [("fetch-not-awaited", 1)],
    "(async () => { await fetch(settings.endpoint) })()": [("fetch-not-awaited", 1)],
    "send()\nasync function send() { await fetch(settings.endpoint) }": [("fetch-not-awaited", 1)],
    "const send = () => fetch(settings.endpoint)\nsend()\nsend().then(x)": [
        ("fetch-not-awaited", 2),
        ("fetch-not-awaited", 3),
    ],
    "await fetch(settings.endpoint)": [],
    "return fetch(settings.endpoint).then((r) => r.json())": [],
    "const r = await fetch(settings.endpoint).catch(() => null); return r": [],
    "const p = fetch(settings.endpoint)\nconst r = await p; return r.ok": [],
    "const p = fetch(settings.endpoint).then((r) => r.json())\nreturn Promise.race([p, x()])": [],
    "const all = []\nfor (const one of event.list) all.push(fetch(one))\nawait Promise.all(all)": [],
    "await Promise.allSettled(event.list.map(async (one) => { await fetch(one) }))": [],
    "const all = event.list.map((one) => fetch(one))\nfor (const one of all) await one": [],
    "return new Promise((resolve, reject) => { fetch(settings.endpoint).then(resolve, reject) })": [],
    "const fetch = (one) => one\nfetch(settings.endpoint)": [],
    "await cache.load('token', 1000, () => fetch(settings.endpoint))": [],
    "x(fetch(settings.endpoint))": [],
    "const send = () => fetch(settings.endpoint)\nreturn event.a ? send() : await send()": [],
    "await x().then(() => fetch(settings.endpoint))": [],
    "let p = x(); p = p.then(() => fetch(settings.endpoint)); return p": [],
    # settings
    "return settings.apikey": [("unknown-setting", 1)],
    "return settings['regoin']": [("unknown-setting", 1)],
    "return settings?.nothing": [("unknown-setting", 1)],
    "const { apiKey, regoin = 'eu' } =\n settings; return apiKey + regoin": [("unknown-setting", 1)],
    "const s = settings\nreturn s.nothing": [("unknown-setting", 2)],
    "return _.get(settings, 'nothing.at.all')": [("unknown-setting", 1)],
    "return send(event, settings)\nfunction send(e, given) { return given.nothing }": [("unknown-setting", 2)],
    "return send({ settings })\nfunction send({ settings: given }) { return given.nothing }": [("unknown-setting", 2)],
    "return settings.apiKey + settings['region'] + settings?.endpoint.length": [],
    "const { apiKey, ...rest } = settings; return rest[apiKey]": [],
    "const name = 'nothing'; return settings[name]": [],
    "settings.cached = 1; return settings.cached": [],
    "return settings.hasOwnProperty('apiKey')": [],
    "settings = x(settings); return settings.nothing": [],
    "return [1].map((settings) => settings.nothing)": [],
    "return send({ ...settings, extra: 1 })\nfunction send(given) { return given.extra }": [],
    "return send(settings) + send({ ...settings, extra: 1 })\nfunction send(given) { return given.extra }": [],
}
WHOLE: dict[str, Expected] = {
    # The parameters of handlers, under whatever name and in whatever form the handler is written.
    "exports.onTrack = (e, s) => {\n console.log(e)\n return s.nothing }": [("logs-event", 2), ("unknown-setting", 3)],
    "module.exports = { onTrack(e, { nothing }) { console.log(e); return nothing } }": [
        ("unknown-setting", 1),
        ("logs-event", 1),
    ],
    "const post = async (e, s) => s.nothing\nexports.onTrack = post": [("unknown-setting", 1)],
    "onTrack = function (e, s) { return s.nothing }": [("unknown-setting", 1)],
    "const retrying = (f) => f\nconst onTrack = retrying(async (e, s) => s.nothing)": [("unknown-setting", 2)],
    "function onTrack() {}\nfunction onBatch(all) { console.log(all); all.forEach((one) => console.log(one)) }": [
        ("logs-event", 2),
        ("logs-event", 2),
    ],
    "function onTrack() {}\nasync function onBatch(all) { for (const one of all) console.log(one.type) }": [],
    "function onTrack(event) {}\nfunction other(e, s) { console.log(e); return s.nothing }": [],
    # Handlers
    "1": [("no-handler", 0)],
    "const onTrack = 5": [("no-handler", 0)],
    "\nasync function ontrack() {}": [("no-handler", 2)],
    "exports.track = () => 1": [("no-handler", 1)],
    "function onTrack() {}\nfunction onIdentity() {}": [("misnamed-handler", 2)],
    "function onBatch() {}": [("batch-only", 0)],
    "function onTrack() { return ontrack() }\nfunction ontrack() {}": [],
    "function onPage() { return onPages() }\nfunction onPages() {}": [],
    "const onTrack = () => 1\nfunction once() {}\nfunction only() {}": [],
    "function onTrack() {}\nfunction onBatch() {}": [],
}


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with sandbox_of(spares=2, readers=1) as sandbox:
        yield sandbox


def brief(result: CheckResult) -> Expected:
    assert result.error is None, result.error
    assert result.unread is None
    assert all(one.message and bool(one.line) == bool(one.column) for one in result.warnings)
    return [(one.rule, one.line) for one in result.warnings]


async def differences(sandbox: Sandbox, table: dict[str, Expected]) -> dict[str, tuple[Expected, Expected]]:
    found = {code: brief(await sandbox.zygote.check(code, SETTINGS)) for code in table}
    return {code: (found[code], expected) for code, expected in table.items() if found[code] != expected}


async def test_warnings_are_those_that_the_code_of_a_handler_deserves(sandbox: Sandbox) -> None:
    assert not await differences(sandbox, {HANDLER.format(code): expected for code, expected in IN_HANDLER.items()})


async def test_warnings_know_handlers_and_their_parameters_in_every_form(sandbox: Sandbox) -> None:
    assert not await differences(sandbox, WHOLE)


async def test_a_warning_gives_the_place_of_what_it_tells_of(sandbox: Sandbox) -> None:
    code = "#!/usr/bin/env node\r\nasync function onTrack(event, settings) {\r\n  return settings.apikey\r\n}"
    (warning,) = (await sandbox.zygote.check("\ufeff" + code, SETTINGS)).warnings
    assert (warning.line, warning.column) == (3, 19)
    assert warning.message.endswith('did you mean "apiKey"?')


async def test_at_most_fifty_warnings_are_given(sandbox: Sandbox) -> None:
    result = await sandbox.zygote.check("function onTrack(event) {\n" + "console.log(event)\n" * 1000 + "}")
    assert brief(result) == [("logs-event", line) for line in range(2, 52)]


@pytest.mark.parametrize("name", load_templates())
async def test_no_template_gives_a_warning(sandbox: Sandbox, name: str) -> None:
    template = load_templates()[name]
    result = await sandbox.zygote.check(template.code, [one.name for one in template.definitions])
    assert result.warnings == []
    assert sorted(result.handlers) == sorted(template.handlers)


async def test_the_rpc_answers_handlers_and_warnings(sandbox: Sandbox) -> None:
    service: Any = ExecutionService(sandbox.zygote, CheckPlaces(), cast("Any", None))
    request = pb.CheckCodeRequest(code="function onTrack(e, s) {\n  return s.apikey }", setting_names=SETTINGS)
    answer = await service.CheckCode(request, None)
    assert (list(answer.handlers), answer.HasField("error")) == (["onTrack"], False)
    (warning,) = answer.warnings
    assert (warning.rule, warning.line, warning.column) == ("unknown-setting", 2, 12)
    refused = await service.CheckCode(pb.CheckCodeRequest(code="let a = ;", setting_names=SETTINGS), None)
    assert (refused.error.line, refused.error.column, list(refused.warnings)) == (1, 9, [])


# Mistakes in the code

SYNTAX = {
    "function onTrack() {\n  if (1) {\n": (3, 1, "Unexpected end of input: the { of line 2, column 10 is never closed"),
    "function onTrack() {\n  return x(1, [2)\n}": (2, 17, "Unexpected token ')'"),
    "function onTrack() {\n  return x(1, 2\n}\n": (2, 15, "missing ) after argument list"),
    "function onTrack() {\n}}\nconst a = 1\nx()": (2, 2, "Unexpected token '}'"),
    "\n}) (function () {": (2, 1, "Unexpected token '}'"),
    "const a = `abc\nfunction onTrack() {}\n": (1, 12, "Unterminated template"),
    "const a = 'abc\nfunction onTrack() {}\n": (1, 11, "Unterminated string constant"),
    "function onTrack() {}\n/* abc\n": (2, 1, "Unterminated comment"),
    "const a = /(/": (1, 11, "Invalid regular expression: /(/: Unterminated group"),
    "function onTrack() {\n  await x()\n}": (2, 3, "await is only valid in async functions"),
    "let a = 1\nlet a = 2": (2, 5, "Identifier 'a' has already been declared"),
    "\nimport x from 'y'": (2, 1, "Cannot use import statement outside a module (packages can't be loaded"),
    "a = 1\r\nlet b = ;\r\n": (2, 9, "Unexpected token ';'"),
    "a = 1\rlet b = ;\r": (2, 9, "Unexpected token ';'"),
    "\ufefflet b = ;": (1, 9, "Unexpected token ';'"),
    "#!/usr/bin/env node\nlet b = ;": (2, 9, "Unexpected token ';'"),
    "a = '\u2028'\nlet b = ;": (3, 9, "Unexpected token ';'"),
    "a = 1;" * 43_000 + "let b = ;": (1, 258_009, "Unexpected token ';'"),
    "'\U0001f600'; let b = ;": (1, 15, "Unexpected token ';'"),
}


@pytest.mark.parametrize("code", SYNTAX, ids=[code[:24] for code in SYNTAX])
async def test_a_syntax_error_is_placed_where_its_author_sees_it(sandbox: Sandbox, code: str) -> None:
    """E25"""
    error = (await sandbox.zygote.check(code)).error
    assert error is not None
    line, column, message = SYNTAX[code]
    assert (error.line, error.column) == (line, column)
    assert error.message.startswith(f"SyntaxError: {message}")


async def test_what_is_thrown_at_top_level_is_told_as_it_is(sandbox: Sandbox) -> None:
    error = (await sandbox.zygote.check("\nconst a = JSON.parse('{')")).error
    assert error is not None
    assert (error.line, error.message.partition(":")[0]) == (2, "SyntaxError")


async def test_a_hashbang_and_a_byte_order_mark_are_no_part_of_the_code(sandbox: Sandbox) -> None:
    run = await sandbox.load("\ufeff#!/usr/bin/env node\nfunction onTrack() { throw new Error('x') }")
    await run.events({})
    assert "function.js:2:28" in run.error().stack


# Bounds


async def test_code_that_is_too_much_for_the_parser_is_saved_without_warnings(sandbox: Sandbox) -> None:
    """E25"""
    chain = "function onTrack() {}\nconst a = 1" + "+1" * 100_000
    result = await sandbox.zygote.check(chain, SETTINGS)
    assert (result.handlers, result.warnings) == (["onTrack"], []) or result.error is not None
    assert result.error is not None or result.unread


DEEP = ("function f(){" * 20_000 + "}" * 20_000, "[" * 262_144, "(" * 131_072 + ")" * 131_072)


@pytest.mark.parametrize("code", DEEP, ids=["functions", "open brackets", "brackets"])
async def test_deep_code_is_refused_and_hurts_nobody(sandbox: Sandbox, code: str) -> None:
    """E25"""
    assert (await sandbox.zygote.check(code)).error is not None
    assert (await sandbox.zygote.check("function onTrack() {}")).handlers == ["onTrack"]


async def test_code_of_the_largest_size_is_read(sandbox: Sandbox) -> None:
    line = "function f%d(a,b){return a.x+b['y']*(a?1:b.z)}\n"
    code = "".join(line % n for n in range(5_000)) + "function onTrack(event) { console.log(event) }"
    result = await sandbox.zygote.check(code[:262_144])
    assert brief(result) == [("logs-event", 5001)]


async def test_reading_that_does_not_end_leaves_the_check_to_another_worker(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits(wall_ms=1, cpu_ms=1, heap_bytes=64 << 20)
    monkeypatch.setattr("services.executor.runtime.readers.READ_LIMITS", limits)
    code = "function onTrack() {}\n" + "x = [a, b, c, () => { d.e.f(g) }];\n" * 4000
    result = await sandbox.zygote.check(code.replace("x =", "if (0) x ="), SETTINGS)
    assert (result.handlers, result.warnings, result.error) == (["onTrack"], [], None)
    assert result.unread is not None
    assert "timeout" in result.unread


async def test_the_script_finds_nothing_of_what_has_read_it(sandbox: Sandbox) -> None:
    names = "Object.getOwnPropertyNames(globalThis).join()"
    plain = (await sandbox.run(f"const names = {names}; const onTrack = () => names")).value()
    checked = await sandbox.zygote.check(
        f"if ({names} !== {plain!r}) throw new Error('other names'); var onTrack = Object"
    )
    assert checked.error is None


async def test_several_checks_run_at_once(sandbox: Sandbox) -> None:
    codes = [HANDLER.format(f"return settings.nothing{n}") for n in range(6)]
    async with asyncio.TaskGroup() as group:
        checks = [group.create_task(sandbox.zygote.check(code, SETTINGS)) for code in codes]
    assert [f"nothing{n}" in check.result().warnings[0].message for n, check in enumerate(checks)] == [True] * 6
