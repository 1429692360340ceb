"""From the backlog to JetStream: every chunk again and again until each of its entries is stored or refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from kit.bus.connection import Bus
from kit.bus.publish import BATCHES_IN_FLIGHT, Outgoing, PubAck
from kit.bus.publish import Publisher as BusPublisher
from kit.errors import InvalidArgument, OnwardError, PermissionDenied
from kit.publisher.backlog import Backlog, Chunk
from kit.publisher.events import Entry

log = structlog.get_logger(__name__)

# One call of the bus, which itself sends again what had no answer; here it is only where the next try is counted.
TRY_TIMEOUT_S = 30.0
# A server that answers "full" has nothing to say sooner.
RETRY_DELAY_S = 0.5


class Result(NamedTuple):
    """What became of an entry: stored, stored before (`duplicate`), or refused for good with an error."""

    entry: Entry
    duplicate: bool = False
    error: OnwardError | None = None


class Sender:
    """Sends what the backlog holds, four chunks at a time. `told` hears of every entry that is done with, once."""

    def __init__(
        self, bus: Bus, backlog: Backlog, workspace: str, source: str, told: Callable[[Sequence[Result]], None]
    ) -> None:
        self._publisher = BusPublisher(bus, batches_in_flight=BATCHES_IN_FLIGHT)
        self._backlog = backlog
        self._subject = f"events.{workspace}.{source}"
        # JetStream compares ids within a workspace; the product promises to compare them within a source.
        self._id_prefix = f"{source}:"
        self._told = told
        self._more = asyncio.Event()
        # Why the last try was in vain; None once something was acknowledged.
        self.last_error: OnwardError | None = None

    def wake(self) -> None:
        """Tell that there is more to send."""
        self._more.set()

    async def run(self) -> None:
        """Send until cancelled. Raises PermissionDenied where no event of this source will ever be taken."""
        places = asyncio.Semaphore(BATCHES_IN_FLIGHT)
        async with asyncio.TaskGroup() as group:
            while True:
                await places.acquire()
                sending = group.create_task(self._send(await self._next()))
                sending.add_done_callback(lambda _: places.release())

    async def _next(self) -> Chunk:
        while True:
            self._more.clear()
            chunk = self._backlog.take()
            if chunk is not None:
                return chunk
            await self._more.wait()

    async def _send(self, chunk: Chunk) -> None:
        waiting = chunk.entries
        done: list[Result] = []
        while waiting:
            acks = await self._publisher.publish_many(self._outgoing(waiting), timeout_s=TRY_TIMEOUT_S)
            waiting = self._sorted(waiting, acks, done)
            if waiting:
                await asyncio.sleep(RETRY_DELAY_S)
        self._backlog.settle(chunk)
        self._told(done)

    def _outgoing(self, entries: Sequence[Entry]) -> list[Outgoing]:
        subject, prefix = self._subject, self._id_prefix
        return [Outgoing(subject, entry.data, prefix + entry.message_id) for entry in entries]

    def _sorted(self, entries: Sequence[Entry], acks: Sequence[PubAck], done: list[Result]) -> list[Entry]:
        """Note what is done with; give what has to be sent again."""
        again: list[Entry] = []
        for entry, ack in zip(entries, acks, strict=True):
            error = ack.error
            if error is None or isinstance(error, InvalidArgument):
                done.append(Result(entry, ack.duplicate, error))
            elif isinstance(error, PermissionDenied):
                raise error
            else:
                again.append(entry)
                self._note(error)
        if len(again) < len(entries):
            self.last_error = None
        return again

    def _note(self, error: OnwardError) -> None:
        if self.last_error is None:
            log.warning("events_not_acknowledged", subject=self._subject, reason=error.message)
        self.last_error = error
