"""What a worker has for itself, beside what all share with the zygote."""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
from collections.abc import AsyncIterator

import pytest

from bench.executor_memory import private_mb
from kit.testing.eventually import eventually
from tests.integration.sandbox_world import Sandbox, sandbox_of

pytestmark = pytest.mark.integration

WORKERS = 5
# 3.65 with Python 3.11, and 0.3 more where handlers run at each fork, 0.4 more with more than one arena.
IDLE_MB_MAX = 3.9


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with sandbox_of() as made:
        yield made


@pytest.mark.skipif(os.geteuid() != 0, reason="what a process holds is shown to root alone")
async def test_an_idle_worker_shares_what_it_can_with_the_zygote(sandbox: Sandbox) -> None:
    runs = [await sandbox.run("async function onTrack(event) { return event.event; }") for _ in range(WORKERS)]
    for run in runs:
        run.worker.trim()
    await eventually(lambda: statistics.median(private_mb(run.worker.pid) for run in runs) <= IDLE_MB_MAX)


# A limit of the process's own, as `ulimit -d` or a service manager sets one, that nobody may raise: of capabilities,
# what root has of CAP_SYS_RESOURCE is gone with the zygote's exec.
LIMITED = """
import asyncio, ctypes, resource, sys
from services.executor.runtime.pool import Zygote
from services.executor.settings import RUNTIME_DIR

PR_CAPBSET_DROP = CAP_SYS_RESOURCE = 24
ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE, 0, 0, 0)
resource.setrlimit(resource.RLIMIT_DATA, (3 << 30, 3 << 30))

async def main():
    zygote = Zygote(RUNTIME_DIR)
    await zygote.start()
    print((await zygote.check("const onTrack = () => 1")).handlers)
    await zygote.stop()

asyncio.run(main())
"""


async def test_workers_are_had_under_a_limit_that_nobody_may_raise() -> None:
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", LIMITED, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(60):
        told, _ = await child.communicate()
    assert told == b"['onTrack']\n"
