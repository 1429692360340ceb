"""The publisher that programs use, as `onward.Publisher`."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import structlog

from kit.auth.tokens import parse_write_key
from kit.bus.connection import Bus, connect
from kit.bus.publish import BATCH_MESSAGES_MAX
from kit.bus.tls import tls_context
from kit.errors import InvalidArgument, OnwardError, PermissionDenied, Unavailable, WrongState
from kit.publisher.backlog import EVENTS_MAX, MEMORY_BYTES_MAX, Backlog, MemoryBacklog
from kit.publisher.errors import NotPublished, PublisherFull
from kit.publisher.events import Entry, prepared
from kit.publisher.sender import Result, Sender
from kit.publisher.spool import SPOOL_BYTES_MAX, Spool

log = structlog.get_logger(__name__)

# How long an event waits for room before its publisher is told that there is none.
FULL_TIMEOUT_S = 30.0
# How long the end of a program waits for the last acknowledgements; a server that restarts is back long before.
FLUSH_TIMEOUT_S = 30.0
# How long a publisher without a spool waits for its first connection; a server on the network answers at once.
CONNECT_TIMEOUT_S = 5.0
# With a spool it is tried for ever, one such time after the other.
RECONNECT_TIMEOUT_S = 30.0
# After so many events without a wait, the sender gets its turn: a chunk.
TURN_EVENTS = BATCH_MESSAGES_MAX
_NAME = re.compile(r"workspaces/([a-z0-9-]{1,63})/sources/([a-z0-9-]{1,63})")

OnResult = Callable[[Sequence[Result]], None]


@dataclass(slots=True)
class Counts:
    """Events by what became of them; a packed batch counts as its events."""

    published: int = 0
    duplicates: int = 0
    refused: int = 0

    @property
    def settled(self) -> int:
        """How many are done with."""
        return self.published + self.duplicates + self.refused


class Publisher:
    """Publishes events of one source, each until JetStream has acknowledged it, under the same messageId.

        async with onward.Publisher("nats://127.0.0.1:4222", "onwk_...", source="web", workspace="acme") as publisher:
            await publisher.publish({"type": "track", "event": "Signed Up", "userId": "u-1"})

    `publish` returns when the event is in the queue, which sends by itself; leaving the block waits for the last
    acknowledgement. The queue is bounded: full, `publish` waits up to `full_timeout_s` for room (0: not at all), then
    raises PublisherFull. With `spool`, a folder, the queue is in files and outlives the process: the next publisher
    with that folder goes on where this one ended. `sync` has each event on the disk before `publish` returns, so that
    it outlives the machine as well. `on_result` is told of every event that is stored or refused for good.
    """

    def __init__(
        self,
        url: str,
        credentials: str,
        *,
        source: str,
        workspace: str = "",
        spool: Path | str | None = None,
        spool_bytes_max: int = SPOOL_BYTES_MAX,
        sync: bool = False,
        events_max: int = EVENTS_MAX,
        bytes_max: int = MEMORY_BYTES_MAX,
        full_timeout_s: float = FULL_TIMEOUT_S,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        ca: Path | str | None = None,
        on_result: OnResult | None = None,
    ) -> None:
        self._url = url
        self._key = credentials
        self._key_id = parse_write_key(credentials).id
        self._place = _place(source, workspace)
        self._tls = tls_context(url, ca)
        self._full_timeout_s = full_timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._on_result = on_result
        self._spool_folder = Path(spool) if spool is not None else None
        self._spool_options = (spool_bytes_max, sync)
        self._memory_options = (events_max, bytes_max)
        self._backlog: Backlog | None = None
        self._bus: Bus | None = None
        self._sender: Sender | None = None
        self._task: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._last_error: OnwardError | None = None
        self._moved = asyncio.Event()
        self._since_turn = 0
        self.counts = Counts()

    # --- life ------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        # What failed already is the error to see, not what it left unpublished.
        if kind is None:
            await self.close()
        else:
            with suppress(OnwardError):
                await self.close()

    async def start(self) -> None:
        """Open the queue and connect.

        Raises Unavailable where there is neither a server nor a spool to wait in, and WrongState where another process
        has the spool.
        """
        if self._backlog is not None:
            raise WrongState("this publisher was started before: make another one")
        self._backlog = self._opened_backlog()
        try:
            self._bus = await self._connected(self._connect_timeout_s)
        except Unavailable as error:
            if self._spool_folder is None:
                self._backlog.close()
                raise
            log.warning("publisher_without_server", reason=error.message)
            self._last_error = error
        self._task = asyncio.create_task(self._run(), name="onward-publisher")
        self._task.add_done_callback(self._ended)

    async def close(self, timeout_s: float = FLUSH_TIMEOUT_S) -> None:
        """Wait for what is under way, then end. Idempotent.

        Raises NotPublished for what is not acknowledged in time, except with a spool, which keeps it.
        """
        if self._backlog is None or self._task is None:
            return
        try:
            await self.flush(timeout_s)
        except NotPublished as error:
            if self._spool_folder is None:
                raise
            log.warning("publisher_spooled", folder=str(self._spool_folder), reason=error.message)
        finally:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait([task])
            if self._bus is not None:
                await self._bus.close()
            self._backlog.close()

    # --- events ----------------------------------------------------------------------------------------------

    async def publish(self, event: Mapping[str, Any], *, timeout_s: float | None = None) -> str:
        """Queue an event and give its messageId.

        Raises InvalidEvent for what is none, PublisherFull when there is no room in `timeout_s`, by default the
        publisher's `full_timeout_s`, and PermissionDenied where the write key is another source's.
        """
        entry = prepared(event)
        await self.put(entry, timeout_s=timeout_s)
        return entry.message_id

    def publish_nowait(self, event: Mapping[str, Any]) -> str:
        """Queue an event at once and give its messageId. Raises as `publish` does."""
        entry = prepared(event)
        self._append(entry)
        if isinstance(self._backlog, Spool):
            self._backlog.sync_now()
        return entry.message_id

    async def put(self, entry: Entry, *, timeout_s: float | None = None) -> None:
        """Queue a message as it is, unchecked. Raises PublisherFull and PermissionDenied as `publish` does."""
        try:
            self._append(entry)
        except PublisherFull as full:
            await self._put_later(entry, self._full_timeout_s if timeout_s is None else timeout_s, full)
        assert self._backlog is not None
        await self._backlog.sync()
        self._since_turn += 1
        if self._since_turn >= TURN_EVENTS:
            self._since_turn = 0
            await asyncio.sleep(0)

    async def flush(self, timeout_s: float = FLUSH_TIMEOUT_S) -> None:
        """Return when everything that was queued is acknowledged or refused. Raises NotPublished after `timeout_s`."""
        assert self._backlog is not None, "the publisher was started"
        try:
            async with asyncio.timeout(timeout_s):
                while not self._backlog.empty:
                    await self._movement()
        except TimeoutError:
            raise NotPublished(f"not everything is acknowledged within {timeout_s:g} s{self._why()}") from None

    def oldest(self) -> Entry | None:
        """The first message that is neither acknowledged nor refused."""
        return self._backlog.oldest() if self._backlog is not None else None

    # --- within ----------------------------------------------------------------------------------------------

    def _append(self, entry: Entry) -> None:
        self._check_alive()
        assert self._backlog is not None
        self._backlog.append(entry)
        if self._sender is not None:
            self._sender.wake()

    async def _put_later(self, entry: Entry, timeout_s: float, full: PublisherFull) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    await self._movement()
                    with suppress(PublisherFull):
                        return self._append(entry)
        except TimeoutError:
            raise PublisherFull(f"{full.message}{self._why()}") from None

    async def _movement(self) -> None:
        """Return when something was settled."""
        self._check_alive()
        self._moved.clear()
        await self._moved.wait()
        self._check_alive()

    def _check_alive(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._task is None:
            raise WrongState("this publisher is not running: use it within `async with`")

    def _why(self) -> str:
        error = (self._sender.last_error if self._sender is not None else None) or self._last_error
        return f" ({error.message})" if error is not None else ""

    def _opened_backlog(self) -> Backlog:
        if self._spool_folder is None:
            return MemoryBacklog(*self._memory_options)
        bytes_max, sync = self._spool_options
        try:
            return Spool(self._spool_folder, bytes_max, sync=sync)
        except OSError as error:
            raise WrongState(f"the spool {self._spool_folder} can't be used: {error.strerror or error}") from error

    async def _connected(self, timeout_s: float) -> Bus:
        name = f"onward-publisher-{os.getpid()}"
        return await connect(self._url, self._key_id, self._key, name=name, tls=self._tls, timeout_s=timeout_s)

    async def _run(self) -> None:
        while self._bus is None:
            try:
                self._bus = await self._connected(RECONNECT_TIMEOUT_S)
            except Unavailable as error:
                self._last_error = error
        self._last_error = None
        assert self._backlog is not None
        self._sender = Sender(self._bus, self._backlog, *self._place, self._settled)
        await self._sender.run()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Remember why nothing is sent any more, for whoever asks next."""
        error = None if task.cancelled() else task.exception()
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, PermissionDenied):
            error = PermissionDenied(f"the write key is none of the source {self._place[1]}'s: {error.message}")
        self._failure = error
        self._moved.set()

    def _settled(self, results: Sequence[Result]) -> None:
        counts = self.counts
        for entry, duplicate, error in results:
            if error is not None:
                counts.refused += entry.events
                log.error("event_refused", message_id=entry.message_id, reason=error.message)
            elif duplicate:
                counts.duplicates += entry.events
            else:
                counts.published += entry.events
        self._moved.set()
        if self._on_result is not None:
            self._on_result(results)


def _place(source: str, workspace: str) -> tuple[str, str]:
    """The workspace and the source, of ids or of a resource's name. Raises InvalidArgument."""
    name = source if "/" in source else f"workspaces/{workspace}/sources/{source}"
    found = _NAME.fullmatch(name)
    if found is None or (workspace and found[1] != workspace):
        raise InvalidArgument(
            f"{name!r} names no source: give source='web' and workspace='acme', or source='workspaces/acme/sources/web'"
        )
    return found[1], found[2]
