"""Publishes what the event log has stored: every fact at least once, in the order of its workspace.

Each replica of a service runs a relay, and one of them leads: the one whose connection holds an advisory
lock. The leader does all its reading and recording over that very connection, so a leader that lost the lock
can't read on or record; what it may still have on the way, or been handed, carries the same Nats-Msg-Ids as
its successor's, and consumers go by position. This needs a session of Postgres, not a pooler that lends
sessions by the transaction.

How the leader wakes up. A NOTIFY in each append cost two thirds of the appends (15,300 a second became
4,400), so none is sent there. The store sets an asyncio.Event after a commit, which wakes the relay of its
own process; a relay that does not lead passes that on to the leader with a NOTIFY of its own, outside any
transaction and at most every 20 ms. Once a second the leader looks in any case.

What the leader's own process has committed is handed over in memory, since mutations wait for it. It is published
without a look where it comes right after what this leader has published; anything else, such as a fact of another
replica in between, makes it look.

While one such round follows another they are kept apart, and how far they came is recorded for several of them at
once: a record for each fact would be a second statement beside the one of the change itself. A successor publishes
again what was not recorded.
"""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from typing import Protocol

import asyncpg
import structlog

from kit.bus.publish import BATCH_BYTES_MAX, BATCH_MESSAGES_MAX, Outgoing, PubAck
from kit.errors import OnwardError, Unavailable
from kit.eventstore.envelope import to_message
from kit.eventstore.facts import Fact
from kit.eventstore.hold import HeldWorkspaces
from kit.eventstore.postgres import queries, read_several
from kit.eventstore.progress import PublishedPositions
from kit.eventstore.recent import RecentFacts
from kit.postgres.failures import translating
from kit.postgres.pool import CONNECT_TIMEOUT_S, Connection, Pool, connect
from kit.waiting import is_set_within

log = structlog.get_logger(__name__)

CHANNEL = "onward_relay"
# What a lost wake-up costs at most.
POLL_S = 1.0
# How often a relay that does not lead wakes the leader at most, and how often it looks for what somebody
# waits for.
STANDBY_PAUSE_S = 0.02
# A connection that failed is tried again after this time.
RECONNECT_DELAY_S = 0.5
# Rounds of what was handed over begin so far apart; one after a pause begins at once.
ROUND_S = 0.005
# How long such rounds go on until they are recorded.
RECORD_S = 0.05
# The bus waits this long for a lost server; after it the relay looks whether it still leads.
PUBLISH_TIMEOUT_S = 5.0
# Each gets a share of the batch, so that a flood in one workspace does not hold up the others.
WORKSPACES_PER_ROUND_MAX = 50


class PublishMany(Protocol):
    """Stores messages; answers in their order which ones were, as `kit.bus.publish.Publisher.publish_many` does."""

    async def __call__(self, messages: Sequence[Outgoing], *, timeout_s: float) -> Sequence[PubAck]: ...


