"""Runs scripts in real workers, for the tests of what user code finds there."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.executor.runtime.pool import Zygote
from services.executor.runtime.worker_link import HostRequest, Job, Limits, Outcome, Worker, WorkerExit
from services.executor.settings import RUNTIME_DIR

# Slow machines run these tests too; none is about limits.
LIMITS = Limits(cpu_ms=20_000, wall_ms=60_000)

# What the host answers to a request: a result, or an exception that carries the rejection.
Answer = Callable[[dict[str, Any]], Any]


class RejectionError(Exception):
    """Raised by an Answer: the host refuses, with this object."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(str(fields))
        self.fields = fields


class WorkerLostError(Exception):
    """The worker ended before its script did."""


def nothing_expected(payload: dict[str, Any]) -> Any:
    raise AssertionError(f"no request was expected, but {payload}")


@dataclass
class Script:
    """One worker that runs one script; `requests` are the payloads that it has sent."""

    answer: Answer
    requests: list[dict[str, Any]] = field(default_factory=list)
    worker: Worker | None = None
    _waiting: dict[int, asyncio.Future[Outcome]] = field(default_factory=dict)

    def on_outcomes(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            self._waiting.pop(outcome.id).set_result(outcome)

    def on_request(self, request: HostRequest) -> None:
        assert self.worker is not None
        if request.kind != "fetch":
            self.worker.answer(request.request_id, result=None)
            return
        self.requests.append(request.payload)
        try:
            result = self.answer(request.payload)
        except RejectionError as rejection:
            self.worker.answer(request.request_id, error=rejection.fields)
        else:
            self.worker.answer(request.request_id, result=result)

    def on_exit(self, reason: WorkerExit) -> None:
        for future in self._waiting.values():
            if future.done():  # whoever waited has given up
                continue
            future.set_exception(WorkerLostError(str(reason)))
        self._waiting.clear()

    async def track(self, *events: Any) -> list[Outcome]:
        """Run onTrack with each event, all in one batch."""
        return await self.run(*(Job(at, "track", json.dumps(event).encode(), True) for at, event in enumerate(events)))

    async def run(self, *jobs: Job) -> list[Outcome]:
        """Run jobs in one batch."""
        assert self.worker is not None
        loop = asyncio.get_running_loop()
        waiting = {job.id: loop.create_future() for job in jobs}
        self._waiting.update(waiting)
        self.worker.submit(jobs)
        return list(await asyncio.gather(*waiting.values()))


@contextlib.asynccontextmanager
async def zygote(runtime_dir: Path = RUNTIME_DIR) -> AsyncIterator[Zygote]:
    started = Zygote(runtime_dir)
    await started.start()
    try:
        yield started
    finally:
        await started.stop()


@contextlib.asynccontextmanager
async def script(
    zygote: Zygote,
    code: str,
    answer: Answer = nothing_expected,
    *,
    running: Script | None = None,
    settings: bytes = b"{}",
) -> AsyncIterator[Script]:
    """A worker with this code: a whole script, with its onTrack; `running` replaces what answers its requests."""
    running = running or Script(answer)
    running.worker = await zygote.fork(code, settings, LIMITS, running.on_outcomes, running.on_request, running.on_exit)
    try:
        yield running
    finally:
        await running.worker.stop()


async def returned(zygote: Zygote, body: str, answer: Answer = nothing_expected) -> Any:
    """What an async onTrack with this body returns."""
    async with script(zygote, f"async function onTrack(event) {{ {body}\n}}", answer) as running:
        (outcome,) = await running.track({})
    assert outcome.ok, outcome.error
    return json.loads(outcome.value) if outcome.value is not None else None
