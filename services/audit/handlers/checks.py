"""What the audit service checks of itself when the operator asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


def audit_status(
    settings: Settings, clock: Clock, pool: Pool, bus: Bus, heads: Positions, positions: Positions
) -> Servicer:
    """The audit service's StatusService. `heads` are the registry's, `positions` the trail's."""
    own = [*audit_probes(heads, positions, bus), *log_probes(settings, clock, pool)]
    probes = [*process_probes(settings, clock), *nats_probes(settings, bus), *postgres_probes(pool, clock), *own]
    return status_servicer("audit", probes, clock)


def audit_probes(heads: Positions, positions: Positions, bus: Bus) -> list[Probe]:
    """Compare the trail with the registry's log, and tell what waits on the bus."""

    async def ask() -> Sequence[Check]:
        # In this order: facts that are recorded meanwhile must not look as if the log had lost them.
        recorded = await positions()
        known = await heads()
        missing = await still_behind(known, positions)
        return [*judge_log(recorded, known), judge_lag("trail", missing, len(known), LAG_ADVICE)]

    async def facts() -> Sequence[Backlog]:
        return [await read_backlog(bus, "FACTS", "audit")]

    return [Probe("trail", ask), backlog_probe("facts", facts, FACTS_MAX, LAG_ADVICE, refills=True)]


def judge_log(recorded: Mapping[str, int], heads: Mapping[str, int]) -> list[Check]:
    """Tell where the trail holds facts that the log does not; nothing where it is as it should be."""
    lost = {name: position - heads.get(name, 0) for name, position in recorded.items() if position > heads.get(name, 0)}
    if not lost:
        return []
    worst = max(lost, key=lambda workspace: lost[workspace])
    return [failure("log", f"the registry's log lacks {counted(lost[worst], 'fact')} of {worst}", SHORTER_ADVICE)]
