"""One connection to NATS that outlives servers, partitions and nats-py itself."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import random
import re
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlparse

import orjson
import structlog
from nats.aio.client import Server
from nats.aio.subscription import Subscription as NatsSubscription
from nats.errors import Error as NatsError

from kit.bus.client import Client, Sink
from kit.bus.errors import ConnectionLost, NoResponders, api_error
from kit.errors import DeadlineExceeded, Overloaded, PermissionDenied, Unavailable

log = structlog.get_logger(__name__)

# nats-py's 2 MB are a tenth of a second of events; this holds three seconds at 20,000 a second.
PENDING_BYTES_MAX = 64 * 1024 * 1024
# A server that restarts is back within 70 ms, so the first attempts are quick; the upper bound keeps a fleet
# of services from hammering a server that is down.
RECONNECT_DELAY_MIN_S = 0.02
RECONNECT_DELAY_MAX_S = 2.0
# A silent partition is noticed after three unanswered pings, 15 seconds.
PING_INTERVAL_S = 5
PINGS_OUTSTANDING_MAX = 2
CONNECT_TIMEOUT_S = 2
# How long the first connection is tried before the service gives up its start.
FIRST_CONNECT_TIMEOUT_S = 30.0
REQUEST_TIMEOUT_S = 5.0
# Cancelling it again after this has always been enough.
CANCEL_AGAIN_S = 0.1
# Requests that wait for their answer at the same time, of one process.
REQUESTS_MAX = 65_536

_DENIED_PUBLISH = re.compile(r'permissions violation for publish to "([^"]*)"')

Listener = Callable[[], Awaitable[None] | None]


@dataclass(eq=False, slots=True)
class Subscription:
    """A subscription of the bus; it survives reconnects and a rebuilt client."""

    subject: str
    sink: Sink
    queue: str = ""
    # nats-py's own, another one after a rebuild.
    _raw: NatsSubscription | None = None


@dataclass(slots=True, repr=False)
class _Login:
    url: str
    user: str | None
    password: str | None
    name: str
    inbox_prefix: str
    tls: ssl.SSLContext | None


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a request: raw header block and data."""

    header: bytes
    data: bytes


