"""The registry's facts on their way into the view: from the log first, then from the bus, gaps filled from the log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

import orjson
import structlog

from kit.bus.connection import Bus
from kit.bus.message import Message
from kit.bus.puller import Puller
from kit.errors import OnwardError
from kit.waiting import is_set_within
from onward.common.v1 import facts_pb2
from services.executor.projections import View

# One page of the log.
PAGE_FACTS = 500
# A view that is behind the bus for this long is filled from the log.
BEHIND_AFTER_S = 1.0
# An executor that is gone leaves its consumer behind for so long.
INACTIVE_NS = 10 * 60 * 1_000_000_000
RETRY_S = 0.5
COMPARE_INTERVAL_S = 30.0

log = structlog.get_logger()

# (workspace, after position, limit) -> facts, and the heads of all workspaces where none is named.
ReadFacts = Callable[[str, int, int], Awaitable[facts_pb2.ReadFactsResponse]]


class FactsFeed:
    """Keeps the view true. `start()` returns when the view holds everything that the log held then."""

    def __init__(self, bus: Bus, view: View, read: ReadFacts, replica: str) -> None:
        self._bus = bus
        self._view = view
        self._read = read
        self._consumer = f"executor-{replica}"
        self._puller: Puller | None = None
        self._lock = asyncio.Lock()
        self._applied_sequence = 0
        self._advanced = asyncio.Event()
        self._reconnected = asyncio.Event()

    async def start(self) -> None:
        await self._ensure_consumer()
        self._applied_sequence, _ = await self.head()
        self._puller = Puller(self._bus, "FACTS", self._consumer, batch=256, on_batch=self._on_batch)
        await self.catch_up()

    async def _ensure_consumer(self) -> None:
        """Make our consumer where it is not there: the server forgets it when we are away for long."""
        config = {
            "name": self._consumer,
            "ack_policy": "none",
            "deliver_policy": "new",
            "inactive_threshold": INACTIVE_NS,
        }
        await self._bus.api(f"CONSUMER.CREATE.FACTS.{self._consumer}", {"stream_name": "FACTS", "config": config})

    async def run(self) -> None:
        assert self._puller is not None, "started first"
        forget = self._bus.on_reconnect(self._reconnected.set)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._puller.run())
                group.create_task(self._compare())
        finally:
            forget()

    async def _compare(self) -> None:
        """Compare the view with the log from time to time and after every reconnect: the bus may have lost facts."""
        while True:
            await is_set_within(self._reconnected, COMPARE_INTERVAL_S)
            self._reconnected.clear()
            try:
                await self._ensure_consumer()
                await self.catch_up()
            except OnwardError as error:
                log.warning("facts_not_compared", reason=error.reason)

    async def stop(self) -> None:
        if self._puller is not None:
            await self._puller.stop()
        try:
            await self._bus.api(f"CONSUMER.DELETE.FACTS.{self._consumer}", timeout_s=1.0)
        except OnwardError as error:
            log.info("facts_consumer_left", reason=error.reason)

    async def head(self) -> tuple[int, int]:
        """Give the sequence of the newest fact on the bus, and when the server said so, in nanoseconds since 1970."""
        info = await self._bus.api("STREAM.INFO.FACTS")
        return int(info["state"]["last_seq"]), _nanoseconds(info.get("ts", ""))

    async def catch_up(self) -> None:
        """Read what the log holds beyond the view, of all workspaces."""
        answer = await self._read("", 0, 1)
        async with self._lock:
            for workspace, head in answer.heads.items():
                if workspace != "system":
                    await self._fill(workspace, head)

    async def wait_for(self, sequence: int) -> None:
        """Wait until the view has the facts up to this sequence of the bus."""
        while self._applied_sequence < sequence:
            self._advanced.clear()
            if not await is_set_within(self._advanced, BEHIND_AFTER_S):
                log.warning("facts_behind", applied=self._applied_sequence, wanted=sequence)
                await self._fill_from_log(sequence)

    async def _fill_from_log(self, sequence: int) -> None:
        try:
            await self.catch_up()
        except OnwardError as error:
            log.warning("facts_unreadable", reason=error.reason)
            await asyncio.sleep(RETRY_S)
            return
        self._advance(sequence)

    async def _on_batch(self, messages: list[Message]) -> None:
        async with self._lock:
            for message in messages:
                tokens = message.subject.split(".")
                if tokens[1] == "registry" and tokens[2] != "system":
                    await self._on_fact(message)
                self._advance(message.stream_seq)

    async def _on_fact(self, message: Message) -> None:
        fact = orjson.loads((message.headers or {})["Onward-Fact"])
        workspace, position = fact["workspace"], fact["position"]
        known = self._view.position(workspace)
        if position == known + 1:
            self._view.apply(workspace, position, fact["type"], message.data, message.timestamp_ns // 1000)
        elif position > known:
            await self._fill(workspace, position)

    async def _fill(self, workspace: str, head: int) -> None:
        """Read the workspace's log up to a position. Tries until it can: without it the view would be wrong."""
        while (known := self._view.position(workspace)) < head:
            try:
                answer = await self._read(workspace, known, PAGE_FACTS)
            except OnwardError as error:
                log.warning("facts_unreadable", workspace=workspace, reason=error.reason)
                await asyncio.sleep(RETRY_S)
                continue
            for fact in answer.facts:
                self._view.apply(workspace, fact.position, fact.type, fact.data)

    def _advance(self, sequence: int) -> None:
        if sequence > self._applied_sequence:
            self._applied_sequence = sequence
            self._advanced.set()


