"""Calls of `crypto` that would take for ever or fill the memory: each is cut or refused, and hurts nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.executor.runtime.pool import Limits
from tests.integration.sandbox_world import Sandbox, sandbox_of

pytestmark = pytest.mark.integration

QUICK = Limits(wall_ms=2000, cpu_ms=250)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with sandbox_of() as sandbox:
        yield sandbox


# Python's lock is held for all of this: the worker can't cut it itself, and the executor has to.
HOLDS_THE_LOCK = """
    const big = (value) => Buffer.from(value.toString(16).padStart(4096, '0'), 'hex').toString('base64url');
    const p = 3n, q = (1n << 16382n) - 1n, n = p * q, d = n - 2n;
    const one = big(1n), rest = { p: big(p), q: big(q), dp: one, dq: big(d % (q - 1n)), qi: one };
    const key = { kty: 'RSA', n: big(n), e: 'AQAB', d: big(d), ...rest };
    crypto.privateDecrypt({ key: crypto.createPrivateKey({ key, format: 'jwk' }), padding: 3 }, Buffer.alloc(2048, 1));
"""
ENDLESS = {
    "pbkdf2": "crypto.pbkdf2Sync('p', 's', 2 ** 31 - 1, 64, 'sha512')",
    "pbkdf2 with a callback": "return new Promise(() => crypto.pbkdf2('p', 's', 2 ** 31 - 1, 64, 'sha512', () => 1))",
    "pbkdf2 in Python": "crypto.pbkdf2Sync('p', 's', 2 ** 31 - 1, 64, 'md5-sha1')",
    "scrypt": "crypto.scryptSync('p', 's', 64, { N: 2 ** 15, p: 10000, maxmem: 2 ** 40 })",
    "a large RSA key": "crypto.generateKeyPairSync('rsa', { modulusLength: 16384 })",
    "small calls": "for (;;) crypto.createHash('sha256').update('a').digest()",
    "subtle": "for (;;) await crypto.subtle.digest('SHA-256', Buffer.alloc(1 << 20))",
    "raw RSA": HOLDS_THE_LOCK,
}


@pytest.mark.parametrize("body", ENDLESS.values(), ids=ENDLESS.keys())
async def test_a_call_that_takes_too_long_is_cut_and_its_event_named(sandbox: Sandbox, body: str) -> None:
    """E1"""
    code = f"async function onTrack(e) {{ if (e.bad) {{ {body} }} }} // console"
    run = await sandbox.run(code, {}, {"bad": 1}, {}, limits=QUICK)
    exit_ = await run.end()
    assert (exit_.reason, exit_.guilty) == ("timeout", 1)
    assert set(exit_.unfinished) | set(run.outcomes) == {0, 1, 2}
    assert (await sandbox.run("const onTrack = () => crypto.randomBytes(4).length")).value() == 4


GREEDY = {
    "scrypt of a tebibyte": ("crypto.scryptSync('p', 's', 64, { N: 2 ** 30, maxmem: 2 ** 52 })", "RangeError"),
    "scrypt beyond the budget": ("crypto.scryptSync('p', 's', 64, { N: 2 ** 18, maxmem: 2 ** 52 })", "RangeError"),
    "a long digest": ("crypto.createHash('shake256', { outputLength: 2 ** 31 }).digest()", "Error"),
    "a long derivation": ("crypto.pbkdf2Sync('p', 's', 1, 2 ** 31 - 1, 'sha1')", "Error"),
    "a long message": ("crypto.createHash('sha256').update(Buffer.alloc(33 << 20)).digest()", "Error"),
    "random bytes": ("crypto.randomBytes(2 ** 31 - 1)", "RangeError"),
}


@pytest.mark.parametrize(("body", "name"), GREEDY.values(), ids=GREEDY.keys())
async def test_a_call_that_wants_too_much_is_an_error_of_its_event(sandbox: Sandbox, body: str, name: str) -> None:
    """E10"""
    code = f"function onTrack(e) {{ if (e.bad) {{ {body} }} return 1 }}"
    run = await sandbox.run(code, {"bad": 1}, {}, limits=Limits(cpu_ms=10_000, wall_ms=20_000))
    assert run.error().name == name
    assert run.value(1) == 1


async def test_ciphers_that_were_never_finished_are_bounded(sandbox: Sandbox) -> None:
    code = """
    const make = () => crypto.createCipheriv('aes-128-cbc', 'k'.repeat(16), 'i'.repeat(16));
    const first = make(); first.update('a');
    function onTrack(e) {
      if (e.bad) return first.final();
      for (let i = 0; i < 2000; i++) make().update('a');
      const c = make(); return c.update('a'.repeat(16), 'utf8', 'hex') + c.final('hex');
    }"""
    run = await sandbox.run(code, {}, {"bad": 1}, limits=Limits(cpu_ms=10_000, wall_ms=20_000))
    assert len(run.value()) == 64
    assert "have not been finished" in run.error(1).message


async def test_workers_of_one_zygote_never_draw_the_same(sandbox: Sandbox) -> None:
    code = """
    const drawn = (type, options) => crypto.generateKeyPairSync(type, options).publicKey.export({ format: 'jwk' }).x;
    const onTrack = () => [crypto.randomUUID(), drawn('ed25519'), drawn('ec', { namedCurve: 'P-256' })];"""
    drawn = [(await sandbox.run(code)).value() for _ in range(4)]
    assert len({value for values in drawn for value in values}) == 12


async def test_no_error_tells_of_a_key(sandbox: Sandbox) -> None:
    code = """
    const SECRET = 'bWFyc2htYWxsb3c';
    const pem = `-----BEGIN PRIVATE KEY-----\\n${SECRET}\\n-----END PRIVATE KEY-----`;
    const members = ['n', 'e', 'd', 'p', 'q', 'dp', 'dq', 'qi'].map((name) => [name, SECRET]);
    const jwk = { kty: 'RSA', ...Object.fromEntries(members) };
    const ec = { kty: 'EC', crv: 'P-256', x: SECRET, y: SECRET, d: SECRET };
    const runs = [
      () => crypto.createPrivateKey(pem), () => crypto.createPublicKey(pem),
      () => crypto.createSign('sha256').sign(pem),
      () => crypto.sign('sha256', 'a', { key: jwk, format: 'jwk' }),
      () => crypto.createPrivateKey({ key: { kty: 'OKP', crv: 'Ed25519', x: SECRET, d: SECRET }, format: 'jwk' }),
      () => crypto.createPrivateKey({ key: ec, format: 'jwk' }),
      () => crypto.createPrivateKey({ key: Buffer.from(SECRET), format: 'der', type: 'pkcs8', passphrase: SECRET }),
      () => crypto.createCipheriv('aes-128-cbc', SECRET, 'i'.repeat(16)),
      () => crypto.scryptSync(SECRET, SECRET, 5, { N: 3 }),
    ];
    const told = (run) => {
      try { run(); return 'nothing thrown' } catch (e) { return String(e.stack) + JSON.stringify(e) }
    };
    const onTrack = () => runs.map(told);"""
    for told in (await sandbox.run(code)).value():
        assert told != "nothing thrown"
        assert "marshmallow" not in told
        assert "bWFyc2htYWxsb3c" not in told


async def test_a_callback_that_throws_fails_its_own_attempt(sandbox: Sandbox) -> None:
    code = """
    async function onTrack(e) {
      await new Promise((done) => crypto.randomBytes(4, () => { if (e.bad) throw new TypeError('mine'); done() }));
      return 1;
    }"""
    run = await sandbox.run(code, {"bad": 1}, {})
    assert (run.error().name, run.error().message) == ("TypeError", "mine")
    assert run.value(1) == 1


async def test_a_callback_runs_in_a_turn_of_the_attempt_that_asked(sandbox: Sandbox) -> None:
    code = """
    async function onTrack(e) {
      await new Promise((done) => crypto.pbkdf2('p', 's', 1, 4, 'sha1', () => { console.log(e.n); done() }));
    }"""
    run = await sandbox.run(code, {"n": "first"}, {"n": "second"})
    assert [[line.text for line in run.outcomes[n].logs] for n in (0, 1)] == [["first"], ["second"]]
