"""Many faults in a row under load, and what became of every event.

    python -m tests.fault.harness [--kills 200] [--seed 1] [--json FILE]

Two processes publish numbered events, one to a function that does nothing else, one to a function that sends each event
to an API which is too busy for some at first. Meanwhile processes are killed (SIGKILL) or stopped for a while
(SIGSTOP), and the configuration changes. At the end every acknowledged event must have ended once, delivered, and all
else that is kept must agree with it: tests/fault/checker.py. The schedule of a seed is always the same; what it meets
is not. The exit code is 1 where anything is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from cli.client_file import ClientFile
from kit.testing.eventually import eventually
from tests.fault import checker
from tests.fault.events import TRIVIAL
from tests.fault.ledger import check_trail
from tests.fault.receiver import POST, Receiver
from tests.fault.schedule import GAP_MEAN_S, Fault, faults
from tests.fault.system import ROOT, WORKSPACE, Route, System, all_serving, running_system

KILLS = 200
# Enough that there is work under way in every moment, and little enough that two cores recover from each fault.
PLAIN_PER_S = 300
POSTED_PER_S = 100
# A part that was killed is back within seconds, on a busy machine within more.
RESTART_TIMEOUT_S = 90.0
# At the end, for so long nothing may go on: redeliveries come after ack_wait (10 s), the last retries sooner.
STALLED_TIMEOUT_S = 60.0
# The horizon is beyond any run: an outage must not end a delivery.
RETRY_OFFSETS_S = "4,6,8,60,7200"
# How often the configuration is changed.
CHANGE_INTERVAL_S = 2.0


@dataclass(slots=True)
class Load:
    """A publishing process that is started again whenever it has ended."""

    route: Route
    config: Path
    process: asyncio.subprocess.Process | None = None
    stopping: bool = False

    @property
    def folder(self) -> Path:
        return self.config.parent

    async def run(self) -> None:
        """Keep it running until `stop`; the last one must end by itself, with everything acknowledged."""
        while True:
            with (self.folder / "log").open("ab") as log:
                self.process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "tests.fault.load", str(self.config), cwd=ROOT, stdout=log, stderr=log
                )
            code = await self.process.wait()
            if self.stopping and code == 0:
                return
            killed = code == -signal.SIGKILL
            assert killed, f"the publisher failed: {(self.folder / 'log').read_text()[-2000:]}"

    async def stop(self) -> None:
        self.stopping = True
        # It may be starting, and would not hear it.
        await eventually(lambda: (self.folder / "attempted").exists(), timeout_s=RESTART_TIMEOUT_S)
        with suppress(ProcessLookupError):
            assert self.process is not None
            self.process.send_signal(signal.SIGTERM)


@dataclass(slots=True)
class Harness:
    """One run."""

    system: System
    loads: list[Load]
    done: Counter[str] = field(default_factory=Counter)
    changes: int = 0
    downtime_s_max: float = 0.0

    async def run(self, schedule: Iterable[Fault]) -> None:
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for load in self.loads:
                group.create_task(load.run())
            group.create_task(self._change(over))
            group.create_task(self._watch(over))
            await self._hurt(schedule)
            over.set()
            await all_serving(self.system)
            for load in self.loads:
                await load.stop()

    async def _hurt(self, schedule: Iterable[Fault]) -> None:
        async with asyncio.TaskGroup() as group:
            for fault in schedule:
                await asyncio.sleep(fault.gap_s)
                pids = await self._pids(fault.part)
                _signal(pids, signal.SIGSTOP if fault.pause_s else signal.SIGKILL)
                self.done[f"{'pauses' if fault.pause_s else 'kills'}_{fault.part}"] += 1
                if fault.pause_s:
                    group.create_task(_resume(fault, pids))

    async def _pids(self, part: str) -> list[int]:
        """The processes of a part, once it has one: it may be on its way back from the last fault."""

        def found() -> list[int]:
            if part == "workers":
                return self.system.workers() if self.system.stack.pid("executor") else []
            if part == "publisher":
                return [load.process.pid for load in self.loads if load.process and load.process.returncode is None]
            pid = self.system.stack.pid(part)
            return [pid] if pid is not None else []

        return list(await eventually(found, timeout_s=RESTART_TIMEOUT_S))

    async def _change(self, over: asyncio.Event) -> None:
        """Change the configuration, so that facts are under way as well."""
        while not over.is_set():
            self.changes += 1
            await self.system.create_source(f"change-{self.changes}")
            with suppress(TimeoutError):
                async with asyncio.timeout(CHANGE_INTERVAL_S):
                    await over.wait()

    async def _watch(self, over: asyncio.Event) -> None:
        """Measure for how long nothing was acknowledged, at worst."""
        journal = self.loads[0].folder / "acknowledged"
        size, since = 0, time.monotonic()
        while not over.is_set():
            await asyncio.sleep(0.1)
            now, size_now = time.monotonic(), journal.stat().st_size if journal.exists() else 0
            if size_now != size:
                size, since = size_now, now
            self.downtime_s_max = max(self.downtime_s_max, now - since)

    def figures(self) -> dict[str, float]:
        """What was done to whom, and how long nothing was acknowledged at worst."""
        totals: dict[str, float] = dict.fromkeys(("kills", "pauses"), 0)
        for name, count in self.done.items():
            totals[name.partition("_")[0]] += count
        rest: dict[str, float] = {"changes": self.changes, "unacknowledged_s_max": round(self.downtime_s_max, 1)}
        return totals | dict(sorted(self.done.items())) | rest

    async def drained(self) -> None:
        """Wait until everything has ended, or nothing goes on; what is missing then is for the checker to name."""
        left, moved_at = await self._left(), time.monotonic()
        while left and time.monotonic() < moved_at + STALLED_TIMEOUT_S:
            await asyncio.sleep(1.0)
            now = await self._left()
            if now < left:
                moved_at = time.monotonic()
            left = now

    async def _left(self) -> int:
        found = 0
        for load in self.loads:
            found += await checker.left(self.system, load.route, load.folder)
            found += await checker.due(self.system, load.route)
        return found


def _signal(pids: list[int], signum: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signum)


async def _resume(fault: Fault, pids: list[int]) -> None:
    await asyncio.sleep(fault.pause_s)
    _signal(pids, signal.SIGCONT)


async def make_load(system: System, code: str, per_s: int, **settings: str) -> Load:
    """A route, and the configuration of who publishes to it."""
    route = await system.route(code, **settings)
    key = ClientFile(system.data / "client.json").read()["write_keys"][f"{WORKSPACE}/{route.source}"]
    folder = system.data / f"load-{route.source}"
    folder.mkdir()
    config = {
        "url": system.ends.nats_url, "key": key, "workspace": WORKSPACE, "source": route.source,
        "folder": str(folder), "per_s": per_s,
    }  # fmt: skip
    (folder / "config.json").write_bytes(orjson.dumps(config))
    return Load(route, folder / "config.json")


async def run(
    seed: int, kills: int, report: Path | None = None, gap_mean_s: float = GAP_MEAN_S
) -> tuple[dict[str, Any], list[str]]:
    """Run a schedule and give its figures, and what is wrong: nothing. A run that went wrong leaves its logs, too."""

    def busy(message_id: str, seen: int) -> int:
        return 503 if checker.is_flaky(message_id) and not seen else 200

    started = time.monotonic()
    async with (
        Receiver(status=busy) as receiver,
        running_system({"delivery": {"ONWARD_RETRY_OFFSETS_S": RETRY_OFFSETS_S}}) as system,
    ):
        plain = await make_load(system, TRIVIAL, PLAIN_PER_S)
        posted = await make_load(system, POST, POSTED_PER_S, endpoint=receiver.address)
        harness = Harness(system, [plain, posted])
        await harness.run(faults(seed, kills, gap_mean_s))
        hurt_s = time.monotonic() - started
        await harness.drained()
        events, wrong = await judged(harness, receiver)
        figures = {"seed": seed, "under_faults_s": round(hurt_s, 1)} | harness.figures() | events
        if report is not None:
            write(report, figures | {"wrong": wrong}, system.data / "logs" if wrong else None)
    return figures, wrong


def write(report: Path, document: dict[str, Any], logs: Path | None) -> None:
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    if logs is not None:
        shutil.copytree(logs, report.with_suffix(".logs"), dirs_exist_ok=True)


async def judged(harness: Harness, receiver: Receiver) -> tuple[dict[str, int], list[str]]:
    """The figures of all routes added up, and what is wrong with any."""
    figures: Counter[str] = Counter()
    wrong: list[str] = []
    for load, api in zip(harness.loads, (None, receiver), strict=True):
        verdict = await checker.check(harness.system, load.route, load.folder, api, api is not None)
        figures.update(verdict.figures)
        wrong += [f"{load.route.source}: {one}" for one in verdict.wrong]
    try:
        await check_trail(harness.system)
    except AssertionError as error:
        wrong.append(f"the trail: {error}")
    return dict(figures), wrong


def main() -> int:
    parser = argparse.ArgumentParser(description="Hurt a whole system under load and check what became of every event.")
    parser.add_argument("--kills", type=int, default=KILLS, help=f"processes to kill (default {KILLS})")
    parser.add_argument("--seed", type=int, default=1, help="of the schedule (default 1)")
    parser.add_argument("--json", type=Path, help="write the figures there (default build/fault/seed-SEED.json)")
    arguments = parser.parse_args()
    report = arguments.json or ROOT / "build" / "fault" / f"seed-{arguments.seed}.json"
    figures, wrong = asyncio.run(run(arguments.seed, arguments.kills, report))
    for name, value in figures.items():
        print(f"{name:28} {value:>12,}")
    for one in wrong:
        print(f"WRONG  {one}")
    print(f"{'nothing is wrong' if not wrong else 'something is wrong'}; written to {report}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
