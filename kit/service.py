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
from kit.errors import OnwardError
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

S = TypeVar("S", bound=ServiceSettings)


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
    stopping = _stop_signal()
    try:
        app = await build(settings)
    except SettingsError as error:
        log.error("service_misconfigured", reason=str(error))  # noqa: TRY400
        return EXIT_CONFIGURATION
    except Exception as error:  # noqa: BLE001
        return _failed("service_not_built", error)
    code = await _work(app, stopping, settings.drain_seconds)
    return max(code, await _stop(app, settings.drain_seconds))


def _stop_signal() -> asyncio.Event:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


async def _work(app: App, stopping: asyncio.Event, drain_seconds: float) -> int:
    """Start and run until told to stop, or until it fails."""
    working = asyncio.create_task(_start_and_run(app), name="app")
    told = asyncio.create_task(stopping.wait(), name="stop-signal")
    await asyncio.wait((working, told), return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if not working.done():
        log.info("service_stopping")
        working.cancel()
        # What runs may drain while it is cancelled, and must not do so for ever.
        await asyncio.wait((working,), timeout=drain_seconds + STOP_SLACK_S)
    if not working.done():
        log.error("service_drain_timed_out", seconds=drain_seconds + STOP_SLACK_S)
        return EXIT_FAILED
    try:
        await working
    except asyncio.CancelledError:
        return EXIT_CLEAN
    except SettingsError as error:
        log.error("service_misconfigured", reason=str(error))  # noqa: TRY400
        return EXIT_CONFIGURATION
    except Exception as error:  # noqa: BLE001
        return _failed("service_failed", error)
    return EXIT_CLEAN


async def _start_and_run(app: App) -> None:
    await app.start()
    # What was made until now lives as long as the process: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    log.info("service_started", pid=os.getpid())
    await app.run()


async def _stop(app: App, drain_seconds: float) -> int:
    try:
        async with asyncio.timeout(drain_seconds + STOP_SLACK_S):
            await app.stop()
    except TimeoutError:
        log.error("service_stop_timed_out", seconds=drain_seconds + STOP_SLACK_S)  # noqa: TRY400
        return EXIT_FAILED
    except Exception as error:  # noqa: BLE001
        return _failed("service_not_stopped", error)
    log.info("service_stopped")
    return EXIT_CLEAN


def _failed(action: str, error: Exception) -> int:
    """One line for what its reader can mend, a traceback for what is ours."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, OnwardError | OSError):
        log.error(action, reason=str(error), failure=type(error).__name__)
    else:
        log.error(action, exc_info=error)
    return EXIT_FAILED


def _bound_malloc() -> None:
    try:
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, MALLOC_ARENAS)
    except (OSError, AttributeError):
        # Not glibc: nothing to bound.
        return
