"""Puts the tracker together: the only module that names concrete classes."""

from __future__ import annotations

import asyncio
import gc
import random
from pathlib import Path

import structlog

from kit.auth.authorizer import Authorizer, RegistryAuthorizer
from kit.auth.denials import DenialLog
from kit.auth.gate import Gate
from kit.auth.registry import registry_ask, registry_denials
from kit.bus.connection import Bus
from kit.bus.publish import Publisher
from kit.bus.puller import Puller
from kit.bus.service_bus import connect_service
from kit.bus.streams import DUE, FACTS, OUTCOMES, provision
from kit.clock import Clock, SlewedClock, SystemClock
from kit.eventstore.forgetting import forget_answers
from kit.eventstore.owner_log import registry_log
from kit.eventstore.postgres import MIGRATIONS as EVENT_LOG_MIGRATIONS
from kit.eventstore.postgres import PostgresEventStore
from kit.eventstore.relay import Relay
from kit.postgres.migrate import migrate
from kit.postgres.pool import Pool, connect_pool
from kit.rpc.client import open_channel
from kit.rpc.methods import Servicer
from kit.rpc.pages import PageTokens
from kit.rpc.server import RpcServer
from kit.rpc.tls import service_tls
from onward.delivery.v1.delivery_service_pb2_grpc import add_DeliveryServiceServicer_to_server
from onward.delivery.v1.internal_service_pb2_grpc import add_InternalServiceServicer_to_server
from onward.delivery.v1.replay_service_pb2_grpc import add_ReplayServiceServicer_to_server
from onward.executor.v1 import execution_service_pb2 as executor_pb
from onward.executor.v1 import execution_service_pb2_grpc as executor_rpc
from services.delivery.consumers import PULL_MESSAGES, OutcomesConsumer
from services.delivery.domain.credit import Credits
from services.delivery.domain.health import Rules
from services.delivery.domain.schedule import Random, Schedule
from services.delivery.handlers.acts import Acts
from services.delivery.handlers.alerts import Alerts, Announcer
from services.delivery.handlers.applied import AppliedOutcomes
from services.delivery.handlers.breakers import BreakerBoard, BreakerResets
from services.delivery.handlers.checks import delivery_status
from services.delivery.handlers.conditions import Conditions
from services.delivery.handlers.expiry import Expiry
from services.delivery.handlers.following import RegistryFollower
from services.delivery.handlers.health import HealthJudge
from services.delivery.handlers.health import queries as health_queries
from services.delivery.handlers.health_watch import HealthWatch
from services.delivery.handlers.interventions import Interventions
from services.delivery.handlers.leading import Leading
from services.delivery.handlers.maintenance import Maintenance
from services.delivery.handlers.release import UNANSWERED_AFTER_S, Releaser
from services.delivery.handlers.replay_cancelling import ReplayCancelling
from services.delivery.handlers.replay_counts import ReplayCounts
from services.delivery.handlers.replay_events import KeptEvents
from services.delivery.handlers.replay_runner import ReplayRunner
from services.delivery.handlers.replay_slices import ReplaySlices
from services.delivery.handlers.replays import Replays
from services.delivery.handlers.subscriptions import Subscriptions
from services.delivery.handlers.watch import Watchers
from services.delivery.handlers.webhooks import WebhookSender
from services.delivery.projections.batches import Applied, BatchWriter
from services.delivery.rpc.delivery import DeliveryServicer
from services.delivery.rpc.internal import InternalServicer
from services.delivery.rpc.replays import ReplayServicer
from services.delivery.settings import Settings, parse_offsets

log = structlog.get_logger(__name__)

SERVICE = "delivery"
MIGRATIONS = Path(__file__).parent / "migrations"


# Every transaction makes some ten thousand tuples that hold no cycles, and the collector looked through them time and
# again: a fifth of the CPU time of an attempt, measured.
COLLECTOR_THRESHOLDS = (100_000, 20, 20)
# An answer waits this long for its facts to be on the bus; a bus that is away must not make answers slow.
PUBLISHED_WAIT_S = 0.5
# The executor gives a receiver 10 s; the rest is for its own part.
WEBHOOK_TIMEOUT_S = 20.0


def calm_collector() -> None:
    """Have the garbage collector of this process run less often."""
    gc.set_threshold(*COLLECTOR_THRESHOLDS)


async def build(
    settings: Settings,
    *,
    authorizer: Authorizer | None = None,
    clock: Clock | None = None,
    jitter: Random = random.random,
    unanswered_after_s: float = UNANSWERED_AFTER_S,
) -> DeliveryApp:
    """The tracker, not yet started. `authorizer` stands in for the registry in tests."""
    return DeliveryApp(settings, authorizer, clock or SystemClock(), jitter, unanswered_after_s)


