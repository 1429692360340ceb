"""Tells subscriptions: each alert is a fact, and a webhook that waits to be sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import asyncpg
from google.protobuf.message import Message

from kit.clock import Clock, unix_us
from kit.eventstore.facts import Fact, NewFact, day_stream, fact_types
from kit.eventstore.store import EventStore, Unit
from kit.ids import uuid7
from kit.postgres.pool import Pool
from kit.postgres.queries import load_queries
from onward.delivery.v1 import alerts_pb2 as pb
from onward.delivery.v1 import facts_pb2 as facts
from services.delivery.domain.alerts import Interest
from services.delivery.domain.webhooks import webhook_body
from services.delivery.handlers.acts import append_of_service, meta_of_service

queries = load_queries(Path(__file__).parent / "alerts.sql")

# Webhooks of a subscription that wait: a day of outage of its receiver, with an alert a minute. What comes beyond them
# is told by the facts alone.
PENDING_MAX = 1_440
# Facts of the log that one transaction looks through; several may be needed to catch up.
FACTS_AT_ONCE = 500

_TYPES = fact_types(facts)


class Alerts:
    """Records alerts within the caller's transaction."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def tell(self, unit: Unit, raised: Sequence[facts.AlertRaised]) -> None:
        """Append the facts, and have webhooks sent to their subscriptions."""
        if not raised:
            return
        rows = await unit.connection.fetch(queries.waiting, unit.workspace)
        waiting: dict[str, int] = {row["subscription"]: row["count"] for row in rows}
        sent: list[facts.AlertRaised] = []
        told: list[Message] = []
        for alert in raised:
            told.append(alert)
            if waiting.get(alert.subscription, 0) >= PENDING_MAX:
                told.append(_not_sent(alert))
                await unit.connection.execute(queries.count_undelivered, unit.workspace, alert.subscription, 1)
                continue
            waiting[alert.subscription] = waiting.get(alert.subscription, 0) + 1
            sent.append(alert)
        await self.append(unit, told)
        now_us = unix_us(self._clock)
        bodies = [webhook_body(unit.workspace, alert, now_us) for alert in sent]
        ids = [alert.subscription for alert in sent], [alert.alert for alert in sent]
        await unit.connection.execute(queries.put_webhooks, unit.workspace, *ids, bodies, now_us)

    async def append(self, unit: Unit, told: Sequence[Message]) -> None:
        """Record facts about alerts."""
        await append_of_service(unit, day_stream("alerts", self._clock), told)


def _not_sent(alert: facts.AlertRaised) -> facts.AlertUndelivered:
    error = f"{PENDING_MAX} webhooks wait already"
    return facts.AlertUndelivered(alert=alert.alert, subscription=alert.subscription, error=error)


class Announcer:
    """Follows the tracker's own log, and tells subscriptions what became of destinations. Each fact is told once."""

    def __init__(self, pool: Pool, store: EventStore, alerts: Alerts) -> None:
        self._pool = pool
        self._store = store
        self._alerts = alerts

    async def look(self) -> None:
        """Tell what was recorded since the last look, and end what nobody is there for any more."""
        for row in await self._pool.fetch(queries.orphans):
            await self._end(row["workspace"], row["subscription"])
        positions = {row["workspace"]: row["position"] for row in await self._pool.fetch(queries.positions)}
        for workspace, head in await self._store.workspaces():
            # A workspace that nobody has subscribed in has no position, and nobody to be told.
            while workspace in positions and positions[workspace] < head:
                positions[workspace] = await self._announce(workspace)

    async def _announce(self, workspace: str) -> int:
        async with self._store.writing(workspace) as unit:
            after = await unit.connection.fetchval(queries.position, workspace)
            read = await unit.read(after, FACTS_AT_ONCE)
            interests = await read_interests(unit)
            raised = [alert for fact in read for alert in await _alerts_of(unit, fact, interests)]
            await self._alerts.tell(unit, raised)
            # Alerts that were recorded just now are looked through by the next one, which finds nothing in them.
            position = read[-1].position if read else unit.position
            await unit.connection.execute(queries.set_position, workspace, position)
            return position

    async def _end(self, workspace: str, subscription: str) -> None:
        async with self._store.writing(workspace) as unit:
            await unit.connection.execute(queries.delete_subscription, workspace, subscription)
            fact = facts.SubscriptionDeleted(subscription=subscription)
            await unit.append([NewFact(f"subscriptions/{subscription}", fact)], meta_of_service())


