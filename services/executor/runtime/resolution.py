"""Names to addresses: bounded threads, one flight for each name, a short cache."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from services.executor.runtime.connection_pool import Slots
from services.executor.runtime.egress import system_error

# Slow name servers hold threads; more than these would only queue at the resolver.
THREADS_MAX: Final = 32
# Names of one workspace that are looked up at once: slow ones of seven leave threads to the others.
PER_WORKSPACE_MAX: Final = 4
# Positive answers are kept as long as the shortest common TTL of load balancers allows; failures only to
# damp storms.
FOUND_TTL_S: Final = 10.0
NOT_FOUND_TTL_S: Final = 1.0
NAMES_CACHED_MAX: Final = 4096

Resolve = Callable[[str], Awaitable[list[str]]]


def literal_address(host: str) -> str | None:
    """The address of a host that is a number in any form that getaddrinfo takes: 127.1, 0x7f000001,
    2130706433, ::1."""
    try:
        answers = socket.getaddrinfo(host.rstrip("."), None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None
    return str(answers[0][4][0])


def _lookup(host: str) -> list[str]:
    answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


@dataclass(slots=True)
class _Flight:
    """One lookup, and how many wait for it. Once a thread has it, nothing can end it."""

    waiting: int = 0
    begun: bool = False
    task: asyncio.Task[list[str]] | None = None


class Resolver:
    """Resolves with the system's resolver unless given another; words errors as Node does.

    Answers are for all; lookups are a workspace's own, since slow names of one must not hold up the others'.
    """

    def __init__(self, resolve: Resolve | None = None) -> None:
        self._resolve = resolve or self._system
        self._threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="egress-dns")
        self._by_workspace = Slots(PER_WORKSPACE_MAX)
        self._cache: dict[str, tuple[float, list[str] | Exception]] = {}
        self._flights: dict[tuple[str, str], _Flight] = {}

    async def close(self) -> None:
        tasks = [flight.task for flight in self._flights.values() if flight.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def addresses(self, host: str, workspace: str = "") -> list[str]:
        """All addresses of a host; raises ENOTFOUND and its like."""
        if (literal := literal_address(host)) is not None:
            return [literal]
        # RFC 6761: localhost and names under it are loopback, whatever a name server says.
        if ("." + host.rstrip(".")).endswith(".localhost"):
            host = "localhost"
        cached = self._cache.get(host)
        if cached is None or cached[0] < asyncio.get_running_loop().time():
            return await self._fly(host, workspace)
        if isinstance(cached[1], Exception):
            raise _worded(cached[1], host)
        return cached[1]

    async def _fly(self, host: str, workspace: str) -> list[str]:
        key = (workspace, host)
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight()
            flight.task = asyncio.get_running_loop().create_task(self._look_up(host, workspace, flight))
            flight.task.add_done_callback(lambda done: self._landed(key, done))
        assert flight.task is not None
        flight.waiting += 1
        try:
            # Shielded: one caller's deadline must not fail the others who wait for the same name.
            return await asyncio.shield(flight.task)
        except (OSError, UnicodeError) as error:
            raise _worded(error, host) from error
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.begun and not flight.task.done():
                # Who comes next begins another one.
                del self._flights[key]
                flight.task.cancel()

    def _landed(self, key: tuple[str, str], task: asyncio.Task[list[str]]) -> None:
        flight = self._flights.get(key)
        if flight is not None and flight.task is task:
            del self._flights[key]
        if not task.cancelled():
            task.exception()  # retrieved here too, since every waiter may have gone

    async def _look_up(self, host: str, workspace: str, flight: _Flight) -> list[str]:
        now = asyncio.get_running_loop().time
        try:
            async with self._by_workspace.held(workspace):
                flight.begun = True
                found = await self._resolve(host)
        except (OSError, UnicodeError) as error:
            self._remember(host, now() + NOT_FOUND_TTL_S, error)
            raise
        self._remember(host, now() + FOUND_TTL_S, found)
        return found

    def _remember(self, host: str, until: float, answer: list[str] | Exception) -> None:
        if len(self._cache) >= NAMES_CACHED_MAX:
            self._cache.pop(next(iter(self._cache)))
        self._cache[host] = (until, answer)

    async def _system(self, host: str) -> list[str]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, _lookup, host)


def _worded(error: Exception, host: str) -> Exception:
    """Node says ENOTFOUND for a name that does not exist and for one without addresses."""
    code = "ENOTFOUND"
    if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
        code = "EAI_AGAIN"
    return system_error(code, f"getaddrinfo {code} {host}")
