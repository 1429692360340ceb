"""How fast the registry answers, changes and starts.

    python -m bench.registry [--functions 500] [--facts 100000] [--seconds 5] [--runs 3] [--json FILE]

Postgres, NATS, the registry and an executor are processes of their own; this one holds the clients, and for
`save_without_check` an executor that answers at once.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import grpc.aio
import uvloop

from bench.own_servers import own_servers
from bench.registry_seed import DEFINITIONS, Size, code, seed
from bench.tracker import cpu_s
from kit.embedded.data_folder import free_port
from kit.embedded.nats import EmbeddedNats
from kit.embedded.postgres import EmbeddedPostgres
from kit.errors import OnwardError
from kit.ids import uuid7
from kit.postgres.pool import connect_pool
from kit.rpc.client import open_channel
from kit.rpc.probe import status
from kit.testing import servers
from onward.executor.v1 import execution_service_pb2 as execution
from onward.executor.v1 import execution_service_pb2_grpc as execution_rpc
from onward.registry.v1 import destination_service_pb2 as destinations
from onward.registry.v1 import destination_service_pb2_grpc as destinations_rpc
from onward.registry.v1 import function_service_pb2 as functions
from onward.registry.v1 import function_service_pb2_grpc as functions_rpc
from onward.registry.v1 import resources_pb2 as resources
from onward.registry.v1 import source_service_pb2 as sources
from onward.registry.v1 import source_service_pb2_grpc as sources_rpc
from onward.registry.v1 import workspace_service_pb2 as workspaces
from onward.registry.v1 import workspace_service_pb2_grpc as workspaces_rpc

LARGE = "large"
CLIENTS = 16
WORKSPACES = 8
OPERATOR_TOKEN = "bench-operator-token"
SERVICE_TOKEN = "bench-service-token"
READY_TIMEOUT_S = 120.0
# People read what a save has answered before they save again; meanwhile the executor prepares for the next check.
SAVE_PAUSE_S = 0.1
POLL_S = 0.01
CALM_S = 0.5

CONTROL_TABLE = "CREATE TABLE IF NOT EXISTS control (id bigserial PRIMARY KEY, fact text, answer bytea)"

FILTER = "drop"
VALUES = {
    "endpoint": resources.SettingValue(string_value="https://api.example.com"),
    "apiKey": resources.SettingValue(string_value="key"),
}

Call = Callable[[], Awaitable[Any]]


def rule(number: int) -> resources.FilterRule:
    action = resources.FilterAction(drop=True)
    return resources.FilterRule(title=FILTER, condition=f'event = "{number}"', actions=[action], enabled=True)


class NoExecutor(execution_rpc.ExecutionServiceServicer):
    """Says at once that code is fine."""

    async def CheckCode(self, request: Any, context: Any) -> execution.CheckCodeResponse:  # noqa: N802
        return execution.CheckCodeResponse(handlers=["onTrack"])

    async def DescribeRuntime(self, request: Any, context: Any) -> execution.DescribeRuntimeResponse:  # noqa: N802
        return execution.DescribeRuntimeResponse()


class Caller:
    """One client of the registry in one workspace."""

    def __init__(self, address: str, workspace: str, token: str) -> None:
        self.parent = f"workspaces/{workspace}"
        self.channel = open_channel(address, token)
        self.functions: functions_rpc.FunctionServiceAsyncStub = functions_rpc.FunctionServiceStub(self.channel)
        self.destinations: destinations_rpc.DestinationServiceAsyncStub = destinations_rpc.DestinationServiceStub(
            self.channel
        )
        self.sources: sources_rpc.SourceServiceAsyncStub = sources_rpc.SourceServiceStub(self.channel)

    async def create(self, function: str) -> None:
        await self.functions.CreateFunction(
            functions.CreateFunctionRequest(parent=self.parent, function_id=function, display_name=function)
        )

    async def save(self, function: str, number: int) -> None:
        await self.functions.SaveFunction(
            functions.SaveFunctionRequest(
                name=f"{self.parent}/functions/{function}", code=code(function, number),
                definitions=DEFINITIONS, request_id=uuid7(),
            )
        )  # fmt: skip

    async def rename(self, function: str, display_name: str) -> None:
        await self.functions.UpdateFunction(
            functions.UpdateFunctionRequest(
                name=f"{self.parent}/functions/{function}", display_name=display_name, request_id=uuid7()
            )
        )

    async def create_source(self, source: str) -> None:
        await self.sources.CreateSource(
            sources.CreateSourceRequest(parent=self.parent, source_id=source, display_name=source)
        )

    async def rename_source(self, source: str, display_name: str) -> None:
        await self.sources.UpdateSource(
            sources.UpdateSourceRequest(
                name=f"{self.parent}/sources/{source}", display_name=display_name, request_id=uuid7()
            )
        )

    async def create_key(self, source: str) -> str:
        request = sources.CreateWriteKeyRequest(parent=f"{self.parent}/sources/{source}", request_id=uuid7())
        return (await self.sources.CreateWriteKey(request)).write_key.name

    async def revoke_key(self, name: str) -> None:
        await self.sources.RevokeWriteKey(sources.RevokeWriteKeyRequest(name=name, request_id=uuid7()))

    async def connect(self, name: str) -> None:
        """A destination of that name for the function and the source of that name, with a filter."""
        await self.destinations.ConnectDestination(
            destinations.ConnectDestinationRequest(
                source=f"{self.parent}/sources/{name}", function=f"{self.parent}/functions/{name}",
                destination_id=name, display_name=name, settings=VALUES,
            )
        )  # fmt: skip
        parent = f"{self.parent}/destinations/{name}"
        await self.destinations.CreateFilter(destinations.CreateFilterRequest(parent=parent, rule=rule(0)))

    async def switch(self, destination: str, *, on: bool) -> None:
        name = f"{self.parent}/destinations/{destination}"
        if on:
            await self.destinations.EnableDestination(
                destinations.EnableDestinationRequest(name=name, request_id=uuid7())
            )
        else:
            await self.destinations.DisableDestination(
                destinations.DisableDestinationRequest(name=name, request_id=uuid7())
            )

    async def limit(self, destination: str, per_second: int) -> None:
        policy = resources.DeliveryPolicy(max_per_second=per_second)
        name = f"{self.parent}/destinations/{destination}"
        await self.destinations.UpdateDeliveryPolicy(
            destinations.UpdateDeliveryPolicyRequest(name=name, policy=policy, request_id=uuid7())
        )

    async def filter(self, destination: str, number: int) -> None:
        name = f"{self.parent}/destinations/{destination}/filters/{FILTER}"
        await self.destinations.UpdateFilter(
            destinations.UpdateFilterRequest(name=name, rule=rule(number), request_id=uuid7())
        )

    async def deploy(self, function: str, number: int) -> None:
        await self.functions.DeployVersion(
            functions.DeployVersionRequest(
                name=f"{self.parent}/functions/{function}/versions/{number}",
                target=functions.DeploymentTarget(all=True), request_id=uuid7(),
            )
        )  # fmt: skip

    async def set(self, destination: str, value: str) -> None:
        await self.destinations.SetSettings(
            destinations.SetSettingsRequest(
                name=f"{self.parent}/destinations/{destination}",
                set={"endpoint": resources.SettingValue(string_value=value)}, request_id=uuid7(),
            )
        )  # fmt: skip


class World:
    """The servers, and the registry as it is started and stopped."""

    def __init__(self, postgres: EmbeddedPostgres, nats: EmbeddedNats, options: argparse.Namespace) -> None:
        self.dsn = postgres.dsn("bench")
        self.options = options
        self.size = Size(options.functions, options.versions, options.destinations, options.facts)
        self.address = f"127.0.0.1:{free_port()}"
        self.executor_address = f"127.0.0.1:{free_port()}"
        self.no_executor_address = f"127.0.0.1:{free_port()}"
        self.tokens: dict[str, str] = {}
        # Write keys that a run leaves, by source: a source may have two.
        self.keys: dict[str, list[str]] = {}
        assert postgres.pid is not None
        assert nats.pid is not None
        self.pids = {"postgres": postgres.pid, "nats": nats.pid}
        self._environment = {
            **os.environ,
            "ONWARD_POSTGRES_DSN": self.dsn,
            "ONWARD_NATS_URL": nats.url(servers.TEST_USER),
            "ONWARD_NATS_MONITORING_URL": nats.monitor_url,
            "ONWARD_REGISTRY_ADDRESS": self.address,
            "ONWARD_DELIVERY_ADDRESS": f"127.0.0.1:{free_port()}",
            "ONWARD_SERVICE_TOKEN": SERVICE_TOKEN,
            "ONWARD_KEY_ENCRYPTION_KEY": base64.b64encode(b"k" * 32).decode(),
            "ONWARD_LOG_LEVEL": "error",
        }

    @asynccontextmanager
    async def registry(self, executor_address: str) -> AsyncIterator[None]:
        given = {"ONWARD_OPERATOR_TOKEN": OPERATOR_TOKEN, "ONWARD_EXECUTOR_ADDRESS": executor_address}
        async with self._service("registry", self.address, given):
            yield

    @asynccontextmanager
    async def executor(self) -> AsyncIterator[None]:
        async with self._service("executor", self.executor_address, {}):
            yield

    @asynccontextmanager
    async def _service(self, name: str, address: str, given: dict[str, str]) -> AsyncIterator[None]:
        environment = {**self._environment, "ONWARD_LISTEN": address, **given}
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", f"services.{name}", env=environment)
        try:
            self.pids[name] = process.pid
            await _serving(address)
            yield
        finally:
            del self.pids[name]
            process.terminate()
            await process.wait()

    @asynccontextmanager
    async def caller(self, workspace: str) -> AsyncIterator[Caller]:
        caller = Caller(self.address, workspace, self.tokens[workspace])
        async with caller.channel:
            yield caller

    async def create_workspace(self, workspace: str) -> None:
        async with open_channel(self.address, OPERATOR_TOKEN) as channel:
            stub: workspaces_rpc.WorkspaceServiceAsyncStub = workspaces_rpc.WorkspaceServiceStub(channel)
            request = workspaces.CreateWorkspaceRequest(workspace_id=workspace, display_name=workspace)
            self.tokens[workspace] = (await stub.CreateWorkspace(request)).owner_token

    async def seed(self) -> None:
        for workspace in (LARGE, *small_workspaces()):
            await self.create_workspace(workspace)
        for number in range(CLIENTS):
            async with self.caller(small_workspaces()[number % WORKSPACES]) as caller:
                await caller.create(f"client-{number}")
                for version in range(2):
                    await caller.save(f"client-{number}", version)
                await caller.create_source(f"client-{number}")
                await caller.connect(f"client-{number}")
        pool = await connect_pool(self.dsn, application_name="bench")
        await seed(pool, LARGE, self.size)
        await pool.close()
        await self._relayed()

    async def _relayed(self) -> None:
        """Return when the bus has every fact, and Postgres knows how large its tables are."""
        connection = await asyncpg.connect(self.dsn)
        query = "SELECT EXISTS (SELECT FROM workspace_heads h LEFT JOIN relay_positions r USING (workspace)"
        while await connection.fetchval(f"{query} WHERE h.position > coalesce(r.position, 0))"):
            await asyncio.sleep(0.2)
        await connection.execute("VACUUM ANALYZE")
        await connection.close()


def small_workspaces() -> list[str]:
    return [f"small-{number}" for number in range(WORKSPACES)]


async def _serving(address: str) -> None:
    until = time.monotonic() + READY_TIMEOUT_S
    while await asyncio.to_thread(status, address) != "SERVING":
        if time.monotonic() > until:
            raise SystemExit(f"{address} does not serve")
        await asyncio.sleep(POLL_S)


async def latencies_ms(call: Call, seconds: float, pause_s: float = 0) -> list[float]:
    """One call after the other; the first warms up."""
    await call()
    taken = []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        await call()
        taken.append(1e3 * (time.perf_counter() - began))
        await asyncio.sleep(pause_s)
    return taken


def p95(taken: list[float]) -> float:
    return statistics.quantiles(taken, n=20)[-1]


async def reads(world: World) -> dict[str, float]:
    """Pages of the default size from anywhere in a list, single resources, and pages of the largest size."""
    chance = random.Random(1)
    async with world.caller(LARGE) as caller:
        following: dict[str, str] = {}

        async def page(kind: str, size: int = 0) -> None:
            token = following.get(kind, "")
            if kind == "functions":
                found: Any = await caller.functions.ListFunctions(
                    functions.ListFunctionsRequest(parent=caller.parent, page_size=size, page_token=token)
                )
            else:
                found = await caller.destinations.ListDestinations(
                    destinations.ListDestinationsRequest(parent=caller.parent, page_size=size, page_token=token)
                )
            following[kind] = found.next_page_token

        async def versions() -> None:
            parent = f"{caller.parent}/functions/function-{chance.randrange(world.size.functions):04d}"
            await caller.functions.ListVersions(functions.ListVersionsRequest(parent=parent))

        async def get() -> None:
            function = f"{caller.parent}/functions/function-{chance.randrange(world.size.functions):04d}"
            destination = f"{caller.parent}/destinations/destination-{chance.randrange(world.size.destinations):04d}"
            kind = chance.randrange(3)
            if kind == 0:
                await caller.functions.GetFunction(functions.GetFunctionRequest(name=function))
            elif kind == 1:
                await caller.functions.GetVersion(functions.GetVersionRequest(name=f"{function}/versions/latest"))
            else:
                await caller.destinations.GetDestination(destinations.GetDestinationRequest(name=destination))

        async def any_list() -> None:
            kind = chance.randrange(3)
            await (page("functions") if kind == 0 else page("destinations") if kind == 1 else versions())

        seconds = world.options.seconds
        listed, got = await latencies_ms(any_list, seconds), await latencies_ms(get, seconds)
        largest = await latencies_ms(lambda: page("destinations", 1000), seconds / 2)
    return {"list_ms_p95": p95(listed), "get_ms_p95": p95(got), "list_1000_destinations_ms_p95": p95(largest)}


async def saves(world: World) -> list[float]:
    chance, numbers = random.Random(2), count(int(time.time()))
    async with world.caller(LARGE) as caller:

        async def save() -> None:
            await caller.save(f"function-{chance.randrange(world.size.functions):04d}", next(numbers))

        return await latencies_ms(save, world.options.seconds, SAVE_PAUSE_S)


async def per_second(calls: list[Call], seconds: float) -> float:
    """How often the calls, each repeated by a client of its own, end in a second."""
    until = time.perf_counter() + seconds
    done = 0

    async def client(call: Call) -> None:
        nonlocal done
        await call()
        while time.perf_counter() < until:
            await call()
            done += time.perf_counter() < until

    await asyncio.gather(*(client(call) for call in calls))
    return done / seconds


async def mutations(world: World) -> dict[str, float]:
    """Changes a second, and the CPU time that each takes in registry and servers."""
    async with AsyncExitStack() as stack:
        renaming: list[Call] = []
        mixed: list[Call] = []
        locked: list[Call] = []
        for number in range(CLIENTS):
            caller = await stack.enter_async_context(world.caller(small_workspaces()[number % WORKSPACES]))
            which = f"client-{number}"
            renaming.append(partial(_rename, caller, which))
            mixed.append(partial(_one_of_all, caller, which, count()))
            locked.append(partial(_key, caller, which, world.keys.setdefault(which, [])))
        before = {name: cpu_s(pid) for name, pid in world.pids.items()}
        rate = await per_second(renaming, world.options.seconds)
        made = rate * world.options.seconds
        used = {f"mutation_cpu_us_{name}": 1e6 * (cpu_s(pid) - before[name]) / made for name, pid in world.pids.items()}
        rates = {
            "mutations_per_s": rate,
            "mixed_mutations_per_s": await per_second(mixed, world.options.seconds),
            "locked_mutations_per_s": await per_second(locked, world.options.seconds),
        }
    return rates | used


async def _rename(caller: Caller, which: str) -> None:
    await caller.rename(which, uuid7())


async def _one_of_all(caller: Caller, which: str, numbers: Iterator[int]) -> None:
    """In turn changes of seven kinds that are one fact; every second round undoes the first's switch and deployment."""
    around, kind = divmod(next(numbers), 7)
    if kind == 0:
        await caller.rename(which, uuid7())
    elif kind == 1:
        await caller.rename_source(which, uuid7())
    elif kind == 2:
        await caller.switch(which, on=around % 2 == 0)
    elif kind == 3:
        await caller.limit(which, 1 + around % 1000)
    elif kind == 4:
        await caller.filter(which, 1 + around)
    elif kind == 5:
        await caller.deploy(which, 2 + around % 2)
    else:
        await caller.set(which, uuid7())


