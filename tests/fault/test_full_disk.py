"""A disk that is full, below NATS and below Postgres."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kit.testing.servers import short_lived_folder
from tests.fault.system import ROOT

pytestmark = [pytest.mark.fault]

# Postgres takes the most, for its first files alone.
SIZES = {"nats": "40m", "postgres": "160m"}


@pytest.mark.parametrize("below", SIZES)
@pytest.mark.timeout(240)
def test_what_waits_while_the_disk_is_full_is_stored_when_it_has_room_again(below: str) -> None:
    """A26: no acknowledged event or outcome is lost or doubled, and nobody has to do anything but make room."""
    with short_lived_folder() as path:
        mount = f"mount -t tmpfs -o size={SIZES[below]},mode=711 tmpfs {path}"
        if subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True, check=False).returncode != 0:
            pytest.skip("no permission to mount a small file system")
        start = ["unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', "sh"]
        argv = [*start, sys.executable, "-m", "tests.fault.full_disk", below, str(path)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
