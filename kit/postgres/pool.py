"""A bounded pool of connections to a server that is known to keep what it commits."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias

import asyncpg
import structlog

from kit.postgres.failures import translating

log = structlog.get_logger(__name__)

# More connections buy nothing on two cores (14,100 appends a second with 16, 14,400 with 64) and cost memory
# each.
CONNECTIONS_MAX = 16
CONNECTIONS_MIN = 1
# Of these, so many are lent again without asyncpg's own taking back and checking, which costs as much as a small query:
# a task and a turn of the event loop. They stay open while nobody needs them. One of so many takes asyncpg's way, which
# renews a connection after its 50,000 queries.
SPARE_MAX = 4
CHECKED_AFTER = 1_000
# A caller that gets no connection within this time is better told so than kept.
ACQUIRE_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 5.0
# Longer than the server's own statement_timeout, so that a living server answers first and says what
# happened.
COMMAND_TIMEOUT_S = 12.0
STATEMENT_TIMEOUT_MS = 10_000
# Waiting for a workspace's turn to write; under load a turn takes milliseconds.
LOCK_TIMEOUT_MS = 5_000
# One open transaction holds its workspace's lock, and holds back vacuum for all.
IDLE_IN_TRANSACTION_TIMEOUT_MS = 10_000
# After a failure the connection gets this long to roll back and is cut otherwise: a partition must not hold
# the caller.
ROLLBACK_TIMEOUT_S = 1.0

# A peer that vanished without closing is noticed by the server within about this time, and its locks are
# freed.
_KEEPALIVE = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "11000",
}

# The role that services act under; the event log's migration creates it, without the right to change a fact.
SERVICE_ROLE = "onward_service"

# asyncpg is generic for type checkers alone, hence the quotes.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


# What asyncpg's pool lends.
_Lent: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


class NotDurableError(RuntimeError):
    """The server may lose what it has committed; no service starts on it."""


class Pool:
    """Connections to one database; every transient failure of theirs leaves as `Unavailable`."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool
        self._spare: list[_Lent] = []
        self._lent_again = 0
        self._waiting = 0
        self._closing = False

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """Lend a connection outside any transaction."""
        with translating():
            connection = await self._take()
            whole = False
            try:
                yield connection
                whole = True
            except TimeoutError:
                # The server did not answer: what this connection does now is unknown, so it is not used
                # again.
                _cut(connection)
                raise
            finally:
                if not (whole and self._keep(connection)):
                    await self._pool.release(connection, timeout=ROLLBACK_TIMEOUT_S)

    async def _take(self) -> _Lent:
        while self._spare:
            connection = self._spare.pop()
            if not _is_closed(connection):
                return connection
            await self._pool.release(connection)
        self._waiting += 1
        try:
            return await self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S)
        finally:
            self._waiting -= 1

    def _keep(self, connection: _Lent) -> bool:
        """Keep it for the next caller, unless asyncpg's pool wants it back."""
        self._lent_again += 1
        wanted = self._waiting or self._closing or self._lent_again % CHECKED_AFTER == 0
        if wanted or len(self._spare) >= SPARE_MAX or _is_closed(connection):
            return False
        self._spare.append(connection)
        return True

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection in a transaction: committed when the block ends, rolled back when it raises.

        A connection lost during the commit leaves unknown whether it happened: `Unavailable` is raised, and a
        repeated request finds out by its request_id.
        """
        async with self.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                yield connection
            except BaseException:
                await _roll_back(connection, transaction)
                raise
            await transaction.commit()

    async def fetch(self, query: str, *args: Any) -> list[asyncpg.Record]:
        """All rows of a query, whose text bounds their number."""
        async with self.acquire() as connection:
            return await connection.fetch(query, *args)

    async def fetchrow(self, query: str, *args: Any) -> asyncpg.Record | None:
        """The first row, if any."""
        async with self.acquire() as connection:
            return await connection.fetchrow(query, *args)

    async def fetchval(self, query: str, *args: Any) -> Any:
        """The first column of the first row; None without a row."""
        async with self.acquire() as connection:
            return await connection.fetchval(query, *args)

    async def execute(self, query: str, *args: Any) -> str:
        """Run a statement; the answer is Postgres's command tag."""
        async with self.acquire() as connection:
            return await connection.execute(query, *args)

    async def close(self) -> None:
        """Close the connections, politely for a moment, then at once."""
        self._closing = True
        try:
            async with asyncio.timeout(ROLLBACK_TIMEOUT_S):
                while self._spare:
                    await self._pool.release(self._spare.pop())
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()


async def connect_pool(
    dsn: str,
    *,
    application_name: str,
    role: str | None = SERVICE_ROLE,
    connections_max: int = CONNECTIONS_MAX,
) -> Pool:
    """Connect to a database and check that it keeps what it commits.

    `role` is what every connection acts under, so that a service can't do what its role may not, even where
    the DSN's user owns the tables. Raises `Unavailable`, or NotDurableError when fsync or synchronous_commit
    is off.
    """
    with translating():
        pool = await asyncpg.create_pool(
            dsn,
            min_size=CONNECTIONS_MIN,
            max_size=min(connections_max, CONNECTIONS_MAX),
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            server_settings=_server_settings(application_name, role),
            reset=_left_as_it_is,
        )
        try:
            async with pool.acquire() as connection:
                await refuse_unless_durable(connection)
        except BaseException:
            pool.terminate()
            raise
    log.info("postgres_connected", application_name=application_name)
    return Pool(pool)


async def _left_as_it_is(_: Connection) -> None:
    """Save the round trip of RESET ALL: nothing that we set or lock in the pool outlives its transaction."""


async def connect(dsn: str, *, application_name: str, role: str | None = SERVICE_ROLE) -> Connection:
    """Open one connection of its own, for a lock that lives as long as the session. Raises `Unavailable`."""
    with translating():
        connection: Connection = await asyncpg.connect(
            dsn,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            server_settings=_server_settings(application_name, role),
        )
    return connection


async def refuse_unless_durable(connection: Connection) -> None:
    """Raise NotDurableError where a crash of the server could lose a committed transaction."""
    for setting in ("fsync", "synchronous_commit"):
        if await connection.fetchval("SELECT current_setting($1)", setting) == "off":
            raise NotDurableError(f"Postgres runs with {setting}=off and may lose what it has committed; set it to on.")


def _server_settings(application_name: str, role: str | None) -> dict[str, str]:
    settings = {
        "application_name": application_name,
        "statement_timeout": str(STATEMENT_TIMEOUT_MS),
        "lock_timeout": str(LOCK_TIMEOUT_MS),
        "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_TIMEOUT_MS),
        "timezone": "UTC",
        **_KEEPALIVE,
    }
    return settings if role is None else {**settings, "role": role}


async def _roll_back(connection: Connection, transaction: asyncpg.transaction.Transaction) -> None:
    try:
        async with asyncio.timeout(ROLLBACK_TIMEOUT_S):
            await transaction.rollback()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        # The server rolls back by itself when the session ends.
        _cut(connection)


def _is_closed(connection: _Lent) -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        # asyncpg saw it die, and has taken it back.
        return True


def _cut(connection: Connection) -> None:
    # asyncpg has already taken back a connection that it saw die; then there is nothing left to cut.
    with suppress(asyncpg.InterfaceError):
        connection.terminate()
