"""Who is told of alerts."""

from __future__ import annotations

import secrets

import asyncpg

from kit.auth.caller import Caller, current_caller
from kit.clock import Clock, unix_us
from kit.errors import LimitReached, WrongState
from kit.eventstore.facts import Meta, NewFact
from kit.eventstore.store import Unit
from kit.ids import token_id
from kit.postgres.pool import Pool
from kit.rpc import names
from kit.rpc.names import malformed
from onward.delivery.v1 import alerts_pb2 as pb
from onward.delivery.v1 import facts_pb2 as facts
from services.delivery.domain.alerts import complete, origin_of
from services.delivery.domain.health import WINDOW_MINUTES, last_ended
from services.delivery.domain.signatures import SALT_BYTES, secret_of, shown_secret
from services.delivery.errors import HiddenSource, HiddenSubscription, MissingSubscription
from services.delivery.handlers.acts import Acts
from services.delivery.handlers.alerts import queries

# Each is looked at with every window and every fact of its workspace.
SUBSCRIPTIONS_MAX = 100


class Subscriptions:
    """Creates, lists and ends subscriptions. Without a `key` none is created."""

    def __init__(self, acts: Acts, pool: Pool, key: bytes | None, clock: Clock) -> None:
        self._acts = acts
        self._pool = pool
        self._key = key
        self._clock = clock

    async def create(self, request: pb.CreateSubscriptionRequest) -> pb.CreateSubscriptionResponse:
        """Raises InvalidArgument, HiddenSource, LimitReached, WrongState."""
        (workspace,) = names.WORKSPACE.parse(request.parent, "parent")
        wanted, caller, key = _checked(request, workspace), current_caller(), self._required_key()
        shown: list[str] = []

        async def act(unit: Unit, meta: Meta) -> pb.CreateSubscriptionResponse:
            await _refuse_too_many(unit)
            identifier, salt = token_id(), secrets.token_bytes(SALT_BYTES)
            now_us = unix_us(self._clock)
            wanted.name = names.SUBSCRIPTION.format(workspace, identifier)
            wanted.create_time.FromMicroseconds(now_us)
            await _insert(unit, identifier, wanted, salt, last_ended(now_us))
            # Who has just subscribed is told of nothing that was recorded before.
            await unit.connection.execute(queries.begin_position, workspace, unit.position)
            await unit.append([NewFact(f"subscriptions/{identifier}", _created(identifier, wanted))], meta)
            shown.append(shown_secret(secret_of(key, workspace, identifier, salt)))
            return pb.CreateSubscriptionResponse(subscription=wanted)

        wanted.all_sources = caller.sources.all
        if not caller.sources.all:
            wanted.sources[:] = [names.SOURCE.format(workspace, one) for one in sorted(caller.sources.ids)]
        wanted.creator = caller.principal
        answer = await self._acts.make(workspace, request, pb.CreateSubscriptionResponse, act)
        # After the answer was kept for whoever repeats the request: it is shown once, and stored nowhere.
        answer.secret = shown[0] if shown else ""
        return answer

    async def list(self, workspace: str) -> pb.ListSubscriptionsResponse:
        """Those that the caller may see."""
        caller = current_caller()
        rows = await self._pool.fetch(queries.list_subscriptions, workspace, "")
        return pb.ListSubscriptionsResponse(subscriptions=[_shown(row) for row in rows if _may_see(caller, row)])

    async def delete(self, request: pb.DeleteSubscriptionRequest) -> pb.DeleteSubscriptionResponse:
        """Raises MissingSubscription, HiddenSubscription."""
        workspace, identifier = names.SUBSCRIPTION.parse(request.name)
        caller = current_caller()

        async def act(unit: Unit, meta: Meta) -> pb.DeleteSubscriptionResponse:
            row = await unit.connection.fetchrow(queries.list_subscriptions, workspace, identifier)
            if row is None and caller.sources.all:
                raise MissingSubscription(request.name)
            if row is None or not _may_see(caller, row):
                # Whether there is such a one is not for them to know either.
                raise HiddenSubscription(request.name)
            await unit.connection.execute(queries.delete_subscription, workspace, identifier)
            fact = facts.SubscriptionDeleted(subscription=identifier)
            await unit.append([NewFact(f"subscriptions/{identifier}", fact)], meta)
            return pb.DeleteSubscriptionResponse()

        return await self._acts.make(workspace, request, pb.DeleteSubscriptionResponse, act)

    def _required_key(self) -> bytes:
        if self._key is None:
            raise WrongState(
                "Webhooks can't be signed here, so nobody can be told: the operator has to set"
                " ONWARD_WEBHOOK_SIGNING_KEY of the delivery service (docs/alerts.md)."
            )
        return self._key


