"""Handlers as people write them for Node do the same here: what they return, throw, print and send.

Each script of tests/as_written has a JSON file beside it: settings, events with their types in the order in which they
are handled, and what the partner's API answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.executor.runtime.broker import Broker
from services.executor.runtime.pool import Job, Zygote
from tests.integration import runtime_world
from tests.integration.node_reference import node_results
from tests.integration.partner_api import PartnerApi
from tests.integration.recording_receiver import Recorded
from tests.integration.test_runtime_differential import HEADERS_PLACED_ELSEWHERE, Asking, result_of

pytestmark = pytest.mark.integration

FOLDER = Path(__file__).parents[1] / "as_written"
SCRIPTS = sorted(FOLDER.glob("*.js"))
REFERENCE_SECONDS_MAX = 60

Result = dict[str, Any]


@pytest.fixture(scope="module")
def expected() -> dict[str, Result]:
    return asyncio.run(_run_reference())


@pytest.fixture(scope="module")
def found() -> dict[str, Result]:
    return asyncio.run(_run_all())


def read_given(script: Path, url: str = "{api}") -> dict[str, Any]:
    """The JSON beside a script, with the address of its API in it."""
    given: dict[str, Any] = json.loads(script.with_suffix(".json").read_text("utf-8").replace("{api}", url))
    return given


@contextlib.asynccontextmanager
async def _apis() -> AsyncIterator[dict[str, PartnerApi]]:
    async with contextlib.AsyncExitStack() as stack:
        apis = {script.name: PartnerApi(answers=read_given(script)["answers"]) for script in SCRIPTS}
        for api in apis.values():
            await api.start()
            stack.push_async_callback(api.stop)
        yield apis


async def _run_reference() -> dict[str, Result]:
    async with _apis() as apis:
        urls = {name: api.url for name, api in apis.items()}
        results = await node_results(FOLDER / "node.mjs", urls, SCRIPTS, REFERENCE_SECONDS_MAX)
        return {name: _whole(events, apis[name]) for name, events in results.items()}


async def _run_all() -> dict[str, Result]:
    broker = Broker()
    await broker.start()
    try:
        async with runtime_world.zygote() as zygote, _apis() as apis:
            return {script.name: await _run(zygote, broker, script, apis[script.name]) for script in SCRIPTS}
    finally:
        await broker.stop()


async def _run(zygote: Zygote, broker: Broker, script: Path, api: PartnerApi) -> Result:
    given = read_given(script, api.url)
    running = Asking(runtime_world.nothing_expected, broker=broker)
    code, settings = script.read_text("utf-8"), json.dumps(given["settings"]).encode()
    async with (
        asyncio.TaskGroup() as running.group,
        runtime_world.script(zygote, code, running=running, settings=settings),
    ):
        results = []
        for at, (type_, event) in enumerate(given["events"]):
            (outcome,) = await running.run(Job(at, type_, json.dumps(event).encode(), capture=True))
            results.append(result_of(outcome))
    return _whole(results, api)


def _whole(events: list[Result], api: PartnerApi) -> Result:
    """All that was observed; the API's port, which differs, taken out; parallel requests have no order."""
    whole = {"events": events, "requests": sorted(map(_shown, api.requests), key=json.dumps)}
    cleaned: Result = json.loads(json.dumps(whole).replace(f":{api.port}", ":PORT"))
    return cleaned


def _shown(request: Recorded) -> dict[str, Any]:
    headers = sorted([name.lower(), value] for name, value in request.headers)
    return {
        "request": f"{request.method} {request.target}",
        "headers": [pair for pair in headers if pair[0] not in HEADERS_PLACED_ELSEWHERE],
        "length": request.header("content-length"),
        "body": request.body.decode("latin-1"),
    }


def test_there_are_enough_of_them_and_each_is_answered() -> None:
    assert len(SCRIPTS) >= 15
    assert [script.name for script in SCRIPTS if not script.with_suffix(".json").is_file()] == []


@pytest.mark.parametrize("script", [script.name for script in SCRIPTS])
def test_a_handler_does_what_it_does_under_node(
    script: str, expected: dict[str, Result], found: dict[str, Result]
) -> None:
    assert found[script] == expected[script]


@pytest.mark.parametrize("script", [script.name for script in SCRIPTS])
def test_no_request_of_a_handler_misses_the_list(script: str, found: dict[str, Result]) -> None:
    listed = read_given(FOLDER / script)["answers"]
    assert {request["request"] for request in found[script]["requests"]} == set(listed)
