"""The publisher for programs without asyncio: the same one, on a loop in a thread of its own."""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any, Self, TypeVar

from kit.errors import OnwardError, WrongState
from kit.publisher.publisher import FLUSH_TIMEOUT_S, Counts, Publisher

T = TypeVar("T")


class SyncPublisher:
    """Takes what Publisher takes, and may be used from any thread.

        with onward.SyncPublisher("nats://127.0.0.1:4222", "onwk_...", source="web", workspace="acme") as publisher:
            publisher.publish({"type": "track", "event": "Signed Up", "userId": "u-1"})

    Without the block, call `start`; the end of the program closes it then.
    """

    def __init__(self, url: str, credentials: str, **options: Any) -> None:
        self._publisher = Publisher(url, credentials, **options)
        self._loop = asyncio.new_event_loop()
        # A daemon, so that a program that ends by an error is not kept from it.
        self._thread = threading.Thread(target=self._loop.run_forever, name="onward-publisher", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            with suppress(OnwardError):
                self.close()

    @property
    def counts(self) -> Counts:
        """Events by what became of them."""
        return self._publisher.counts

    def start(self) -> None:
        """Connect; raises what `Publisher.start` does."""
        self._thread.start()
        try:
            self._call(self._publisher.start())
        except BaseException:
            self._end()
            raise
        atexit.register(self.close)

    def publish(self, event: Mapping[str, Any], *, timeout_s: float | None = None) -> str:
        """Queue an event and give its messageId; raises what `Publisher.publish` does."""
        return self._call(self._publisher.publish(event, timeout_s=timeout_s))

    def flush(self, timeout_s: float = FLUSH_TIMEOUT_S) -> None:
        """Wait until everything is acknowledged; raises what `Publisher.flush` does."""
        self._call(self._publisher.flush(timeout_s))

    def close(self, timeout_s: float = FLUSH_TIMEOUT_S) -> None:
        """Wait for what is under way, then end; raises what `Publisher.close` does. Idempotent."""
        atexit.unregister(self.close)
        if not self._thread.is_alive():
            self._loop.close()
            return
        try:
            self._call(self._publisher.close(timeout_s))
        finally:
            self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if not self._thread.is_alive():
            # Nobody would ever run it.
            coroutine.close()
            raise WrongState("this publisher is not running: use it within `with`, or call `start` first")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
