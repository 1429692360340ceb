"""A pull consumer that keeps requests standing, so that a message is here as soon as it is stored.

`fetch()` of the client asks anew for each batch and is three times slower. Here the server always holds
requests for some more messages than we have; they are answered into one inbox, in order. All that arrives
in one turn of the event loop is handed over as one batch: no linger, so a single message has no delay, and
under load batches form by themselves.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

import orjson
import structlog

from kit.bus.acks import nak
from kit.bus.connection import Bus, Subscription
from kit.bus.message import Message, parse_headers

log = structlog.get_logger(__name__)

OnBatch = Callable[[list[Message]], Awaitable[None] | None]

# Long enough that an idle consumer costs nothing, short enough that a forgotten request soon ends.
EXPIRES_S = 30.0
# The server says that it is alive this often; two missed ones and the requests are made again.
HEARTBEAT_S = 10.0
MISSED_HEARTBEATS_MAX = 2
# What one request may bring in bytes, so that large messages don't fill our memory.
PULL_BYTES_MAX = 16 * 1024 * 1024
# A refused request (stream still recovering, consumer gone) is repeated no faster than this.
RETRY_DELAY_MIN_S = 0.05
RETRY_DELAY_MAX_S = 2.0
# A batch whose handler failed comes back after this.
FAILED_BATCH_DELAY_S = 1.0


class Puller:
    """Pulls messages of a durable consumer and hands them to `on_batch`, one batch at a time.

    `batch` is the most messages that one call gets. At most twice as many are requested or held here, so a
    slow asynchronous `on_batch` slows the pull by itself; a plain function that only queues uses `pause`. It
    may raise: its batch is then given back to the server. `run()` ends after `stop()`.
    """

    def __init__(
        self,
        bus: Bus,
        stream: str,
        durable: str,
        *,
        batch: int,
        on_batch: OnBatch,
        expires_s: float = EXPIRES_S,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._bus = bus
        self.stream = stream
        self.durable = durable
        self._log = log.bind(stream=stream, durable=durable)
        self._batch = batch
        # What is requested or held is at most twice as much.
        self._asked_for = batch
        self._on_batch = on_batch
        self._expires_s = expires_s
        self._heartbeat_s = heartbeat_s
        self._buffer: list[Message] = []
        # Requested from the server and not yet received.
        self._outstanding = 0
        self.requests = 0
        # Answers to requests before this one are of a lost connection.
        self._first_valid_request = 1
        self._paused = False
        self._stopping = False
        self._running = False
        self._wake = asyncio.Event()
        self._ended = asyncio.Event()
        self._heard_at = 0.0
        self._retry_delay_s = RETRY_DELAY_MIN_S
        self._retry: asyncio.TimerHandle | None = None
        self._inbox = ""
        self.received = 0
        self.refusals = 0

    @property
    def paused(self) -> bool:
        return self._paused

    @property
    def stopping(self) -> bool:
        return self._stopping

    @property
    def outstanding(self) -> int:
        """How many messages may still arrive without another request."""
        return self._outstanding

    def pause(self) -> None:
        """Requests no more; at most the `outstanding` ones still arrive and are handed over."""
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._request_more()

    def ask_for(self, batch: int) -> None:
        """From now on at most twice as many are requested or held; `batch` is the most. What is on its way comes."""
        self._asked_for = min(batch, self._batch)

    def kick(self) -> None:
        """Forgets all standing requests and makes new ones; for a connection that is new."""
        self._first_valid_request = self.requests + 1
        self._outstanding = 0
        self._heard_at = asyncio.get_running_loop().time()
        self._request_more()

    async def run(self) -> None:
        """Pulls until `stop()`; every message that was received has gone through `on_batch` at the end."""
        self._running = True
        inbox = self._bus.new_inbox()
        subscription = await self._bus.subscribe(f"{inbox}.*", self._receive)
        forget_listener = self._bus.on_reconnect(self.kick)
        try:
            self._inbox = f"{inbox}."
            self.kick()
            async with asyncio.TaskGroup() as group:
                watchdog = group.create_task(self._watch())
                await self._hand_over_until_stopped()
                watchdog.cancel()
            await self._leave(subscription)
        finally:
            self._running = False
            self._inbox = ""
            forget_listener()
            self._cancel_retry()
            await self._bus.unsubscribe(subscription)
            self._ended.set()

    async def stop(self) -> None:
        """Ends `run()` and waits for it; idempotent."""
        self._stopping = True
        self._wake.set()
        if self._running:
            await self._ended.wait()

    async def _leave(self, subscription: Subscription) -> None:
        """Unsubscribes, then hands over what the server had sent until then."""
        await self._bus.unsubscribe(subscription)
        while self._buffer:
            await self._hand_over()

    async def _hand_over_until_stopped(self) -> None:
        wake = self._wake
        while not self._stopping:
            await wake.wait()
            wake.clear()
            while self._buffer:
                await self._hand_over()

    async def _hand_over(self) -> None:
        messages = self._buffer
        if len(messages) > self._batch:
            messages, self._buffer = messages[: self._batch], messages[self._batch :]
        else:
            self._buffer = []
        # Before the handler runs, so that the next messages travel meanwhile.
        self._request_more()
        try:
            answer = self._on_batch(messages)
            if inspect.isawaitable(answer):
                await answer
        except Exception:  # noqa: BLE001
            # The handler's fault must not end the pull: these messages come again, others go on.
            self._log.exception("puller_batch_failed", count=len(messages))
            nak(self._bus, messages, FAILED_BATCH_DELAY_S)

    def _request_more(self) -> None:
        expected = self._outstanding + len(self._buffer)
        if expected > self._asked_for or self._paused or self._stopping or not self._inbox:
            return
        # Without a connection nothing is written: kick() does it at the reconnect, exactly once.
        if self._retry is not None or not self._bus.connected:
            return
        wanted = 2 * self._asked_for - expected
        request = {
            "batch": wanted,
            "expires": int(self._expires_s * 1e9),
            "idle_heartbeat": int(self._heartbeat_s * 1e9),
            "max_bytes": PULL_BYTES_MAX,
        }
        self.requests += 1
        self._outstanding += wanted
        self._bus.send(
            f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{self.durable}",
            orjson.dumps(request),
            f"{self._inbox}{self.requests}",
        )

    def _receive(self, subject: bytes, reply: bytes, header: bytes, data: bytes) -> None:
        if reply.startswith(b"$JS.ACK."):
            self._buffer.append(Message(subject, reply, header, data, time.monotonic()))
            if self._outstanding:
                self._outstanding -= 1
            self.received += 1
            self._wake.set()
        else:
            self._on_status(subject, header)

    def _on_status(self, subject: bytes, header: bytes) -> None:
        """100 is a heartbeat; 408 and 409 end a request; 503 and 404: there is no such consumer now."""
        self._heard_at = asyncio.get_running_loop().time()
        status = header[9:12]
        if status == b"100" or int(subject.rpartition(b".")[2]) < self._first_valid_request:
            return
        pending = parse_headers(header).get("Nats-Pending-Messages")
        if pending is not None and status in (b"408", b"409"):
            self._retry_delay_s = RETRY_DELAY_MIN_S
            self._outstanding = max(0, self._outstanding - int(pending))
            self._request_more()
        else:
            self._back_off(header)

    def _back_off(self, header: bytes) -> None:
        if self._retry is not None:
            return
        self.refusals += 1
        reason = header.partition(b"\r\n")[0].decode("utf-8", "replace")
        self._log.warning("puller_refused", status=reason)
        self._retry = asyncio.get_running_loop().call_later(self._retry_delay_s, self._try_again)
        self._retry_delay_s = min(self._retry_delay_s * 2, RETRY_DELAY_MAX_S)

    def _try_again(self) -> None:
        self._retry = None
        self.kick()

    def _cancel_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    async def _watch(self) -> None:
        """Makes the requests again when neither messages nor heartbeats come."""
        loop = asyncio.get_running_loop()
        seen = -1
        while True:
            await asyncio.sleep(self._heartbeat_s)
            if self.received != seen:
                seen, self._heard_at = self.received, loop.time()
            silent_s = loop.time() - self._heard_at
            if not self._bus.connected or not self._outstanding:
                self._heard_at = loop.time()
            elif silent_s > MISSED_HEARTBEATS_MAX * self._heartbeat_s:
                self._log.warning("puller_silent", silent_s=round(silent_s))
                self.kick()
