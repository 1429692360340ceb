"""A real executor and a real tracker, with a registry that holds programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import SecretStr

from kit.auth.gate import Gate
from kit.bus.connection import connect
from kit.bus.publish import Publisher
from kit.bus.streams import OUTCOMES, events_stream, facts_stream, provision
from kit.clock import Clock, SystemClock
from kit.embedded.nats import EmbeddedNats
from kit.rpc.server import RpcServer
from kit.testing.eventually import eventually
from onward.registry.v1 import facts_pb2 as facts
from onward.registry.v1 import internal_service_pb2_grpc as registry_rpc
from onward.registry.v1 import resources_pb2 as resources
from services.executor.app import App
from services.executor.settings import Settings
from tests.integration import delivery_world, executor_world
from tests.integration.executor_world import KEY, WORKSPACE, FakeRegistry, NobodyMay

# The last is the horizon: three workers that are lost to memory take some seconds on a machine with other things to do.
RETRY_OFFSETS_S = "0.5,1,1.5,2,2.5,3,3.5,4,4.5,12"

WAITING = "SELECT count(*) FROM due WHERE batch_events_max > 0 AND NOT gathered"


class Pair:
    """An executor, a tracker, and a registry that holds programs."""

    def __init__(self, registry: FakeRegistry, tracker: delivery_world.World, settings: Settings) -> None:
        self.registry = registry
        self.tracker = tracker
        self.settings = settings
        unasked = executor_world.FakeTracker()  # type: ignore[abstract]  # the real one answers
        self._world = executor_world.World(tracker.bus, registry, unasked, settings)

    @property
    def executor(self) -> App:
        assert self._world.app is not None
        return self._world.app

    async def start(self) -> None:
        await self.tracker.start()
        self._world.settings = self.settings.model_copy(update={"delivery_address": self.tracker.address})
        await self._world.start_executor()

    async def stop(self, *, drain: bool = True) -> None:
        await self._world.stop_executor(drain=drain)
        await self.tracker.stop()

    async def publish(self, *ids: str) -> None:
        batch = [{"type": "track", "event": "Order", "userId": "u", "messageId": one} for one in ids]
        await self._world.publish({"batch": batch})

    async def waits(self, count: int) -> None:
        """Wait until so many events wait for others in the tracker."""

        async def there() -> bool:
            return bool(await self.tracker.value(WAITING) == count)

        await eventually(there, timeout_s=20)

    async def ended(self, count: int) -> Counter[int]:
        """Wait until so many deliveries have ended and none is due; answers how many ended in each result."""

        async def done() -> bool:
            ended = await self.tracker.value("SELECT count(*) FROM attempts WHERE terminal")
            return bool(ended >= count and await self.tracker.value("SELECT count(*) FROM due") == 0)

        # A machine that runs many tests at once makes workers slow to start.
        await eventually(done, timeout_s=60)
        rows = await self.tracker.rows("SELECT result FROM attempts WHERE terminal")
        assert len(rows) == count
        return Counter(row["result"] for row in rows)

    async def update(self, destination: str, policy: resources.DeliveryPolicy) -> None:
        self.registry.programs[destination].policy = policy
        changed = facts.DeliveryPolicyUpdated(destination=destination, policy=policy)
        await self.registry.record(f"destinations/{destination}", changed)


@asynccontextmanager
async def a_pair(
    database: str, nats_url: str, nats_server: EmbeddedNats, clock: Clock | None = None
) -> AsyncIterator[Pair]:
    """Both, started; `clock` is the tracker's."""
    bus = await connect(nats_url, name="pair")
    await provision(bus, [facts_stream(), OUTCOMES, events_stream(WORKSPACE)])
    registry = FakeRegistry(Publisher(bus))  # type: ignore[abstract]  # answers what is asked of it here
    gate = Gate(NobodyMay(), delivery_world.SERVICE_TOKEN)
    server = RpcServer("127.0.0.1:0", [(registry_rpc.add_InternalServiceServicer_to_server, registry)], gate)
    await server.start()
    await registry.record("workspace", facts.WorkspaceCreated(workspace=WORKSPACE))
    await registry.record("workspace", facts.EgressRangeAllowed(range="127.0.0.0/8"))
    await registry.record("sources/web", facts.SourceCreated(source="web"))
    changes = {"registry_address": server.address, "retry_offsets_s": RETRY_OFFSETS_S}
    tracker = delivery_world.World(database, nats_url, bus, clock or SystemClock(), changes)
    settings = Settings(
        nats_url=nats_url,
        nats_monitoring_url=nats_server.monitor_url,
        registry_address=server.address,
        delivery_address="127.0.0.1:1",
        service_token=SecretStr(delivery_world.SERVICE_TOKEN),
        key_encryption_key=SecretStr(KEY),
        drain_seconds=5,
    )
    made = Pair(registry, tracker, settings)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
        await server.stop(0)
        await bus.close()
