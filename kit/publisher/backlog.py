"""What waits to be published: in memory, or in files (kit/publisher/spool.py)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from kit.bus.publish import BATCH_BYTES_MAX, BATCH_MESSAGES_MAX
from kit.publisher.errors import PublisherFull
from kit.publisher.events import Entry

# Half a second at full speed: enough that the sender is never without work.
EVENTS_MAX = 10_000
# Events of the largest size would be 320 MB; a program that only publishes should not need as much.
MEMORY_BYTES_MAX = 64 * 1024 * 1024


@dataclass(eq=False, slots=True)
class Chunk:
    """Entries that are sent as one atomic batch; `end` is the place behind them, for a backlog that has places."""

    entries: Sequence[Entry]
    end: int = 0
    settled: bool = False


class Backlog(Protocol):
    """Keeps entries in order until they are settled."""

    def append(self, entry: Entry) -> None:
        """Take an entry. Raises PublisherFull."""

    def take(self) -> Chunk | None:
        """Give the next entries to send; None where all are under way or settled."""

    def settle(self, chunk: Chunk) -> None:
        """Forget the entries of a chunk, in whatever order chunks are settled."""

    @property
    def empty(self) -> bool:
        """Whether everything is settled."""

    def oldest(self) -> Entry | None:
        """The first entry that is not settled."""

    async def sync(self) -> None:
        """Return when what was appended outlives what it is meant to outlive."""

    def close(self) -> None:
        """Let go of files."""


class MemoryBacklog:
    """Entries in memory; they are gone with the process."""

    def __init__(self, events_max: int = EVENTS_MAX, bytes_max: int = MEMORY_BYTES_MAX) -> None:
        self._events_max = events_max
        self._bytes_max = bytes_max
        self._waiting: deque[Entry] = deque()
        self._under_way: list[Chunk] = []
        self._held = 0
        self._bytes = 0

    def append(self, entry: Entry) -> None:
        """Take an entry. Raises PublisherFull."""
        size = len(entry.data)
        # One entry always fits, whatever the bounds.
        if self._held and (self._held >= self._events_max or self._bytes + size > self._bytes_max):
            raise PublisherFull(f"{self._held} events wait for their acknowledgement")
        self._waiting.append(entry)
        self._held += 1
        self._bytes += size

    def take(self) -> Chunk | None:
        """Give the next entries to send."""
        entries: list[Entry] = []
        size = 0
        waiting = self._waiting
        while waiting and len(entries) < BATCH_MESSAGES_MAX:
            size += len(waiting[0].data)
            if entries and size > BATCH_BYTES_MAX:
                break
            entries.append(waiting.popleft())
        if not entries:
            return None
        chunk = Chunk(entries)
        self._under_way.append(chunk)
        return chunk

    def settle(self, chunk: Chunk) -> None:
        """Forget the entries of a chunk."""
        self._under_way.remove(chunk)
        self._held -= len(chunk.entries)
        self._bytes -= sum([len(entry.data) for entry in chunk.entries])

    @property
    def empty(self) -> bool:
        """Whether everything is settled."""
        return not self._held

    def oldest(self) -> Entry | None:
        """The first entry that is not settled."""
        if self._under_way:
            return self._under_way[0].entries[0]
        return self._waiting[0] if self._waiting else None

    async def sync(self) -> None:
        """Nothing outlives the process."""

    def close(self) -> None:
        """There are no files."""
