"""A sandbox on this machine, without any server: a program of the executor's, spoken to in lines of JSON."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Any, Self

import orjson
from google.protobuf import json_format

from cli.failures import CommandError, UsageError
from onward.executor.v1 import execution_service_pb2 as pb

# Where `make setup` puts what runs in the sandbox.
RUNTIME_DIR = Path(__file__).resolve().parents[1] / "build" / "runtime"
PROGRAM = "services.executor.run_local"
WORKSPACE = "workspaces/local"
# V8 takes half a second; a machine under load needs its time.
START_S = 30.0
# Beyond the function's own time: to check the code, and for a machine under load.
SLACK_S = 20.0
DEFAULT_TIMEOUT_MS = 5000
STOP_S = 5.0
# A report is at most as long as a message of gRPC's, in JSON.
LINE_BYTES_MAX = 32 << 20


class LocalSandbox:
    """Use it as an async context manager; runs come one after the other. `degradations`: what the kernel refuses.

    A program that ended, or that owes an answer, is replaced by the next run: an answer that comes late would be taken
    for the next one's.
    """

    def __init__(self, *, allow_private: bool, slack_s: float = SLACK_S) -> None:
        self._options = ["--allow-private"] if allow_private else []
        self._slack_s = slack_s
        self._process: asyncio.subprocess.Process | None = None
        self.degradations: list[str] = []

    async def __aenter__(self) -> Self:
        if not (RUNTIME_DIR / "prelude.js").is_file():
            raise UsageError(f"there is no JavaScript bundle in {RUNTIME_DIR}: run `make setup`")
        await self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop(STOP_S)

    async def run(self, request: pb.TestFunctionRequest) -> pb.RunReport:
        """Raises CommandError where the request is refused, and where no answer comes."""
        if self._process is None:
            await self._start()
        timeout_s = (request.timeout_ms or DEFAULT_TIMEOUT_MS) / 1000 + self._slack_s
        answer = await self._answer(json_format.MessageToJson(request, indent=None), timeout_s)
        if "error" in answer:
            raise CommandError(answer["error"]["message"])
        return json_format.ParseDict(answer["report"], pb.RunReport())

    async def _start(self) -> None:
        # Ctrl-C is for us; the program ends when its input does.
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", PROGRAM, str(RUNTIME_DIR), *self._options,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            start_new_session=True, limit=LINE_BYTES_MAX,
        )  # fmt: skip
        self.degradations = (await self._answer("", START_S))["degradations"]

    async def _answer(self, line: str, timeout_s: float) -> dict[str, Any]:
        """What the program says next, to this line if it is one; without an answer the program is ended."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(line)
        except TimeoutError:
            await self._stop(0.0)
            raise CommandError(f"the sandbox does not answer within {timeout_s:.0f} s: try again") from None
        # Its pipe is closed, or what it says is no line of JSON.
        except (OSError, ValueError):
            await self._stop(0.0)
            raise CommandError("the sandbox ended by itself: what it says stands above; try again") from None
        except BaseException:
            await self._stop(0.0)
            raise

    async def _exchange(self, line: str) -> dict[str, Any]:
        assert self._process is not None, "started before"
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if line:
            self._process.stdin.write(line.encode() + b"\n")
            await self._process.stdin.drain()
        document: dict[str, Any] = orjson.loads(await self._process.stdout.readline())
        return document

    async def _stop(self, grace_s: float) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(grace_s):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