async def _key(caller: Caller, which: str, keys: list[str]) -> None:
    """In turn a write key is made and revoked."""
    if keys:
        await caller.revoke_key(keys.pop())
    else:
        keys.append(await caller.create_key(which))


async def control(world: World) -> float:
    """Transactions that store what one such change stores, in a table without anything else."""
    async with AsyncExitStack() as stack:
        calls = []
        for _ in range(CLIENTS):
            connection = await asyncpg.connect(world.dsn)
            stack.push_async_callback(connection.close)
            calls.append(_inserting(connection))
        await connection.execute(CONTROL_TABLE)
        return await per_second(calls, world.options.seconds)


def _inserting(connection: asyncpg.Connection[asyncpg.Record]) -> Call:
    async def insert() -> None:
        async with connection.transaction():
            await connection.execute("INSERT INTO control (fact, answer) VALUES ($1, $2)", "f" * 500, b"a" * 250)

    return insert


async def cold_start(world: World) -> tuple[dict[str, float], list[float]]:
    """From no process to the first change in a workspace with a long log; and saves that a real executor checks."""
    began = time.perf_counter()
    async with world.registry(world.executor_address):
        ready_s = time.perf_counter() - began
        async with world.caller(LARGE) as caller:
            await caller.rename("function-0000", uuid7())
        cold_start_s = time.perf_counter() - began
        async with world.executor():
            await calm(world)
            saved = await saves(world)
    return {"ready_s": ready_s, "cold_start_s": cold_start_s}, saved


