"""What can be checked on this machine, whether or not anything runs."""

from __future__ import annotations

import platform
import shutil
import sys
from pathlib import Path

from kit.status.check import GIB, MIB, Check, failure, ok, size, warning

# pyproject.toml has the same.
PYTHON_MIN = (3, 11)
PYTHON_BELOW = (3, 14)
# Below the first, Postgres and NATS are about to stop; a stream alone may grow by 4 GiB.
DISK_NONE_BYTES = 500 * MIB
DISK_LITTLE_BYTES = 2 * GIB
DISK_LITTLE_SHARE = 0.1

DISK_ADVICE = "make room: Postgres and NATS stop where there is none"


def local_checks(data: Path, *, needed: bool) -> list[Check]:
    """Check Python, the data folder and its disk. `needed`: nothing else says where services are."""
    checks = [judge_python(sys.version_info[:2])]
    if data.is_dir():
        usage = shutil.disk_usage(data)
        checks += [ok("data", str(data.resolve())), judge_disk(usage.free, usage.total)]
    elif needed:
        advice = "run `onward up` here, name its folder with --data, or addresses with --registry and the like"
        checks.append(failure("data", f"there is no data folder {data}", advice))
    return checks


def judge_python(version: tuple[int, ...]) -> Check:
    """`version` is major and minor."""
    told = platform.python_version()
    if PYTHON_MIN <= version < PYTHON_BELOW:
        return ok("python", told)
    return warning("python", f"{told} is not one that Onward is tested with", "use Python 3.11, 3.12 or 3.13")


def judge_disk(free: int, total: int) -> Check:
    """Both in bytes."""
    message = f"{size(free)} of {size(total)} are free"
    if free < DISK_NONE_BYTES:
        return failure("disk", message, DISK_ADVICE)
    if free < DISK_LITTLE_BYTES or free < DISK_LITTLE_SHARE * total:
        return warning("disk", message, DISK_ADVICE)
    return ok("disk", message)
