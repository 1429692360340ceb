"""Has one replica look after what is to be done once, by an advisory lock that its connection holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import structlog

from kit.errors import OnwardError
from kit.postgres.failures import translating
from kit.postgres.pool import CONNECT_TIMEOUT_S, Connection, connect
from kit.waiting import is_set_within

log = structlog.get_logger(__name__)

# Another replica takes over within this time; and what a clock makes due is seen.
POLL_S = 2.0
# A connection that failed is tried again after this.
RECONNECT_DELAY_S = 0.5

# What the leader runs until it leads no more.
Duty = Callable[[], Coroutine[Any, Any, None]]


@asynccontextmanager
async def leadership(dsn: str, name: str, try_to_lead: str, poll_s: float = POLL_S) -> AsyncIterator[Connection]:
    """The connection that holds the lock, once it does: whoever leads uses it, to see when the lock is gone.

    Raises Unavailable where the connection fails, within as well.
    """
    connection = await connect(dsn, application_name=f"onward-delivery-{name}")
    try:
        with translating():
            while not await connection.fetchval(try_to_lead):
                await asyncio.sleep(poll_s)
            yield connection
    finally:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await connection.close(timeout=CONNECT_TIMEOUT_S)


class Leading:
    """Runs duties while it leads; `run` it once in each replica.

    Two may believe to lead for a moment, where a connection breaks without a word: duties must bear that.
    """

    def __init__(self, dsn: str, name: str, try_to_lead: str, duties: Sequence[Duty]) -> None:
        self._dsn = dsn
        self._name = name
        self._try_to_lead = try_to_lead
        self._duties = duties

    async def run(self) -> None:
        """Stand by and lead until cancelled."""
        while True:
            try:
                await self._session()
            except* (OnwardError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as failure:
                log.warning("leading_interrupted", name=self._name, failure=repr(failure.exceptions[0]))
            await asyncio.sleep(RECONNECT_DELAY_S)

    async def _session(self) -> None:
        async with leadership(self._dsn, self._name, self._try_to_lead) as connection:
            log.info("leads", name=self._name)
            async with asyncio.TaskGroup() as tasks:
                for duty in self._duties:
                    tasks.create_task(duty())
                tasks.create_task(_hold(connection))


async def _hold(connection: Connection) -> None:
    """Raises when the connection is gone, and the lock with it."""
    while True:
        with translating():
            await connection.fetchval("SELECT 1")
        await asyncio.sleep(POLL_S)


class Wake:
    """Lets one sleeper sleep until a time, or until somebody knows of something to do."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    def clear(self) -> None:
        """Done before a look, so that what comes up during it is seen by the next one."""
        self._event.clear()

    async def sleep(self, seconds: float) -> None:
        await is_set_within(self._event, seconds)
