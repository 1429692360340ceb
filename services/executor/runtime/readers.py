"""Workers that read the text of scripts and run nothing of them: somebody waits for what they find.

V8 reads a script much faster once it has compiled what check.js runs most: 22 ms in a new worker, 5 after one
rehearsal, 4 after three, 1 after many. So a reader reads many scripts, one after the other. Of each it sees the text;
the script is loaded elsewhere, in a worker of its own, which alone says whether it runs and what it handles.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from services.executor.runtime.findings import READ_LIMITS, Findings, read_findings
from services.executor.runtime.rehearsal import SAMPLE, SAMPLE_SETTINGS
from services.executor.runtime.worker_link import Worker

# What scripts leave in a worker ends with it, be it memory or worse; to replace one costs 30 ms of CPU.
_READS_MAX: Final = 200
_REHEARSALS: Final = 3
# The tree of a longer one is worth giving back: 100 bytes a character.
_LONG_CHARS: Final = 32 << 10


@dataclass(eq=False, slots=True)
class _Reader:
    worker: Worker
    reads: int = 0


class Readers:
    """Some that wait, and others for a while where more is to be read at once."""

    def __init__(
        self, wanted: int, spare: Callable[[], Awaitable[Worker]], fork: Callable[[], Awaitable[Worker]]
    ) -> None:
        """`wanted` are kept; `fork` makes a worker, and `spare` has one sooner where none waits."""
        self._wanted = wanted
        self._spare = spare
        self._fork = fork
        # Whoever has read most, and so is the fastest, comes first.
        self._ready: list[_Reader] = []
        self._refilling = False

    @property
    def ready(self) -> int:
        """How many wait for a script to read."""
        return len(self._ready)

    async def read(self, code: str, setting_names: Sequence[str]) -> Findings:
        """What check.js says of a script. Raises OSError or TimeoutError where no worker can be had."""
        reader = await self._take()
        findings = await self._read(reader, code, setting_names)
        if reader.worker.alive:
            if len(code) > _LONG_CHARS:
                reader.worker.trim()
            self._put(reader)
        return findings

    async def refill(self) -> None:
        """Have as many as are wanted; what can't be had is had at the next call."""
        if self._refilling:
            return
        self._refilling = True
        try:
            while len(self._ready) < self._wanted:
                reader = _Reader(await self._fork())
                for _ in range(_REHEARSALS):
                    await self._read(reader, SAMPLE, SAMPLE_SETTINGS)
                if not reader.worker.alive:
                    return
                self._put(reader)
        except (OSError, TimeoutError):
            return
        finally:
            self._refilling = False

    def remove(self, worker: Worker) -> None:
        """Forget a worker that has ended."""
        for reader in [reader for reader in self._ready if reader.worker is worker]:
            self._ready.remove(reader)

    def clear(self) -> None:
        """Forget all: they have ended."""
        self._ready.clear()

    async def _take(self) -> _Reader:
        while self._ready:
            reader = self._ready.pop(0)
            if reader.worker.alive:
                return reader
        return _Reader(await self._spare())

    def _put(self, reader: _Reader) -> None:
        if reader.reads >= _READS_MAX:
            reader.worker.kill()
            return
        self._ready.append(reader)
        self._ready.sort(key=lambda one: one.reads, reverse=True)
        for surplus in self._ready[self._wanted :]:
            surplus.worker.kill()
        del self._ready[self._wanted :]

    @staticmethod
    async def _read(reader: _Reader, code: str, setting_names: Sequence[str]) -> Findings:
        reader.reads += 1
        try:
            return read_findings(await reader.worker.check(code, setting_names, READ_LIMITS))
        except (ConnectionError, TimeoutError) as error:
            reader.worker.kill()
            return Findings(unread=str(error) or "it took too long")
        except BaseException:
            reader.worker.kill()
            raise