class DeliveryApp:
    """The tracker's parts and their lives."""

    def __init__(
        self,
        settings: Settings,
        authorizer: Authorizer | None,
        clock: Clock,
        jitter: Random,
        unanswered_after_s: float,
    ) -> None:
        self._settings = settings
        self._clock = clock
        # Of all that is due: a step of the machine's clock must not release a day's retries at once, or hold them back.
        self._deadlines = SlewedClock(clock)
        self._jitter = jitter
        self._unanswered_after_s = unanswered_after_s
        self._dsn = settings.postgres_dsn.get_secret_value()
        self._tls = service_tls(settings, SERVICE)
        token, credentials = settings.service_token.get_secret_value(), self._tls.client
        self._registry = open_channel(settings.registry_address, token, service=SERVICE, credentials=credentials)
        self._executor = open_channel(settings.executor_address, token, service=SERVICE, credentials=credentials)
        self._authorizer = authorizer or RegistryAuthorizer(registry_ask(self._registry), clock)
        self._denials = DenialLog(registry_denials(self._registry), clock)
        self._watchers = Watchers()
        self.credits = Credits()
        self._maintenance = Maintenance(self._dsn, clock, settings.retention_days)
        self._pool: Pool | None = None
        self._bus: Bus | None = None
        self._server: RpcServer | None = None
        self._puller: Puller | None = None
        self._consumer: OutcomesConsumer | None = None
        self._releaser: Releaser | None = None
        self._replays: ReplayRunner | None = None
        self._store: PostgresEventStore | None = None
        self._relay: Relay | None = None
        self._follower: RegistryFollower | None = None
        self._board: BreakerBoard | None = None
        self._health: HealthWatch | None = None
        self._health_leading: Leading | None = None

    @property
    def address(self) -> str:
        """host:port of the gRPC server, once started."""
        assert self._server is not None, "not started"
        return self._server.address

    @property
    def applied(self) -> int:
        """Attempts stored since the start, deferrals aside."""
        return self._consumer.applied if self._consumer is not None else 0

    @property
    def releasing(self) -> bool:
        """Whether this is the replica that releases what is due."""
        return self._releaser is not None and self._releaser.leading

    def look(self) -> None:
        """Have all that the clock drives look at it now, for tests that move it."""
        assert self._releaser is not None, "not started"
        assert self._health is not None, "not started"
        assert self._replays is not None, "not started"
        self._replays.wake()
        self._releaser.wake()
        self._health.wake()

    async def start(self) -> None:
        """Bring the database up to date, connect, listen."""
        await migrate(self._dsn, [EVENT_LOG_MIGRATIONS, MIGRATIONS])
        await self._maintenance.maintain()
        pool = self._pool = await connect_pool(self._dsn, application_name="onward-delivery")
        bus = self._bus = await connect_service("delivery", self._settings)
        await provision(bus, [OUTCOMES, DUE, FACTS])
        applied = AppliedOutcomes(bus, self._clock)
        publisher = Publisher(bus)
        store = self._store = PostgresEventStore(pool, clock=self._clock)
        self._relay = Relay(
            self._dsn,
            service=SERVICE,
            publish_many=publisher.publish_many,
            appended=store.appended,
            recent=store.recent,
        )
        schedule = Schedule(parse_offsets(self._settings.retry_offsets_s))
        writer = BatchWriter(schedule, self._jitter)
        consumer = self._consumer = OutcomesConsumer(bus, pool, writer, self._deadlines, self._told)
        self._releaser = Releaser(
            self._dsn, pool, bus, publisher.publish_many, applied, self.credits, self._deadlines,
            Expiry(schedule, consumer.apply), self._unanswered_after_s,
        )  # fmt: skip
        self._follower = RegistryFollower(pool, registry_log(self._registry), self._deadlines, self._releaser.wake)
        self._board = BreakerBoard(pool, store, self._deadlines, self._releaser.wake)
        await self._board.load()
        kept = KeptEvents(bus)
        cancelling = ReplayCancelling(pool, writer, self._deadlines, self._told)
        slices = ReplaySlices(pool, kept, self._deadlines)
        self._replays = ReplayRunner(
            self._dsn, pool, store, slices, cancelling, self._deadlines, self._releaser.wake
        )  # fmt: skip
        self._puller = Puller(bus, "OUTCOMES", SERVICE, batch=PULL_MESSAGES, on_batch=consumer.on_messages)
        self._health_leading = self._make_health(pool, store, applied)
        self._server = self._make_server(pool, bus, applied, writer, store, kept)
        await self._server.start()
        await self._server.ready()

    async def run(self) -> None:
        """Apply, release and maintain until cancelled; then finish what is being applied."""
        assert self._puller is not None
        assert self._releaser is not None
        assert self._follower is not None
        assert self._relay is not None
        assert self._board is not None
        assert self._health_leading is not None
        assert self._replays is not None
        assert self._store is not None
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._releaser.run(), name="releaser")
            tasks.create_task(self._replays.run(), name="replays")
            tasks.create_task(self._maintenance.run(), name="maintenance")
            tasks.create_task(self._follower.run(), name="registry")
            tasks.create_task(self._board.run(), name="breakers")
            tasks.create_task(self._denials.run(), name="denials")
            tasks.create_task(self._relay.run(), name="relay")
            tasks.create_task(self._health_leading.run(), name="health")
            tasks.create_task(forget_answers(self._store, self._clock), name="forget-answers")
            pulling = tasks.create_task(self._puller.run(), name="outcomes")
            try:
                await asyncio.shield(pulling)
            except asyncio.CancelledError:
                await self._drain(self._puller)
                raise

    async def stop(self) -> None:
        """Let running calls end, then close everything."""
        if self._board is not None:
            self._board.close()
        if self._server is not None:
            await self._server.stop(self._settings.drain_seconds / 2)
        await self._denials.drain()
        await self._registry.close()
        await self._executor.close()
        if self._bus is not None:
            # What was applied is acknowledged before the connection goes.
            await self._bus.drain()
        if self._pool is not None:
            await self._pool.close()

    async def _drain(self, puller: Puller) -> None:
        """Let what was pulled be applied."""
        try:
            async with asyncio.timeout(self._settings.drain_seconds / 2):
                await puller.stop()
        except TimeoutError:
            log.warning("drain_incomplete")

    def _make_health(self, pool: Pool, store: PostgresEventStore, applied: AppliedOutcomes) -> Leading:
        """What judges destinations, announces what became of them, and sends it."""
        alerts = Alerts(self._deadlines)
        # Without a key nobody can have subscribed; and what was signed with one is not sent unsigned.
        key = self._settings.webhook_key
        sender = WebhookSender(
            pool, store, alerts, self._send_webhook, key or b"", self._clock, self._deadlines, self._jitter
        )
        judge = HealthJudge(pool, store, applied, Conditions(pool, alerts), _rules(self._settings), self._clock)
        self._health = HealthWatch(judge, Announcer(pool, store, alerts), sender.wake)
        duties = [self._health.run, sender.run] if key else [self._health.run]
        return Leading(self._dsn, "health", health_queries.try_to_lead, duties)

    async def _send_webhook(self, request: executor_pb.SendWebhookRequest) -> executor_pb.SendWebhookResponse:
        stub: executor_rpc.ExecutionServiceAsyncStub = executor_rpc.ExecutionServiceStub(self._executor)
        return await stub.SendWebhook(request, timeout=WEBHOOK_TIMEOUT_S)

    def _make_server(
        self,
        pool: Pool,
        bus: Bus,
        applied: AppliedOutcomes,
        writer: BatchWriter,
        store: PostgresEventStore,
        kept: KeptEvents,
    ) -> RpcServer:
        assert self._releaser is not None
        assert self._board is not None
        service_token = self._settings.service_token.get_secret_value()
        acts = Acts(store, self._published)
        assert self._replays is not None
        assert self._follower is not None
        interventions = Interventions(acts, writer, self._deadlines, self._told, self._releaser.wake)
        resets = BreakerResets(acts, self._board, self._deadlines)
        subscriptions = Subscriptions(acts, pool, self._settings.webhook_key, self._clock)
        counts = ReplayCounts(pool, kept, self._clock)
        replays = Replays(acts, pool, counts, self._clock, self._follower.look, self._replays.wake)
        pages = PageTokens(service_token)
        deliveries = DeliveryServicer(pool, pages, self._watchers, self._clock, interventions, resets, subscriptions)
        servicers: list[Servicer] = [
            (add_DeliveryServiceServicer_to_server, deliveries),
            (add_ReplayServiceServicer_to_server, ReplayServicer(replays, pages)),
            (add_InternalServiceServicer_to_server, InternalServicer(pool, applied, self._clock, store, self._board)),
            delivery_status(self._settings, self._clock, pool, bus),
        ]
        gate = Gate(self._authorizer, service_token)
        return RpcServer(self._settings.listen, servicers, gate, tls=self._tls, denials=self._denials)

    def _told(self, applied: Applied) -> None:
        """A transaction is committed: the releaser and the watchers hear of it."""
        for destination, released in applied.released.items():
            self.credits.settle(destination, released.successes, released.failures)
        if applied.due or applied.released:
            assert self._releaser is not None
            self._releaser.told({(key[0], key[1]) for key in applied.due} | applied.released.keys())
        if applied.breaker_changes:
            assert self._board is not None
            self._board.changed(applied.breaker_changes)
        self._watchers.tell(applied)

    async def _published(self, workspace: str, position: int) -> None:
        assert self._relay is not None
        await self._relay.wait_published(workspace, position, PUBLISHED_WAIT_S)


def _rules(settings: Settings) -> Rules:
    return Rules(
        attempts_min=settings.health_attempts_min,
        failing_ratio=settings.health_failing_ratio,
        failing_windows=settings.health_failing_windows,
        clean_windows=settings.health_clean_windows,
        invalid_settings_minutes=settings.health_invalid_settings_minutes,
    )
