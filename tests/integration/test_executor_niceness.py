"""Workers that compute for long step back in the kernel's queue, also where it shares out cores by session first."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.executor.runtime.processes import renice

pytestmark = pytest.mark.integration

GROUP = Path("/proc/self/autogroup")


@pytest.fixture
def waiting() -> Iterator[int]:
    """A process that leads a session of its own, as workers do."""
    arguments = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(arguments, start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield child.pid
        child.kill()


def test_a_process_that_steps_back_does_so_as_a_thread_and_as_a_group(waiting: int) -> None:
    assert renice(waiting, 10)
    assert os.getpriority(os.PRIO_PROCESS, waiting) == 10
    if GROUP.exists():
        assert Path(f"/proc/{waiting}/autogroup").read_text().split()[-1] == "10"


def test_a_process_in_the_group_of_another_leaves_the_group_as_it_is() -> None:
    before = GROUP.read_text() if GROUP.exists() else ""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert renice(child.pid, 10)
        child.kill()
    assert (GROUP.read_text() if GROUP.exists() else "") == before


def test_a_process_that_is_gone_cannot_step_back() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    assert not renice(child.pid, 10)