async def calm(world: World) -> None:
    """Return when nobody is busy: an executor that has just started reads all facts once more from the bus."""
    busy = True
    while busy:
        before = {name: cpu_s(pid) for name, pid in world.pids.items()}
        await asyncio.sleep(CALM_S)
        busy = any(cpu_s(pid) - before[name] > CALM_S / 5 for name, pid in world.pids.items())


@asynccontextmanager
async def no_executor(address: str) -> AsyncIterator[None]:
    server = grpc.aio.server()
    executor = NoExecutor()  # type: ignore[abstract]  # checks code, and is asked for nothing else
    execution_rpc.add_ExecutionServiceServicer_to_server(executor, server)
    server.add_insecure_port(address)
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)


async def measure(world: World, run: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    async with no_executor(world.no_executor_address), world.registry(world.no_executor_address):
        if run == 0:
            began = time.perf_counter()
            await world.seed()
            print(f"seeded in {time.perf_counter() - began:.1f} s", file=sys.stderr)
        figures |= await reads(world)
        figures["save_without_check_ms_p95"] = p95(await saves(world))
        figures |= await mutations(world)
        figures["control_per_s"] = await control(world)
        figures["mutations_of_control"] = figures["mutations_per_s"] / figures["control_per_s"]
    started, saved = await cold_start(world)
    found = figures | started | {"save_ms_p50": statistics.median(saved), "save_ms_p95": p95(saved)}
    print({name: round(value, 2) for name, value in found.items()}, file=sys.stderr)
    return found


async def bench(options: argparse.Namespace) -> dict[str, float]:
    async with own_servers() as (postgres, nats):
        world = World(postgres, nats, options)
        runs = [await measure(world, run) for run in range(options.runs)]
    return {name: round(statistics.median(run[name] for run in runs), 2) for name in runs[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    sizes = (("functions", 500), ("versions", 20), ("destinations", 1_000), ("facts", 100_000), ("runs", 3))
    for name, default in sizes:
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each figure")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    try:
        figures = uvloop.run(bench(options))
    except OnwardError as error:
        raise SystemExit(str(error)) from error
    print(text := json.dumps(figures, indent=2))
    if options.json:
        options.json.write_text(text)


if __name__ == "__main__":
    main()
