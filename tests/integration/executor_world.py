"""An executor with everything real around it but the registry and the tracker, which are gRPC servers of the test's."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from google.protobuf.message import Message
from pydantic import SecretStr

from kit.auth.demand import Demand
from kit.auth.gate import Gate
from kit.bus.acks import ack
from kit.bus.connection import Bus, connect
from kit.bus.message import Message as BusMessage
from kit.bus.publish import Publisher
from kit.bus.puller import Puller
from kit.bus.streams import OUTCOMES, events_stream, facts_stream, provision
from kit.errors import NotFound, Unavailable
from kit.eventstore.envelope import to_message, to_stored
from kit.eventstore.facts import Meta, NewFact
from kit.eventstore.memory import MemoryEventStore
from kit.rpc.server import RpcServer
from kit.testing.eventually import eventually
from kit.vault import DataKey, Vault, setting_place
from onward.common.v1 import facts_pb2 as common
from onward.delivery.v1 import breakers_pb2
from onward.delivery.v1 import duplicates_pb2 as duplicates_pb
from onward.delivery.v1 import internal_service_pb2 as delivery_pb
from onward.delivery.v1 import internal_service_pb2_grpc as delivery_rpc
from onward.executor.v1 import outcomes_pb2 as pb
from onward.registry.v1 import facts_pb2 as facts
from onward.registry.v1 import internal_service_pb2 as registry_pb
from onward.registry.v1 import internal_service_pb2_grpc as registry_rpc
from onward.registry.v1 import resources_pb2 as resources
from services.executor.app import App, build
from services.executor.settings import Settings

WORKSPACE = "acme"
SERVICE_TOKEN = "a service token of the tests"
KEY = base64.b64encode(b"k" * 32).decode()


class NobodyMay:
    """No user calls the executor in these tests."""

    async def authorize(self, token: str, demand: Demand) -> Any:
        raise AssertionError("unexpected")


@dataclass
class Program:
    """What a destination runs, as the fake registry answers it."""

    code: str
    version: int = 1
    settings: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    required: list[str] = field(default_factory=list)
    timeout_ms: int = 5000
    policy: resources.DeliveryPolicy = field(default_factory=resources.DeliveryPolicy)
    # The workspace's, the source's, the destination's.
    filters: list[registry_pb.FilterGroup] = field(default_factory=list)
    filter_revision: int = 0


class FakeRegistry(registry_rpc.InternalServiceServicer):
    """Holds programs and an event log; facts are published as the relay does."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self.store = MemoryEventStore()
        self.programs: dict[str, Program] = {}
        # Names of destinations that executors asked for; they wait while `answers` is not set.
        self.asked: list[str] = []
        # What executors said that they know; whether all of it was forgotten.
        self.reports: list[registry_pb.ReportExecutorRequest] = []
        self.forgotten = False
        self.answers = asyncio.Event()
        self.answers.set()
        self._vault = Vault.from_base64(KEY)
        self._data_key = DataKey.generate()

    async def record(self, stream: str, data: Message, *, publish: bool = True) -> None:
        async with self.store.writing(WORKSPACE) as unit:
            recorded = await unit.append([NewFact(stream, data)], Meta(principal="token:test"))
        if publish:
            await self._publisher.publish_many([to_message("registry", fact) for fact in recorded])

    async def connect(self, destination: str, program: Program, *, source: str = "web", enable: bool = True) -> None:
        self.programs[destination] = program
        connected = facts.DestinationConnected(
            destination=destination, display_name=destination.upper(), function="f", source=source, version=1
        )
        await self.record(f"destinations/{destination}", connected)
        if enable:
            enabled = facts.DestinationEnabled(destination=destination)
            await self.record(f"destinations/{destination}", enabled)

    async def filter(self, destination: str, *rules: resources.FilterRule) -> None:
        """Give a destination these filters and no others, as the registry's facts and answers would tell."""
        program = self.programs[destination]
        prefix = f"workspaces/{WORKSPACE}/destinations/{destination}/filters"
        filters = [resources.Filter(name=f"{prefix}/{rule.title}", rule=rule) for rule in rules]
        program.filters = [registry_pb.FilterGroup(filters=filters)]
        program.filter_revision += 1
        fact = facts.FilterUpdated(parent=f"destinations/{destination}", filter="any")
        await self.record(f"destinations/{destination}", fact)

    async def end(self, destination: str, *, function_too: bool = False) -> None:
        """Disconnect a destination, and delete its function in the same transaction."""
        del self.programs[destination]
        ends: list[tuple[str, Message]] = [
            (f"destinations/{destination}", facts.DestinationDisconnected(destination=destination))
        ]
        if function_too:
            ends.append(("functions/f", facts.FunctionDeleted(function="f")))
        async with self.store.writing(WORKSPACE) as unit:
            new = [NewFact(stream, data) for stream, data in ends]
            recorded = await unit.append(new, Meta(principal="token:test"))
        await self._publisher.publish_many([to_message("registry", fact) for fact in recorded])

    async def deploy(self, destination: str, code: str) -> None:
        program = self.programs[destination]
        program.code, program.version = code, program.version + 1
        fact = facts.VersionDeployed(function="f", number=program.version, destinations=[destination])
        await self.record("functions/f", fact)

    async def ReportExecutor(self, request: Any, context: Any) -> registry_pb.ReportExecutorResponse:
        self.reports.append(request)
        return registry_pb.ReportExecutorResponse(want_complete=self.forgotten and not request.complete)

    async def RecordDenial(self, request: Any, context: Any) -> registry_pb.RecordDenialResponse:
        raise AssertionError("no user calls the executor in these tests")

    async def Authorize(self, request: Any, context: Any) -> registry_pb.AuthorizeResponse:
        raise AssertionError("no user calls the executor in these tests")

    async def ReadFacts(self, request: Any, context: Any) -> registry_pb.ReadFactsResponse:
        read = request.read
        if not read.workspace:
            heads = dict(await self.store.workspaces())
            return registry_pb.ReadFactsResponse(read=common.ReadFactsResponse(heads=heads))
        found = await self.store.read(read.workspace, read.after_position, read.limit or 500)
        stored = [to_stored("registry", fact) for fact in found]
        return registry_pb.ReadFactsResponse(read=common.ReadFactsResponse(facts=stored))

    async def ResolveDestination(self, request: Any, context: Any) -> registry_pb.ResolveDestinationResponse:
        destination = request.name.rpartition("/")[2]
        self.asked.append(destination)
        await self.answers.wait()
        program = self.programs.get(destination)
        if program is None:
            raise NotFound(f"{request.name} is gone")
        names = {*program.settings, *program.secrets, *program.required}
        answer = registry_pb.ResolveDestinationResponse(
            destination=resources.Destination(policy=program.policy),
            filters=program.filters,
            filter_revision=program.filter_revision,
            settings_revision=1,
            wrapped_key=self._vault.wrap(self._data_key, WORKSPACE),
            key_id=self._vault.key_id,
            version=resources.Version(
                number=program.version,
                code=program.code,
                timeout_ms=program.timeout_ms,
                definitions=[
                    resources.SettingDefinition(
                        name=name,
                        type=resources.SETTING_TYPE_STRING,
                        encrypted=name in program.secrets,
                        required=name in program.required,
                    )
                    for name in names
                ],
            ),
        )
        for name, value in program.settings.items():
            state = answer.destination.settings.add(name=name, set=True)
            state.value.string_value = value
        for name, value in program.secrets.items():
            plain = resources.SettingValue(string_value=value).SerializeToString()
            sealed = self._data_key.encrypt(plain, setting_place(WORKSPACE, destination, name))
            answer.encrypted.add(name=name, nonce=sealed.nonce, ciphertext=sealed.ciphertext)
        return answer


