"""Has one replica look after what is to be done once: judging how destinations are, and telling of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import asyncpg
import structlog

from kit.errors import OnwardError
from kit.postgres.failures import translating
from kit.postgres.pool import CONNECT_TIMEOUT_S, Connection, connect

log = structlog.get_logger(__name__)

# Another replica takes over within this time; and what a clock makes due is seen.
POLL_S = 2.0
# A connection that failed is tried again after this.
RECONNECT_DELAY_S = 0.5

# What the leader runs until it leads no more.
Duty = Callable[[], Awaitable[None]]


class Leading:
    """Runs duties while it holds an advisory lock; `run` it once in each replica.

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
        connection = await connect(self._dsn, application_name=f"onward-delivery-{self._name}")
        try:
            with translating():
                while not await connection.fetchval(self._try_to_lead):
                    await asyncio.sleep(POLL_S)
            log.info("leads", name=self._name)
            async with asyncio.TaskGroup() as tasks:
                for duty in self._duties:
                    tasks.create_task(_endless(duty))
                tasks.create_task(_hold(connection))
        finally:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=CONNECT_TIMEOUT_S)


async def _endless(duty: Duty) -> None:
    await duty()


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
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
