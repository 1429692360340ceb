"""What an executor checks of itself when the operator asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

from kit.bus.connection import Bus
from kit.bus.streams import events_stream_name
from kit.clock import Clock
from kit.errors import NotFound
from kit.eventstore.facts import SYSTEM_WORKSPACE
from kit.rpc.methods import Servicer
from kit.settings import ServiceSettings
from kit.status.check import Check, Probe, failure, ok, size, warning
from kit.status.lag import lag_probe
from kit.status.nats import Backlog, backlog_probe, nats_probes, read_backlog
from kit.status.process import process_probes
from kit.status.servicer import status_servicer
from services.executor.handlers.places import WorkerPlaces
from services.executor.projections import View
from services.executor.runtime.pool import Zygote
from services.executor.runtime.processes import read_memory
from services.executor.runtime.v8 import V8_VERSION

# Some ten seconds' worth.
EVENTS_MAX = 100_000
# Each is two questions to NATS, and a probe has 2 s.
STREAMS_MAX = 500
# Of the machine, or of the container where that is less.
MEMORY_LITTLE = 0.1
MEMORY_NONE = 0.03

VIEW_ADVICE = "restart it if it stays behind; its log says why: facts_behind, facts_unreadable"
EVENTS_ADVICE = "run another executor, or see which functions are slow: `onward deliveries summary`"
MEMORY_ADVICE = "lower ONWARD_WORKERS_MAX, or give the machine more memory"
# What each layer of the sandbox is, and what a refusal of it usually comes from; docs/operations.md has the same.
SANDBOX_ADVICE = {
    "namespaces": "use deploy/seccomp.json for the container; see user.max_user_namespaces and AppArmor's restriction",
    "user": "run it as an ordinary user instead of root",
    "limits": "raise the hard limits of the executor's user (`ulimit -Ha`)",
    "landlock": "needs Linux 5.13 with landlock in lsm=; without it seccomp and namespaces close files alone",
    "self-test": "run no code that you do not trust until `python -m services.executor.runtime.self_test` is content",
    "seccomp": "needs a kernel with seccomp on x86-64 or ARM64; do not run code that you do not trust without it",
}
SANDBOX_ADVICE_ELSE = "see the sandbox's degradations in docs/operations.md"

Heads = Callable[[], Awaitable[Mapping[str, int]]]


def executor_status(
    settings: ServiceSettings, clock: Clock, bus: Bus, zygote: Zygote, places: WorkerPlaces, view: View, heads: Heads
) -> Servicer:
    """The executor's StatusService. `heads` are those of the registry's log."""
    own = executor_probes(zygote, places, view, heads, bus)
    return status_servicer("executor", [*process_probes(settings, clock), *nats_probes(settings, bus), *own], clock)


def executor_probes(zygote: Zygote, places: WorkerPlaces, view: View, heads: Heads, bus: Bus) -> list[Probe]:
    """The sandbox, workers, memory, how new the view is, and events that wait."""

    async def ask_sandbox() -> Sequence[Check]:
        return [*judge_sandbox(zygote.degradations), ok("v8", V8_VERSION)]

    async def ask_workers() -> Sequence[Check]:
        return [judge_workers(places.taken, places.most), judge_memory(*read_memory())]

    async def workspaces() -> Mapping[str, int]:
        return {name: head for name, head in (await heads()).items() if name != SYSTEM_WORKSPACE}

    async def positions() -> Mapping[str, int]:
        return {name: view.position(name) for name in view.workspaces()}

    async def events() -> Sequence[Backlog]:
        read = []
        for workspace in view.workspaces()[:STREAMS_MAX]:
            # The registry has perhaps only begun to make it.
            with suppress(NotFound):
                read.append(await read_backlog(bus, events_stream_name(workspace), "executor"))
        return read

    return [
        Probe("sandbox", ask_sandbox),
        Probe("workers", ask_workers),
        lag_probe("view", workspaces, positions, VIEW_ADVICE),
        backlog_probe("events", events, EVENTS_MAX, EVENTS_ADVICE, refills=True),
    ]


def judge_sandbox(degradations: Sequence[str]) -> list[Check]:
    """One for each layer that the kernel refused to the first worker, which tries all of them."""
    if not degradations:
        return [ok("sandbox", "complete: the kernel has granted every layer")]
    return [
        warning("sandbox", f"without {found}", SANDBOX_ADVICE.get(found.partition(":")[0], SANDBOX_ADVICE_ELSE))
        for found in degradations
    ]


def judge_workers(taken: int, most: int) -> Check:
    """Whether destinations wait for a place."""
    message = f"{taken:,} of {most:,} are warm"
    if taken >= most:
        return warning(
            "workers", message, "destinations wait for one another: raise ONWARD_WORKERS_MAX, or add executors"
        )
    return ok("workers", message)


def judge_memory(available: int, total: int) -> Check:
    """Both in bytes."""
    message = f"{size(available)} of {size(total)} are available"
    if available < MEMORY_NONE * total:
        return failure("memory", message, MEMORY_ADVICE)
    return warning("memory", message, MEMORY_ADVICE) if available < MEMORY_LITTLE * total else ok("memory", message)
