"""Records refusals, of this service and of the others, in the workspace that was asked for."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from kit.auth.caller import ANONYMOUS, OPERATOR_PRINCIPAL
from kit.auth.denials import OIDC, WRITE_KEY_PREFIX, Refusal
from kit.auth.names import workspace_in
from kit.clock import Clock
from kit.errors import InvalidToken, LimitReached, OnwardError
from kit.eventstore.facts import SYSTEM_WORKSPACE, Meta, NewFact
from kit.eventstore.store import EventStore, Unit
from kit.postgres.pool import Pool
from onward.common.v1 import access_pb2
from onward.registry.v1 import facts_pb2
from services.registry import projections
from services.registry.handlers.authorization import MEMBER_PREFIX, TOKEN_PREFIX
from services.registry.queries.denials import Holder, known_workspaces, token_holders

log = structlog.get_logger(__name__)

# A flood of refusals must not bury a workspace's log: ten a minute show what is tried, the rest is told by its number.
# 24 hours of it are a quarter of what one stream, that of a day, may hold.
FACTS_PER_HOUR_MAX = 600
# How late the sum of an hour may be.
SUM_INTERVAL_S = 60.0
# Whoever calls these has only said who he is: nothing was looked up.
_UNPROVEN = frozenset({access_pb2.PERMISSION_OPERATE, access_pb2.PERMISSION_SERVICE})


@dataclass(slots=True)
class _Hour:
    """What was recorded of a workspace's refusals since the hour began, and the sum of those that were not."""

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
        self._hours: dict[str, _Hour] = {}

    async def record(self, service: str, refusals: Sequence[Refusal]) -> None:
        """Record what `service` refused. What names no workspace that exists is the operator's to see."""
        known = await known_workspaces(self._pool, {workspace_in(one.resource) for one in refusals})
        holders = await token_holders(self._pool, {one.token_id for one in refusals if _proven(one)})
        by_workspace: dict[str, list[Refusal]] = defaultdict(list)
        for one in refusals:
            workspace = workspace_in(one.resource)
            by_workspace[workspace if workspace in known else SYSTEM_WORKSPACE].append(one)
        for workspace, theirs in by_workspace.items():
            await self._record(workspace, service, theirs, holders)

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
        for workspace, hour in list(self._hours.items()):
            if before is None or hour.began < before:
                # At once, so that what comes meanwhile is counted in the next hour and not lost with this one.
                self._hours.pop(workspace, None)
                if hour.rest is not None:
                    await self._append_sum(workspace, hour.rest)

    async def _append_sum(self, workspace: str, rest: facts_pb2.AccessDenied) -> None:
        if workspace != SYSTEM_WORKSPACE:
            rest.resource = f"workspaces/{workspace}"
        try:
            async with self._store.writing(workspace) as unit:
                await self._append(unit, rest, Meta(ANONYMOUS.principal, occurred_at=rest.last_time.ToDatetime(UTC)))
        except OnwardError as error:
            log.warning("denials_not_summed", workspace=workspace, refusals=rest.count, error=str(error))
            self._counted(workspace).add(rest)

    async def _record(
        self, workspace: str, service: str, refusals: Sequence[Refusal], holders: Mapping[str, Holder]
    ) -> None:
        await self.sum_up(self._hour())
        room = max(0, FACTS_PER_HOUR_MAX - self._counted(workspace).facts)
        try:
            async with self._store.writing(workspace) as unit:
                for one in refusals[:room]:
                    await self._append(unit, _fact(service, one), _meta(one, holders))
        except LimitReached as error:
            # A day's stream is full. Trying again would keep all others waiting.
            log.error("denials_lost", workspace=workspace, refusals=len(refusals), error=str(error))  # noqa: TRY400
        hour = self._counted(workspace)
        hour.facts += len(refusals[:room])
        for one in refusals[room:]:
            hour.add(_fact(service, one))

    def _counted(self, workspace: str) -> _Hour:
        return self._hours.setdefault(workspace, _Hour(self._hour()))

    async def _append(self, unit: Unit, fact: facts_pb2.AccessDenied, meta: Meta) -> None:
        # No caller's rights are confirmed and no state decides: that somebody was refused is true whatever he may do.
        stream = f"denials/{self._clock.now():%Y-%m-%d}"
        await projections.project(unit.connection, await unit.append([NewFact(stream, fact)], meta))

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


def _meta(refusal: Refusal, holders: Mapping[str, Holder]) -> Meta:
    return Meta(_principal(refusal, holders), credential=_credential(refusal.token_id), occurred_at=refusal.last_time)


def _credential(token_id: str) -> str:
    if not token_id or token_id == OIDC or token_id.startswith(WRITE_KEY_PREFIX):
        return token_id
    return TOKEN_PREFIX + token_id


def _principal(refusal: Refusal, holders: Mapping[str, Holder]) -> str:
    """Who was refused, as far as it was proven: an id in a token that was not accepted may be anybody's."""
    if not _proven(refusal) or refusal.token_id == OIDC:
        return ANONYMOUS.principal
    if not refusal.token_id:
        # The only other token with which somebody is known, and may nevertheless not do everything.
        return OPERATOR_PRINCIPAL
    holder = holders.get(refusal.token_id)
    if holder is not None and holder.workspace == workspace_in(refusal.resource):
        return MEMBER_PREFIX + holder.member
    # Of another workspace, whose members are not to be named here.
    return TOKEN_PREFIX + refusal.token_id


def _proven(refusal: Refusal) -> bool:
    unproven = refusal.reason in ("", InvalidToken.reason) or refusal.permission in _UNPROVEN
    return not unproven
