"""A way to a server that can swallow what it carries: as in a broken network, nothing is refused or answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Self

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
PIECE_BYTES = 65536


class Partition:
    """Carries connections to a server; use it as an async context manager around `listen`."""

    def __init__(self, connect: Callable[[], Awaitable[Stream]]) -> None:
        self._connect = connect
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._whole = True
        # Connections that were begun while it was cut: somebody has noticed, and tries again.
        self.tries = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Swallow everything from now on, of connections that are open and of new ones."""
        self._whole = False
        self.tries = 0

    def heal(self) -> None:
        """Let new connections through. Those that lost something end: TCP would have noticed as well."""
        self._whole = True
        for writer in self._writers:
            writer.close()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle a connection, for asyncio.start_server."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.tries += not self._whole
        try:
            with suppress(OSError):
                await (self._through(reader, writer) if self._whole else self._swallow(reader))
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await self._connect()
        self._writers.add(back)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(reader, back))
                group.create_task(self._carry(there, writer))
        except* OSError:
            pass
        finally:
            self._writers.discard(back)
            back.close()

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        cut = False
        while piece := await source.read(PIECE_BYTES):
            cut = cut or not self._whole
            if not cut:
                target.write(piece)
                await target.drain()
        if not cut:
            target.close()

    async def _swallow(self, reader: asyncio.StreamReader) -> None:
        while await reader.read(PIECE_BYTES):
            pass