@dataclass(eq=False)
class Bus:
    """A connection to NATS: raw writes, requests through one inbox, and subscriptions to plain functions.

    Made by `connect()`. Reconnects for ever; listeners of `on_reconnect` run each time it is connected again.
    """

    _login: _Login
    _client: Client = field(default_factory=Client)
    _subscriptions: list[Subscription] = field(default_factory=list)
    _reconnect_listeners: list[Listener] = field(default_factory=list)
    _disconnect_listeners: list[Listener] = field(default_factory=list)
    _waiting: dict[bytes, tuple[asyncio.Future[Reply], str]] = field(default_factory=dict)
    _tokens: itertools.count[int] = field(default_factory=itertools.count)
    _client_closed: asyncio.Event = field(default_factory=asyncio.Event)
    _connected: asyncio.Event = field(default_factory=asyncio.Event)
    _closing: bool = False
    _attempts: int = 0
    _keeper: asyncio.Task[None] | None = None
    _inbox: str = ""
    rebuilds: int = 0

    # --- state

    @property
    def connected(self) -> bool:
        return self._connected.is_set() and self._client.is_connected

    @property
    def url(self) -> str:
        return self._login.url

    @property
    def client(self) -> Client:
        """The nats-py client of the moment; another one after a rebuild, so don't keep it."""
        return self._client

    def on_reconnect(self, listener: Listener) -> Callable[[], None]:
        """Calls `listener` after every reconnect; the answer takes it off the list."""
        self._reconnect_listeners.append(listener)
        return lambda: self._reconnect_listeners.remove(listener)

    def on_disconnect(self, listener: Listener) -> Callable[[], None]:
        """Calls `listener` when the connection is lost; the answer takes it off the list."""
        self._disconnect_listeners.append(listener)
        return lambda: self._disconnect_listeners.remove(listener)

    async def wait_connected(self, timeout_s: float) -> None:
        """Returns at once while connected; raises Unavailable when the connection isn't back in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._connected.wait()
        except TimeoutError:
            raise Unavailable(f"NATS at {_host(self.url)} does not answer") from None

    # --- writing

    def write(self, commands: bytes) -> None:
        """Sends whole protocol commands; raises Overloaded while 64 MB wait for a connection."""
        if self._client.buffered_bytes + len(commands) > PENDING_BYTES_MAX:
            raise Overloaded("64 MB wait to be sent to NATS; try again when it is connected")
        self._client.write(commands)

    def send(self, subject: str, data: bytes = b"", reply: str = "") -> None:
        """Publishes to core NATS: at most once, nobody may be listening."""
        self.write(f"PUB {subject} {reply} {len(data)}\r\n".encode() + data + b"\r\n")

    # --- requests

    def new_inbox(self) -> str:
        """A unique subject prefix below the user's own inbox prefix."""
        return f"{self._login.inbox_prefix}.{self._client._nuid.next().decode()}"

    def expect_reply(self, subject: str) -> tuple[bytes, asyncio.Future[Reply]]:
        """A reply subject and the future of its one answer. The caller calls `forget` if it gives up.

        The future fails with ConnectionLost as soon as the connection is lost, with NoResponders, and with
        PermissionDenied when the server refuses this user a publish to `subject`.
        """
        if len(self._waiting) >= REQUESTS_MAX:
            raise Overloaded(f"{REQUESTS_MAX} requests to NATS are unanswered")
        token = b"%d" % next(self._tokens)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[token] = (future, subject)
        return self._inbox.encode() + token, future

    def forget(self, reply_subject: bytes) -> None:
        self._waiting.pop(reply_subject[len(self._inbox) :], None)

    async def request(self, subject: str, data: bytes = b"", timeout_s: float = REQUEST_TIMEOUT_S) -> Reply:
        """Sends a request and awaits one answer; raises Unavailable or DeadlineExceeded."""
        if not self.connected:
            await self.wait_connected(timeout_s)
        reply, future = self.expect_reply(subject)
        try:
            self.send(subject, data, reply.decode())
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            raise DeadlineExceeded(f"no answer on {subject} within {timeout_s} s") from None
        finally:
            self.forget(reply)

    async def api(
        self, call: str, request: dict[str, Any] | None = None, timeout_s: float = REQUEST_TIMEOUT_S
    ) -> dict[str, Any]:
        """One call of the JetStream API, e.g. `STREAM.INFO.FACTS`; its errors carry the server's number."""
        body = orjson.dumps(request) if request is not None else b""
        answer: dict[str, Any] = orjson.loads((await self.request(f"$JS.API.{call}", body, timeout_s)).data)
        if "error" in answer:
            raise api_error(answer["error"], call)
        return answer

    def _on_reply(self, subject: bytes, reply: bytes, header: bytes, data: bytes) -> None:
        waiting = self._waiting.pop(subject[len(self._inbox) :], None)
        if waiting is None or waiting[0].done():
            return
        future = waiting[0]
        if header.startswith(b"NATS/1.0 503"):
            future.set_exception(NoResponders("no stream or service listens there"))
        else:
            future.set_result(Reply(header, data))

    # --- subscriptions

    async def subscribe(self, subject: str, sink: Sink, *, queue: str = "") -> Subscription:
        """Hands every message of a subject to a plain function, in order, from within the parser.

        Of all subscriptions with the same `queue`, one gets each message.
        """
        subscription = Subscription(subject, sink, queue)
        self._subscriptions.append(subscription)
        subscription._raw = await self._client.subscribe_sink(subject, sink, queue)
        return subscription

    async def unsubscribe(self, subscription: Subscription) -> None:
        """Ends a subscription, idempotent; what was sent before has reached its function afterwards."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
            # Without a connection there is nothing to wait for.
            with contextlib.suppress(NatsError, OSError):
                await self._client.unsubscribe_sink(subscription._raw)

    # --- life

    async def flush(self) -> None:
        """Returns when the server has processed all that was written before."""
        await self._client.flush()

    async def close(self) -> None:
        """Sends what waits, then closes. Requests in flight fail with ConnectionLost."""
        self._closing = True
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        # A server that has just gone takes no farewell.
        with contextlib.suppress(OSError):
            await self._client.close()
        self._connected.clear()
        self._fail_waiting()

    async def drain(self, timeout_s: float = 5.0) -> None:
        """Waits until the server has taken everything, at most `timeout_s`, then closes."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(timeout_s):
                await self._client.flush()
        await self.close()

    async def _open(self) -> None:
        """Connects `_client` for the first time and puts the subscriptions on it."""
        login = self._login
        await self._client.connect(
            [login.url],
            user=login.user,
            password=login.password,
            name=login.name,
            tls=login.tls,
            inbox_prefix=login.inbox_prefix,
            # nats-py repeats a refused login for ever if it may; switched on again below.
            allow_reconnect=False,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_DELAY_MIN_S,  # type: ignore[arg-type]  # any number of seconds
            connect_timeout=CONNECT_TIMEOUT_S,
            ping_interval=PING_INTERVAL_S,
            max_outstanding_pings=PINGS_OUTSTANDING_MAX,
            pending_size=PENDING_BYTES_MAX,
            skip_subject_validation=True,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_reconnected,
            closed_cb=self._on_closed,
            reconnect_to_server_handler=self._next_server,
        )
        self._client.options["allow_reconnect"] = True
        self._attempts = 0
        for subscription in self._subscriptions:
            subscription._raw = await self._client.subscribe_sink(
                subscription.subject, subscription.sink, subscription.queue
            )
        self._connected.set()

    async def _keep(self) -> None:
        """Builds a new client whenever nats-py has closed its own for good, as it does on some errors."""
        delay_s = RECONNECT_DELAY_MIN_S
        while True:
            await self._client_closed.wait()
            self._client_closed.clear()
            log.warning("bus_client_rebuilt", nats=_host(self.url), cause=str(self._client.last_error))
            await asyncio.sleep(_jittered(delay_s))
            self._client = Client()
            try:
                async with asyncio.timeout(FIRST_CONNECT_TIMEOUT_S):
                    await self._open()
            except Exception as error:  # noqa: BLE001
                # Whatever it was, a service without its bus is of no use: try again, more slowly.
                log.warning("bus_connect_failed", nats=_host(self.url), error=repr(error))
                delay_s = min(delay_s * 2, RECONNECT_DELAY_MAX_S)
                await self._client.close()
                self._client_closed.set()
            else:
                delay_s = RECONNECT_DELAY_MIN_S
                self.rebuilds += 1
                await self._tell(self._reconnect_listeners)

    def _next_server(self, servers: list[Server], info: dict[str, Any]) -> tuple[Server | None, float]:
        delay_s = self._next_delay_s()
        return servers[self._attempts % len(servers)], delay_s

    def _next_delay_s(self) -> float:
        self._attempts += 1
        return _jittered(min(RECONNECT_DELAY_MIN_S * 2 ** min(self._attempts - 1, 10), RECONNECT_DELAY_MAX_S))

    async def _on_error(self, error: Exception) -> None:
        log.warning("bus_error", nats=_host(self.url), error=repr(error))
        if not self._client.options["allow_reconnect"]:
            # nats-py asks no handler how long to wait before the next attempt of a first connection, but waits for
            # this: without it, 45 attempts a second and as many lines of the log, for as long as the server is away.
            await asyncio.sleep(self._next_delay_s())
        denied = _DENIED_PUBLISH.search(str(error))
        if denied is None:
            return
        for future, subject in self._waiting.values():
            # nats-py has put the server's words in lower case.
            if subject.lower() == denied[1] and not future.done():
                future.set_exception(PermissionDenied(f"this NATS user may not publish to {subject}"))

    async def _on_disconnected(self) -> None:
        self._connected.clear()
        self._fail_waiting()
        if not self._closing:
            log.warning("bus_disconnected", nats=_host(self.url))
            await self._tell(self._disconnect_listeners)

    async def _on_reconnected(self) -> None:
        self._attempts = 0
        self._connected.set()
        log.info("bus_reconnected", nats=_host(self.url))
        await self._tell(self._reconnect_listeners)

    async def _on_closed(self) -> None:
        if not self._closing:
            self._client_closed.set()

    def _fail_waiting(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for future, _ in waiting.values():
            if not future.done():
                future.set_exception(ConnectionLost("the connection to NATS was lost before the answer came"))
                # Whoever gave up meanwhile doesn't ask; asyncio would complain about an unseen exception.
                future.exception()

    async def _tell(self, listeners: Iterable[Listener]) -> None:
        for listener in list(listeners):
            try:
                answer = listener()
                if inspect.isawaitable(answer):
                    await answer
            except Exception:
                # One listener's fault must keep neither the others nor nats-py's reconnect from their work.
                log.exception("bus_listener_failed")


async def connect(
    url: str,
    user: str | None = None,
    password: str | None = None,
    *,
    name: str,
    inbox_prefix: str | None = None,
    tls: ssl.SSLContext | None = None,
    timeout_s: float = FIRST_CONNECT_TIMEOUT_S,
) -> Bus:
    """Connects and keeps connected until `close()`.

    The login may be in the url instead. Answers arrive below `inbox_prefix`, by default `_INBOX_<user>`, so
    that the server's permissions can keep users out of each other's. Raises Unavailable if no server answers
    within `timeout_s`, or if it refuses the login.
    """
    user = user or _user(url)
    prefix = inbox_prefix or (f"_INBOX_{user}" if user else "_INBOX")
    bus = Bus(_Login(url, user, password, name, prefix, tls))
    bus._inbox = f"{bus.new_inbox()}."
    bus._subscriptions.append(Subscription(f"{bus._inbox}*", bus._on_reply))
    try:
        await _opened(bus, timeout_s)
    except Exception as error:
        bus._closing = True
        await bus._client.close()
        raise Unavailable(f"cannot connect to NATS at {_host(url)}: {error!r}") from error
    bus._keeper = asyncio.create_task(bus._keep(), name="bus-keeper")
    return bus


async def _opened(bus: Bus, timeout_s: float) -> None:
    """Open a connection, or raise TimeoutError.

    asyncio.timeout cancels once, and nats-py may lose that: Python 3.11's wait_for drops a cancellation which comes
    together with a refused connection, and nats-py then tries for ever.
    """
    opening = asyncio.create_task(bus._open(), name="bus-open")
    try:
        await asyncio.wait({opening}, timeout=timeout_s)
        if not opening.done():
            raise TimeoutError
        await opening
    finally:
        while not opening.done():
            opening.cancel()
            await asyncio.wait({opening}, timeout=CANCEL_AGAIN_S)


def _jittered(delay_s: float) -> float:
    return delay_s * random.uniform(0.5, 1.0)  # noqa: S311  # spreads reconnects, keeps no secret


def _user(url: str) -> str | None:
    name = urlparse(url).username
    return unquote(name) if name else None


def _host(url: str) -> str:
    """The address without a login that may be in it."""
    parts = urlparse(url)
    return f"{parts.hostname}:{parts.port}"
