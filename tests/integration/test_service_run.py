"""How a service starts, stops and fails, as its process shows it."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PROGRAM = """
import asyncio, sys
from kit.errors import Unavailable
from kit.service import run
from kit.settings import ServiceSettings, SettingsError

class App:
    async def start(self):
        if sys.argv[1] == "unavailable":
            raise Unavailable("Postgres does not answer at 127.0.0.1:1.")
        if sys.argv[1] == "bug":
            raise RuntimeError("a bug")
    async def run(self):
        print("running", flush=True)
        if sys.argv[1] == "fails later":
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.fail())
        try:
            await asyncio.Event().wait()
        finally:
            if sys.argv[1] == "never drains":
                await asyncio.Event().wait()
    async def fail(self):
        raise Unavailable("NATS is gone for good.")
    async def stop(self):
        print("stopped", flush=True)
        if sys.argv[1] == "never stops":
            await asyncio.Event().wait()

async def build(settings):
    if sys.argv[1] == "never built":
        print("building", flush=True)
        await asyncio.Event().wait()
    if sys.argv[1] == "misconfigured":
        raise SettingsError("ONWARD_KEY: is no key")
    return App()

import kit.service
kit.service.STOP_SLACK_S = 0.05
run("probe", ServiceSettings, build)
"""


async def process(how: str, **environment: str) -> asyncio.subprocess.Process:
    given = {k: v for k, v in os.environ.items() if not k.startswith("ONWARD_")}
    given |= {"PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}", "ONWARD_SERVICE_TOKEN": "0123456789abcdef", **environment}
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, how, env=given, stdout=pipe, stderr=pipe, cwd=ROOT
    )


async def ended(running: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    out, err = await running.communicate()
    return running.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_the_service_cleanly(number: signal.Signals) -> None:
    running = await process("well")
    assert running.stdout is not None
    assert await running.stdout.readline() == b"running\n"
    running.send_signal(number)
    code, out, err = await ended(running)
    assert (code, out) == (0, "stopped\n")
    actions = [json.loads(line)["action"] for line in err.splitlines()]
    assert actions == ["service_started", "service_stopping", "service_stopped"]


async def test_a_bad_variable_is_one_line_and_exit_code_2() -> None:
    code, _, err = await ended(await process("well", ONWARD_LISTNE="127.0.0.1:0"))
    assert code == 2
    assert err == "onward probe: ONWARD_LISTNE is not a setting (did you mean ONWARD_LISTEN?)\n"


async def test_a_setting_that_only_the_service_can_judge_is_exit_code_2_too() -> None:
    code, _, err = await ended(await process("misconfigured"))
    assert code == 2
    assert json.loads(err)["reason"] == "ONWARD_KEY: is no key"


async def test_a_failed_start_is_one_line_without_traceback_and_stops_what_was_started() -> None:
    code, out, err = await ended(await process("unavailable"))
    assert (code, out) == (1, "stopped\n")
    failed = json.loads(err.splitlines()[0])
    assert failed["reason"] == "Postgres does not answer at 127.0.0.1:1."
    assert "exception" not in failed


async def test_a_bug_leaves_its_traceback() -> None:
    code, _, err = await ended(await process("bug"))
    assert code == 1
    assert "RuntimeError: a bug" in json.loads(err.splitlines()[0])["exception"]


async def test_a_part_that_fails_later_ends_the_service() -> None:
    code, out, err = await ended(await process("fails later"))
    assert (code, out) == (1, "running\nstopped\n")
    assert json.loads(err.splitlines()[1])["reason"] == "NATS is gone for good."


@pytest.mark.parametrize("how", ["never stops", "never drains"])
async def test_a_stop_is_bounded(how: str) -> None:
    running = await process(how, ONWARD_DRAIN_SECONDS="0.05")
    assert running.stdout is not None
    await running.stdout.readline()
    running.terminate()
    code, _, err = await ended(running)
    assert code == 1
    assert "within 0.1 s" in err


async def test_a_signal_also_stops_what_is_still_being_built() -> None:
    running = await process("never built")
    assert running.stdout is not None
    assert await running.stdout.readline() == b"building\n"
    running.terminate()
    assert (await ended(running))[0] == 0
