"""Events of the scripts of tests/as_written in one batch: each does what it does alone, and it is told as its own."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from services.executor.runtime.broker import Broker
from services.executor.runtime.pool import HostRequest, Job, Zygote
from tests.integration import runtime_world
from tests.integration.partner_api import PartnerApi
from tests.integration.test_handlers_as_written import SCRIPTS, read_given
from tests.integration.test_runtime_differential import Asking, result_of

pytestmark = pytest.mark.integration

# These count their events, and return the count.
COUNTING = {"implicit_globals.js", "token_caching.js"}

Told = list[dict[str, Any]]


@dataclass
class Noting(Asking):
    """Notes whose each request is."""

    by_job: dict[int, list[dict[str, Any]]] = field(default_factory=dict)

    def on_request(self, request: HostRequest) -> None:
        if request.kind == "fetch":
            shown = {key: request.payload[key] for key in ("method", "url", "body")}
            self.by_job.setdefault(request.job_id, []).append(shown)
        super().on_request(request)


async def _run(zygote: Zygote, broker: Broker, script: Path, *chosen: int) -> Told:
    """What came of these events of a script, in one batch of a new worker. The API always gives the last answer."""
    api = PartnerApi(answers={asked: answers[-1:] for asked, answers in read_given(script)["answers"].items()})
    await api.start()
    given = read_given(script, api.url)
    running = Noting(runtime_world.nothing_expected, broker=broker)
    settings = json.dumps(given["settings"]).encode()
    try:
        async with (
            asyncio.TaskGroup() as running.group,
            runtime_world.script(zygote, script.read_text("utf-8"), running=running, settings=settings),
        ):
            jobs = [Job(at, given["events"][at][0], json.dumps(given["events"][at][1]).encode(), True) for at in chosen]
            async with asyncio.timeout(30):
                outcomes = {outcome.id: outcome for outcome in await running.run(*jobs)}
    finally:
        await api.stop()
    told = [
        {**result_of(outcomes[at]), "requests": sorted(running.by_job.get(at, []), key=json.dumps)} for at in chosen
    ]
    cleaned: Told = json.loads(json.dumps(told).replace(f":{api.port}", ":PORT"))
    return cleaned


@pytest.fixture(scope="module")
def found() -> dict[str, tuple[Told, Told]]:
    async def run() -> dict[str, tuple[Told, Told]]:
        broker = Broker()
        await broker.start()
        try:
            async with runtime_world.zygote() as zygote:
                return {script.name: await _both(zygote, broker, script) for script in SCRIPTS}
        finally:
            await broker.stop()

    return asyncio.run(run())


async def _both(zygote: Zygote, broker: Broker, script: Path) -> tuple[Told, Told]:
    count = len(read_given(script)["events"])
    alone = [(await _run(zygote, broker, script, at))[0] for at in range(count)]
    return alone, await _run(zygote, broker, script, *range(count))


@pytest.mark.parametrize("script", [script.name for script in SCRIPTS])
def test_an_event_does_among_others_what_it_does_alone(script: str, found: dict[str, tuple[Told, Told]]) -> None:
    alone, together = found[script]
    if script in COUNTING:
        keys = {"lines", "requests"}
        alone, together = ([{key: one[key] for key in keys} for one in told] for told in (alone, together))
    assert together == alone
