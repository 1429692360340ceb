"""A lane with all that it needs, and workers that say what the test has them say."""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import orjson

from kit.bus.message import Message
from kit.clock import FakeClock
from onward.executor.v1 import outcomes_pb2 as pb
from services.executor.handlers.fairness import CpuShares
from services.executor.handlers.generations import Services
from services.executor.handlers.holds import OpenBreakers
from services.executor.handlers.lane_set import LaneSet
from services.executor.handlers.metering import Meters
from services.executor.handlers.places import WorkerPlaces
from services.executor.handlers.resolve import Program
from services.executor.handlers.settle import OutcomeLog
from services.executor.handlers.turns import Turns
from services.executor.handlers.work import Item, Ticket
from services.executor.projections import Route
from services.executor.runtime import wire
from services.executor.runtime.jobs import CodeError, Limits
from services.executor.runtime.redaction import Redactor
from services.executor.runtime.worker_link import Worker

KILLED = 9
PROGRAM = Program(
    destination="crm", version=3, settings_revision=7, code="", settings=b"{}", limits=Limits(), redactor=Redactor([]),
    retry_only_explicit=False, fail_on_http_error=False,
)  # fmt: skip


class GivenWorker(Worker):
    """The executor's end of a worker that has no other end."""

    def __init__(self, pid: int) -> None:
        super().__init__(pid, mmap.mmap(-1, mmap.PAGESIZE), lambda _: None)
        self.handlers = ["onTrack"]
        self.killed = False

    def says(self, kind: wire.Kind, body: bytes) -> None:
        self.protocol.data_received(wire.frame(kind, body))

    def settles(self, *numbers: int) -> None:
        """Say what `settled` of a reply has: sequence number, wall and CPU time in us, and so on."""
        self.says(wire.Kind.REPLY, orjson.dumps({"settled": list(numbers), "records": []}))

    def ends(self) -> None:
        """Have the process be gone."""
        self.closed()
        self.ended(KILLED)

    def kill(self) -> None:
        self.killed = True
        super().kill()

    async def stop(self) -> None:
        self._ending.reason = "stopped"
        self.ends()


@dataclass
class GivenZygote:
    """Makes workers; loads nothing, unless the test says what comes of it."""

    workers: list[GivenWorker] = field(default_factory=list)
    # Called while a worker loads: it may raise what `fork` raises.
    load: Callable[[GivenWorker], None] = lambda _: None
    pid: int = 0

    async def fork(
        self, code: str, settings: bytes, limits: Limits, on_outcomes: Any, on_request: Any, on_exit: Any,
        on_start: Callable[[Worker], None] = lambda _: None,
    ) -> Worker:  # fmt: skip
        worker = GivenWorker(1000 + len(self.workers))
        self.workers.append(worker)
        worker.listen(on_outcomes, on_request, on_exit)
        on_start(worker)
        await asyncio.sleep(0)
        try:
            self.load(worker)
        except CodeError:
            worker.kill()
            raise
        return worker


class GivenResolver:
    """Answers with the test's program, at once or when the test says."""

    def __init__(self) -> None:
        self.program_now = PROGRAM
        self.asked = 0
        self.answers = asyncio.Event()
        self.answers.set()

    async def program(self, workspace: str, destination: str) -> Program:
        self.asked += 1
        await self.answers.wait()
        return self.program_now


class GivenView:
    """Knows every destination."""

    def __init__(self) -> None:
        # Why events of the destination are left to the tracker.
        self.held = ""

    def end_reason(self, workspace: str, destination: str) -> str:
        return ""

    def route(self, workspace: str, destination: str) -> Route:
        return Route(workspace, destination, "CRM", "web", "f", 3, enabled=True, held=self.held)


class LaneWorld:
    """What lanes need."""

    def __init__(self, group: asyncio.TaskGroup, places_max: int = 10) -> None:
        self.clock = FakeClock()
        self.zygote = GivenZygote()
        self.resolver = GivenResolver()
        self.log = OutcomeLog(cast(Any, None), cast(Any, None), self.clock)
        self.cpu_ns: dict[int, int] = {}
        self.places = WorkerPlaces(
            places_max, 1 << 40, self.clock, cores=2, measure=lambda _: 0, cpu_ns=lambda _: 8_000_000
        )
        self.shares = CpuShares(
            self.clock, cores=2, cpu_ns=lambda pid: self.cpu_ns.get(pid, 0), renice=lambda *_: True, idle=lambda: 1.0
        )
        self.meters = Meters()
        self.view = GivenView()
        self.breakers = OpenBreakers()
        self.services = Services(
            cast(Any, self.zygote), cast(Any, self.resolver), self.log, cast(Any, None), cast(Any, self.view),
            self.clock, self.places, Turns(self.clock), self.shares, self.meters, self.breakers,
        )  # fmt: skip
        self.lanes = LaneSet(self.services)
        self.breakers.on_change = self.lanes.look
        self.lanes._group = group
        self.lane = self.lanes._lane("acme", "crm")
        self._sequence = 0

    def item(self, *, stored_at_us: int = 0, **fields: Any) -> Item:
        self._sequence += 1
        message = Message.build("events.acme.web", b"", stream_seq=self._sequence, timestamp_ns=stored_at_us * 1000)
        made = Item(
            ticket=Ticket(("s", self._sequence), message, 0.0),
            route=Route("acme", "crm", "CRM", "web", "f", 3, enabled=True),
            sequence=self._sequence, index=0, attempt=1, retries_used=0, message_id=f"m{self._sequence}", type="track",
            name="Order", payload=b"{}", received_at_us=0, queued_at=self.clock.monotonic(),
        )  # fmt: skip
        return replace(made, **fields)

    async def push(self, count: int = 1, *, stored_at_us: int = 0, **fields: Any) -> None:
        for _ in range(count):
            self.lane.push(self.item(stored_at_us=stored_at_us, **fields))
        await turns()

    @property
    def attempts(self) -> list[pb.Attempt]:
        """What was recorded."""
        batches = [*self.log._ready, *self.log._open.values()]
        return [one for batch in batches for group in batch.message.destinations for one in group.attempts]

    @property
    def settled(self) -> int:
        """How many deliveries' tickets an outcome settles."""
        return sum(len(batch.tickets) for batch in [*self.log._ready, *self.log._open.values()])


async def turns(count: int = 20) -> None:
    """Let the loop do what it has to do."""
    for _ in range(count):
        await asyncio.sleep(0)


@asynccontextmanager
async def lane_world(**options: int) -> AsyncIterator[LaneWorld]:
    async with asyncio.TaskGroup() as group:
        world = LaneWorld(group, **options)
        yield world
        world.lane.close()
        for worker in world.zygote.workers:
            worker.locked.cancel()