async def read_interests(unit: Unit) -> list[Interest]:
    """The subscriptions of the unit's workspace."""
    rows = await unit.connection.fetch(queries.interests, unit.workspace)
    return [interest_of(row) for row in rows]


def interest_of(row: asyncpg.Record) -> Interest:
    """A row of `subscriptions`."""
    return Interest(
        subscription=row["subscription"],
        kinds=frozenset(row["kinds"]),
        destination=row["destination"],
        source=row["source"],
        window_minutes=row["window_minutes"],
        success_rate_min=row["success_rate_min"],
        volume_change_max=row["volume_change_max"],
        count_min=row["count_min"],
        all_sources=row["all_sources"],
        sources=frozenset(row["sources"]),
        judged=row["judged"],
    )


async def _alerts_of(unit: Unit, fact: Fact, interests: Sequence[Interest]) -> list[facts.AlertRaised]:
    """What a fact is to the subscriptions that want to hear of it."""
    template = _TEMPLATES.get(fact.type)
    if template is None or not interests:
        return []
    alert = template(fact)
    if not alert.source:
        alert.source = await unit.connection.fetchval(queries.source_of, unit.workspace, alert.destination) or ""
    found = []
    for interest in interests:
        if alert.kind in interest.kinds and interest.covers(alert.source, alert.destination):
            one = facts.AlertRaised()
            one.CopyFrom(alert)
            one.alert, one.subscription = uuid7(), interest.subscription
            found.append(one)
    return found


def _unhealthy(recorded: Fact) -> facts.AlertRaised:
    fact = recorded.decode(_TYPES)
    assert isinstance(fact, facts.DestinationBecameUnhealthy)
    return facts.AlertRaised(
        kind=pb.ALERT_KIND_UNHEALTHY,
        destination=fact.destination,
        source=fact.source,
        start_time=fact.since_time,
        end_time=fact.end_time,
        attempts=fact.attempts,
        failures=fact.failures,
        error_type=fact.error_type,
        error_message=fact.error_message,
        sample_delivery=fact.sample_delivery,
    )


def _healthy(recorded: Fact) -> facts.AlertRaised:
    fact = recorded.decode(_TYPES)
    assert isinstance(fact, facts.DestinationBecameHealthy)
    return facts.AlertRaised(
        kind=pb.ALERT_KIND_HEALTHY,
        destination=fact.destination,
        source=fact.source,
        start_time=fact.since_time,
        end_time=fact.end_time,
        attempts=fact.attempts,
        failures=fact.failures,
    )


def _breaker_opened(recorded: Fact) -> facts.AlertRaised:
    fact = recorded.decode(_TYPES)
    assert isinstance(fact, facts.BreakerOpened)
    alert = facts.AlertRaised(
        kind=pb.ALERT_KIND_BREAKER_OPENED,
        destination=fact.destination,
        attempts=fact.attempts,
        failures=fact.failures,
    )
    alert.start_time.FromDatetime(recorded.recorded_at)
    return alert


def _breaker_closed(recorded: Fact) -> facts.AlertRaised:
    fact = recorded.decode(_TYPES)
    assert isinstance(fact, facts.BreakerClosed | facts.BreakerReset)
    alert = facts.AlertRaised(kind=pb.ALERT_KIND_BREAKER_CLOSED, destination=fact.destination)
    alert.start_time.FromDatetime(recorded.recorded_at)
    return alert


_TEMPLATES: Mapping[str, Callable[[Fact], facts.AlertRaised]] = {
    "BreakerOpened": _breaker_opened,
    "BreakerClosed": _breaker_closed,
    "BreakerReset": _breaker_closed,
    "DestinationBecameUnhealthy": _unhealthy,
    "DestinationBecameHealthy": _healthy,
}
