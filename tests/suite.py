"""Runs every test, in several processes; what failed is run once more, in one of its own.

Each process has servers of its own, and the tests of a file are in one process, for what they share. There is one
process more than there are CPUs: tests wait for half of their time.

Thousands of tests of timing on a shared machine meet a stall now and then. Who fails twice is broken; who passes
then is named at the end, and is a defect to mend as well. `python -m tests.suite` exits as pytest does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAST_FAILED = ROOT / ".pytest_cache/v/cache/lastfailed"
# More than these is no stall.
AGAIN_MAX = 3
# Each process has a Postgres, of up to 4 GiB, and a NATS server.
PROCESSES_MAX = 4


class Passed:
    """Counts tests that ran and passed: a skip is neither."""

    count = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.count += report.when == "call" and report.passed


def main(names: list[str]) -> int:
    """All tests, or those that are named, each of which has to pass."""
    if names:
        passed = Passed()
        code = int(pytest.main([*names], plugins=[passed]))
        return code or int(passed.count != len(names))
    LAST_FAILED.unlink(missing_ok=True)
    processes = min(len(os.sched_getaffinity(0)) + 1, PROCESSES_MAX)
    # As they come: by the number of tests, the long ones would be left for the end.
    options = ("--dist", "loadfile", "--no-loadscope-reorder")
    code = int(pytest.main(["--numprocesses", str(processes), *options]))
    if code != pytest.ExitCode.TESTS_FAILED or not LAST_FAILED.exists():
        # Passed, interrupted, not begun, or failed outside of any test.
        return code
    failed = list(json.loads(LAST_FAILED.read_text()))
    return again(failed) if len(failed) <= AGAIN_MAX else code


def again(failed: list[str]) -> int:
    """Run these by themselves, and say what that shows of them."""
    command = [sys.executable, "-m", "tests.suite", *failed]
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    verdict = "BROKEN: failed twice" if code else "UNSOUND: failed among the others, passed by itself; mend it"
    for name in failed:
        print(f"{verdict}: {name}", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
