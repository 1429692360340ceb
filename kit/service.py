"""How every service runs: `run(Settings, build)` is all that a `__main__` calls."""

import asyncio
import ctypes
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import structlog
import uvloop

from kit import logs, telemetry
from kit.errors import DeadlineExceeded, OnwardError
from kit.settings import ServiceSettings, SettingsError, load

log = structlog.get_logger(__name__)

EXIT_CLEAN = 0
EXIT_FAILED = 1
EXIT_CONFIGURATION = 2

# The app stops its parts within drain_seconds; what then still runs is given this long to be cancelled.
STOP_SLACK_S = 5.0
# glibc makes up to 8 arenas per core, one for each thread that allocates, and never gives their pages back.
MALLOC_ARENAS = 2
_M_ARENA_MAX = -8
# Thousands of messages live for some milliseconds each: the default (700) would look through them all the time.
GC_THRESHOLDS = (20_000, 20, 50)

S = TypeVar("S", bound=ServiceSettings)
T = TypeVar("T")


class App(Protocol):
    """A service, built and not yet started."""

    async def start(self) -> None:
        """Connect, listen, begin to work; returns when ready."""

    async def run(self) -> None:
        """Run until cancelled; raises what can't be survived. A service without background work waits for ever."""

    async def stop(self) -> None:
        """Finish what runs and close everything; is called after a failed start as well."""


def run(name: str, settings_class: type[S], build: Callable[[S], Awaitable[App]]) -> None:
    """Run the service until SIGTERM or SIGINT, then exit.

    Exit codes: 0 after a clean stop, 2 for a bad setting, 1 for any other failure. One line on stderr says why.
    """
    sys.exit(_run(name, settings_class, build))


def _run(name: str, settings_class: type[S], build: Callable[[S], Awaitable[App]]) -> int:
    try:
        settings = load(settings_class)
    except SettingsError as error:
        print(f"onward {name}: {error}", file=sys.stderr)
        return EXIT_CONFIGURATION
    _bound_malloc()
    logs.configure(name, settings.log_level, settings.log_format)
    exported = telemetry.setup(f"onward-{name}", settings.otlp_endpoint, settings.trace_ratio)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(settings, build))
    finally:
        exported.shutdown()


async def _serve(settings: S, build: Callable[[S], Awaitable[App]]) -> int:
    stop = _stop_signal()
    patience_s = settings.drain_seconds + STOP_SLACK_S
    app: App | None = None
    try:
        app = await _unless_told(stop, build(settings), patience_s)
        await _unless_told(stop, _start_and_run(app), patience_s)
    except asyncio.CancelledError:
        code = EXIT_CLEAN
    except Exception as error:  # noqa: BLE001
        code = _failed(error)
    else:
        code = EXIT_CLEAN
    return code if app is None else max(code, await _stop(app, patience_s))


def _stop_signal() -> "asyncio.Future[None]":
    """Done when the process is told to stop, be it while it is still being built."""
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[None] = loop.create_future()

    def told() -> None:
        if not stop.done():
            log.info("service_stopping")
            stop.set_result(None)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told)
    return stop


async def _unless_told(stop: "asyncio.Future[None]", work: Awaitable[T], patience_s: float) -> T:
    """Await `work`, and cancel it when told to stop; it may drain then, and must not do so for ever."""
    # No TaskGroup: it would wait without bound for work that does not end when cancelled.
    working = asyncio.get_running_loop().create_task(_awaited(work), name="app")
    await asyncio.wait((working, stop), return_when=asyncio.FIRST_COMPLETED)
    if not working.done():
        working.cancel()
        await asyncio.wait((working,), timeout=patience_s)
    if not working.done():
        raise DeadlineExceeded(f"What ran did not end within {patience_s:.3g} s of the signal to stop.")
    return await working


async def _awaited(work: Awaitable[T]) -> T:
    return await work


async def _start_and_run(app: App) -> None:
    await app.start()
    # What was made until now lives as long as the process: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    log.info("service_started", pid=os.getpid())
    await app.run()


async def _stop(app: App, patience_s: float) -> int:
    try:
        async with asyncio.timeout(patience_s):
            await app.stop()
    except TimeoutError:
        return _failed(DeadlineExceeded(f"The service did not stop within {patience_s:.3g} s."))
    except Exception as error:  # noqa: BLE001
        return _failed(error)
    log.info("service_stopped")
    return EXIT_CLEAN


def _failed(error: Exception) -> int:
    """One line for what its reader can mend, a traceback for what is ours."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, SettingsError):
        log.error("service_misconfigured", reason=str(error))
        return EXIT_CONFIGURATION
    if isinstance(error, OnwardError | OSError):
        log.error("service_failed", reason=str(error), failure=type(error).__name__)
    else:
        log.error("service_failed", exc_info=error)
    return EXIT_FAILED


def _bound_malloc() -> None:
    try:
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, MALLOC_ARENAS)
    except (OSError, AttributeError):
        # Not glibc: nothing to bound.
        return
