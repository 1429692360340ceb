"""What runtime/v8.py takes for granted of mini-racer's private interface: an upgrade must fail here first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

PREAMBLE = """
import os, mmap
from services.executor.runtime import v8
library = v8.initialise()
seen = []
isolate = v8.Isolate(library, {7: lambda raw: (isolate.free(raw), seen.append(7))})
"""


def _claims(body: str) -> None:
    """Run in a process of its own: V8 is initialised once for good."""
    code = f"{PREAMBLE}{body}\nos._exit(0)"
    root = Path(__file__).parents[2]
    child = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, timeout=60, check=False)
    assert child.returncode == 0, child.stderr.decode()


def test_version_types_and_layout_are_the_ones_we_know() -> None:
    _claims("v8.check_abi(library)")


def test_another_version_is_refused() -> None:
    _claims(
        "v8.V8_VERSION = '14.5'\n"
        "try: v8.check_abi(library)\nexcept v8.AbiChangedError as error: assert '14.5' in str(error)\nelse: os._exit(1)"
    )


def test_strings_errors_and_functions_cross_as_we_read_them() -> None:
    _claims(
        "f = isolate.evaluate('(function () { \\'use strict\\'; return this + this.length })')\n"
        "assert isolate.call(f, 'a\\u20ac\\U0001f600'.encode()) == 'a\\u20ac\\U0001f6004'.encode()\n"
        "assert isolate.call(isolate.evaluate('() => undefined')) is None\n"
        "for code, kind in (('null.x', 200), ('let = ;', v8.PARSE_ERROR)):\n"
        "    try: isolate.evaluate(code)\n"
        "    except v8.V8Error as error: assert error.kind == kind\n"
        "    else: os._exit(1)\n"
    )


def test_microtasks_are_drained_between_two_tasks() -> None:
    _claims(
        "isolate.free(isolate.evaluate('n = 0; go = async () => { await 0; n += 1; return 5 }'))\n"
        "go, read = isolate.evaluate('go'), isolate.evaluate('() => String(n)')\n"
        "isolate.post(go, 7); assert isolate.call(read) == b'1'; assert seen == [7]"
    )


def test_javascript_calls_python_synchronously() -> None:
    _claims(
        "isolate.call_raw(isolate.evaluate('(function () { this(); this() })'), value=isolate.function(7))\n"
        "assert seen == [7, 7]"
    )


def test_shared_memory_can_lie_under_an_array_buffer() -> None:
    _claims(
        "from services.executor.runtime.pump import overlay_cell\n"
        "raw = isolate.evaluate('globalThis.b = new ArrayBuffer(4 * 65536)')\n"
        "fd = os.memfd_create('c'); os.ftruncate(fd, mmap.PAGESIZE); shared = mmap.mmap(fd, mmap.PAGESIZE)\n"
        "at = overlay_cell(isolate.memory(raw)[0], fd)\n"
        "isolate.free(isolate.evaluate(f'new Int32Array(b, {at}, 1)[0] = 77'))\n"
        "assert int.from_bytes(shared[:4], 'little') == 77"
    )


def test_all_flags_are_known_to_v8() -> None:
    """V8 ignores everything after a flag that it does not know: the last one must have taken effect."""
    _claims(
        "f = isolate.evaluate(\"() => String(/(a*)*b/.test('a'.repeat(100000)))\")\nassert isolate.call(f) == b'false'"
    )


KEPT = """
isolate.expose_extras()
isolate.free(isolate.evaluate('''
  const { getContinuationPreservedEmbedderData: get, setContinuationPreservedEmbedderData: set } = globalThis[0];
  let go, out = []; const gate = new Promise((done) => { go = done }), say = (who) => out.push(`${who}${get()}`);
  const ways = [
    async (n) => { await gate; say(n); await null; say(n) },
    (n) => gate.then(() => say(n)),
    async (n) => { await { then(done) { say(n); gate.then(done) } }; say(n) },
    async (n) => { for await (const one of (async function* () { await gate; say(n); yield 1 })()) say(n) },
    async (n) => { await Promise.all([gate, { then(done) { say(n); done() } }]); say(n) },
  ];
  for (let n = 1; n <= 2; n += 1) { set(n); for (const way of ways) way(n); set(undefined) }
'''))
isolate.free(isolate.evaluate("set(9); go(); set(undefined)"))
out = isolate.evaluate("() => out.map((one) => one[0] === one.slice(1) ? '' : one).join('') + out.length")
"""


def test_v8_keeps_for_each_continuation_what_was_current_when_it_began_to_wait() -> None:
    """Attempts are told apart by this."""
    _claims(f"{KEPT}assert isolate.call(out) == b'18', isolate.call(out)")


def test_a_library_without_what_tells_events_apart_is_refused() -> None:
    _claims(
        "v8._EXTRAS['_ZN2v87Isolate4GoneEv'] = (None, ())\n"
        "try: v8.check_abi(library)\nexcept v8.AbiChangedError as error: assert 'told apart' in str(error)\n"
        "else: os._exit(1)"
    )