def _nanoseconds(text: str) -> int:
    """Read the server's time; without one nothing counts as covered."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0
    return int(moment.timestamp() * 1_000_000) * 1000


class BusFence:
    """Waits until the view is at least as new as an event.

    An event that was published after a change was answered must run against that change, and facts and events
    travel on different streams. The question costs about 0.3 ms; one serves all who wait, and everything that was
    stored before the last one was asked needs no other: both times are the server's. `run()` must be running.
    """

    def __init__(self, feed: FactsFeed) -> None:
        self._feed = feed
        self._waiting: list[asyncio.Future[None]] = []
        # Of the question that is under way.
        self._asking: list[asyncio.Future[None]] | None = None
        self._wanted = asyncio.Event()
        # When the answer before the last came: the last question was asked after it.
        self._covered_ns = 0
        self._said_at_ns = 0
        # Of the connection to the bus that there is now: its number, and when the server answered over it for the first
        # time.
        self._connection = 0
        self._began_ns = 0

    def is_new(self, stored_at_ns: int) -> bool:
        """Whether what was stored then was never in the hands of a server that is no more, as far as is known.

        A server that was killed may have forgotten how often it delivered a message; this one has not.
        """
        return 0 < self._began_ns < stored_at_ns

    def disconnected(self) -> None:
        """The connection was lost; the next one may be to another process."""
        self._connection += 1
        self._began_ns = 0

    def wait(self, stored_at_ns: int) -> asyncio.Future[None]:
        """Give what is done once the view holds every fact that was on the bus when the event was stored."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if stored_at_ns < self._covered_ns:
            future.set_result(None)
        elif self._asking is not None and stored_at_ns < self._said_at_ns:
            self._asking.append(future)
        else:
            self._waiting.append(future)
            self._wanted.set()
        return future

    async def run(self) -> None:
        """Ask for those who came before the question; what is stored while it is under way waits for the next one."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            self._asking, self._waiting = self._waiting, []
            await self._ask()
            asked, self._asking = self._asking, None
            for future in asked:
                if not future.done():
                    future.set_result(None)

    async def _ask(self) -> None:
        while True:
            connection = self._connection
            try:
                sequence, said_at_ns = await self._feed.head()
                if connection == self._connection:
                    self._began_ns = self._began_ns or said_at_ns
                await self._feed.wait_for(sequence)
            except OnwardError as error:
                log.warning("fence_unanswered", reason=error.reason)
                await asyncio.sleep(RETRY_S)
            else:
                # The server reads its clock after the stream's state, so this answer's own time would promise too much.
                self._covered_ns, self._said_at_ns = self._said_at_ns, said_at_ns
                return
