"""Looks for what subscriptions want to hear of windows: success rates, volumes, what is exhausted or refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from kit.eventstore.store import Unit
from kit.ids import uuid7
from kit.postgres.pool import Pool
from onward.delivery.v1 import alerts_pb2 as pb
from onward.delivery.v1 import facts_pb2 as facts
from onward.executor.v1 import outcomes_pb2
from services.delivery.domain.alerts import (
    CONDITIONS,
    Counts,
    Interest,
    WindowSpan,
    counted_span,
    low_success,
    span_of,
    volume_changed,
)
from services.delivery.handlers.alerts import Alerts, queries, read_interests
from services.delivery.queries.causes import Cause, cause_of


class Conditions:
    """Judges windows for those who subscribed to conditions, within the caller's transaction."""

    def __init__(self, pool: Pool, alerts: Alerts) -> None:
        self._pool = pool
        self._alerts = alerts

    async def workspaces(self) -> set[str]:
        """Those in which somebody has subscribed."""
        return {row["workspace"] for row in await self._pool.fetch(queries.subscribed_workspaces)}

    async def judge(self, unit: Unit, until: int, steady_since: int) -> None:
        """Tell subscriptions whose windows have ended by `until`."""
        windows = _Windows(unit, steady_since)
        raised: list[facts.AlertRaised] = []
        judged: dict[int, list[str]] = {}
        for interest in await read_interests(unit):
            span = span_of(interest, until)
            if span is None:
                continue
            judged.setdefault(span.last, []).append(interest.subscription)
            raised += [alert async for alert in windows.alerts(interest, span)]
        await self._alerts.tell(unit, raised)
        for last, subscriptions in judged.items():
            await unit.connection.execute(queries.set_judged, unit.workspace, last, subscriptions)


class _Windows:
    """What happened in a workspace's windows; each span is read once, whoever asks for it."""

    def __init__(self, unit: Unit, steady_since: int) -> None:
        self._unit = unit
        self._steady_since = steady_since
        self._read: dict[WindowSpan, Mapping[str, tuple[str, Counts]]] = {}
        self._first_windows: Mapping[str, int] | None = None

    async def alerts(self, interest: Interest, span: WindowSpan) -> AsyncIterator[facts.AlertRaised]:
        """What a subscription is told of a span."""
        if not interest.kinds & CONDITIONS:
            return
        for kind, look in (
            (pb.ALERT_KIND_SUCCESS_RATE, self._low_successes),
            (pb.ALERT_KIND_VOLUME, self._volumes),
            (pb.ALERT_KIND_EXHAUSTED, self._exhausted),
            (pb.ALERT_KIND_INGEST_FAILURES, self._refused),
        ):
            if kind in interest.kinds:
                for alert in await look(interest, span):
                    alert.alert, alert.subscription, alert.kind = uuid7(), interest.subscription, kind
                    yield alert

    async def _low_successes(self, interest: Interest, span: WindowSpan) -> Sequence[facts.AlertRaised]:
        connection, workspace = self._unit.connection, self._unit.workspace
        rows = await connection.fetch(queries.low, workspace, interest.subscription)
        low_before = {row["destination"] for row in rows}
        found = []
        for destination, (source, counts) in (await self._covered(interest, span)).items():
            low = low_success(interest, counts)
            key = (workspace, interest.subscription, destination)
            if low and destination not in low_before:
                await connection.execute(queries.put_low, *key)
                found.append(await self._with_cause(destination, source, span))
            elif low is False and destination in low_before:
                await connection.execute(queries.drop_low, *key)
        return found

    async def _volumes(self, interest: Interest, span: WindowSpan) -> Sequence[facts.AlertRaised]:
        now, before = await self._covered(interest, span), await self._covered(interest, span.before)
        first_windows = await self._firsts()
        found = []
        for destination in sorted(now.keys() | before.keys()):
            source = (now.get(destination) or before[destination])[0]
            events = now[destination][1].events if destination in now else 0
            events_before = before[destination][1].events if destination in before else 0
            # A window that began before the destination did, or in which the clock jumped, is nothing to compare with.
            whole = span.before.first > max(first_windows.get(destination, span.last), self._steady_since - 1)
            if whole and volume_changed(interest, events, events_before):
                found.append(_alert(destination, source, span, count=events, count_before=events_before))
        return found

    async def _exhausted(self, interest: Interest, span: WindowSpan) -> Sequence[facts.AlertRaised]:
        span = counted_span(interest, span)
        found = []
        for destination, (source, counts) in (await self._covered(interest, span)).items():
            if counts.exhausted:
                alert = await self._with_cause(destination, source, span)
                alert.count = counts.exhausted
                found.append(alert)
        return found

    async def _refused(self, interest: Interest, span: WindowSpan) -> Sequence[facts.AlertRaised]:
        if interest.destination:
            return []
        span = counted_span(interest, span)
        connection, workspace = self._unit.connection, self._unit.workspace
        found = []
        for row in await connection.fetch(queries.refused, workspace, span.first, span.last):
            if interest.covers(row["source"], ""):
                reason = await connection.fetchval(queries.refusal, workspace, row["source"], span.start_us) or ""
                found.append(_alert("", row["source"], span, count=row["count"], error_message=reason))
        return found

    async def _covered(self, interest: Interest, span: WindowSpan) -> Mapping[str, tuple[str, Counts]]:
        if span not in self._read:
            rows = await self._unit.connection.fetch(queries.counts, self._unit.workspace, span.first, span.last)
            self._read[span] = {
                row["destination"]: (
                    row["source"],
                    Counts(row["attempts"], row["failures"], row["events"], row["exhausted"]),
                )
                for row in rows
            }
        return {one: found for one, found in self._read[span].items() if interest.covers(found[0], one)}

    async def _firsts(self) -> Mapping[str, int]:
        if self._first_windows is None:
            rows = await self._unit.connection.fetch(queries.first_windows, self._unit.workspace)
            self._first_windows = {row["destination"]: row["first_window"] for row in rows}
        return self._first_windows

    async def _with_cause(self, destination: str, source: str, span: WindowSpan) -> facts.AlertRaised:
        cause: Cause = await cause_of(self._unit.connection, self._unit.workspace, destination, span)
        return _alert(
            destination,
            source,
            span,
            attempts=cause.attempts,
            failures=cause.failures,
            error_type=outcomes_pb2.ErrorType.ValueType(cause.error_type),
            error_message=cause.shape,
            sample_delivery=cause.sample,
        )


def _alert(destination: str, source: str, span: WindowSpan, **fields: Any) -> facts.AlertRaised:
    alert = facts.AlertRaised(destination=destination, source=source, **fields)
    alert.start_time.FromMicroseconds(span.start_us)
    alert.end_time.FromMicroseconds(span.end_us)
    return alert
