"""Takes up what replays select, at their rates, and ends them.

One replica leads, by an advisory lock. Each look goes through the replays that have not ended. What is taken up becomes
rows in `due` in the transaction that moves the replay's place in the stream or among the failures: whatever dies,
nothing is taken up twice and nothing is missed. Never more than AHEAD_MAX deliveries of a destination wait unattempted,
and never more than is due within AHEAD_US: the mountain stays where it is, and live retries go first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncpg
import structlog

from kit.clock import Clock, unix_us
from kit.errors import OnwardError
from kit.eventstore.facts import Meta, NewFact
from kit.eventstore.store import EventStore
from kit.postgres.pool import Connection, Pool
from onward.delivery.v1 import facts_pb2 as facts
from onward.delivery.v1 import replays_pb2 as pb
from services.delivery.domain.replays import replay_id
from services.delivery.handlers.acts import meta_of_service
from services.delivery.handlers.leading import Wake, leadership
from services.delivery.handlers.replay_cancelling import ReplayCancelling
from services.delivery.handlers.replay_rows import queries, replay_of
from services.delivery.handlers.replay_slices import ReplaySlices
from services.delivery.handlers.replays import begin_cancelling, created_fact, stream_of

log = structlog.get_logger(__name__)

LOCK = "SELECT pg_try_advisory_lock(hashtextextended('onward delivery replays', 0))"
# How often is looked while some replay goes on, and while none does: another replica may have made one.
LOOK_S = 0.1
IDLE_LOOK_S = 2.0
# After a failure: a connection is made anew, a replay is tried again.
RETRY_S = 1.0
# Of all workspaces, at once; each costs some milliseconds a look.
ACTIVE_READ_MAX = 500

DISCONNECTED = "destination_disconnected"
DISABLED = "destination_disabled"

# (workspace, number), before all of them.
_FIRST = ("", 0)


class ReplayRunner:
    """The way of replays; `run` it once in each replica. `hurried` hears that something is due."""

    def __init__(
        self,
        dsn: str,
        pool: Pool,
        store: EventStore,
        slices: ReplaySlices,
        cancelling: ReplayCancelling,
        clock: Clock,
        hurried: Callable[[], None],
    ) -> None:
        self._dsn = dsn
        self._pool = pool
        self._store = store
        self._slices = slices
        self._cancelling = cancelling
        self._clock = clock
        self._hurried = hurried
        self._wake = Wake()
        self._after = _FIRST

    def wake(self) -> None:
        """A replay was made or changed."""
        self._wake.set()

    async def run(self) -> None:
        """Run replays until cancelled; a failing Postgres or bus is waited for."""
        while True:
            try:
                await self._session()
            except (OnwardError, asyncpg.PostgresError) as failure:
                log.warning("replays_interrupted", failure=repr(failure))
            await asyncio.sleep(RETRY_S)

    async def _session(self) -> None:
        """One connection's life: stand by until it gets the lock, then lead for as long as it lives."""
        async with leadership(self._dsn, "replays", LOCK) as connection:
            while True:
                await self._wake.sleep(await self._look(connection))

    async def _look(self, connection: Connection) -> float:
        """Take each replay a step further; answers how long to sleep."""
        self._wake.clear()
        # On the connection that has the lock: without it, nobody leads any more.
        rows = await connection.fetch(queries.active, *self._after, ACTIVE_READ_MAX)
        # The next look goes on behind them, so that those of one workspace do not keep out others'.
        more_follow = len(rows) == ACTIVE_READ_MAX
        self._after = (rows[-1]["workspace"], rows[-1]["number"]) if more_follow else _FIRST
        more = [await self._stepped(row) for row in rows]
        if any(more):
            return 0.0
        return LOOK_S if rows else IDLE_LOOK_S

    async def _stepped(self, row: asyncpg.Record) -> bool:
        """Whatever is wrong with one replay holds up no other."""
        try:
            return await self._step(row)
        except OnwardError as error:
            log.warning("replay_waits", **_named(row), reason=error.reason)
        except Exception:
            log.exception("replay_failed", **_named(row))
        await asyncio.sleep(0)
        return False

    async def _step(self, row: asyncpg.Record) -> bool:
        """Whether there is more to be done at once."""
        if not row["told"]:
            await self._tell(row)
        match row["state"]:
            case pb.REPLAY_STATE_RUNNING:
                return await self._take_up(row)
            case pb.REPLAY_STATE_CANCELLING:
                more = await self._cancelling.end_some(row)
                return more or await self._finish(row, pb.REPLAY_STATE_CANCELLED)
        return await self._finish(row, pb.REPLAY_STATE_FINISHED)

    async def _take_up(self, row: asyncpg.Record) -> bool:
        if unix_us(self._clock) < row["begins_at_us"]:
            return False
        found = await self._pool.fetchrow(queries.connection, row["workspace"], row["destination"])
        if found is None:
            await self._give_up(row)
            return True
        if not found["enabled"]:
            # What it would take up would be skipped: it waits.
            await self._note(row, DISABLED)
            return False
        more = await self._slices.take_up(row)
        self._hurried()
        return more

    async def _note(self, row: asyncpg.Record, reason: str) -> None:
        if row["reason"] != reason:
            async with self._pool.transaction() as connection:
                await connection.execute(queries.set_reason, row["workspace"], row["number"], reason)

    async def _tell(self, row: asyncpg.Record) -> None:
        """Have the log tell of a replay that came with a fact of the registry's, by whoever left that."""
        async with self._store.writing(row["workspace"]) as unit:
            now = await unit.connection.fetchrow(queries.lock_replay, row["workspace"], row["number"])
            if now is not None and not now["told"]:
                await unit.append([created_fact(replay_of(now))], Meta(now["principal"]))
                await unit.connection.execute(queries.set_told, row["workspace"], row["number"])

    async def _give_up(self, row: asyncpg.Record) -> None:
        async with self._store.writing(row["workspace"]) as unit:
            now = await unit.connection.fetchrow(queries.lock_replay, row["workspace"], row["number"])
            if now is not None and now["state"] == pb.REPLAY_STATE_RUNNING:
                await begin_cancelling(unit, now, DISCONNECTED, meta_of_service())
                log.info("replay_given_up", **_named(row))

    async def _finish(self, row: asyncpg.Record, state: int) -> bool:
        """End it where all of its deliveries have."""
        key = (row["workspace"], row["number"])
        if await self._pool.fetchval(queries.unended, row["workspace"], row["destination"], row["number"]):
            return False
        async with self._store.writing(row["workspace"]) as unit:
            now = await unit.connection.fetchrow(queries.lock_replay, *key)
            if now is None or now["state"] != row["state"]:
                return True
            await unit.connection.execute(queries.finish, *key, state, unix_us(self._clock))
            if state == pb.REPLAY_STATE_FINISHED:
                await unit.append([_finished(now)], meta_of_service())
        log.info("replay_ended", **_named(row), state=pb.ReplayState.Name(state))  # type: ignore[arg-type]  # an int
        return False


def _finished(row: asyncpg.Record) -> NewFact:
    identifier = replay_id(row["number"])
    fact = facts.ReplayFinished(
        replay=identifier,
        destination=row["destination"],
        taken_up=row["taken_up"],
        delivered=row["delivered"],
        failed=row["failed"],
    )
    return NewFact(stream_of(identifier), fact)


def _named(row: asyncpg.Record) -> dict[str, str]:
    return {"workspace": row["workspace"], "replay": replay_id(row["number"])}
