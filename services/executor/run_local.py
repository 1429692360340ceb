"""`python -m services.executor.run_local RUNTIME_DIR` runs code without any server, for `onward functions run-local`.

A line of JSON in, a line of JSON out, so that the same sandbox serves every run of `--watch`. The first line out is
`{"degradations": [...]}`. Each line in is a TestFunctionRequest of the workspace `local`; it is answered with
`{"report": ...}`, a RunReport, or with `{"error": {"code", "message", "violations"}}`. It ends with its input.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import orjson
import structlog
from google.protobuf import json_format

from kit import logs
from kit.clock import SystemClock
from kit.errors import NotFound, OnwardError
from kit.rpc.validation import validate
from onward.executor.v1 import execution_service_pb2 as pb
from onward.registry.v1 import resources_pb2
from services.executor.handlers.egress import Egress
from services.executor.handlers.function_tests import FunctionTests
from services.executor.handlers.places import CheckPlaces
from services.executor.handlers.trial_places import TrialPlaces
from services.executor.handlers.trials import Trials
from services.executor.runtime.addresses import Network
from services.executor.runtime.broker import Broker
from services.executor.runtime.pool import Zygote

log = structlog.get_logger(__name__)

WORKSPACE = "local"
# A request holds an event of 2 MiB at most, which JSON may write six times as long, and the code.
LINE_BYTES_MAX = 16 << 20
# What --allow-private opens: this machine, and networks that nobody reaches from outside.
PRIVATE = ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")


@contextlib.asynccontextmanager
async def sandbox(runtime_dir: Path, ranges: tuple[Network, ...]) -> AsyncIterator[tuple[Zygote, FunctionTests]]:
    """The parts of an executor that a run needs, from start to stop."""
    clock = SystemClock()
    zygote, broker = Zygote(runtime_dir), Broker()
    egress = Egress(broker, clock)

    async def ranges_of(_workspace: str) -> tuple[Network, ...]:
        return ranges

    async def read_version(name: str, _number: int) -> resources_pb2.Version:
        raise NotFound(f"{name} is not here: without a server there is only the code that is given.")

    trials = Trials(zygote, egress, ranges_of, TrialPlaces(), clock)
    async with asyncio.TaskGroup() as group:
        try:
            await zygote.start()
            await broker.start()
            requests = group.create_task(egress.run())
            yield zygote, FunctionTests(zygote, trials, CheckPlaces(), read_version, clock)
            requests.cancel()
        finally:
            await broker.stop()
            await zygote.stop()


async def answer(tests: FunctionTests, line: bytes) -> dict[str, Any]:
    """What one line is answered with."""
    try:
        request = json_format.Parse(line, pb.TestFunctionRequest())
        validate(request)
        report = (await tests.run(request, WORKSPACE, "")).report
        return {"report": json_format.MessageToDict(report)}
    except json_format.ParseError as error:
        return {"error": {"code": "INVALID_ARGUMENT", "message": f"no TestFunctionRequest: {error}", "violations": []}}
    except OnwardError as error:
        return {"error": {"code": error.code, "message": error.message, "violations": error.violations}}
    # A fault of ours is told in its run, and ends no others.
    except Exception:
        log.exception("run_failed")
        message = "a fault of Onward's kept it from being run or told; what is known of it stands above"
        return {"error": {"code": "INTERNAL", "message": message, "violations": []}}


async def _lines() -> AsyncIterator[bytes]:
    reader = asyncio.StreamReader(limit=LINE_BYTES_MAX)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line


def _say(document: dict[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(document) + b"\n")
    sys.stdout.buffer.flush()


async def serve(runtime_dir: Path, *, allow_private: bool) -> None:
    """Answer lines until there are no more."""
    ranges = tuple(ip_network(one) for one in PRIVATE) if allow_private else ()
    async with sandbox(runtime_dir, ranges) as (zygote, tests):
        _say({"degradations": zygote.degradations})
        async for line in _lines():
            _say(await answer(tests, line))


def main() -> None:
    parser = argparse.ArgumentParser(prog="services.executor.run_local")
    parser.add_argument("runtime_dir", type=Path)
    parser.add_argument("--allow-private", action="store_true")
    arguments = parser.parse_args()
    logs.configure("run-local", "warning", "text")
    # Whoever started this ends it by closing its input, and is the one whom Ctrl-C is for.
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(arguments.runtime_dir, allow_private=arguments.allow_private))


if __name__ == "__main__":
    main()
