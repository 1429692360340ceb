"""The whole system as a user starts it, for programs that measure it: `onward up` on a folder of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import sysconfig
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import psutil

from cli.client_file import ClientFile
from kit.auth.tokens import parse_write_key
from kit.bus.connection import Bus, connect
from kit.rpc.client import open_channel
from onward.registry.v1 import destination_service_pb2 as destinations
from onward.registry.v1 import destination_service_pb2_grpc as destinations_rpc
from onward.registry.v1 import function_service_pb2 as functions
from onward.registry.v1 import function_service_pb2_grpc as functions_rpc
from onward.registry.v1 import source_service_pb2 as sources
from onward.registry.v1 import source_service_pb2_grpc as sources_rpc
from onward.registry.v1 import workspace_service_pb2 as workspaces
from onward.registry.v1 import workspace_service_pb2_grpc as workspaces_rpc

WORKSPACE = "bench"
STOP_TIMEOUT_S = 60.0


@dataclass(slots=True)
class System:
    """A running system. `pids` names each part's main process."""

    process: asyncio.subprocess.Process
    client: dict[str, Any]
    pids: dict[str, int]

    def tree(self, name: str) -> list[psutil.Process]:
        """List the processes of one part; "up" is the supervisor alone."""
        if name == "up":
            return [psutil.Process(self.process.pid)]
        parent = psutil.Process(self.pids[name])
        return [parent, *parent.children(recursive=True)]

    def parts(self) -> Iterable[str]:
        return ("up", *self.pids)

    def cpu_seconds(self) -> dict[str, float]:
        """Give the CPU time that each part has used so far, user and system."""
        return {name: sum(_cpu(process) for process in self.tree(name)) for name in self.parts()}

    def pss_mb(self) -> dict[str, float]:
        """Give each part's proportional memory: shared pages count once, divided among those who share them."""
        return {name: sum(_pss(process) for process in self.tree(name)) / 1e6 for name in self.parts()}

    def peak_rss_mb(self) -> dict[str, float]:
        """Give the sum of the peaks of each part's processes that still run; shared pages count once in each."""
        return {name: sum(_peak_rss(process) for process in self.tree(name)) / 1e6 for name in self.parts()}

    def credentials(self) -> grpc.ChannelCredentials:
        """Trust the authority of this installation."""
        return grpc.ssl_channel_credentials(Path(self.client["ca"]).read_bytes())

    async def database(self) -> asyncpg.Connection[asyncpg.Record]:
        """Connect to the tracker's database, as the tracker itself does."""
        dsn = psutil.Process(self.pids["delivery"]).environ()["ONWARD_POSTGRES_DSN"]
        return await asyncpg.connect(dsn)


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _pss(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss)
    except psutil.NoSuchProcess:
        return 0.0


def _peak_rss(process: psutil.Process) -> float:
    """Give the most resident memory that a process ever had, in bytes; psutil knows only what it has now."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return float(found[1]) * 1024 if found else 0.0


@asynccontextmanager
async def running_system() -> AsyncIterator[System]:
    """Start `onward up` on a temporary folder and end it afterwards."""
    with tempfile.TemporaryDirectory(prefix="onward-bench-") as folder:
        os.chmod(folder, 0o711)
        data = Path(folder) / "data"
        onward = Path(sysconfig.get_path("scripts")) / "onward"
        process = await asyncio.create_subprocess_exec(
            str(onward), "up", "--data", str(data), "--json", stdout=asyncio.subprocess.PIPE, stderr=sys.stderr
        )
        assert process.stdout is not None
        try:
            ready = json.loads(await process.stdout.readline() or b"{}")
            if "pids" not in ready:
                raise SystemExit("`onward up` did not start; its message is above")
            yield System(process, ClientFile(data / "client.json").read(), ready["pids"])
        finally:
            if process.returncode is None:
                process.terminate()
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()


async def connect_destination(system: System, name: str, code: str) -> Bus:
    """Make a source, a function with this code, and an enabled destination, all called `name`.

    Gives a publisher's bus for the source.
    """
    address = system.client["addresses"]["registry"]
    token = await _owner_token(system, address)
    channel = open_channel(address, token, credentials=system.credentials())
    try:
        function_stub: functions_rpc.FunctionServiceAsyncStub = functions_rpc.FunctionServiceStub(channel)
        source_stub: sources_rpc.SourceServiceAsyncStub = sources_rpc.SourceServiceStub(channel)
        stub: destinations_rpc.DestinationServiceAsyncStub = destinations_rpc.DestinationServiceStub(channel)
        parent = f"workspaces/{WORKSPACE}"
        await source_stub.CreateSource(sources.CreateSourceRequest(parent=parent, source_id=name, display_name=name))
        source = f"{parent}/sources/{name}"
        key = (await source_stub.CreateWriteKey(sources.CreateWriteKeyRequest(parent=source))).secret
        await function_stub.CreateFunction(
            functions.CreateFunctionRequest(parent=parent, function_id=name, display_name=name)
        )
        function = f"{parent}/functions/{name}"
        await function_stub.SaveFunction(functions.SaveFunctionRequest(name=function, code=code))
        await stub.ConnectDestination(
            destinations.ConnectDestinationRequest(
                source=source, function=function, destination_id=name, display_name=name
            )
        )
        await stub.EnableDestination(destinations.EnableDestinationRequest(name=f"{parent}/destinations/{name}"))
    finally:
        await channel.close()
    return await connect(system.client["nats_url"], parse_write_key(key).id, key, name="bench")


async def _owner_token(system: System, address: str) -> str:
    """Give the workspace's owner token; makes the workspace at the first call."""
    known: str | None = system.client.get("owner_token")
    if known is not None:
        return known
    channel = open_channel(address, system.client["operator_token"], credentials=system.credentials())
    try:
        stub: workspaces_rpc.WorkspaceServiceAsyncStub = workspaces_rpc.WorkspaceServiceStub(channel)
        answer = await stub.CreateWorkspace(
            workspaces.CreateWorkspaceRequest(workspace_id=WORKSPACE, display_name="Bench")
        )
    finally:
        await channel.close()
    token: str = answer.owner_token
    system.client["owner_token"] = token
    return token
