"""The executor's lanes and workers, sandboxed as in production, without servers around them."""

from __future__ import annotations

import asyncio
import base64
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from kit.bus.message import Message
from kit.clock import SystemClock
from kit.vault import Keyring, Vault
from onward.executor.v1 import outcomes_pb2 as pb
from onward.registry.v1 import facts_pb2 as facts
from onward.registry.v1 import internal_service_pb2 as registry_pb
from onward.registry.v1 import resources_pb2 as resources
from services.executor.handlers.egress import Egress
from services.executor.handlers.fairness import CpuShares
from services.executor.handlers.generations import Services
from services.executor.handlers.lane_set import LaneSet
from services.executor.handlers.places import WorkerPlaces
from services.executor.handlers.resolve import Resolver
from services.executor.handlers.settle import OutcomeLog
from services.executor.handlers.turns import Turns
from services.executor.handlers.work import Item, Ticket
from services.executor.projections import View
from services.executor.runtime.broker import Broker
from services.executor.runtime.pool import Zygote

RUNTIME = Path(__file__).parent.parent / "build" / "runtime"
SOURCE = "web"
FUNCTION = "f"
EVENT = b'{"type":"track","event":"Order","userId":"u","properties":{"total":12.5,"note":"%s"}}' % (b"x" * 700)
ENOUGH = 1 << 40


class Outcomes(OutcomeLog):
    """Counts what was recorded instead of publishing it."""

    def __init__(self) -> None:
        super().__init__(_nothing, lambda tickets: None, SystemClock())
        self.results: dict[tuple[str, str], list[int]] = defaultdict(list)
        self.latencies_s: dict[str, list[float]] = defaultdict(list)
        self.count = 0
        self.changed = asyncio.Event()

    def record(self, item: Item, verdict: Any, *rest: Any, **more: Any) -> None:
        """Keep its result and how long it took."""
        route = item.route
        self.results[route.workspace, route.destination].append(verdict.result)
        self.latencies_s[route.workspace].append(time.monotonic() - item.queued_at)
        self.count += 1
        self.changed.set()


async def _nothing(*_: object) -> None:
    return None


class House:
    """Lanes of an executor; `connect` destinations, then `push` events to them."""

    def __init__(self, zygote: Zygote, *, most: int = 2_000, memory_bytes: int = ENOUGH) -> None:
        clock = SystemClock()
        self.zygote = zygote
        self.outcomes = Outcomes()
        self.broker = Broker(own_endpoints=[])
        self.view = View()
        self.places = WorkerPlaces(most, memory_bytes, clock)
        turns = Turns(clock)
        keyring = Keyring(Vault.from_base64(base64.b64encode(bytes(32)).decode()))
        self._programs: dict[str, resources.Version] = {}
        resolver = Resolver(self._resolve, keyring, turns)
        egress = Egress(self.broker, clock)
        self.services = Services(zygote, resolver, self.outcomes, egress, self.view, clock, self.places, turns,
                                 CpuShares(clock))  # fmt: skip
        self.lanes = LaneSet(self.services)
        self._position = 0

    async def _resolve(self, name: str) -> registry_pb.ResolveDestinationResponse:
        return registry_pb.ResolveDestinationResponse(version=self._programs[name])

    def connect(self, workspace: str, destination: str, code: str, *, timeout_ms: int = 5_000) -> None:
        """Make a destination that runs this code."""
        name = f"workspaces/{workspace}/destinations/{destination}"
        self._programs[name] = resources.Version(number=1, code=code, timeout_ms=timeout_ms)
        connected = facts.DestinationConnected(
            destination=destination, display_name=destination, function=FUNCTION, source=SOURCE, version=1
        )
        for fact in (connected, facts.DestinationEnabled(destination=destination)):
            self._position += 1
            data = _json(fact)
            self.view.apply(workspace, self._position, type(fact).__name__, data)

    def push(self, workspace: str, destination: str, count: int = 1, payload: bytes = EVENT) -> None:
        """Give a destination events."""
        route = self.view.route(workspace, destination)
        assert route is not None, "connected first"
        now = time.monotonic()
        message = Message.build(f"events.{workspace}.{SOURCE}", b"")
        for _ in range(count):
            ticket = Ticket((workspace, 1), message, now)
            item = Item(
                ticket=ticket,
                route=route,
                sequence=1,
                index=0,
                attempt=1,
                retries_used=0,
                message_id="m",
                type="track",
                name="Order",
                payload=payload,
                received_at_us=int(time.time() * 1e6),
                queued_at=now,
            )
            self.lanes.push(item)

    async def settled(self, count: int, timeout_s: float = 120.0) -> None:
        """Wait until so many outcomes have been recorded in all."""
        async with asyncio.timeout(timeout_s):
            while self.outcomes.count < count:
                self.outcomes.changed.clear()
                await self.outcomes.changed.wait()

    def delivered(self) -> int:
        """How many attempts went well."""
        return sum(results.count(pb.RESULT_DELIVERED) for results in self.outcomes.results.values())


def _json(fact: Any) -> bytes:
    from google.protobuf import json_format

    return json_format.MessageToJson(fact).encode()


@asynccontextmanager
async def house(*, most: int = 2_000, memory_bytes: int = ENOUGH) -> AsyncIterator[House]:
    """A house that runs, with a zygote of its own."""
    zygote = Zygote(RUNTIME)
    await zygote.start()
    made = House(zygote, most=most, memory_bytes=memory_bytes)
    await made.broker.start()
    running = [asyncio.ensure_future(part.run()) for part in (made.lanes, cast(Any, made.services.egress))]
    await asyncio.sleep(0)
    try:
        yield made
    finally:
        await made.lanes.stop()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await made.broker.stop()
        await zygote.stop()
