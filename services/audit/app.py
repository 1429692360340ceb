"""Puts the audit service together: the only module that names concrete classes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import structlog

from kit.auth.authorizer import RegistryAuthorizer
from kit.auth.denials import DenialLog
from kit.auth.gate import Gate
from kit.auth.registry import registry_ask, registry_denials
from kit.bus.connection import Bus
from kit.bus.puller import Puller
from kit.bus.service_bus import connect_service
from kit.bus.streams import facts_consumer, facts_stream, provision
from kit.clock import SystemClock
from kit.errors import OnwardError
from kit.eventstore.consumer import PostgresFactApplier
from kit.eventstore.owner_log import OwnerLog, delivery_log, registry_log
from kit.eventstore.postgres import MIGRATIONS as EVENT_LOG_MIGRATIONS
from kit.postgres.migrate import migrate
from kit.postgres.pool import Pool, connect_pool
from kit.rpc.client import open_channel
from kit.rpc.methods import Servicer
from kit.rpc.pages import PageTokens
from kit.rpc.server import RpcServer
from kit.rpc.tls import service_tls
from onward.audit.v1.audit_service_pb2_grpc import add_AuditServiceServicer_to_server
from onward.registry.v1 import internal_service_pb2_grpc as registry_rpc
from onward.registry.v1.internal_service_pb2 import Client, ReadClientsRequest
from services.audit.consumers import COMPARE_INTERVAL_S, FactsIntake, LogFollower, Recorder
from services.audit.domain.checkpoints import Signer
from services.audit.handlers.checkpoint_folder import CheckpointFolder
from services.audit.handlers.checks import Log, audit_status
from services.audit.handlers.clients import Clients
from services.audit.handlers.merkle_log import MerkleLog
from services.audit.handlers.owners_log import OwnersLog
from services.audit.handlers.proofs import Proofs
from services.audit.handlers.signing import Signing
from services.audit.projections import record
from services.audit.queries import Growth, applied_positions
from services.audit.rpc import AuditServicer
from services.audit.settings import Settings

log = structlog.get_logger(__name__)

SERVICE = "audit"
REGISTRY = "registry"
MIGRATIONS = Path(__file__).parent / "migrations"
STREAM = facts_stream(facts_consumer(SERVICE))
# One transaction's worth of facts.
PULL_FACTS = 250
# Who reads the trail waits for it, and can do without the answer.
CLIENTS_TIMEOUT_S = 1.0
# How long a stream or consumer that somebody has deleted may be away.
PROVISION_INTERVAL_S = 30.0


async def build(settings: Settings, *, compare_interval_s: float = COMPARE_INTERVAL_S) -> AuditApp:
    """The audit service, not yet started."""
    return AuditApp(settings, compare_interval_s)


class AuditApp:
    """The audit service's parts and their lives."""

    def __init__(self, settings: Settings, compare_interval_s: float) -> None:
        self._settings = settings
        self._compare_interval_s = compare_interval_s
        self._tls = service_tls(settings, SERVICE)
        token, credentials = settings.service_token.get_secret_value(), self._tls.client
        self._registry = open_channel(settings.registry_address, token, service=SERVICE, credentials=credentials)
        self._delivery = open_channel(settings.delivery_address, token, service=SERVICE, credentials=credentials)
        # Those whose facts are recorded.
        self._owners = [registry_log(self._registry), delivery_log(self._delivery)]
        self._denials = DenialLog(registry_denials(self._registry))
        self._pool: Pool | None = None
        self._bus: Bus | None = None
        self._server: RpcServer | None = None
        self._puller: Puller | None = None
        self._followers: list[LogFollower] = []
        # Owners whose log was compared with the trail since the start.
        self._complete: set[str] = set()
        self._growth: Growth | None = None
        self._trees: MerkleLog | None = None

    @property
    def address(self) -> str:
        """host:port of the gRPC server, once started."""
        assert self._server is not None, "not started"
        return self._server.address

    async def start(self) -> None:
        """Bring the database up to date, connect, listen. Health says SERVING once the trail is complete."""
        dsn = self._settings.postgres_dsn.get_secret_value()
        await migrate(dsn, [EVENT_LOG_MIGRATIONS, MIGRATIONS])
        self._pool = await connect_pool(dsn, application_name="onward-audit")
        self._bus = await connect_service("audit", self._settings)
        await provision(self._bus, [STREAM])
        self._growth = Growth(self._pool)
        signer, folder = _signer(self._settings), self._settings.audit_checkpoint_folder
        kept = CheckpointFolder(folder) if folder else None
        signing = Signing(self._pool, signer, kept, SystemClock()) if signer else None
        self._trees = MerkleLog(self._pool, signing, SystemClock(), self._settings.audit_checkpoint_seconds)
        self._server = self._make_server(self._pool, self._bus, self._growth, Proofs(self._pool, signer))
        self._make_consumers(self._pool, self._bus)
        await self._server.start()

    async def run(self) -> None:
        """Record and answer until cancelled."""
        assert self._puller is not None
        assert self._growth is not None
        assert self._trees is not None
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._puller.run(), name="facts")
            for follower in self._followers:
                tasks.create_task(follower.run(), name=f"follower-{follower.service}")
            tasks.create_task(self._growth.run(), name="growth")
            tasks.create_task(self._trees.run(), name="trees")
            tasks.create_task(self._keep_provisioned(), name="provision")
            tasks.create_task(self._denials.run(), name="denials")

    async def stop(self) -> None:
        """Let running calls end, then close everything. Facts that were on their way are delivered again."""
        if self._server is not None:
            await self._server.stop(self._settings.drain_seconds)
        await self._denials.drain()
        await self._registry.close()
        await self._delivery.close()
        if self._bus is not None:
            await self._bus.close()
        if self._pool is not None:
            await self._pool.close()

    def _make_server(self, pool: Pool, bus: Bus, growth: Growth, proofs: Proofs) -> RpcServer:
        token = self._settings.service_token.get_secret_value()
        clients = Clients(pool, REGISTRY, self._read_clients)
        servicer = AuditServicer(pool, PageTokens(token), growth, proofs, clients)
        gate = Gate(RegistryAuthorizer(registry_ask(self._registry)), token)
        logs = {
            one.service: Log(one.heads, partial(applied_positions, pool, SERVICE, one.service)) for one in self._owners
        }
        servicers: list[Servicer] = [
            (add_AuditServiceServicer_to_server, servicer),
            audit_status(self._settings, SystemClock(), pool, bus, logs),
        ]
        return RpcServer(self._settings.listen, servicers, gate, tls=self._tls, denials=self._denials)

    def _make_consumers(self, pool: Pool, bus: Bus) -> None:
        intake = FactsIntake(bus, {one.service: self._follow(pool, one) for one in self._owners}, self._recorded)
        self._puller = Puller(bus, STREAM.name, SERVICE, batch=PULL_FACTS, on_batch=intake.on_batch)

    def _follow(self, pool: Pool, owner: OwnerLog) -> Recorder:
        service = owner.service
        believed = OwnersLog(pool, owner)
        applier = PostgresFactApplier(
            pool, consumer=SERVICE, service=service, apply=partial(record, service), read_facts=believed.read_facts
        )
        positions = partial(applied_positions, pool, SERVICE, service)
        compared = partial(self._compared, service)
        self._followers.append(LogFollower(owner, applier, positions, compared, self._compare_interval_s))
        return Recorder(applier, believed.compare)

    async def _read_clients(self, workspace: str, positions: Sequence[int]) -> Mapping[int, Client]:
        stub: registry_rpc.InternalServiceAsyncStub = registry_rpc.InternalServiceStub(self._registry)
        request = ReadClientsRequest(workspace=workspace, positions=positions)
        return (await stub.ReadClients(request, timeout=CLIENTS_TIMEOUT_S)).clients

    def _recorded(self) -> None:
        assert self._growth is not None
        assert self._trees is not None
        self._growth.wake()
        self._trees.wake()

    async def _compared(self, service: str) -> None:
        assert self._server is not None
        self._recorded()
        self._complete.add(service)
        if len(self._complete) == len(self._owners):
            await self._server.ready()

    async def _keep_provisioned(self) -> None:
        while True:
            await asyncio.sleep(PROVISION_INTERVAL_S)
            assert self._bus is not None
            try:
                await provision(self._bus, [STREAM])
            except OnwardError as error:
                log.warning("provisioning_failed", error=str(error), retry_in_s=PROVISION_INTERVAL_S)


def _signer(settings: Settings) -> Signer | None:
    seed = settings.signing_seed
    return Signer(settings.audit_log_name, seed) if seed else None
