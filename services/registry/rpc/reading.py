"""What all reads share: waiting for a position, and pages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from kit.clock import Clock
from kit.errors import Unavailable
from kit.eventstore.store import EventStore
from kit.postgres.pool import Pool
from kit.rpc.pages import PageTokens, page_size

T = TypeVar("T")

# Rows are written with the facts, so only a position of another replica's database or of the future is waited for.
POSITION_WAIT_S = 2.0
POSITION_LOOK_S = 0.05
RETRY_AFTER_S = 0.5


class Reading:
    """The reading side's parts, for servicers."""

    def __init__(self, pool: Pool, store: EventStore, pages: PageTokens, clock: Clock) -> None:
        self.pool = pool
        self._store = store
        self._pages = pages
        self._clock = clock

    async def wait_for(self, workspace: str, at_least_position: int) -> None:
        """Returns when the position is visible; raises Unavailable after POSITION_WAIT_S."""
        if at_least_position <= 0:
            return
        deadline = self._clock.monotonic() + POSITION_WAIT_S
        while (head := await self._store.head(workspace)) < at_least_position:
            if self._clock.monotonic() >= deadline:
                raise Unavailable(
                    f"Position {at_least_position} is not reached; the log is at {head}. Try again.",
                    metadata={"position": str(head)},
                    retry_after_s=RETRY_AFTER_S,
                )
            await asyncio.sleep(POSITION_LOOK_S)

    async def page(
        self,
        binding: tuple[str, str],
        size: int,
        token: str,
        read: Callable[[str, int], Awaitable[Sequence[T]]],
        key: Callable[[T], str],
    ) -> tuple[Sequence[T], str]:
        """A page and the token of the next one. `read` answers what follows a key, "" meaning from the beginning."""
        limit = page_size(size)
        cursor = self._pages.read(token, *binding)
        # One more than asked for tells whether there is a next page.
        found = await read(str(cursor[0]) if cursor else "", limit + 1)
        if len(found) <= limit:
            return found, ""
        return found[:limit], self._pages.make((key(found[limit - 1]),), *binding)


def last_id(name: str) -> str:
    """The id at the end of a resource's name."""
    return name.rpartition("/")[2]
