"""Puts the registry together: the only module that names concrete classes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import structlog

from kit.auth.denials import DenialLog
from kit.auth.gate import Gate
from kit.auth.oidc import OidcVerifier
from kit.bus.connection import Bus
from kit.bus.publish import Publisher
from kit.bus.service_bus import connect_auth, connect_service
from kit.bus.streams import StreamDeclaration, provision
from kit.clock import Clock, SystemClock
from kit.errors import DeadlineExceeded, Unavailable
from kit.eventstore.facts import NewFact
from kit.eventstore.forgetting import forget_answers
from kit.eventstore.postgres import MIGRATIONS as EVENT_LOG_MIGRATIONS
from kit.eventstore.postgres import PostgresEventStore
from kit.eventstore.relay import Relay
from kit.ids import Ids, SystemIds
from kit.nats_auth.callout import CalloutResponder
from kit.nats_auth.kicker import Kicker
from kit.postgres.migrate import migrate
from kit.postgres.pool import Pool, connect_pool
from kit.rpc.client import open_channel
from kit.rpc.methods import Servicer
from kit.rpc.pages import PageTokens
from kit.rpc.server import RpcServer
from kit.rpc.tls import service_tls
from kit.settings import SettingsError
from kit.vault import DataKey, Keyring, VaultError
from onward.executor.v1 import execution_service_pb2, execution_service_pb2_grpc
from onward.registry.v1.destination_service_pb2_grpc import add_DestinationServiceServicer_to_server
from onward.registry.v1.function_service_pb2_grpc import add_FunctionServiceServicer_to_server
from onward.registry.v1.internal_service_pb2_grpc import add_InternalServiceServicer_to_server
from onward.registry.v1.operator_service_pb2_grpc import add_OperatorServiceServicer_to_server
from onward.registry.v1.source_service_pb2_grpc import add_SourceServiceServicer_to_server
from onward.registry.v1.workspace_service_pb2_grpc import add_WorkspaceServiceServicer_to_server
from services.registry.consumers.connections import ConnectionKeeper
from services.registry.consumers.provisioning import StreamProvisioner
from services.registry.handlers.authorization import LocalAuthorizer
from services.registry.handlers.changes import Changes
from services.registry.handlers.checks import registry_status
from services.registry.handlers.denials import Denials
from services.registry.handlers.destinations import DestinationHandlers
from services.registry.handlers.door import Door
from services.registry.handlers.filters import FilterHandlers
from services.registry.handlers.functions import CheckCode, FunctionHandlers
from services.registry.handlers.invocations import Invocations
from services.registry.handlers.keys import KeyHandlers, open_keys
from services.registry.handlers.lookups import Lookups
from services.registry.handlers.members import MemberHandlers
from services.registry.handlers.repetition import RequestHashes
from services.registry.handlers.sources import SourceHandlers
from services.registry.handlers.workspaces import WorkspaceHandlers
from services.registry.rpc.destination import DestinationServicer
from services.registry.rpc.function import FunctionServicer
from services.registry.rpc.internal import InternalServicer
from services.registry.rpc.operator import OperatorServicer
from services.registry.rpc.reading import Reading
from services.registry.rpc.source import SourceServicer
from services.registry.rpc.workspace import WorkspaceServicer
from services.registry.settings import Settings
from services.registry.templates import load_templates

log = structlog.get_logger(__name__)

SERVICE = "registry"
MIGRATIONS = Path(__file__).parent / "migrations"
# An answer waits this long for its facts to be on the bus; a bus that is away must not make answers slow.
PUBLISHED_WAIT_S = 0.5
# A stream is made in 5 ms; one that takes longer is made by the provisioner after the answer.
PROVISIONED_WAIT_S = 2.0
# Reading and running a script take 0.05 s, and 9 s where both run into their limits; the executor waits for up to 2 s
# until it has a place for one more, and the rest is for workers to start.
CHECK_CODE_TIMEOUT_S = 12.0


async def build(
    settings: Settings, *, check_code: CheckCode | None = None, clock: Clock | None = None, ids: Ids | None = None
) -> RegistryApp:
    """The registry, not yet started. `check_code` stands in for the executor's CheckCode in tests."""
    clock = clock or SystemClock()
    return RegistryApp(settings, check_code, clock, ids or SystemIds(clock))


