"""Keeps servers and programs running: restarts what ends, and stops all in order."""

import asyncio
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

import structlog

from kit.embedded.errors import EmbeddedError
from kit.waiting import is_set_within

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Supervised(Protocol):
    """What the supervisor can look after: Program, EmbeddedPostgres, EmbeddedNats."""

    name: str

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""

    async def start(self) -> None:
        """Start it; EmbeddedError if it can't."""

    async def exited(self) -> int:
        """Wait for its end; EmbeddedError if it must not be started again."""

    async def stop(self) -> None:
        """End it in order; no error if it has ended."""

    def crash(self) -> None:
        """SIGKILL it."""


@dataclass
class Backoff:
    """How long to wait before a restart: twice as long each time, until it has run well for a while."""

    # Short enough that nobody notices a single crash; long enough not to spin.
    first_s: float = 0.1
    # A program that can't start costs a process every 5 s at most.
    max_s: float = 5.0
    # After this long a crash counts as a new one.
    healthy_s: float = 30.0
    _next_s: float = field(default=0.0, init=False)

    def delay_s(self, ran_for_s: float) -> float:
        """The delay after a run of that length."""
        if ran_for_s >= self.healthy_s:
            self._next_s = 0.0
        delay_s = max(self._next_s, self.first_s)
        self._next_s = min(2 * delay_s, self.max_s)
        return delay_s


@dataclass
class _Entry:
    child: Supervised
    backoff: Backoff
    started_at: float
    restarts: int = 0
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    watcher: asyncio.Task[None] | None = None


class Supervisor:
    """`async with Supervisor() as supervisor`: at its end everything is stopped, the last started first."""

    def __init__(self, backoff: Backoff | None = None) -> None:
        self._policy = backoff or Backoff()
        self._entries: dict[str, _Entry] = {}
        self._group = asyncio.TaskGroup()
        self._refused = asyncio.Event()
        self.refusals: list[EmbeddedError] = []

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.stop_all()
        finally:
            if isinstance(error, asyncio.CancelledError):
                await self._group.__aexit__(kind, error, trace)
            else:
                # An error of the caller's passes as it is, not wrapped in the group's.
                await self._group.__aexit__(None, None, None)

    async def start(self, child: Supervised) -> None:
        """Start the child and keep it running from now on. Raises EmbeddedError if this first start fails."""
        assert child.name not in self._entries, f"{child.name} is supervised already"
        await child.start()
        policy = self._policy
        backoff = Backoff(policy.first_s, policy.max_s, policy.healthy_s)
        entry = _Entry(child, backoff, asyncio.get_running_loop().time())
        self._entries[child.name] = entry
        entry.watcher = self._group.create_task(self._watch(entry), name=f"supervise {child.name}")
        log.info("child_started", child=child.name, pid=child.pid)

    def pid(self, name: str) -> int | None:
        """The child's process id; None while it does not run."""
        return self._entries[name].child.pid

    def restarts(self, name: str) -> int:
        """How often the child was started again."""
        return self._entries[name].restarts

    def kill(self, name: str) -> None:
        """SIGKILL the child, as a fault; it is restarted."""
        self._entries[name].child.crash()

    async def stop(self, name: str) -> None:
        """Stop the child in order, and for good."""
        entry = self._entries.pop(name)
        entry.stopping.set()
        assert entry.watcher is not None
        await entry.child.stop()
        await asyncio.wait({entry.watcher})
        log.info("child_stopped", child=name)

    async def stop_all(self) -> None:
        """Stop every child, the last started first."""
        for name in reversed(list(self._entries)):
            await self.stop(name)

    async def refusal(self) -> EmbeddedError:
        """Wait until a child has refused its configuration, and return what it said."""
        await self._refused.wait()
        return self.refusals[0]

    async def _watch(self, entry: _Entry) -> None:
        running = True
        while running:
            # Always awaited after a start, if only to read and close the output.
            try:
                exit_code = await entry.child.exited()
            except EmbeddedError as error:
                return self._refuse(entry, error)
            if entry.stopping.is_set():
                return None
            log.warning("child_exited", child=entry.child.name, exit_code=exit_code)
            running = await self._restart(entry)
        return None

    def _refuse(self, entry: _Entry, error: EmbeddedError) -> None:
        log.error("child_refused", child=entry.child.name, error=str(error))
        self.refusals.append(error)
        self._refused.set()

    async def _restart(self, entry: _Entry) -> bool:
        """Wait and start the child until it has started (True) or is to stop (False)."""
        child, now = entry.child, asyncio.get_running_loop().time
        ran_for_s = now() - entry.started_at
        while not await is_set_within(entry.stopping, entry.backoff.delay_s(ran_for_s)):
            ran_for_s = 0.0
            try:
                await child.start()
            except EmbeddedError as error:
                log.warning("child_not_restarted", child=child.name, error=str(error))
                continue
            if entry.stopping.is_set():
                await child.stop()
            entry.started_at, entry.restarts = now(), entry.restarts + 1
            log.info("child_restarted", child=child.name, pid=child.pid, restarts=entry.restarts)
            return True
        return False
