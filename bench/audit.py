"""How fast the trail is recorded, read, proven and verified.

    python -m bench.audit [--records 5000000] [--facts 50000] [--seconds 5] [--json FILE]

The tables are filled by Postgres itself, the trees grown by the service. Postgres, NATS and the service are processes
of their own; this one holds the client and a registry that lets everybody in.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import uvloop
from google.protobuf.timestamp_pb2 import Timestamp

from bench.audit_seed import facts, seed
from bench.own_servers import DATABASE, own_servers
from cli.audit_export import read_lines
from cli.audit_verifier import Key, Verifier, read_checkpoint
from kit.auth.authorizer import Authorizer
from kit.auth.caller import Caller
from kit.auth.demand import Demand
from kit.auth.gate import Gate
from kit.bus.connection import connect
from kit.bus.publish import Publisher
from kit.bus.streams import facts_consumer, facts_stream, provision
from kit.embedded.data_folder import free_port
from kit.embedded.nats import EmbeddedNats
from kit.embedded.postgres import EmbeddedPostgres
from kit.eventstore import envelope
from kit.eventstore.postgres import MIGRATIONS as EVENT_LOG_MIGRATIONS
from kit.postgres.migrate import migrate
from kit.rpc.client import open_channel
from kit.rpc.probe import status
from kit.rpc.server import RpcServer
from kit.testing import servers
from kit.testing.tracker_log import a_tracker_log
from onward.audit.v1 import audit_service_pb2 as pb
from onward.audit.v1 import audit_service_pb2_grpc as rpc
from onward.common.v1.facts_pb2 import ReadFactsResponse
from onward.registry.v1 import internal_service_pb2 as registry
from onward.registry.v1 import internal_service_pb2_grpc as registry_rpc
from services.audit.app import MIGRATIONS

SERVICE_TOKEN = "bench-service-token"
TOKEN = "onw_bench_0123456789abcdef"
LARGE, APPENDED = "large", "appended"
SMALL = 5
POLL_S = 0.02
TOGETHER = 250
PARENT = f"workspaces/{LARGE}"
READY_TIMEOUT_S = 60.0


class Everybody(Authorizer):
    async def authorize(self, token: str, demand: Demand) -> Caller:
        return Caller("token:bench", demand.workspace)


class Registry(registry_rpc.InternalServiceServicer):
    """Lets everybody in, and has no facts."""

    async def Authorize(self, request: Any, context: Any) -> registry.AuthorizeResponse:  # noqa: N802
        return registry.AuthorizeResponse(principal="token:bench", lease_ms=1000)

    async def ReadFacts(self, request: Any, context: Any) -> registry.ReadFactsResponse:  # noqa: N802
        return registry.ReadFactsResponse(read=ReadFactsResponse())


class World:
    """The servers, and the service as it is started and stopped."""

    def __init__(
        self, postgres: EmbeddedPostgres, nats: EmbeddedNats, registry_address: str, delivery_address: str
    ) -> None:
        self.dsn = postgres.dsn(DATABASE)
        self.nats_url = nats.url(servers.TEST_USER)
        self.address = f"127.0.0.1:{free_port()}"
        self._environment = {
            **os.environ,
            "ONWARD_POSTGRES_DSN": self.dsn,
            "ONWARD_NATS_URL": self.nats_url,
            "ONWARD_NATS_MONITORING_URL": nats.monitor_url,
            "ONWARD_REGISTRY_ADDRESS": registry_address,
            "ONWARD_DELIVERY_ADDRESS": delivery_address,
            "ONWARD_LISTEN": self.address,
            "ONWARD_SERVICE_TOKEN": SERVICE_TOKEN,
            "ONWARD_AUDIT_SIGNING_KEY": base64.b64encode(b"k" * 32).decode(),
            "ONWARD_LOG_LEVEL": "error",
        }

    @asynccontextmanager
    async def service(self) -> AsyncIterator[None]:
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "services.audit", env=self._environment)
        try:
            until = time.monotonic() + READY_TIMEOUT_S
            while await asyncio.to_thread(status, self.address) != "SERVING":
                if time.monotonic() > until:
                    raise SystemExit("audit does not serve")
                await asyncio.sleep(POLL_S)
            yield
        finally:
            process.terminate()
            await process.wait()

    @asynccontextmanager
    async def stub(self) -> AsyncIterator[rpc.AuditServiceAsyncStub]:
        async with open_channel(self.address, TOKEN) as channel:
            stub: rpc.AuditServiceAsyncStub = rpc.AuditServiceStub(channel)
            yield stub


def moment(days_ago: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(datetime.now(UTC) - timedelta(days=days_ago))
    return stamp


def filters() -> dict[str, dict[str, Any]]:
    """What people look for: often, seldom and never found, alone, together, and in a time."""
    day = {"start_time": moment(600), "end_time": moment(599)}
    years = {"start_time": moment(1000), "end_time": moment(400)}
    rare, often = {"principal": "member:rare"}, {"principal": "member:m3"}
    return {
        "all": {}, "principal": often, "rare_principal": rare, "no_principal": {"principal": "member:nobody"},
        "action": {"action": "VersionDeployed"}, "rare_action": {"action": "KeysRotated"},
        "target": {"target": "functions/function-7"}, "type": {"target": "functions"},
        "denied": {"outcome": pb.OUTCOME_DENIED}, "day": day, "years": years, "recent": {"start_time": moment(1)},
        "principal_day": {**often, **day}, "principal_years": {**often, **years}, "rare_years": {**rare, **years},
        "action_day": {"action": "VersionDeployed", **day}, "denied_years": {"outcome": pb.OUTCOME_DENIED, **years},
        "principal_action": {**often, "action": "FilterUpdated"},
        "principal_target": {**often, "target": "functions/function-7"},
        "principal_denied": {"principal": "member:m150", "outcome": pb.OUTCOME_DENIED},
        "never": {"action": "VersionDeployed", "outcome": pb.OUTCOME_DENIED},
    }  # fmt: skip


def p95(taken: list[float]) -> float:
    return statistics.quantiles(taken, n=20)[-1]


async def taken_ms(call: Any) -> float:
    began = time.perf_counter()
    await call
    return 1e3 * (time.perf_counter() - began)


async def pages(stub: rpc.AuditServiceAsyncStub, seconds: float) -> dict[str, float]:
    """A page of 50 of each filter, in turn."""
    shapes = filters()
    taken: dict[str, list[float]] = {name: [] for name in shapes}
    until = time.perf_counter() + 2 * seconds
    while time.perf_counter() < until:
        for name, wanted in shapes.items():
            request = pb.ListAuditEventsRequest(parent=PARENT, **wanted)
            taken[name].append(await taken_ms(stub.ListAuditEvents(request)))
    each = {name: p95(found) for name, found in taken.items()}
    slowest = max(each, key=lambda name: each[name])
    every = [one for found in taken.values() for one in found]
    return {"page_ms_p95": p95(every), "page_ms_p50": statistics.median(every), f"page_{slowest}_ms_p95": each[slowest]}


async def proofs(stub: rpc.AuditServiceAsyncStub, size: int, seconds: float) -> dict[str, float]:
    chance = random.Random(1)
    included, consistent, calls = [], [], []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        name = f"{PARENT}/auditEvents/{chance.randint(1, size)}"
        included.append(await taken_ms(stub.GetInclusionProof(pb.GetInclusionProofRequest(name=name))))
        request = pb.GetConsistencyProofRequest(parent=PARENT, old_size=chance.randint(1, size))
        consistent.append(await taken_ms(stub.GetConsistencyProof(request)))
        calls.append(await taken_ms(stub.GetCheckpoint(pb.GetCheckpointRequest(parent=PARENT))))
    return {
        "proof_ms_p95": p95(included + consistent), "inclusion_ms_p95": p95(included),
        "consistency_ms_p95": p95(consistent), "call_ms_p95": p95(calls),
    }  # fmt: skip


async def exported(stub: rpc.AuditServiceAsyncStub, file: Path) -> dict[str, float]:
    began, records, note = time.perf_counter(), 0, ""
    with file.open("wb") as target:
        async for part in stub.ExportAuditEvents(pb.ExportAuditEventsRequest(parent=PARENT)):
            target.write(b"".join(one + b"\n" for one in part.records))
            records, note = records + len(part.records), part.checkpoint
    file.with_suffix(".checkpoint").write_text(note)
    file.with_suffix(".key").write_text((await stub.GetCheckpoint(pb.GetCheckpointRequest(parent=PARENT))).verifier_key)
    return {"export_per_s": records / (time.perf_counter() - began)}


def verify(file: Path, records_max: int) -> dict[str, float]:
    """In a process of its own, whose memory is only this."""
    checkpoint = read_checkpoint(file.with_suffix(".checkpoint").read_text(), Key(file.with_suffix(".key").read_text()))
    whole = checkpoint.size <= records_max
    verifier = Verifier([checkpoint] if whole else [])
    began, records = time.process_time(), 0
    for line in read_lines(file):
        verifier.add(line)
        records += 1
        if records == records_max:
            break
    report = verifier.report()
    assert not whole or not report.faults, report.faults
    spent = time.process_time() - began
    return {"per_s": records / spent, "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


async def verified(file: Path, records: int) -> dict[str, float]:
    async def run(records_max: int) -> dict[str, float]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.audit", "--verify", str(file), "--records", str(records_max),
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await process.communicate()
        found: dict[str, float] = json.loads(out)
        return found

    part, whole = await run(records // 10), await run(records)
    return {
        "verify_per_s": whole["per_s"], "verify_rss_mb": whole["rss_mb"], "verify_tenth_rss_mb": part["rss_mb"],
    }  # fmt: skip


async def appended(world: World, count: int, connection: asyncpg.Connection[asyncpg.Record]) -> dict[str, float]:
    """Facts that wait on the bus, until they are recorded and in the tree."""
    bus = await connect(world.nats_url, name="bench")
    await provision(bus, [facts_stream(facts_consumer("audit"))])
    publisher = Publisher(bus)
    made = [envelope.to_message("registry", fact) for fact in facts(APPENDED, count)]
    for start in range(0, count, 1000):
        acks = await publisher.publish_many(made[start : start + 1000], timeout_s=60)
        assert not any(one.error for one in acks)
    await bus.close()
    size = "SELECT coalesce((SELECT size FROM audit_trees WHERE workspace = $1), 0)"
    async with world.service():
        # It may have begun before it was ready.
        first, began = await connection.fetchval(size, APPENDED), time.perf_counter()
        while (reached := await connection.fetchval(size, APPENDED)) < count:
            await asyncio.sleep(POLL_S)
    return {"append_per_s": (reached - first) / (time.perf_counter() - began)}


async def control(connection: asyncpg.Connection[asyncpg.Record], count: int) -> float:
    """As many bytes in transactions as large, into a table without anything else."""
    await connection.execute("CREATE TABLE control (id bigserial PRIMARY KEY, event text, fact bytea)")
    began = time.perf_counter()
    for _ in range(0, count, TOGETHER):
        rows = (["e" * 450] * TOGETHER, [b"f" * 350] * TOGETHER)
        await connection.execute(
            "INSERT INTO control (event, fact) SELECT * FROM unnest($1::text[], $2::bytea[])", *rows
        )
    return count / (time.perf_counter() - began)


async def grown(connection: asyncpg.Connection[asyncpg.Record], sizes: dict[str, int]) -> float:
    """Records a second that the service takes into trees and signs."""
    began = time.perf_counter()
    while await connection.fetchval(
        "SELECT count(*) FROM audit_checkpoints c JOIN audit_heads h ON c.workspace = h.workspace AND c.size = h.index"
    ) < len(sizes):
        await asyncio.sleep(0.1)
    return sum(sizes.values()) / (time.perf_counter() - began)


def told(figures: dict[str, float]) -> dict[str, float]:
    """Say them when they are known: the rest takes minutes."""
    print(figures, file=sys.stderr, flush=True)
    return figures


async def bench(options: argparse.Namespace) -> dict[str, float]:
    sizes = {LARGE: options.records, **{f"small-{number}": options.records // 100 for number in range(SMALL)}}
    stubbed = RpcServer(
        "127.0.0.1:0",
        [(registry_rpc.add_InternalServiceServicer_to_server, Registry())],  # type: ignore[abstract]  # as much as is asked
        Gate(Everybody(), SERVICE_TOKEN),
    )
    await stubbed.start()
    async with own_servers() as (postgres, nats), a_tracker_log(SERVICE_TOKEN) as tracker:
        world = World(postgres, nats, stubbed.address, tracker.address)
        await migrate(world.dsn, [EVENT_LOG_MIGRATIONS, MIGRATIONS])
        connection = await asyncpg.connect(world.dsn)
        sizes = await seed(connection, sizes)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "trail.jsonl"
            async with world.service(), world.stub() as stub:
                figures = {"grow_per_s": await grown(connection, sizes)}
                figures |= told(await pages(stub, options.seconds))
                figures |= told(await proofs(stub, options.records, options.seconds))
                figures |= told(await exported(stub, file))
            figures |= told(await verified(file, options.records))
        figures |= told(await appended(world, options.facts, connection))
        figures["control_per_s"] = await control(connection, options.facts)
        figures["append_of_control"] = figures["append_per_s"] / figures["control_per_s"]
        await connection.close()
    await stubbed.stop(0.1)
    return {name: round(figure, 2) for name, figure in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("--records", 5_000_000), ("--facts", 50_000)):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--verify", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.verify:
        print(json.dumps(verify(options.verify, options.records)))
        return
    figures = uvloop.run(bench(options))
    print(text := json.dumps(figures, indent=2))
    if options.json:
        options.json.write_text(text)


if __name__ == "__main__":
    main()