class RegistryApp:
    """The registry's parts and their lives."""

    def __init__(self, settings: Settings, check_code: CheckCode | None, clock: Clock, ids: Ids) -> None:
        self._settings = settings
        self._check_code = check_code
        self._clock = clock
        self._ids = ids
        self._keyring = settings.keyring
        self._tls = service_tls(settings, SERVICE)
        self._executor = open_channel(
            settings.executor_address,
            settings.service_token.get_secret_value(),
            service=SERVICE,
            credentials=self._tls.client,
        )
        self._oidc = OidcVerifier(settings.oidc, clock) if settings.oidc else None
        self._pool: Pool | None = None
        self._bus: Bus | None = None
        self._server: RpcServer | None = None
        self._relay: Relay | None = None
        self._provisioner: StreamProvisioner | None = None
        self._store: PostgresEventStore | None = None
        self._denials: Denials | None = None
        self._denial_log: DenialLog | None = None
        self._auth_bus: Bus | None = None
        self._callout: CalloutResponder | None = None
        self._connections: ConnectionKeeper | None = None

    @property
    def address(self) -> str:
        """host:port of the gRPC server, once started."""
        assert self._server is not None, "not started"
        return self._server.address

    async def start(self) -> None:
        """Bring the database up to date, check the key, connect, listen."""
        dsn = self._settings.postgres_dsn.get_secret_value()
        await migrate(dsn, [EVENT_LOG_MIGRATIONS, MIGRATIONS])
        self._pool = await connect_pool(dsn, application_name="onward-registry")
        hashes = RequestHashes(await _open_keys(self._pool, self._keyring), self._keyring)
        self._store = PostgresEventStore(self._pool, clock=self._clock, ids=self._ids)
        self._bus = await connect_service("registry", self._settings)
        self._relay = Relay(
            dsn,
            service=SERVICE,
            publish_many=Publisher(self._bus).publish_many,
            appended=self._store.appended,
            recent=self._store.recent,
        )
        self._provisioner = StreamProvisioner(self._store, self._provision, self._clock)
        self._denials = Denials(self._pool, self._store, self._clock)
        self._denial_log = DenialLog(partial(self._denials.record, SERVICE), self._clock)
        operator_token = self._settings.operator_token.get_secret_value()
        authorizer = LocalAuthorizer(self._pool, self._clock, operator_token, self._oidc)
        await self._open_door(self._pool, authorizer, self._denial_log)
        self._server = self._make_server(self._pool, self._store, hashes, authorizer)
        await self._server.start()
        await self._server.ready()

    async def run(self) -> None:
        """Relay, provision and tidy until cancelled."""
        assert self._relay is not None
        assert self._provisioner is not None
        assert self._denials is not None
        assert self._denial_log is not None
        assert self._store is not None
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._relay.run(), name="relay")
            tasks.create_task(self._provisioner.run(), name="provisioner")
            tasks.create_task(forget_answers(self._store, self._clock), name="forget-answers")
            tasks.create_task(self._denial_log.run(), name="denials")
            tasks.create_task(self._denials.run(), name="denials-sums")
            if self._callout is not None and self._connections is not None:
                tasks.create_task(self._callout.run(), name="callout")
                tasks.create_task(self._connections.run(), name="connections")

    async def stop(self) -> None:
        """Let running calls end, then close everything."""
        if self._server is not None:
            await self._server.stop(self._settings.drain_seconds)
        if self._denial_log is not None and self._denials is not None:
            await self._denial_log.drain()
            await self._denials.close()
        await self._executor.close()
        if self._oidc is not None:
            await self._oidc.close()
        for bus in (self._auth_bus, self._bus):
            if bus is not None:
                await bus.close()
        if self._pool is not None:
            await self._pool.close()

    def _make_server(
        self, pool: Pool, store: PostgresEventStore, hashes: RequestHashes, authorizer: LocalAuthorizer
    ) -> RpcServer:
        assert self._denials is not None, "made before"
        settings = self._settings
        operator_token = settings.operator_token.get_secret_value()
        service_token = settings.service_token.get_secret_value()
        reading = Reading(pool, store, PageTokens(service_token), self._clock)
        changes = Changes(store, hashes, authorizer.confirm, self._published, self._noticed, authorizer.forget)
        templates = load_templates()
        workspaces = WorkspaceHandlers(changes, pool, self._ids, self._provisioned)
        members = MemberHandlers(changes, pool, self._ids, self._clock)
        lookups = Lookups(changes, pool, self._keyring, self._clock)
        functions = FunctionHandlers(changes, pool, self._keyring, templates, self._check_code or self._ask_executor)
        keys = KeyHandlers(store, pool, self._keyring, hashes)
        sources = SourceHandlers(changes, self._ids)
        destinations = DestinationHandlers(changes, pool, self._keyring)
        filters = FilterHandlers(changes, pool, authorizer.permitted)
        invocations = Invocations(store, self._clock)
        internal = InternalServicer(pool, store, authorizer, self._denials.record, invocations)
        assert self._bus is not None, "connected before"
        servicers: list[Servicer] = [
            registry_status(settings, self._clock, pool, self._bus, store, keys.status, self._auth_bus),
            (
                add_WorkspaceServiceServicer_to_server,
                WorkspaceServicer(workspaces, members, lookups, authorizer, reading),
            ),
            (add_OperatorServiceServicer_to_server, OperatorServicer(workspaces, members, keys)),
            (add_SourceServiceServicer_to_server, SourceServicer(sources, reading)),
            (add_FunctionServiceServicer_to_server, FunctionServicer(functions, authorizer, reading, templates)),
            (add_DestinationServiceServicer_to_server, DestinationServicer(destinations, filters, reading)),
            (add_InternalServiceServicer_to_server, internal),
        ]
        gate = Gate(authorizer, service_token, operator_token, authorizer.remembered)
        return RpcServer(settings.listen, servicers, gate, ids=self._ids, tls=self._tls, denials=self._denial_log)

    async def _ask_executor(self, code: str, setting_names: Sequence[str]) -> execution_service_pb2.CheckCodeResponse:
        stub: execution_service_pb2_grpc.ExecutionServiceAsyncStub = execution_service_pb2_grpc.ExecutionServiceStub(
            self._executor
        )
        request = execution_service_pb2.CheckCodeRequest(code=code, setting_names=setting_names)
        try:
            return await stub.CheckCode(request, timeout=CHECK_CODE_TIMEOUT_S)
        except (Unavailable, DeadlineExceeded) as error:
            raise Unavailable(
                "No executor answers, so the code can't be checked; nothing was saved. Try again.", retry_after_s=1
            ) from error

    def _noticed(self, facts: Sequence[NewFact]) -> None:
        if self._connections is not None:
            self._connections.notice(facts)

    async def _open_door(self, pool: Pool, authorizer: LocalAuthorizer, denials: DenialLog) -> None:
        """Be asked by NATS who may connect, from a connection of its own account."""
        password, seed = self._settings.nats_auth_password, self._settings.nats_callout_seed
        if password is None or seed is None:
            log.warning("nats_door_closed", advice="set ONWARD_NATS_AUTH_PASSWORD and ONWARD_NATS_CALLOUT_SEED")
            return
        door = Door(pool, authorizer, self._clock, denials)
        self._auth_bus = await connect_auth(self._settings, password.get_secret_value())
        self._callout = CalloutResponder(self._auth_bus, seed.get_secret_value(), door.authenticate, clock=self._clock)
        await self._callout.start()
        self._connections = ConnectionKeeper(Kicker(self._auth_bus), door.ended)

    async def _published(self, workspace: str, position: int) -> None:
        assert self._relay is not None
        await self._relay.wait_published(workspace, position, PUBLISHED_WAIT_S)

    async def _provisioned(self, workspace: str) -> None:
        assert self._provisioner is not None
        await self._provisioner.wait_provisioned(workspace, PROVISIONED_WAIT_S)

    async def _provision(self, declarations: Sequence[StreamDeclaration]) -> None:
        assert self._bus is not None
        await provision(self._bus, declarations)


async def _open_keys(pool: Pool, keyring: Keyring) -> DataKey:
    try:
        return await open_keys(pool, keyring)
    except VaultError as error:
        raise SettingsError(f"ONWARD_KEY_ENCRYPTION_KEY: {error}") from error