class FakeTracker(delivery_rpc.InternalServiceServicer):
    """Answers what the test says is known."""

    def __init__(self) -> None:
        self.known: list[delivery_pb.KnownOutcome] = []
        self.asked: list[delivery_pb.LookupOutcomesRequest] = []
        self.answers = asyncio.Event()
        self.answers.set()
        # MessageIds that events of before this executor bore; None: nothing can be told.
        self.repeated: set[str] | None = set()
        # What watchers of breakers were told so far; the next ones are told only what is open.
        self.told: list[breakers_pb2.WatchBreakersResponse] = []
        self._open: set[str] = set()
        self.watchers = 0
        self._more = asyncio.Event()

    def breaker(self, destination: str, *, opened: bool) -> None:
        """Open or close a destination's breaker."""
        (self._open.add if opened else self._open.discard)(destination)
        places = [breakers_pb2.BreakerPlace(workspace=WORKSPACE, destination=destination)]
        told = breakers_pb2.WatchBreakersResponse(opened=places if opened else [], closed=[] if opened else places)
        self.told.append(told)
        self._more.set()
        self._more = asyncio.Event()

    async def WatchBreakers(self, request: Any, context: Any) -> AsyncIterator[breakers_pb2.WatchBreakersResponse]:
        first = breakers_pb2.WatchBreakersResponse(complete=True)
        first.opened.extend(breakers_pb2.BreakerPlace(workspace=WORKSPACE, destination=one) for one in self._open)
        told = len(self.told)
        self.watchers += 1
        yield first
        while True:
            more = self._more
            for one in self.told[told:]:
                yield one
            told = len(self.told)
            await more.wait()

    async def FindDuplicates(self, request: Any, context: Any) -> duplicates_pb.FindDuplicatesResponse:
        if self.repeated is None:
            raise Unavailable("Postgres is away")
        found = [at for at, message_id in enumerate(request.message_ids) if message_id in self.repeated]
        return duplicates_pb.FindDuplicatesResponse(duplicates=found)

    async def LookupOutcomes(self, request: Any, context: Any) -> delivery_pb.LookupOutcomesResponse:
        self.asked.append(request)
        await self.answers.wait()
        return delivery_pb.LookupOutcomesResponse(outcomes=self.known)


