"""onward demo"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import signal
import sys
import tempfile
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path

from cli.console_log import show_warnings
from cli.demo.scenario import Demo, Result
from cli.failures import Exit, UsageError
from cli.output import counted, print_json, say, warn


async def demo(*, data: Path | None = None, keep: bool = False, json: bool = False, debug: bool = False) -> int:
    """Show everything at work: set up, publish 2,000 events, deliver, retry, refuse, audit.

    Uses a fresh data folder, runs real Postgres, NATS and services, and an API on
    this machine that is busy now and then. All numbers are known beforehand; the
    exit code is 0 only if every one is as expected.

    Example: onward demo --keep

    Parameters
    ----------
    data
        Use this folder, which must not exist yet, and keep it.
    keep
        Keep the data folder, to look around afterwards with `onward up --data`.
    json
        Print the result as JSON; the story goes to stderr.
    debug
        Show the traceback of an error.
    """
    show_warnings()
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    folder = _folder(data)
    try:
        with redirect_stdout(sys.stderr if json else sys.stdout):
            result = await Demo(folder).run()
            _conclude(result, folder, kept=keep or data is not None)
    finally:
        if not keep and data is None:
            shutil.rmtree(folder, ignore_errors=True)
    if json:
        print_json(_as_json(result))
    return Exit.FAILED if result.problems else Exit.OK


def _folder(data: Path | None) -> Path:
    """Name a folder that does not exist: Postgres and NATS make theirs with the rights that they need."""
    if data is None:
        return Path(tempfile.gettempdir()) / f"onward-demo-{secrets.token_hex(4)}"
    if data.exists():
        raise UsageError(f"{data} exists already: the demo needs a fresh folder, so name another with --data")
    return data


def _conclude(result: Result, folder: Path, *, kept: bool) -> None:
    say()
    if result.problems:
        for problem in result.problems:
            warn(problem)
        say(f"Not as expected: {counted(len(result.problems), 'difference')}, told above.")
        return
    say(f"Every number is as expected, after {result.seconds:.0f} s.")
    if kept:
        say(f"Everything is kept in {folder}. Go on with: onward up --data {folder}")
    else:
        say("Go on with your own: `onward up` in one terminal, and in another what `onward --help` begins with.")


def _as_json(result: Result) -> dict[str, object]:
    return {
        "ok": not result.problems,
        "problems": list(result.problems),
        "seconds": round(result.seconds, 1),
        "destinations": {
            name: asdict(one.counts)
            | {"latencyMsP50": one.latency_ms_p50, "latencyMsP95": one.latency_ms_p95, "pending": one.pending}
            for name, one in result.found.items()
        },
        "expected": {name: asdict(counts) for name, counts in result.expected.items()},
    }
