"""Builds an executor: the only module that names concrete classes."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial

import structlog

from kit.auth.authorizer import RegistryAuthorizer
from kit.auth.denials import DenialLog
from kit.auth.gate import Gate
from kit.auth.registry import registry_ask, registry_denials
from kit.bus.connection import Bus
from kit.bus.message import Message
from kit.bus.publish import ONE_TRY, Publisher
from kit.bus.puller import Puller
from kit.bus.retention import make_room
from kit.bus.service_bus import connect_service
from kit.bus.stored import StoredMessage, exists, newest_first
from kit.bus.streams import DUE, OUTCOMES, events_stream, events_stream_name, facts_stream, provision, require
from kit.bus.tracing import inject
from kit.clock import SystemClock
from kit.errors import LimitReached, OnwardError, Unavailable
from kit.eventstore.owner_log import registry_log
from kit.ids import SystemIds
from kit.rpc.client import QuickChannel, open_channel
from kit.rpc.server import RpcServer
from kit.rpc.tls import service_tls
from kit.settings import SettingsError
from onward.common.v1 import facts_pb2
from onward.delivery.v1 import breakers_pb2
from onward.delivery.v1 import duplicates_pb2 as duplicates_pb
from onward.delivery.v1 import internal_service_pb2 as delivery_pb
from onward.delivery.v1 import internal_service_pb2_grpc as delivery_rpc
from onward.executor.v1 import execution_service_pb2_grpc as executor_rpc
from onward.registry.v1 import internal_service_pb2 as registry_pb
from onward.registry.v1 import internal_service_pb2_grpc as registry_rpc
from onward.registry.v1 import resources_pb2
from services.executor.consumers.breakers import BreakersFeed
from services.executor.consumers.continuity import Continuity
from services.executor.consumers.duplicates import Published, Repetitions, WhileAnswered
from services.executor.consumers.facts import BusFence, FactsFeed
from services.executor.consumers.floods import Floods
from services.executor.consumers.intake import Intake
from services.executor.consumers.tickets import Tickets
from services.executor.handlers.checks import executor_status
from services.executor.handlers.egress import Egress
from services.executor.handlers.fairness import CpuShares
from services.executor.handlers.function_tests import FunctionTests
from services.executor.handlers.generations import Services
from services.executor.handlers.holds import OpenBreakers
from services.executor.handlers.invocations import Invocations
from services.executor.handlers.lane_set import LaneSet
from services.executor.handlers.metering import Meters, expose
from services.executor.handlers.observation import Observer, population
from services.executor.handlers.places import CHECKS_MAX, CheckPlaces, WorkerPlaces
from services.executor.handlers.reports import Reporter
from services.executor.handlers.resolve import Resolver
from services.executor.handlers.samples import Samples
from services.executor.handlers.settle import OutcomeLog
from services.executor.handlers.trial_places import TRIAL_BYTES, TRIALS_MAX, TrialPlaces, trials_within
from services.executor.handlers.trials import Trials
from services.executor.handlers.turns import Turns
from services.executor.handlers.webhooks import Webhooks
from services.executor.projections import Change, View
from services.executor.rpc import ExecutionService, Handlers
from services.executor.runtime.addresses import Network
from services.executor.runtime.broker import Broker
from services.executor.runtime.pool import Zygote
from services.executor.runtime.processes import raise_open_files, read_memory
from services.executor.runtime.self_test import degradations_of, self_test
from services.executor.settings import Settings

# One pull's worth: large enough to amortise its cost, small enough to keep the loop responsive.
PULL_EVENTS = 512
RETRY_S = 0.5
# The tracker answers within milliseconds, and within some tenths of a second while it stores a lot.
DUPLICATES_S = 1.0
# Saves are seldom, and one that finds no reader takes some 30 ms more.
CODE_READERS = 1
# Functions that are new at the same time find a worker ready, for 4 MB each. A fourth one waits some 20 ms longer.
SPARE_WORKERS = 3
DRAIN_TICK_S = 0.02
# The last fifth of a stream of 4 GiB lasts for 40 s at full speed.
ROOM_INTERVAL_S = 5.0
# Of the machine's or the container's memory. The rest is for this process, and for workers that grow before they are
# measured again; on one machine with everything, also for Postgres, NATS and the other services.
WORKERS_MEMORY_SHARE = 0.5
# Of that: what runs by hand and checks of code may take at most, the latter 50 MB each.
BY_HAND_SHARE = 0.25
CHECK_BYTES = 50 << 20
# Somebody waits for his run; the question to the bus takes a millisecond.
FENCE_S = 3.0
# Later than any message was stored.
NOW = 2**63
# How long the registry may take to come up beside us.
FIRST_ANSWER_S = 60.0

log = structlog.get_logger()


class App:
    """One executor."""

    def __init__(self, settings: Settings, bus: Bus, zygote: Zygote) -> None:
        self._settings = settings
        self._bus = bus
        self._zygote = zygote
        self._clock = SystemClock()
        token = settings.service_token.get_secret_value()
        tls = service_tls(settings, "executor")
        self._registry = open_channel(settings.registry_address, token, service="executor", credentials=tls.client)
        self._delivery = open_channel(settings.delivery_address, token, service="executor", credentials=tls.client)
        self._registry_stub: registry_rpc.InternalServiceAsyncStub = registry_rpc.InternalServiceStub(self._registry)
        self._delivery_stub: delivery_rpc.InternalServiceAsyncStub = delivery_rpc.InternalServiceStub(self._delivery)
        # Each pull of events waits for an answer.
        self._quick = QuickChannel(settings.delivery_address, token, service="executor", credentials=tls.client)
        self._quick_stub: delivery_rpc.InternalServiceAsyncStub = delivery_rpc.InternalServiceStub(self._quick.channel)
        self._duplicates = WhileAnswered(self._find_duplicates)
        self._log = registry_log(self._registry)
        self._publisher = Publisher(bus)
        self._floods = Floods(self._clock)
        self._tickets = Tickets(bus, self._clock, self._floods)
        self._outcomes = OutcomeLog(self._publish, self._tickets.settled, self._clock)
        self._broker = Broker(own_endpoints=_own_endpoints(settings))
        self._egress = Egress(self._broker, self._clock)
        self._view = View(self._changed)
        self._feed = FactsFeed(bus, self._view, self._read_facts, _replica())
        self._fence = BusFence(self._feed)
        turns = Turns(self._clock)
        resolver = Resolver(self._resolve, settings.keyring, turns)
        places = WorkerPlaces(settings.workers_max, _workers_memory_bytes(settings), self._clock)
        shares = CpuShares(self._clock)
        meters = self.meters = Meters(by_destination=settings.metrics_by_destination)
        self._breakers = OpenBreakers()
        services = Services(
            zygote, resolver, self._outcomes, self._egress, self._view, self._clock, places, turns, shares, meters,
            self._breakers,
        )  # fmt: skip
        observer = Observer(meters, traces=settings.otlp_endpoint is not None)
        self._outcomes.observe, self._egress.observe = observer.on_outcome, observer.on_fetch
        expose(meters, population(places, shares, self._tickets))
        self._lanes = LaneSet(services)
        self._breakers.on_change = self._lanes.look
        self._intake = Intake(
            self._view, self._fence, self._tickets, self._floods, self._outcomes, self._lanes.push, self._lookup,
            Repetitions(self._duplicates.find), self._clock,
        )  # fmt: skip
        self._continuity = Continuity(partial(exists, bus))
        self._reporter = Reporter(self._view, self._report, f"{_replica()}-{SystemIds().token_id()}")
        self._pullers: dict[str, Puller] = {}
        self._denials = DenialLog(registry_denials(self._registry), self._clock)
        gate = Gate(RegistryAuthorizer(registry_ask(self._registry)), token)
        checks = CheckPlaces()
        handlers = self._handlers(resolver, turns, checks)
        execution = ExecutionService(zygote, checks, handlers, settings.runtime_dir)
        servicer = (executor_rpc.add_ExecutionServiceServicer_to_server, execution)
        status = executor_status(settings, self._clock, bus, zygote, places, self._view, self._log.heads)
        self._server = RpcServer(settings.listen, [servicer, status], gate, tls=tls, denials=self._denials)

    @property
    def address(self) -> str:
        """host:port of the gRPC server, once started."""
        return self._server.address

    def _handlers(self, resolver: Resolver, turns: Turns, checks: CheckPlaces) -> Handlers:
        """What people and the tracker may ask for."""
        places = TrialPlaces(trials_within(_by_hand_bytes() - CHECKS_MAX * CHECK_BYTES))
        trials = Trials(self._zygote, self._egress, self._egress_ranges, places, self._clock)
        return Handlers(
            FunctionTests(self._zygote, trials, checks, self._read_version, self._clock),
            Invocations(resolver, self._view, trials, self._record_invocation, turns, self._clock),
            Samples(self._stored_events, self._read_source_filters, turns),
            Webhooks(self._broker.fetch, self._egress_ranges),
        )

    # --- life ------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        raise_open_files()
        await self._start_sandbox()
        await self._broker.start()
        # The tracker's consumer is the tracker's to make.
        await provision(self._bus, [facts_stream(), replace(OUTCOMES, consumers=()), DUE])
        # The registry checks code with us, so we answer before we have its facts.
        await self._server.start()

    async def _start_sandbox(self) -> None:
        """Start the zygote and try what its workers can do. Raises SettingsError where the sandbox must be whole."""
        await self._zygote.start()
        endpoints = _numeric(_own_endpoints(self._settings))
        findings = await self_test(self._zygote, endpoints=endpoints, files=[self._settings.runtime_dir / "prelude.js"])
        self._zygote.degradations += degradations_of(findings)
        for degradation in self._zygote.degradations:
            log.warning("sandbox_degraded", what=degradation)
        if self._settings.sandbox_required and self._zygote.degradations:
            raise SettingsError(
                "ONWARD_SANDBOX_REQUIRED: the sandbox is not whole here; docs/operations.md says what each degradation "
                f"comes from. Without {'; without '.join(self._zygote.degradations)}"
            )

    async def run(self) -> None:
        for listener in (self._fence.disconnected, self._tickets.disconnected, self._outcomes.disconnected):
            self._bus.on_disconnect(listener)
        async with asyncio.TaskGroup() as group:
            for part in (
                self._outcomes, self._egress, self._lanes, self._tickets, self._fence, self._intake, self._duplicates,
            ):  # fmt: skip
                group.create_task(part.run())
            group.create_task(self._denials.run())
            await self._load_view()
            group.create_task(self._feed.run())
            group.create_task(self._reporter.run())
            group.create_task(BreakersFeed(self._watch_breakers, self._breakers).run())
            due = self._pullers["DUE"] = Puller(self._bus, "DUE", "executor", batch=PULL_EVENTS, on_batch=self._on_due)
            group.create_task(due.run())
            group.create_task(self._keep_room())
            group.create_task(self._continuity.run())
            await self._server.ready()
            try:
                await self._follow_workspaces(group)
            except asyncio.CancelledError:
                await self._drain()
                raise

    async def _drain(self) -> None:
        """Stop pulling, let what runs finish and be reported; what does not is delivered again to others."""
        await self._server.not_ready()
        self._floods.release()
        try:
            async with asyncio.timeout(self._settings.drain_seconds):
                await asyncio.gather(*(puller.stop() for puller in self._pullers.values()))
                while len(self._tickets) or not self._outcomes.empty:
                    await asyncio.sleep(DRAIN_TICK_S)
        except TimeoutError:
            log.warning("drain_incomplete", messages=len(self._tickets))

    async def stop(self) -> None:
        await self._server.stop(self._settings.drain_seconds / 2)
        await self._denials.drain()
        await self._reporter.leave()
        await self._lanes.stop()
        await self._feed.stop()
        await self._broker.stop()
        await self._zygote.stop()
        await self._registry.close()
        await self._quick.close()
        await self._delivery.close()
        await self._bus.close()

    async def _load_view(self) -> None:
        """Have the whole view before anything is pulled; the registry may still be starting."""
        deadline = self._clock.monotonic() + FIRST_ANSWER_S
        while True:
            try:
                await self._feed.start()
            except OnwardError as error:
                if self._clock.monotonic() > deadline:
                    raise
                log.info("waiting_for_registry", reason=error.reason)
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def _follow_workspaces(self, group: asyncio.TaskGroup) -> None:
        """Pull the events of every workspace that the view knows."""
        while True:
            for workspace in self._view.workspaces():
                if workspace not in self._pullers:
                    await self._follow(workspace, group)
            await self._view.grown.wait()
            self._view.grown.clear()

    async def _follow(self, workspace: str, group: asyncio.TaskGroup) -> None:
        stream = events_stream_name(workspace)
        try:
            # The registry makes it, and has perhaps only begun to.
            await require(self._bus, events_stream(workspace))
        except OnwardError as error:
            log.warning("events_stream_missing", workspace=workspace, reason=error.reason)
            await asyncio.sleep(RETRY_S)
            self._view.grown.set()
            return

        async def on_batch(messages: list[Message]) -> None:
            self._continuity.seen(stream, messages)
            await self._intake.on_events(workspace, stream, messages)
            puller.ask_for(self._floods.pull_max(stream, PULL_EVENTS))

        puller = self._pullers[workspace] = Puller(self._bus, stream, "executor", batch=PULL_EVENTS, on_batch=on_batch)
        group.create_task(puller.run())

    async def _keep_room(self) -> None:
        """Let the oldest handled events go where a stream is nearly full."""
        seen: dict[str, int] = {}
        while True:
            await asyncio.sleep(ROOM_INTERVAL_S)
            for workspace in self._view.workspaces():
                puller = self._pullers.get(workspace)
                if puller is None or puller.received == seen.get(workspace, 0):
                    continue
                seen[workspace] = puller.received
                try:
                    await make_room(self._bus, workspace)
                except OnwardError as error:
                    log.warning("room_not_made", workspace=workspace, reason=error.reason)

    async def _on_due(self, messages: list[Message]) -> None:
        await self._intake.on_due("DUE", messages)

    def _changed(self, workspace: str, destination: str, change: Change) -> None:
        self._lanes.changed(workspace, destination, change)

    # --- what it asks of others ------------------------------------------------------------------------------

    async def _publish(self, subject: str, data: bytes, msg_id: str) -> object:
        return await self._publisher.publish(subject, data, msg_id, inject(), timeout_s=ONE_TRY)

    async def _resolve(self, name: str) -> registry_pb.ResolveDestinationResponse:
        return await self._registry_stub.ResolveDestination(registry_pb.ResolveDestinationRequest(name=name))

    async def _read_version(self, name: str, number: int) -> resources_pb2.Version:
        request = registry_pb.ReadVersionRequest(name=name, number=number)
        return (await self._registry_stub.ReadVersion(request)).version

    async def _read_source_filters(self, name: str) -> registry_pb.ReadSourceFiltersResponse:
        return await self._registry_stub.ReadSourceFilters(registry_pb.ReadSourceFiltersRequest(name=name))

    async def _record_invocation(self, request: registry_pb.RecordInvocationRequest) -> int:
        return (await self._registry_stub.RecordInvocation(request)).position

    async def _egress_ranges(self, workspace: str) -> tuple[Network, ...]:
        """As the newest fact has them. Raises Unavailable."""
        try:
            async with asyncio.timeout(FENCE_S):
                await self._fence.wait(NOW)
        except TimeoutError:
            raise Unavailable("Whether ranges were closed can't be known while NATS is away; try again.") from None
        return self._view.egress_ranges(workspace)

    def _stored_events(self, workspace: str, source: str) -> AsyncIterator[StoredMessage]:
        return newest_first(self._bus, events_stream_name(workspace), f"events.{workspace}.{source}")

    async def _report(
        self, request: registry_pb.ReportExecutorRequest, timeout_s: float
    ) -> registry_pb.ReportExecutorResponse:
        return await self._registry_stub.ReportExecutor(request, timeout=timeout_s)

    async def _read_facts(self, workspace: str, after: int, limit: int) -> facts_pb2.ReadFactsResponse:
        request = facts_pb2.ReadFactsRequest(workspace=workspace, after_position=after, limit=limit)
        return await self._log.read(request)

    def _watch_breakers(self) -> AsyncIterator[breakers_pb2.WatchBreakersResponse]:
        return aiter(self._delivery_stub.WatchBreakers(breakers_pb2.WatchBreakersRequest()))

    async def _lookup(self, workspace: str, events: Sequence[tuple[int, int]]) -> delivery_pb.LookupOutcomesResponse:
        """Ask the tracker until it answers: without it nobody knows what a lost executor had done."""
        while True:
            try:
                info = await self._bus.api("STREAM.INFO.OUTCOMES")
                request = delivery_pb.LookupOutcomesRequest(
                    workspace=workspace,
                    outcomes_sequence=int(info["state"]["last_seq"]),
                    events=[delivery_pb.EventReference(stream_sequence=seq, index=index) for seq, index in events],
                )
                return await self._delivery_stub.LookupOutcomes(request)
            except LimitReached:
                raise
            except OnwardError as error:
                log.info("waiting_for_tracker", reason=error.reason)
                await asyncio.sleep(RETRY_S)

    async def _find_duplicates(self, workspace: str, events: Sequence[Published]) -> Sequence[int]:
        """Ask the tracker once."""
        sources, message_ids, sequences, indexes, times = zip(*events, strict=True)
        request = duplicates_pb.FindDuplicatesRequest(
            workspace=workspace, sources=sources, message_ids=message_ids, stream_sequences=sequences, indexes=indexes,
            received_at_us=times,
        )  # fmt: skip
        answer = await self._quick.call("FindDuplicates", self._quick_stub.FindDuplicates, request, DUPLICATES_S)
        return answer.duplicates


def _replica() -> str:
    """Name this executor among its replicas: the host and the process."""
    host = "".join(c if c.isalnum() else "-" for c in socket.gethostname())[:40]
    return f"{host}-{os.getpid()}"


def _workers_memory_bytes(settings: Settings) -> int:
    """What the workers of destinations may take together."""
    if settings.workers_memory_mb is not None:
        return settings.workers_memory_mb << 20
    return int(WORKERS_MEMORY_SHARE * read_memory()[1]) - _by_hand_bytes()


def _by_hand_bytes() -> int:
    """What runs by hand and checks may take together."""
    enough = TRIALS_MAX * TRIAL_BYTES + CHECKS_MAX * CHECK_BYTES
    return min(enough, int(BY_HAND_SHARE * WORKERS_MEMORY_SHARE * read_memory()[1]))


def _own_endpoints(settings: Settings) -> list[tuple[str, int]]:
    """List what functions may never call: Onward's own servers, and what the operator names."""
    nats = settings.nats_url.rpartition("@")[2].rpartition("/")[2]
    addresses = [
        nats,
        settings.registry_address,
        settings.executor_address,
        settings.delivery_address,
        settings.audit_address,
        settings.listen,
        settings.internal_listen or "",
        *settings.egress_denied.split(","),
    ]
    if settings.nats_monitoring_url:
        addresses.append(settings.nats_monitoring_url.partition("//")[2].rstrip("/"))
    found = []
    for address in addresses:
        host, _, port = address.strip().rpartition(":")
        if host and port.isdigit():
            found.append((host.strip("[]"), int(port)))
    return found


def _numeric(endpoints: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Those whose hosts are addresses: a worker has no resolver."""
    return [(host, port) for host, port in endpoints if host.replace(".", "").isdigit() or ":" in host]


async def build(settings: Settings) -> App:
    if not (settings.runtime_dir / "prelude.js").is_file():
        raise SettingsError(f"no JavaScript bundle in {settings.runtime_dir}: run `make setup`")
    bus = await connect_service("executor", settings)
    zygote = Zygote(
        settings.runtime_dir,
        jitless=settings.jitless,
        allow_eval=settings.allow_eval,
        spares=SPARE_WORKERS,
        readers=CODE_READERS,
    )
    return App(settings, bus, zygote)
