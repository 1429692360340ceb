"""What Node signs and encrypts, functions verify and decrypt, and the other way round."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.executor.runtime.pool import Zygote
from tests.integration import runtime_world
from tools.build_runtime import node_folder

pytestmark = pytest.mark.integration

NODE_SECONDS_MAX = 60

# Both run in both.
SCRIPTS = Path(__file__).parent / "crypto_cross"
MAKE = (SCRIPTS / "make.js").read_text("utf-8")
CHECK = (SCRIPTS / "check.js").read_text("utf-8")
CLAIMS = 54


@pytest.fixture
async def zygote() -> AsyncIterator[Zygote]:
    async with runtime_world.zygote() as started:
        yield started


def in_node(body: str) -> Any:
    script = (
        "const crypto = require('node:crypto');"
        f"(async () => {{ {body} }})().then((found) => process.stdout.write(JSON.stringify(found)))"
    )
    command = [str(node_folder() / "bin" / "node"), "--no-deprecation", "-e", script]
    output = subprocess.run(command, check=True, capture_output=True, timeout=NODE_SECONDS_MAX)
    return json.loads(output.stdout)


async def in_function(zygote: Zygote, body: str) -> Any:
    # What a handler returns is cut at 16 KiB, so it comes in pieces, each a console line.
    text = await _lines(zygote, body)
    return json.loads(text)


async def _lines(zygote: Zygote, body: str) -> str:
    code = (
        f"async function found() {{ {body} }}\n"
        "const parts = async () => JSON.stringify(await found()).match(/.{1,4000}/gs);\n"
        "async function onTrack() { for (const part of await parts()) console.log(part) }"
    )
    async with runtime_world.script(zygote, code) as running:
        (outcome,) = await running.track({})
    assert outcome.ok, outcome.error
    return "".join(line.text for line in outcome.logs)


def assert_all(found: dict[str, Any]) -> None:
    assert {name: held for name, held in found.items() if held is not True} == {}
    assert len(found) == CLAIMS


async def test_functions_verify_and_decrypt_what_node_has_made(zygote: Zygote) -> None:
    made = json.dumps(in_node(MAKE))
    assert_all(await in_function(zygote, f"const made = {made};\n{CHECK}"))


async def test_node_verifies_and_decrypts_what_functions_have_made(zygote: Zygote) -> None:
    made = json.dumps(await in_function(zygote, MAKE))
    assert_all(in_node(f"const made = {made};\n{CHECK}"))


async def test_functions_verify_what_functions_have_made(zygote: Zygote) -> None:
    made = json.dumps(await in_function(zygote, MAKE))
    assert_all(await in_function(zygote, f"const made = {made};\n{CHECK}"))