@dataclass
class Seen:
    """One attempt as it was reported."""

    destination: str
    version: int
    attempt: pb.Attempt
    filter_revision: int = 0


class World:
    """The executor under test and what surrounds it."""

    def __init__(self, bus: Bus, registry: FakeRegistry, tracker: FakeTracker, settings: Settings) -> None:
        self.bus = bus
        self.publisher = Publisher(bus)
        self.registry = registry
        self.tracker = tracker
        self.settings = settings
        self.app: App | None = None
        self.seen: list[Seen] = []
        self.refused: list[pb.IngestFailure] = []
        self.unmatched: list[pb.UnmatchedIntegration] = []
        self._running: asyncio.Task[None] | None = None

    async def start_executor(self) -> None:
        self.app = await build(self.settings)
        await self.app.start()
        self._running = asyncio.ensure_future(self.app.run())

    async def stop_executor(self, *, drain: bool = True) -> None:
        """Stop it as the service runner does; without drain, as if it had been killed."""
        assert self.app is not None
        assert self._running is not None
        if not drain:
            self.app._drain = _nothing  # type: ignore[method-assign]  # a crash leaves no time to drain
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await self.app.stop()

    async def publish(self, *events: dict[str, Any] | bytes, source: str = "web") -> None:
        for event in events:
            data = event if isinstance(event, bytes) else orjson.dumps(event)
            await self.publisher.publish(f"events.{WORKSPACE}.{source}", data)

    def on_outcomes(self, messages: list[BusMessage]) -> None:
        for message in messages:
            batch = pb.OutcomeBatch.FromString(message.data)
            self.refused += batch.ingest_failures
            self.unmatched += batch.unmatched_integrations
            for group in batch.destinations:
                self.seen += [
                    Seen(group.destination, group.version, attempt, group.filter_revision) for attempt in group.attempts
                ]
        ack(self.bus, messages)

    def of(self, destination: str) -> list[pb.Attempt]:
        return [seen.attempt for seen in self.seen if seen.destination == destination]

    async def attempts(self, destination: str, count: int = 1) -> list[pb.Attempt]:
        """Wait for so many reported attempts of a destination."""
        await eventually(lambda: len(self.of(destination)) >= count, timeout_s=20)
        return self.of(destination)

    async def all_acknowledged(self, stream: str = f"EVENTS_{WORKSPACE}") -> None:
        async def acknowledged() -> bool:
            info = await self.bus.api(f"CONSUMER.INFO.{stream}.executor")
            return bool(info["num_pending"] == 0 and info["num_ack_pending"] == 0)

        await eventually(acknowledged, timeout_s=20)


async def _nothing() -> None:
    return None


@asynccontextmanager
async def executor_world(
    nats_url: str, monitor_url: str, configure: Callable[[Any], None] | None = None
) -> AsyncIterator[World]:
    """Start NATS streams, the two fakes and an executor that has seen one source, "web"."""
    bus = await connect(nats_url, name="world")
    await provision(bus, [facts_stream(), OUTCOMES, events_stream(WORKSPACE)])
    registry = FakeRegistry(Publisher(bus))  # type: ignore[abstract]  # answers what is asked of it here
    tracker = FakeTracker()  # type: ignore[abstract]  # answers what executors ask
    gate = Gate(NobodyMay(), SERVICE_TOKEN)
    servicers: list[tuple[Callable[[Any, Any], None], object]] = [
        (registry_rpc.add_InternalServiceServicer_to_server, registry),
        (delivery_rpc.add_InternalServiceServicer_to_server, tracker),
    ]
    servers = [RpcServer("127.0.0.1:0", [servicer], gate) for servicer in servicers]
    for server in servers:
        await server.start()
    await registry.record("workspace", facts.WorkspaceCreated(workspace=WORKSPACE))
    await registry.record("workspace", facts.EgressRangeAllowed(range="127.0.0.0/8"))
    await registry.record("sources/web", facts.SourceCreated(source="web"))
    settings = Settings(
        nats_url=nats_url,
        nats_monitoring_url=monitor_url,
        registry_address=servers[0].address,
        delivery_address=servers[1].address,
        service_token=SecretStr(SERVICE_TOKEN),
        key_encryption_key=SecretStr(KEY),
        drain_seconds=5,
    )
    world = World(bus, registry, tracker, settings)
    puller = Puller(bus, "OUTCOMES", "delivery", batch=64, on_batch=world.on_outcomes)
    async with asyncio.TaskGroup() as group:
        group.create_task(puller.run())
        await world.start_executor()
        try:
            yield world
        finally:
            await world.stop_executor()
            await puller.stop()
    for server in servers:
        await server.stop(0)
    await bus.close()
