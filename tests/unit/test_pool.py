"""What the executor makes of what its zygote reports."""

from __future__ import annotations

import asyncio
import errno
import mmap
from pathlib import Path

import pytest

from services.executor.runtime import zygote as protocol
from services.executor.runtime.pool import Zygote, _Forking
from services.executor.runtime.worker_link import Worker

KILLED = 9


def asked(zygote: Zygote) -> asyncio.Future[Worker]:
    worker: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
    zygote._forking.append(_Forking(mmap.mmap(-1, mmap.PAGESIZE), worker))
    return worker


async def test_a_worker_whose_end_is_read_together_with_its_start_is_gone() -> None:
    zygote = Zygote(Path())
    forked = asked(zygote)
    zygote._report(protocol.FORKED, 4711, 0)
    zygote._report(protocol.EXITED, 4711, KILLED)
    assert zygote.worker_pids == []
    worker = await forked
    with pytest.raises(ConnectionError):
        await worker.locked
    assert not worker.alive


async def test_a_fork_that_fails_is_told_to_whoever_asked_for_it_alone() -> None:
    zygote = Zygote(Path())
    first, second = asked(zygote), asked(zygote)
    zygote._report(protocol.FORK_FAILED, 0, errno.EAGAIN)
    zygote._report(protocol.FORKED, 4711, 0)
    with pytest.raises(BlockingIOError, match="could not be forked"):
        await first
    assert (await second).pid == 4711
    zygote._report(protocol.EXITED, 4711, KILLED)
    (await second).locked.exception()