class Relay:
    """The way of one service's facts to the bus; `run` it once in each replica.

    `appended` is the event store's. Mutations may `wait_published` before they answer.
    """

    def __init__(
        self,
        dsn: str,
        *,
        service: str,
        publish_many: PublishMany,
        appended: asyncio.Event,
        recent: RecentFacts | None = None,
        publish_timeout_s: float = PUBLISH_TIMEOUT_S,
    ) -> None:
        self._dsn = dsn
        self._service = service
        self._publish_many = publish_many
        self._appended = appended
        self._recent = RecentFacts() if recent is None else recent
        self._publish_timeout_s = publish_timeout_s
        self._lock_key = _lock_key(service)
        self._held = HeldWorkspaces()
        self._published = PublishedPositions()
        self._leading = False
        # How far each workspace is published, or about to be, as far as this leader knows.
        self._sent: dict[str, int] = {}
        # What is published and not recorded: after which position of each workspace, and up to which.
        self._unrecorded: dict[str, tuple[int, int]] = {}
        self._recorded_at = 0.0
        # Whether there may be facts that were not handed over; and when that was looked up.
        self._look = True
        self._looked_at = 0.0

    @property
    def leading(self) -> bool:
        """Whether this is the replica that publishes."""
        return self._leading

    @property
    def failing(self) -> int:
        """How many workspaces have facts that the bus refused at the last try; for health and metrics."""
        return len(self._held)

    async def wait_published(self, workspace: str, position: int, timeout_s: float) -> bool:
        """Wait until facts up to a position are on the bus; False where they are not in time, which is no failure."""
        if self._published.reached(workspace, position):
            return True
        self._appended.set()
        return await self._published.wait(workspace, position, timeout_s)

    async def run(self) -> None:
        """Publish until cancelled; a failing Postgres or bus is waited for."""
        while True:
            try:
                await self._session()
            except (Unavailable, asyncpg.PostgresError) as failure:
                log.warning("relay_interrupted", service=self._service, failure=repr(failure))
            await asyncio.sleep(RECONNECT_DELAY_S)

    async def _session(self) -> None:
        """One connection's life: stand by until it gets the lock, then lead."""
        connection = await connect(self._dsn, application_name=f"onward-{self._service}-relay")
        connection.add_termination_listener(self._wake)
        try:
            with translating():
                await connection.execute(queries.record_lazily)
                while not await connection.fetchval(queries.try_to_lead, self._lock_key):
                    await self._stand_by(connection)
                await self._lead(connection)
        finally:
            self._leading = False
            self._sent.clear()
            self._unrecorded.clear()
            self._published.forget()
            self._held.clear()
            await _close(connection)

    async def _stand_by(self, connection: Connection) -> None:
        """Pass a wake-up on to the leader, see how far it is, and pause."""
        self._recent.drop()
        await is_set_within(self._appended, STANDBY_PAUSE_S if self._published.awaited else POLL_S)
        if self._appended.is_set():
            self._appended.clear()
            await connection.execute(queries.wake_leader)
            await asyncio.sleep(STANDBY_PAUSE_S)
        await self._see_published(connection)

    async def _lead(self, connection: Connection) -> None:
        await connection.add_listener(CHANNEL, self._wake)
        self._leading, self._look = True, True
        log.info("relay_leads", service=self._service)
        while True:
            # Cleared before the look, so that what is appended during it is seen by the next one.
            self._appended.clear()
            began = time.monotonic()
            handed = self._handed()
            if handed:
                await self._send(handed)
            if not handed or began - self._recorded_at >= RECORD_S:
                await self._record(connection)
            if self._must_look(idle=not handed) and await self._publish_round(connection):
                continue
            if handed:
                await asyncio.sleep(began + ROUND_S - time.monotonic())
            else:
                await self._see_published(connection)
                await is_set_within(self._appended, min(POLL_S, self._held.next_retry_s()))

    def _handed(self) -> list[Fact]:
        """Those of the process's own facts that come right after what was sent."""
        batch = []
        for fact in self._recent.take(BATCH_MESSAGES_MAX, BATCH_BYTES_MAX):
            sent = self._sent.get(fact.workspace, -1)
            if fact.position == sent + 1:
                self._sent[fact.workspace] = fact.position
                batch.append(fact)
            elif fact.position > sent:
                self._look = True
        return batch

    def _must_look(self, *, idle: bool) -> bool:
        """Who waits without anything being handed over waits for what came before, or from elsewhere."""
        if idle and (len(self._held) or self._published.awaited):
            return True
        return self._look or time.monotonic() - self._looked_at >= POLL_S

    async def _publish_round(self, connection: Connection) -> bool:
        """Look for what waits and publish a batch of it; answers whether there was any."""
        await self._record(connection)
        self._look, self._looked_at = False, time.monotonic()
        behind = await connection.fetch(queries.behind, WORKSPACES_PER_ROUND_MAX, self._held.names())
        if not behind:
            return False
        batch = await self._read_batch(connection, {row["workspace"]: row["published"] for row in behind})
        self._sent |= {fact.workspace: fact.position for fact in batch}
        whole = all(self._sent.get(row["workspace"], 0) >= row["head"] for row in behind)
        self._look = self._look or not whole or len(behind) == WORKSPACES_PER_ROUND_MAX
        await self._send(batch)
        # Other replicas wait for these, and see no more than what is recorded.
        await self._record(connection)
        return True

    async def _send(self, batch: Sequence[Fact]) -> None:
        messages = [to_message(self._service, fact) for fact in batch]
        self._note(batch, await self._publish(messages))

    async def _publish(self, messages: Sequence[Outgoing]) -> Sequence[PubAck]:
        try:
            return await self._publish_many(messages, timeout_s=self._publish_timeout_s)
        except OnwardError as error:
            return [PubAck("", 0, error=error)] * len(messages)

    async def _read_batch(self, connection: Connection, published: dict[str, int]) -> list[Fact]:
        # One query, since mutations wait for this round. Each workspace gives its share, and one fact at least.
        share = len(published)
        return await read_several(connection, published, BATCH_MESSAGES_MAX // share, BATCH_BYTES_MAX // share)

    def _note(self, batch: Sequence[Fact], acks: Sequence[PubAck]) -> None:
        """Each workspace has come up to its last fact before the first that was refused."""
        refused: dict[str, PubAck] = {}
        for fact, ack in zip(batch, acks, strict=True):
            workspace = fact.workspace
            if ack.error is not None:
                refused.setdefault(workspace, ack)
            elif workspace not in refused:
                after, _ = self._unrecorded.get(workspace, (fact.position - 1, 0))
                self._unrecorded[workspace] = after, fact.position
                self._held.release(workspace)
                self._published.reach(workspace, fact.position)
        for workspace, ack in refused.items():
            delay_s = self._held.hold(workspace)
            log.warning("relay_refused", workspace=workspace, error=str(ack.error), retry_in_s=delay_s)
            self._read_again(workspace)

    async def _record(self, connection: Connection) -> None:
        """Keep how far each workspace has come."""
        self._recorded_at = time.monotonic()
        if not self._unrecorded:
            return
        names, (after, upto) = [*self._unrecorded], zip(*self._unrecorded.values(), strict=True)
        rows = await connection.fetch(queries.record_published, names, after, upto)
        self._unrecorded.clear()
        for name in {*names} - {row["workspace"] for row in rows}:
            self._read_again(name)

    def _read_again(self, workspace: str) -> None:
        """It is not as far as was thought."""
        self._sent.pop(workspace, None)
        self._look = True

    async def _see_published(self, connection: Connection) -> None:
        """Look up the recorded positions that somebody waits for: facts of before this leader, or another's."""
        if self._published.awaited:
            for row in await connection.fetch(queries.published, self._published.awaited):
                self._published.reach(row["workspace"], row["position"])

    def _wake(self, *_: object) -> None:
        """Called by asyncpg, with what it has to say, for a notification and for a lost connection."""
        self._look = True
        self._appended.set()


async def rewind(pool: Pool, workspace: str, position: int) -> None:
    """Have the relay publish again what comes after a position, for a stream that lost it.

    JetStream drops what it has seen within its duplicate window; consumers pass over what they have applied. What was
    published in the last RECORD_S may not be recorded yet; a rewind within that does nothing, and is to be repeated.
    """
    await pool.execute(queries.rewind, workspace, position)


def _lock_key(service: str) -> int:
    digest = hashlib.sha256(f"onward relay of {service}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


async def _close(connection: Connection) -> None:
    try:
        await connection.close(timeout=CONNECT_TIMEOUT_S)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()
