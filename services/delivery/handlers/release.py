"""Hands what is due to executors, at most as much as each destination can take.

One replica leads: the one whose connection holds an advisory lock. It sleeps until the next delivery is due, and is
woken when one is added. A claim is stored before its message is published, so that nothing is handed out twice; a claim
whose message JetStream does not have is undone.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import asyncpg
import structlog

from kit.bus.connection import Bus
from kit.bus.errors import nats_error
from kit.bus.publish import Outgoing, PubAck
from kit.clock import Clock, unix_us
from kit.errors import OnwardError, Unavailable
from kit.postgres.pool import Connection, Pool
from kit.postgres.queries import load_queries
from onward.executor.v1 import outcomes_pb2 as pb
from services.delivery.domain.credit import Credits
from services.delivery.domain.identity import delivery_id
from services.delivery.domain.replays import replay_id
from services.delivery.domain.schedule import SECOND_US
from services.delivery.handlers.allowance import SATURATED_POLL_S, Allowance
from services.delivery.handlers.applied import AppliedOutcomes
from services.delivery.handlers.expiry import Expiry
from services.delivery.handlers.gathering import Gathering
from services.delivery.handlers.leading import Wake, leadership
from services.delivery.projections.rollups import columns
from services.delivery.projections.standing import Destination

log = structlog.get_logger(__name__)

queries = load_queries(Path(__file__).parent / "handlers.sql")

# What a lost wake-up costs at most.
POLL_S = 5.0
# Wake-ups come with every transaction under load; looking more often would only make smaller batches.
LOOK_INTERVAL_S = 0.02
# One round's claims. Events may have 500 KB, so their number is what bounds our memory: 64 MB.
CLAIMS_MAX = 512
CLAIMS_PER_DESTINATION_MAX = 128
PUBLISH_TIMEOUT_S = 5.0
# What JetStream refused is tried again after this; a server that restarts is back sooner.
UNDONE_DELAY_US = 500_000
# No executor holds a delivery for longer without an answer, unless it still runs: then its message is still there.
UNANSWERED_AFTER_S = 60.0
UNANSWERED_MAX = 500
# How long a review waits for outcomes that are on their way; the next one tries again.
OUTCOMES_WAIT_S = 1.0
# How often that is looked for.
REVIEW_INTERVAL_S = 5.0
# A connection that failed is tried again after this.
RECONNECT_DELAY_S = 0.5

# JetStream's number for a message that is not there.
MESSAGE_NOT_FOUND = 10037

Row = asyncpg.Record


class PublishMany(Protocol):
    """As `kit.bus.publish.Publisher.publish_many`."""

    async def __call__(self, messages: Iterable[Outgoing], *, timeout_s: float) -> list[PubAck]: ...


class Releaser:
    """The way of what is due to DUE; `run` it once in each replica."""

    def __init__(
        self,
        dsn: str,
        pool: Pool,
        bus: Bus,
        publish_many: PublishMany,
        applied: AppliedOutcomes,
        credits_: Credits,
        clock: Clock,
        expiry: Expiry,
        unanswered_after_s: float = UNANSWERED_AFTER_S,
    ) -> None:
        self._dsn = dsn
        self._pool = pool
        self._bus = bus
        self._publish_many = publish_many
        self._applied = applied
        self._allowance = Allowance(credits_, clock)
        self._clock = clock
        self._unanswered_after_s = unanswered_after_s
        self._expiry = expiry
        self._gathering = Gathering(clock)
        self._wake = Wake()
        self._reviewed_at = clock.monotonic()
        self.leading = False

    def wake(self) -> None:
        """Something was added, or something that was out was answered."""
        self._wake.set()

    def told(self, destinations: Iterable[Destination]) -> None:
        """As `wake`, for deliveries to these destinations."""
        # Who does not lead hears of nobody's changes in time, and goes through all when it begins to.
        if self.leading:
            self._gathering.changed(destinations)
        self.wake()

    async def run(self) -> None:
        """Release until cancelled; a failing Postgres or bus is waited for."""
        while True:
            try:
                await self._session()
            except (OnwardError, asyncpg.PostgresError) as failure:
                log.warning("releaser_interrupted", failure=repr(failure))
            await asyncio.sleep(RECONNECT_DELAY_S)

    async def _session(self) -> None:
        """One connection's life: stand by until it gets the lock, then lead."""
        async with leadership(self._dsn, "releaser", queries.try_to_lead, POLL_S) as connection:
            self._gathering.forget()
            self._allowance.begin()
            self.leading = True
            log.info("releaser_leads")
            try:
                while True:
                    sleep_s = await self._round(connection)
                    await asyncio.sleep(LOOK_INTERVAL_S)
                    await self._wake.sleep(sleep_s)
            finally:
                self.leading = False

    async def _round(self, connection: Connection) -> float:
        """Release what may go; answers how long to sleep. All of it happens on the connection that has the lock."""
        # Cleared before the look, so that what is added during it is seen by the next one.
        self._wake.clear()
        now_us, now_s = unix_us(self._clock), self._clock.monotonic()
        sleep_s = await self._release(connection, now_us)
        if now_s - self._reviewed_at >= min(REVIEW_INTERVAL_S, self._unanswered_after_s):
            self._reviewed_at = now_s
            # After what may go has gone: a last retry may be due at the horizon itself.
            await self._expiry.look(connection, now_us)
            await self._review(connection)
        return sleep_s

    async def _release(self, connection: Connection, now_us: int) -> float:
        """Release what may go now; answers as `_round`."""
        await self._gathering.look(connection, now_us)
        demand = await connection.fetch(queries.demand)
        wanted, sleep_s = self._wanted(demand, now_us)
        if not wanted:
            return 0.0 if self._gathering.unfinished else sleep_s
        claimed = await connection.fetch(queries.claim, *columns(wanted, 3), now_us)
        if claimed:
            self._pay(demand, claimed)
            self._gathering.changed({(row["workspace"], row["destination"]) for row in claimed if row["gathered"]})
            await self._publish(connection, claimed)
        return 0.0 if claimed or self._gathering.unfinished else SATURATED_POLL_S

    def _wanted(self, demand: Sequence[Row], now_us: int) -> tuple[list[tuple[object, ...]], float]:
        """How many to claim for each destination, a round's worth in all; or how long to sleep."""
        wanted: list[tuple[object, ...]] = []
        sleep_s = POLL_S
        room = CLAIMS_MAX
        for row in demand:
            if row["due_at_us"] > now_us:
                sleep_s = min(sleep_s, (row["due_at_us"] - now_us) / SECOND_US)
                continue
            if row["gathering"]:
                # It goes with the others that wait with it, by a look that has room for them.
                sleep_s = 0.0
                continue
            allowed = self._allowance.of(row, now_us)
            if allowed.events <= 0:
                sleep_s = min(sleep_s, max(0.0, allowed.wait_s))
                continue
            most = min(allowed.events, max(CLAIMS_PER_DESTINATION_MAX, row["batch_events"]), room)
            if most <= 0:
                sleep_s = min(sleep_s, SATURATED_POLL_S)
                continue
            wanted.append((row["workspace"], row["destination"], most))
            room -= most
        return wanted, sleep_s

    def _pay(self, demand: Sequence[Row], claimed: Sequence[Row]) -> None:
        """Note what goes of the rates that it takes up."""
        counts = Counter((row["workspace"], row["destination"]) for row in claimed)
        for row in demand:
            count = counts[row["workspace"], row["destination"]]
            if count:
                self._allowance.claimed(row, count)

    async def _publish(self, connection: Connection, claimed: Sequence[Row]) -> None:
        claimed, found = await self._find_doubtful(claimed)
        cancelled = [row for row in claimed if row["cancelled"]]
        if cancelled:
            # While they were out, and their messages never were or are gone.
            await self._expiry.end(cancelled, unix_us(self._clock))
            claimed = [row for row in claimed if not row["cancelled"]]
        outgoing = [Outgoing(subject(row), message(row).SerializeToString(), message_id(row)) for row in claimed]
        acks = await self._publish_many(outgoing, timeout_s=PUBLISH_TIMEOUT_S)
        stored = found + [(*_claim(row), ack.seq) for row, ack in zip(claimed, acks, strict=True) if ack.error is None]
        failed = [_claim(row) for row, ack in zip(claimed, acks, strict=True) if ack.error is not None]
        if stored:
            await connection.execute(queries.set_release_sequences, *columns(stored, 6))
        if failed:
            until_us = unix_us(self._clock) + UNDONE_DELAY_US
            await connection.execute(queries.undo_claims, *columns(failed, 5), until_us)
        log.info("deliveries_released", count=len(stored), undone=len(failed))

    async def _find_doubtful(self, claimed: Sequence[Row]) -> tuple[list[Row], list[tuple[object, ...]]]:
        """Look for what may have been published already; what is there need not be published again."""
        missing: list[Row] = []
        found: list[tuple[object, ...]] = []
        for row in claimed:
            sequence = await self._find(row) if row["doubtful"] else None
            if sequence is None:
                missing.append(row)
            else:
                found.append((*_claim(row), sequence))
        return missing, found

    async def _review(self, connection: Connection) -> None:
        """Look after what was released long ago: where its message is gone and no outcome came, release it again."""
        now_us = unix_us(self._clock)
        before_us = now_us - round(self._unanswered_after_s * SECOND_US)
        rows = await connection.fetch(queries.unanswered, before_us, UNANSWERED_MAX)
        if not rows:
            return
        gone: list[tuple[object, ...]] = []
        there: list[tuple[object, ...]] = []
        for row in rows:
            sequence = await self._find(row)
            if sequence is None:
                gone.append(_claim(row))
            else:
                there.append((*_claim(row), sequence))
        if there:
            await connection.execute(queries.still_there, *columns(there, 6), now_us)
        if gone:
            await self._release_again(connection, gone)

    async def _release_again(self, connection: Connection, gone: list[tuple[object, ...]]) -> None:
        # A message that is gone was answered, perhaps: only what has no outcome among those stored by now was not.
        try:
            await self._applied.wait_for_last(OUTCOMES_WAIT_S)
        except Unavailable:
            log.info("releaser_waits_for_outcomes", count=len(gone))
            return
        await connection.execute(queries.release_again, *columns(gone, 5))
        log.warning("deliveries_released_again", count=len(gone))

    async def _find(self, row: Row) -> int | None:
        """The sequence of a release's message; None where it is not in DUE."""
        sequence = row["release_sequence"]
        question: dict[str, object] = {"last_by_subj": subject(row)} if sequence is None else {"seq": sequence}
        try:
            answer = await self._bus.api("STREAM.MSG.GET.DUE", question)
        except OnwardError as error:
            if nats_error(error) == MESSAGE_NOT_FOUND:
                return None
            raise
        return int(answer["message"]["seq"])


