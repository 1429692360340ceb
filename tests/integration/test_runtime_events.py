"""Whatever JSON an event is, a handler gets what JSON.parse makes of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.executor.runtime.pool import Job, Zygote
from tests.integration import runtime_world
from tests.integration.sandbox_world import Sandbox

pytestmark = pytest.mark.integration

# `same` compares without recursion: events may be nested as deep as JSON.parse itself goes.
COMPARE = """
function same(a, b) {
  const pairs = [[a, b]];
  while (pairs.length) {
    const [x, y] = pairs.pop();
    if (typeof x !== 'object' || x === null) {
      if (!Object.is(x, y)) return false;
      continue;
    }
    if (Object.getPrototypeOf(x) !== Object.getPrototypeOf(y)) return false;
    const keys = Reflect.ownKeys(x), others = Reflect.ownKeys(y);
    if (keys.length !== others.length || keys.some((key, at) => key !== others[at])) return false;
    for (const key of keys) {
      const property = Object.getOwnPropertyDescriptor(x, key);
      if (property.writable !== Object.getOwnPropertyDescriptor(y, key).writable) return false;
      pairs.push([property.value, Object.getOwnPropertyDescriptor(y, key).value]);
    }
  }
  return true;
}
const onTrack = (event) => same(event.value, JSON.parse(event.text));
"""

SPACE = st.sampled_from(["", " ", "\n", "\t\r "])
NUMBERS = (
    st.integers().map(str)
    | st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | st.sampled_from(
        ["-0", "0.0", "1e999", "-1E+400", "5e-324", "1e-999", "9007199254740993", "1" * 400, "0." + "3" * 400]
    )
)
ESCAPES = [
    "\\ud800",
    "\\udc00\\ud800",
    "\\ud83d\\ude00",
    "\\u0000",
    "\\/",
    "\\b",
    "\u2028",
    "\u2029",
    "😀",
    "é",
    "\x7f",
]
PIECES = st.sampled_from(ESCAPES) | st.text(max_size=5).map(lambda text: json.dumps(text)[1:-1])
STRINGS = st.lists(PIECES, max_size=4).map(lambda parts: '"' + "".join(parts) + '"')
NAMES = ["__proto__", "__proto\\u005f_", "constructor", "prototype", "toString", "toJSON", "then", "length", "e", "n"]
KEYS = STRINGS | st.sampled_from([f'"{name}"' for name in [*NAMES, "0", "-1", "4294967295"]])


def _array(items: list[str], space: str) -> str:
    return f"[{space}" + f"{space},".join(items) + f"{space}]"


def _object(items: list[tuple[str, str]], space: str) -> str:
    return "{" + f",{space}".join(f"{key}{space}:{value}" for key, value in items) + f"{space}}}"


VALUES = st.recursive(
    NUMBERS | STRINGS | st.sampled_from(["true", "false", "null", "[]", "{}"]),
    lambda inner: (
        st.builds(_array, st.lists(inner, max_size=4), SPACE)
        | st.builds(_object, st.lists(st.tuples(KEYS, inner), max_size=5), SPACE)
    ),
    max_leaves=15,
)


@pytest.fixture
async def zygote() -> AsyncIterator[Zygote]:
    async with runtime_world.zygote() as started:
        yield started


async def arrived(zygote: Zygote, code: str, texts: list[str]) -> list[bytes | None]:
    """What the handler says of each event, all in one batch."""
    run = await Sandbox(zygote).load(code)
    events = [f'{{"text":{json.dumps(text)},"value":{text}}}'.encode() for text in texts]
    run.worker.submit([Job(at, "track", event, capture=True) for at, event in enumerate(events)])
    await run.until(lambda: run.exit or len(run.outcomes) == len(texts))
    await run.worker.stop()
    return [run.outcomes[at].value if at in run.outcomes else None for at in range(len(texts))]


@pytest.mark.parametrize("attributed", [False, True], ids=["batch", "attributed"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(VALUES, min_size=20, max_size=40))
async def test_an_event_arrives_as_json_parse_gives_it(zygote: Zygote, attributed: bool, texts: list[str]) -> None:
    said = await arrived(zygote, COMPARE + ("// console" if attributed else ""), texts)
    assert [text for text, equal in zip(texts, said, strict=True) if equal != b"true"] == []


@pytest.mark.parametrize("attributed", [False, True], ids=["batch", "attributed"])
async def test_a_deeply_nested_event_arrives(zygote: Zygote, attributed: bool) -> None:
    texts = ["[" * 5000 + "]" * 5000, '{"a":' * 5000 + "1" + "}" * 5000]
    assert await arrived(zygote, COMPARE + ("// console" if attributed else ""), texts) == [b"true", b"true"]


async def test_no_event_changes_what_others_inherit(zygote: Zygote) -> None:
    code = "const onTrack = () => [({}).polluted, [].polluted, typeof ({}).toString]"
    texts = ['{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}', "1"]
    assert await arrived(zygote, code, texts) == [b'[null,null,"function"]'] * 2
