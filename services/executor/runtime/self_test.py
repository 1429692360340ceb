"""Tries the sandbox from inside: workers that are thrown away attempt what none may do, and this judges the answers.

An executor does so at its start. By hand: `python -m services.executor.runtime.self_test [--json]`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from services.executor.runtime.pool import Zygote
from services.executor.runtime.probes import ALLOWED, DEADLY, SURVIVED
from services.executor.runtime.worker_link import Worker

# The degradation that a failed probe is; docs/operations.md has it beside those of lockdown.py.
DEGRADATION: Final = "self-test"
REFUSED: Final = "refused"
KILLED: Final = "killed"
_KILLED_BY: Final = "SIGSYS"
# EPERM is seccomp's answer, EACCES Landlock's, the next two those of a kernel that does not have the thing at all, and
# ENETUNREACH that of a network without routes.
REFUSALS: Final = frozenset({"EPERM", "EACCES", "ENOSYS", "ENODEV", "ENETUNREACH"})
# A worker sends names and errors; one that was taken over may send anything.
_TEXT_CHARS_MAX: Final = 80


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one probe: an error's name, a signal, "allowed", or why there is no answer."""

    probe: str
    expected: str
    got: str

    @property
    def passed(self) -> bool:
        """A refusal is as good as death."""
        return self.got in REFUSALS or (self.expected == KILLED and self.got == _KILLED_BY)

    def __str__(self) -> str:
        return f"{self.probe}: expected to be {self.expected}, got {self.got}"


def degradations_of(findings: Sequence[Finding]) -> list[str]:
    """The probes that failed, as an executor names what its sandbox lacks."""
    return [f"{DEGRADATION}: {finding}" for finding in findings if not finding.passed]


async def self_test(
    zygote: Zygote, *, endpoints: Sequence[tuple[str, int]] = (), files: Sequence[Path] = ()
) -> list[Finding]:
    """Try everything. `endpoints` listen, and `files` exist, so that nothing but the sandbox is in the way.

    Raises OSError or TimeoutError where no worker can be had.
    """
    workers = [await zygote.bare() for _ in range(2)]  # each has a sibling to reach for
    sibling = workers[1].pid
    targets = {
        "parent": zygote.pid,
        "sibling": sibling,
        "executor": os.getpid(),
        "endpoints": list(endpoints),
        "files": [os.fspath(file) for file in files] + ["/etc/passwd", "/proc/self/maps"],
    }
    try:
        findings = await _survived(workers[0], targets)
        async with asyncio.TaskGroup() as group:
            deadly = [group.create_task(_deadly(zygote, name, targets)) for name in DEADLY]
    finally:
        for worker in workers:
            worker.kill()
    return findings + [task.result() for task in deadly]


async def _survived(worker: Worker, targets: dict[str, Any]) -> list[Finding]:
    """All that a worker must survive, in one."""
    got = await _ask(worker, list(SURVIVED), targets)
    return [Finding(name, REFUSED, got.get(name, got[""])) for name in SURVIVED]


async def _deadly(zygote: Zygote, name: str, targets: dict[str, Any]) -> Finding:
    """What must end a worker, in one of its own."""
    worker = await zygote.bare()
    try:
        got = await _ask(worker, [name], targets)
    finally:
        worker.kill()
    return Finding(name, KILLED, got.get(name, got[""]))


async def _ask(worker: Worker, names: list[str], targets: dict[str, Any]) -> dict[str, str]:
    """Answers by name; that under "" stands for those which are missing."""
    try:
        said = await worker.probe(json.dumps({"names": names, "targets": targets}).encode())
        return {"": "no answer"} | {str(name): str(got)[:_TEXT_CHARS_MAX] for name, got in said}
    except ConnectionError:
        # Whoever ends without a signal did what it was to do, and became another program for one.
        return {"": worker.end_signal or ALLOWED}
    except (TimeoutError, TypeError, ValueError) as error:
        return {"": f"no answer ({type(error).__name__})"}


# ---- by hand ---------------------------------------------------------------------------------------------------------


async def _listening() -> tuple[asyncio.Server, tuple[str, int]]:
    """A server for the probes to reach for, in place of Onward's own."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    return server, (host, port)


async def _by_hand(runtime_dir: Path, *, jitless: bool) -> tuple[list[str], list[Finding]]:
    zygote = Zygote(runtime_dir, jitless=jitless)
    server, endpoint = await _listening()
    async with server:
        await zygote.start()
        try:
            findings = await self_test(zygote, endpoints=[endpoint], files=[runtime_dir / "prelude.js"])
        finally:
            await zygote.stop()
    return zygote.degradations, findings


def _table(degradations: Sequence[str], findings: Sequence[Finding]) -> str:
    width = max(len(one.probe) for one in findings)
    lines = [f"{'probe':{width}}  expected  got"]
    lines += [f"{one.probe:{width}}  {one.expected:8}  {one.got}{'' if one.passed else '  FAILED'}" for one in findings]
    failed = sum(not one.passed for one in findings)
    lines += ["", f"{len(findings) - failed} of {len(findings)} as expected"]
    return "\n".join([*lines, *(f"degraded: {what}" for what in degradations)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Program entry; 1 where the sandbox lacks anything."""
    from services.executor.settings import RUNTIME_DIR

    parser = argparse.ArgumentParser(prog="python -m services.executor.runtime.self_test", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--jitless", action="store_true", help="try workers without compiled code")
    parser.add_argument("--runtime-dir", type=Path, default=RUNTIME_DIR, help="the JavaScript bundle")
    options = parser.parse_args(arguments)
    degradations, findings = asyncio.run(_by_hand(options.runtime_dir, jitless=options.jitless))
    if options.json:
        found = [asdict(one) | {"passed": one.passed} for one in findings]
        print(json.dumps({"degradations": degradations, "probes": found}, indent=2))
    else:
        print(_table(degradations, findings))
    return 1 if degradations or not all(one.passed for one in findings) else 0


if __name__ == "__main__":
    sys.exit(main())
