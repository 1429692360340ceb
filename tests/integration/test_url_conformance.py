"""URL passes the web-platform-tests' data: set WPT_URL_DATA to a folder with the suite's url/resources files."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from services.executor.runtime.worker_link import Outcome
from tests.integration import runtime_world

# Not ONWARD_*: those are settings of services, and unknown ones stop them.
VARIABLE = "WPT_URL_DATA"
FOLDER = os.environ.get(VARIABLE)
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(FOLDER is None, reason=f"{VARIABLE} names no folder of web-platform-tests URL data"),
]

# Well under the limits of one console line and of one event.
CASES_AT_ONCE = 50
PARTS = "href origin protocol username password host hostname port pathname search hash"

# Each check answers what went wrong, or nothing.
PARSE = """
function check(test) {
  let url;
  try { url = test.base === null || test.base === undefined ? new URL(test.input) : new URL(test.input, test.base); }
  catch (error) {
    if (!(error instanceof TypeError)) return `threw ${error}`;
    return test.failure ? undefined : 'did not parse';
  }
  if (test.failure) return `parsed as ${url.href}`;
  for (const part of PARTS) if (part in test && url[part] !== test[part]) return `${part}: ${url[part]}`;
  const params = String(url.searchParams);
  if (test.searchParams !== undefined && params !== test.searchParams) return `searchParams: ${params}`;
  return new URL(url.href).href === url.href ? undefined : 'not idempotent';
}
"""
SET = """
function check(test) {
  const url = new URL(test.href);
  url[test.setter] = test.new_value;
  for (const [part, value] of Object.entries(test.expected)) if (url[part] !== value) return `${part}: ${url[part]}`;
}
"""
TO_ASCII = """
function check(test) {
  const input = test.input;
  let host;
  try { host = new URL(`https://${encodeURIComponent(input.toWellFormed())}/x`).host; }
  catch { return test.output === null ? undefined : 'did not parse'; }
  return host === test.output ? undefined : host;
}
"""


def _cases(name: str) -> list[dict[str, Any]]:
    assert FOLDER is not None
    file = Path(FOLDER) / name
    if not file.exists():
        pytest.skip(f"{file} is not there")
    data = json.loads(file.read_text("utf-8"))
    return [case for case in data if isinstance(case, dict)] if isinstance(data, list) else []


def _failures(check: str, cases: list[dict[str, Any]]) -> list[tuple[dict[str, Any], str]]:
    return asyncio.run(_run(check, cases))


async def _run(check: str, cases: list[dict[str, Any]]) -> list[tuple[dict[str, Any], str]]:
    batches = [cases[at : at + CASES_AT_ONCE] for at in range(0, len(cases), CASES_AT_ONCE)]
    handler = "function onTrack({ cases }) { return cases.map((test) => check(test) ?? null); }"
    code = f"const PARTS = '{PARTS}'.split(' ');\n{check}\n{handler}"
    async with runtime_world.zygote() as zygote, runtime_world.script(zygote, code) as running:
        outcomes = await running.track(*[{"cases": batch} for batch in batches])
    return _wrong(batches, outcomes)


def _wrong(batches: list[list[dict[str, Any]]], outcomes: list[Outcome]) -> list[tuple[dict[str, Any], str]]:
    wrong = []
    for batch, outcome in zip(batches, outcomes, strict=True):
        assert outcome.ok, outcome.error
        assert outcome.value is not None
        wrong += [(case, found) for case, found in zip(batch, json.loads(outcome.value), strict=True) if found]
    return wrong


def test_every_url_of_urltestdata_parses_as_the_standard_says() -> None:
    assert _failures(PARSE, _cases("urltestdata.json")) == []


def test_javascript_only_urls_parse_as_the_standard_says() -> None:
    assert _failures(PARSE, _cases("urltestdata-javascript-only.json")) == []


@pytest.mark.parametrize("file", ["toascii.json", "IdnaTestV2.json", "IdnaTestV2-removed.json"])
def test_every_host_is_encoded_as_the_standard_says(file: str) -> None:
    assert _failures(TO_ASCII, _cases(file)) == []


def test_every_setter_does_what_the_standard_says() -> None:
    assert FOLDER is not None
    file = Path(FOLDER) / "setters_tests.json"
    if not file.exists():
        pytest.skip(f"{file} is not there")
    data: dict[str, Any] = json.loads(file.read_text("utf-8"))
    cases = [{"setter": name, **case} for name, tests in data.items() if name != "comment" for case in tests]
    assert _failures(SET, cases) == []


def test_queries_are_percent_encoded_as_the_standard_says() -> None:
    # The other encodings of this file need documents; URL itself is UTF-8.
    cases = [
        {"input": f"https://h/?{case['input']}", "search": f"?{case['output']['utf-8']}"}
        for case in _cases("percent-encoding.json")
        if "utf-8" in case.get("output", {})
    ]
    assert _failures(PARSE, cases) == []