def subject(row: Row) -> str:
    """A subject of its own for each delivery, so that DUE can be asked whether it has it."""
    return f"due.{row['workspace']}.{_delivery(row)}"


def message(row: Row) -> pb.DueDelivery:
    """What the executor gets."""
    return pb.DueDelivery(
        workspace=row["workspace"],
        source=row["source"],
        destination=row["destination"],
        stream_sequence=row["stream_sequence"],
        index=row["event_index"],
        attempt=row["attempt"],
        retries_used=row["retries_used"],
        message_id=row["message_id"],
        type=row["type"],
        event_name=row["event_name"],
        received_at_us=row["received_at_us"],
        event=row["event"],
        alone=row["alone"],
        gathered=row["gathered"],
        batch_limit=row["batch_limit"],
        traceparent=row["traceparent"],
        replay=replay_id(row["replay"]) if row["replay"] else "",
    )


def message_id(row: Row) -> str:
    """The same for each try to publish a release, another one for each release."""
    # Not the attempt: its number may change while the message is out. A lost worker uses up no retry, but makes the
    # delivery run alone, or counts as a loss if it did.
    numbers = f"{row['retries_used']}-{row['alone']:d}-{row['losses']}-{row['deferrals']}-{row['releases']}"
    # One that was reopened begins with the same numbers again.
    numbers += f"-{row['reopened_at_us']}" if row["reopened_at_us"] else ""
    return f"{row['workspace']}-{_delivery(row)}-{row['received_at_us']}-{numbers}"


def _delivery(row: Row) -> str:
    return delivery_id(row["stream_sequence"], row["event_index"], row["destination"])


def _claim(row: Row) -> tuple[object, ...]:
    """The row and the release of it."""
    return (
        row["workspace"], row["destination"], row["stream_sequence"], row["event_index"], row["released_at_us"],
    )  # fmt: skip
