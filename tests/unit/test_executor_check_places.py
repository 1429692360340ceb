"""How many scripts an executor checks at once, and what becomes of the others."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from kit.errors import Overloaded
from onward.executor.v1 import execution_service_pb2 as pb
from services.executor.handlers.places import CHECKS_MAX, CheckPlaces
from services.executor.rpc import ExecutionService
from services.executor.runtime.pool import CheckResult

REQUEST = pb.CheckCodeRequest(code="function onTrack() {}")


class SlowZygote:
    """Checks that end when the test says so."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.finished = 0
        self.may_end = asyncio.Semaphore(0)

    async def check(self, _code: str, _names: Any) -> CheckResult:
        self.running += 1
        self.most = max(self.most, self.running)
        await self.may_end.acquire()
        self.running -= 1
        self.finished += 1
        return CheckResult(["onTrack"], None)

    def end(self, count: int) -> None:
        for _ in range(count):
            self.may_end.release()


async def call(service: ExecutionService) -> pb.CheckCodeResponse:
    return await service.CheckCode(REQUEST, cast(Any, None))


async def test_64_saves_at_once_do_not_start_64_workers() -> None:
    """Those that find no place in time are told to come back; the others lose nothing."""
    zygote = SlowZygote()
    service = ExecutionService(cast(Any, zygote), CheckPlaces(wait_s=0), cast(Any, None))
    calls = [asyncio.ensure_future(call(service)) for _ in range(64)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert zygote.running == CHECKS_MAX
    zygote.end(CHECKS_MAX)
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert zygote.most == zygote.finished == CHECKS_MAX
    assert sum(isinstance(one, pb.CheckCodeResponse) for one in answers) == CHECKS_MAX
    refused = [one for one in answers if isinstance(one, Overloaded)]
    assert len(refused) == 64 - CHECKS_MAX
    assert refused[0].retry_after_s
    # The places are free again.
    zygote.end(1)
    assert (await call(service)).handlers == ["onTrack"]


async def test_a_check_waits_for_a_place_that_gets_free() -> None:
    zygote = SlowZygote()
    service = ExecutionService(cast(Any, zygote), CheckPlaces(), cast(Any, None))
    zygote.end(3 * CHECKS_MAX)
    answers = await asyncio.gather(*(call(service) for _ in range(3 * CHECKS_MAX)))
    assert [list(one.handlers) for one in answers] == [["onTrack"]] * (3 * CHECKS_MAX)
    assert zygote.most <= CHECKS_MAX
