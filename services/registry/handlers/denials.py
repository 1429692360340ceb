"""Records refusals, of this service and of the others, in the workspace that was asked for."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from kit.auth.caller import ANONYMOUS
from kit.auth.denials import OIDC, TOKEN_PREFIX, WRITE_KEY_PREFIX, Proof, Refusal
from kit.auth.names import workspace_in
from kit.clock import Clock
from kit.errors import LimitReached, OnwardError
from kit.eventstore.facts import SYSTEM_WORKSPACE, Fact, Meta, NewFact, day_stream
from kit.eventstore.store import EventStore, Unit
from kit.postgres.pool import Pool
from onward.common.v1 import access_pb2
from onward.registry.v1 import facts_pb2
from services.registry import projections
from services.registry.handlers.clients import Client, client, keep_refused_client
from services.registry.queries.denials import known_workspaces

log = structlog.get_logger(__name__)

# A flood of refusals must not bury a workspace's log: these show what is tried, the rest is told by its number. Each
# proof has its own, so that strangers hide nobody; and strangers get few, since they must not lengthen the log of a
# workspace that is not theirs. 24 hours of them fit into one stream, that of a day.
FACTS_PER_HOUR_MAX: Mapping[Proof, int] = {Proof.MEMBER: 600, Proof.OUTSIDER: 60, Proof.NOTHING: 10}
# How late the sum of an hour may be.
SUM_INTERVAL_S = 60.0


@dataclass(slots=True)
class _Hour:
    """What was recorded of one proof in a workspace since the hour began, and the sum of what was not."""

    began: datetime
    facts: int = 0
    rest: facts_pb2.AccessDenied | None = None

    def add(self, fact: facts_pb2.AccessDenied) -> None:
        if self.rest is None:
            self.rest = facts_pb2.AccessDenied(first_time=fact.first_time)
        self.rest.count += fact.count
        self.rest.last_time.CopyFrom(fact.last_time)


class Denials:
    """Appends refusals to the log; `run` it for the sums of full hours, and `close` it.

    Each replica counts its own hours. A crash loses the sums of the hour.
    """

    def __init__(self, pool: Pool, store: EventStore, clock: Clock) -> None:
        self._pool = pool
        self._store = store
        self._clock = clock
        # Holds workspaces that exist, and that of the operator.
        self._hours: dict[tuple[str, Proof], _Hour] = {}

    async def record(self, service: str, refusals: Sequence[Refusal]) -> None:
        """Record what `service` refused. What names no workspace that exists is the operator's to see."""
        known = await known_workspaces(self._pool, {workspace_in(one.resource) for one in refusals})
        by_workspace: dict[str, list[Refusal]] = defaultdict(list)
        for one in refusals:
            workspace = workspace_in(one.resource)
            by_workspace[workspace if workspace in known else SYSTEM_WORKSPACE].append(one)
        for workspace, theirs in by_workspace.items():
            await self._record(workspace, service, theirs)

    async def run(self) -> None:
        """Record the sums of hours that have ended, until cancelled."""
        while True:
            await asyncio.sleep(SUM_INTERVAL_S)
            await self.sum_up(self._hour())

    async def close(self) -> None:
        """Record all sums now."""
        await self.sum_up(None)

    async def sum_up(self, before: datetime | None) -> None:
        """Record the sums of hours that began before a time; None for all."""
        for (workspace, proof), hour in list(self._hours.items()):
            if before is None or hour.began < before:
                # At once, so that what comes meanwhile is counted in the next hour and not lost with this one.
                self._hours.pop((workspace, proof), None)
                if hour.rest is not None:
                    await self._append_sum(workspace, proof, hour.rest)

    async def _append_sum(self, workspace: str, proof: Proof, rest: facts_pb2.AccessDenied) -> None:
        if workspace != SYSTEM_WORKSPACE:
            rest.resource = f"workspaces/{workspace}"
        try:
            async with self._store.writing(workspace) as unit:
                meta = Meta(ANONYMOUS.principal, occurred_at=rest.last_time.ToDatetime(UTC))
                await self._append(unit, rest, meta)
        except OnwardError as error:
            log.warning("denials_not_summed", workspace=workspace, refusals=rest.count, error=str(error))
            self._counted(workspace, proof).add(rest)

    async def _record(self, workspace: str, service: str, refusals: Sequence[Refusal]) -> None:
        await self.sum_up(self._hour())
        told, rest = self._divided(workspace, refusals)
        if told:
            await self._append_all(workspace, service, told)
        for one in told:
            self._counted(workspace, one.proof).facts += 1
        for one in rest:
            self._counted(workspace, one.proof).add(_fact(service, one))

    def _divided(self, workspace: str, refusals: Sequence[Refusal]) -> tuple[list[Refusal], list[Refusal]]:
        """Those that the hour has room for, and the others."""
        room = {proof: most - self._counted(workspace, proof).facts for proof, most in FACTS_PER_HOUR_MAX.items()}
        told: list[Refusal] = []
        rest: list[Refusal] = []
        for one in refusals:
            (told if room[one.proof] > 0 else rest).append(one)
            room[one.proof] -= 1
        return told, rest

    async def _append_all(self, workspace: str, service: str, refusals: Sequence[Refusal]) -> None:
        try:
            async with self._store.writing(workspace) as unit:
                for one in refusals:
                    caller = client(one.client_address, one.user_agent)
                    meta = _meta(one, caller)
                    facts = await self._append(unit, _fact(service, one), meta)
                    await keep_refused_client(unit.connection, caller, meta, facts)
        except LimitReached as error:
            # A day's stream is full. Trying again would keep all others waiting.
            log.error("denials_lost", workspace=workspace, refusals=len(refusals), error=str(error))  # noqa: TRY400

    def _counted(self, workspace: str, proof: Proof) -> _Hour:
        return self._hours.setdefault((workspace, proof), _Hour(self._hour()))

    async def _append(self, unit: Unit, fact: facts_pb2.AccessDenied, meta: Meta) -> list[Fact]:
        # No caller's rights are confirmed and no state decides: that somebody was refused is true whatever he may do.
        facts = await unit.append([NewFact(day_stream("denials", self._clock), fact)], meta)
        await projections.project(unit.connection, facts)
        return facts

    def _hour(self) -> datetime:
        return self._clock.now().replace(minute=0, second=0, microsecond=0)


def _fact(service: str, refusal: Refusal) -> facts_pb2.AccessDenied:
    number = access_pb2.Permission.DESCRIPTOR.values_by_number.get(refusal.permission)
    named = number is not None and number.number != access_pb2.PERMISSION_UNSPECIFIED
    fact = facts_pb2.AccessDenied(
        method=refusal.method,
        resource=refusal.resource,
        permission=number.name.removeprefix("PERMISSION_") if number is not None and named else "",
        reason=refusal.reason,
        count=refusal.count,
        service=service,
    )
    fact.first_time.FromDatetime(refusal.first_time)
    fact.last_time.FromDatetime(refusal.last_time)
    return fact


def _meta(refusal: Refusal, caller: Client) -> Meta:
    # An id in a token that was not accepted may be anybody's, and names nobody.
    principal = refusal.principal or ANONYMOUS.principal
    return Meta(
        principal,
        credential=_credential(refusal.token_id),
        occurred_at=refusal.last_time,
        commitments=caller.commitments,
    )


def _credential(token_id: str) -> str:
    if not token_id or token_id == OIDC or token_id.startswith(WRITE_KEY_PREFIX):
        return token_id
    return TOKEN_PREFIX + token_id
