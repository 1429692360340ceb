"""The AWS global against moto, AWS in memory: the scripts of tests/differential/moto do the same here as under Node.

Node runs them first, with npm's aws-sdk, then moto forgets everything, then our isolates run them through a real broker.
"""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.core.config import default_user_config
from moto.server import ThreadedMotoServer

from services.executor.domain.errors import BAD_REQUEST, RETRY, judge
from services.executor.runtime.broker import Broker
from services.executor.runtime.pool import Zygote
from services.executor.runtime.worker_link import Outcome
from tests.integration import runtime_world
from tests.integration.recording_receiver import Receiver
from tests.integration.runtime_world import RejectionError, returned
from tests.integration.test_runtime_differential import FOLDER, REPLY, Asking, Result, result_of
from tools.build_runtime import SOURCES, node_folder

pytestmark = pytest.mark.integration

SCRIPTS = sorted((FOLDER / "moto").glob("*.js"))
REFERENCE_SECONDS_MAX = 240
CREDENTIALS = "{accessKeyId: 'AKID', secretAccessKey: 'secret', region: 'us-east-1', maxRetries: 0}"


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """The URL of a moto server. Functions of its Lambda answer at once: no Docker is at hand."""
    default_user_config["lambda"]["use_docker"] = False  # type: ignore[index]
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture(scope="module")
def expected(moto: str) -> dict[str, Result]:
    return asyncio.run(_run_reference(moto))


@pytest.fixture(scope="module")
def found(moto: str, expected: dict[str, Result]) -> dict[str, Result]:
    return asyncio.run(_run_all(moto))


def _forget(moto: str) -> None:
    urllib.request.urlopen(urllib.request.Request(f"{moto}/moto-api/reset", method="POST")).close()


async def _run_reference(moto: str) -> dict[str, Result]:
    await asyncio.to_thread(_forget, moto)
    urls = json.dumps({path.name: moto for path in SCRIPTS})
    command = [node_folder() / "bin" / "node", FOLDER / "reference.mjs", SOURCES / "node_modules", urls, *SCRIPTS]
    node = await asyncio.create_subprocess_exec(*map(str, command), stdout=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(REFERENCE_SECONDS_MAX):
            output, _ = await node.communicate()
    finally:
        if node.returncode is None:
            node.kill()
    assert node.returncode == 0
    results: dict[str, Result] = json.loads(output)
    return results


async def _run_all(moto: str) -> dict[str, Result]:
    await asyncio.to_thread(_forget, moto)
    broker = Broker()
    await broker.start()
    try:
        async with runtime_world.zygote() as zygote:
            return {path.name: result_of(await _run(zygote, broker, path.read_text("utf-8"), moto)) for path in SCRIPTS}
    finally:
        await broker.stop()


async def _run(zygote: Zygote, broker: Broker, body: str, receiver: str, events: int = 1) -> Outcome:
    code = f"async function onTrack(event) {{ const receiver = {json.dumps(receiver)}; {REPLY} {body}\n}}"
    running = Asking(runtime_world.nothing_expected, broker=broker)
    async with asyncio.TaskGroup() as running.group, runtime_world.script(zygote, code, running=running):
        outcomes = await running.track(*({} for _ in range(events)))
    return outcomes[0]


@pytest.mark.parametrize("script", [path.name for path in SCRIPTS])
def test_a_script_against_aws_gives_what_it_gives_under_node(
    script: str, expected: dict[str, Result], found: dict[str, Result]
) -> None:
    assert expected[script]["error"] is None, "the script itself is wrong"
    assert found[script] == expected[script]
