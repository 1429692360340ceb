"""Messages that JetStream passed over: it can't read them any more, and says so to nobody."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import structlog

from kit.bus.message import Message
from kit.errors import OnwardError

log = structlog.get_logger(__name__)

# Of several executors each is given a part of a stream and sees a gap at every message of another's: few are looked at.
GAPS_MAX = 100
LOOKS_PER_S = 10

# Whether the stream still has a message.
Exists = Callable[[str, int], Awaitable[bool]]


class Continuity:
    """Notices sequences that were skipped, and asks the stream whether their messages are there."""

    def __init__(self, exists: Exists) -> None:
        self._exists = exists
        self._newest: dict[str, int] = {}
        self._gaps: deque[tuple[str, int]] = deque(maxlen=GAPS_MAX)
        self._more = asyncio.Event()
        self.missing = 0

    def seen(self, stream: str, messages: Sequence[Message]) -> None:
        """Note what was delivered for the first time; that comes in order."""
        for message in messages:
            if message.delivered > 1:
                continue
            sequence, newest = message.stream_seq, self._newest.get(stream)
            if newest is not None and sequence > newest + 1:
                self._gaps.append((stream, newest + 1))
                self._more.set()
            if newest is None or sequence > newest:
                self._newest[stream] = sequence

    async def run(self) -> None:
        """Look at gaps, a few each second."""
        while True:
            while self._gaps:
                await self._look(*self._gaps.popleft())
                await asyncio.sleep(1 / LOOKS_PER_S)
            self._more.clear()
            await self._more.wait()

    async def _look(self, stream: str, sequence: int) -> None:
        try:
            if await self._exists(stream, sequence):
                return
        except OnwardError:
            return
        self.missing += 1
        log.error("event_missing", stream=stream, sequence=sequence)