def _checked(request: pb.CreateSubscriptionRequest, workspace: str) -> pb.Subscription:
    """What is wanted, with nothing in it that Onward sets."""
    asked = request.subscription
    if not origin_of(asked.url):
        raise malformed(
            "subscription.url", "must be an http or https address without a user, such as https://x.example/a"
        )
    if asked.thresholds.window_minutes % WINDOW_MINUTES:
        raise malformed("subscription.thresholds.window_minutes", f"must be a multiple of {WINDOW_MINUTES}")
    if asked.destination:
        _own(names.DESTINATION, asked.destination, "subscription.destination", workspace)
    if asked.source:
        source = _own(names.SOURCE, asked.source, "subscription.source", workspace)
        if source not in current_caller().sources:
            raise HiddenSource(asked.source)
    return pb.Subscription(
        url=asked.url,
        kinds=sorted(asked.kinds),
        destination=asked.destination,
        source=asked.source,
        thresholds=complete(asked.thresholds),
    )


def _own(template: names.NameTemplate, name: str, field: str, workspace: str) -> str:
    of, identifier = template.parse(name, field)
    if of != workspace:
        raise malformed(field, f"must be of workspaces/{workspace}")
    return identifier


async def _refuse_too_many(unit: Unit) -> None:
    if await unit.connection.fetchval(queries.count_subscriptions, unit.workspace) >= SUBSCRIPTIONS_MAX:
        raise LimitReached(
            f"The workspace has {SUBSCRIPTIONS_MAX} subscriptions; delete one first.",
            metadata={"limit": "subscriptions", "max": str(SUBSCRIPTIONS_MAX)},
        )


async def _insert(unit: Unit, identifier: str, wanted: pb.Subscription, salt: bytes, judged: int) -> None:
    limits = wanted.thresholds
    await unit.connection.execute(
        queries.insert_subscription, unit.workspace, identifier, wanted.url, list(wanted.kinds),
        _id(wanted.destination), _id(wanted.source), limits.window_minutes, limits.success_rate_min,
        limits.volume_change_max, limits.count_min, wanted.all_sources, [_id(one) for one in wanted.sources],
        wanted.creator, wanted.create_time.ToMicroseconds(), salt, judged,
    )  # fmt: skip


def _created(identifier: str, wanted: pb.Subscription) -> facts.SubscriptionCreated:
    return facts.SubscriptionCreated(
        subscription=identifier,
        origin=origin_of(wanted.url),
        kinds=wanted.kinds,
        destination=_id(wanted.destination),
        source=_id(wanted.source),
        thresholds=wanted.thresholds,
        all_sources=wanted.all_sources,
        sources=[_id(one) for one in wanted.sources],
    )


def _id(name: str) -> str:
    return name.rpartition("/")[2]


def _may_see(caller: Caller, row: asyncpg.Record) -> bool:
    """Whether it tells nothing that the caller may not see; or is the caller's own."""
    if caller.sources.all or row["creator"] == caller.principal:
        return True
    return not row["all_sources"] and all(one in caller.sources for one in row["sources"])


def _shown(row: asyncpg.Record) -> pb.Subscription:
    workspace = row["workspace"]
    shown = pb.Subscription(
        name=names.SUBSCRIPTION.format(workspace, row["subscription"]),
        url=row["url"],
        kinds=row["kinds"],
        destination=names.DESTINATION.format(workspace, row["destination"]) if row["destination"] else "",
        source=names.SOURCE.format(workspace, row["source"]) if row["source"] else "",
        thresholds=pb.AlertThresholds(
            window_minutes=row["window_minutes"],
            success_rate_min=row["success_rate_min"],
            volume_change_max=row["volume_change_max"],
            count_min=row["count_min"],
        ),
        all_sources=row["all_sources"],
        sources=[names.SOURCE.format(workspace, one) for one in row["sources"]],
        creator=row["creator"],
        pending=row["pending"],
        undelivered=row["undelivered"],
    )
    shown.create_time.FromMicroseconds(row["created_at_us"])
    if row["last_sent_at_us"] is not None:
        shown.last_result.time.FromMicroseconds(row["last_sent_at_us"])
        shown.last_result.http_status, shown.last_result.error = row["last_status"], row["last_error"]
    return shown
