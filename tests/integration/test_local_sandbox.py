"""The sandbox of `onward functions run-local`, a program of its own, when it does not do as it should."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from cli.failures import CommandError
from cli.local_sandbox import LocalSandbox
from onward.executor.v1 import execution_service_pb2 as pb
from tests.integration.trial_world import request_of

pytestmark = pytest.mark.integration


def returning(code: str, timeout_ms: int = 60_000) -> pb.TestFunctionRequest:
    return request_of(f"function onTrack() {{ return {code} }}", name="workspaces/local", timeout_ms=timeout_ms)


def programs() -> list[int]:
    """The sandboxes that this process has started."""
    children = Path("/proc/thread-self/children").read_text().split()
    return [int(one) for one in children if b"run_local" in Path(f"/proc/{one}/cmdline").read_bytes()]


async def test_an_answer_that_came_too_late_is_not_taken_for_the_next_runs() -> None:
    async with LocalSandbox(allow_private=False, slack_s=-1.0) as sandbox:
        slow = returning("new Promise((resolve) => setTimeout(resolve, 1500, 'old'))", timeout_ms=2000)
        with pytest.raises(CommandError, match="does not answer within 1 s"):
            await sandbox.run(slow)
        for value in ("'new'", "'newer'"):
            assert (await sandbox.run(returning(value))).value == value.replace("'", '"')
    assert programs() == []


async def test_a_sandbox_that_was_killed_is_told_once_and_replaced() -> None:
    async with LocalSandbox(allow_private=False) as sandbox:
        assert (await sandbox.run(returning("1"))).value == "1"
        (program,) = programs()
        os.kill(program, signal.SIGKILL)
        with pytest.raises(CommandError, match="ended by itself"):
            await sandbox.run(returning("2"))
        assert (await sandbox.run(returning("3"))).value == "3"
    assert programs() == []
