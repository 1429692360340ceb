"""What the audit service checks of itself when the operator asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kit.bus.connection import Bus
from kit.clock import Clock
from kit.postgres.pool import Pool
from kit.rpc.methods import Servicer
from kit.status.check import Check, Probe, counted, failure
from kit.status.lag import Positions, judge_lag, still_behind
from kit.status.nats import Backlog, backlog_probe, nats_probes, read_backlog
from kit.status.postgres import postgres_probes
from kit.status.process import process_probes
from kit.status.servicer import status_servicer
from services.audit.handlers.log_checks import log_probes
from services.audit.settings import Settings

# A transaction has 250; a trail that is well records thousands a second.
FACTS_MAX = 10_000

LAG_ADVICE = "it catches up by itself, unless its log says catching_up_failed or facts_not_recorded"
SHORTER_ADVICE = (
    "an older registry was restored: keep the trail as it is, it holds what the registry has lost"
    " (docs/operations.md, Backups)"
)


class Log(NamedTuple):
    """How far an owner's log is, and how much of it is in the trail."""

    heads: Positions
    positions: Positions


def audit_status(settings: Settings, clock: Clock, pool: Pool, bus: Bus, logs: Mapping[str, Log]) -> Servicer:
    """The audit service's StatusService. `logs` are by the service that owns them."""
    own = [*audit_probes(logs, bus), *log_probes(settings, clock, pool)]
    probes = [*process_probes(settings, clock), *nats_probes(settings, bus), *postgres_probes(pool, clock), *own]
    return status_servicer("audit", probes, clock)


def audit_probes(logs: Mapping[str, Log], bus: Bus) -> list[Probe]:
    """Compare the trail with the owners' logs, and tell what waits on the bus."""

    async def facts() -> Sequence[Backlog]:
        return [await read_backlog(bus, "FACTS", "audit")]

    trails = [_trail_probe(service, log) for service, log in logs.items()]
    return [*trails, backlog_probe("facts", facts, FACTS_MAX, LAG_ADVICE, refills=True)]


def _trail_probe(service: str, log: Log) -> Probe:
    # The registry's is what people mean by the trail.
    name = "trail" if service == "registry" else f"trail of {service}"

    async def ask() -> Sequence[Check]:
        # In this order: facts that are recorded meanwhile must not look as if the log had lost them.
        recorded = await log.positions()
        known = await log.heads()
        missing = await still_behind(known, log.positions)
        return [*judge_log(recorded, known, service), judge_lag(name, missing, len(known), LAG_ADVICE)]

    return Probe(name, ask)


def judge_log(recorded: Mapping[str, int], heads: Mapping[str, int], service: str = "registry") -> list[Check]:
    """Tell where the trail holds facts that the log does not; nothing where it is as it should be."""
    lost = {name: position - heads.get(name, 0) for name, position in recorded.items() if position > heads.get(name, 0)}
    if not lost:
        return []
    worst = max(lost, key=lambda workspace: lost[workspace])
    return [failure("log", f"the log of {service} lacks {counted(lost[worst], 'fact')} of {worst}", SHORTER_ADVICE)]
