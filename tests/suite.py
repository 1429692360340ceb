"""Runs every test; what failed is run once more, in a process of its own.

Thousands of tests of timing on a shared machine meet a stall now and then. Who fails twice is broken; who passes
then is named at the end, and is a defect to mend as well. `python tests/suite.py` exits as pytest does.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAST_FAILED = ROOT / ".pytest_cache/v/cache/lastfailed"
# More than these is no stall.
AGAIN_MAX = 3


def main() -> int:
    code = _pytest("--cache-clear")
    if code != 1:
        # Passed, or interrupted, or could not begin.
        return code
    failed = list(json.loads(LAST_FAILED.read_text()))
    if len(failed) > AGAIN_MAX:
        return code
    code = _pytest("--last-failed", "--last-failed-no-failures=none")
    verdict = "BROKEN: failed twice" if code else "UNSOUND: failed among the others, passed by itself; mend it"
    for name in failed:
        print(f"{verdict}: {name}", flush=True)
    return code


def _pytest(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
