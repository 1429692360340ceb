"""Node itself, with the npm packages that the runtime is bundled from, as the reference for scripts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.build_runtime import SOURCES, node_folder


async def node_results(
    program: Path, urls: Mapping[str, str], scripts: Sequence[Path], seconds_max: float
) -> dict[str, Any]:
    """What a program (.mjs) says of scripts, by their names; `urls` are the servers that they are given."""
    command = [node_folder() / "bin" / "node", program, SOURCES / "node_modules", json.dumps(urls), *scripts]
    node = await asyncio.create_subprocess_exec(*map(str, command), stdout=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(seconds_max):
            output, _ = await node.communicate()
    finally:
        if node.returncode is None:
            node.kill()
    assert node.returncode == 0
    results: dict[str, Any] = json.loads(output)
    return results
