"""A zygote, and a way to run a few events through one worker and see everything that came of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from services.executor.runtime.pool import (
    HostRequest,
    Job,
    Limits,
    Outcome,
    Worker,
    WorkerExit,
    Zygote,
)
from services.executor.settings import RUNTIME_DIR

PATIENCE_S = 20.0
Answer = Callable[[Worker, HostRequest], None]


def never(_: Worker, __: HostRequest) -> None:
    """Leave a request unanswered."""


@dataclass
class Run:
    """One worker and what it has said."""

    outcomes: dict[int, Outcome] = field(default_factory=dict)
    requests: list[HostRequest] = field(default_factory=list)
    exit: WorkerExit | None = None
    answer: Answer = never
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    worker: Worker = field(init=False)

    def on_outcomes(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            assert outcome.id not in self.outcomes, f"two outcomes for one job: {outcome}"
            self.outcomes[outcome.id] = outcome
        self.changed.set()

    def on_request(self, request: HostRequest) -> None:
        self.requests.append(request)
        self.answer(self.worker, request)

    def on_exit(self, exit_: WorkerExit) -> None:
        self.exit = exit_
        self.changed.set()

    async def until(self, done: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not done():
                await self.changed.wait()
                self.changed.clear()

    async def events(self, *events: Any, type_: str = "track", capture: bool = True, alone: bool = False) -> Run:
        """Send one batch, numbered from where the last ended, and wait for all of it or the worker's end."""
        first = len(self.outcomes)
        jobs = [Job(first + n, type_, json.dumps(event).encode(), capture) for n, event in enumerate(events)]
        self.worker.submit(jobs, alone=alone)
        await self.until(lambda: self.exit or all(job.id in self.outcomes for job in jobs))
        return self

    async def end(self) -> WorkerExit:
        await self.until(lambda: self.exit)
        assert self.exit is not None
        return self.exit

    def value(self, job: int = 0) -> Any:
        outcome = self.outcomes[job]
        assert outcome.ok, outcome.error
        return json.loads(outcome.value) if outcome.value is not None else None

    def error(self, job: int = 0) -> Any:
        error = self.outcomes[job].error
        assert error is not None, self.outcomes[job]
        return error

    def logs(self, job: int = 0) -> list[str]:
        return [line.text for line in self.outcomes[job].logs]


class Sandbox:
    """The zygote of one test."""

    def __init__(self, zygote: Zygote) -> None:
        self.zygote = zygote

    async def load(
        self, code: str, *, settings: Any = None, limits: Limits | None = None, answer: Answer = never
    ) -> Run:
        run = Run(answer=answer)
        encoded = json.dumps(settings or {}).encode()
        listeners = run.on_outcomes, run.on_request, run.on_exit
        run.worker = await self.zygote.fork(code, encoded, limits or Limits(), *listeners)
        return run

    async def run(self, code: str, *events: Any, **options: Any) -> Run:
        """Load a script and send it one batch (of one empty event by default)."""
        run = await self.load(code, **options)
        return await run.events(*(events or ({},)))


@asynccontextmanager
async def sandbox_of(**options: Any) -> AsyncIterator[Sandbox]:
    zygote = Zygote(RUNTIME_DIR, **options)
    await zygote.start()
    try:
        yield Sandbox(zygote)
    finally:
        await zygote.stop()
