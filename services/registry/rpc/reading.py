"""What all reads share: waiting for a position, and pages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from google.protobuf.message import Message

from kit.clock import Clock
from kit.errors import Unavailable
from kit.eventstore.store import EventStore
from kit.postgres.pool import Pool
from kit.rpc.pages import PageTokens, page_size

M = TypeVar("M", bound=Message)

# Rows are written with the facts, so only a position of another replica's database or of the future is waited for.
POSITION_WAIT_S = 2.0
POSITION_LOOK_S = 0.05
RETRY_AFTER_S = 0.5
# A page ends early here: gRPC carries 4 MiB, and one destination may have a quarter of a MiB of settings.
PAGE_BYTES_MAX = 2 * 1024 * 1024
# Bounds what a page holds in memory before it is known how large its rows are.
ROWS_AT_ONCE_MAX = 200


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
        read: Callable[[str, int], Awaitable[Sequence[M]]],
        key: Callable[[M], str],
    ) -> tuple[Sequence[M], str]:
        """A page and the token of the next one. `read` answers what follows a key, "" meaning from the beginning."""
        limit = page_size(size)
        cursor = self._pages.read(token, *binding)
        after = str(cursor[0]) if cursor else ""
        page: list[M] = []
        size_bytes = 0
        while True:
            # One more than asked for tells whether there is a next page.
            wanted = min(limit + 1 - len(page), ROWS_AT_ONCE_MAX)
            found = await read(after, wanted)
            for one in found:
                size_bytes += one.ByteSize()
                if len(page) == limit or (page and size_bytes > PAGE_BYTES_MAX):
                    return page, self._pages.make((key(page[-1]),), *binding)
                page.append(one)
            if len(found) < wanted:
                return page, ""
            after = key(page[-1])


def last_id(name: str) -> str:
    """The id at the end of a resource's name."""
    return name.rpartition("/")[2]
