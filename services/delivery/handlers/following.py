"""Follows the registry's log: what changes there, changes what becomes of deliveries that wait.

What is pending for a destination that is gone is made due at once, without waiting for its time; whichever executor
gets it sees that there is no such destination, runs nothing, and reports it as cancelled with the reason. So there is
one place where deliveries end, and one that knows why. What waits for others of its batch goes as well when its
destination's policy changes: nothing waits by an old one. Schedules, limits and breakers go by policies from here on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import structlog

from kit.clock import Clock, unix_us
from kit.errors import OnwardError
from kit.eventstore.consumer import PostgresFactApplier, each
from kit.eventstore.facts import Fact
from kit.eventstore.owner_log import OwnerLog
from kit.postgres.pool import Connection, Pool
from kit.postgres.queries import load_queries
from onward.registry.v1 import facts_pb2 as facts
from onward.registry.v1 import resources_pb2
from services.delivery.handlers.alerts import queries as alerts
from services.delivery.handlers.replay_starts import replay_skipped
from services.delivery.projections.breakers import remove_breaker
from services.delivery.projections.connections import apply_connection, parsed
from services.delivery.projections.policies import store_policy
from services.delivery.projections.standing import queries as locks

log = structlog.get_logger(__name__)

queries = load_queries(Path(__file__).parent / "handlers.sql")

CONSUMER = "delivery"
REGISTRY = "registry"
# How long a delivery that is to be cancelled may still look pending. A look is a call that reads one small table.
LOOK_INTERVAL_S = 2.0
# A registry that is away needs no more than this.
RETRY_DELAY_S = 5.0

# What a fact changes here, in the transaction that records that it was applied.
Rule = Callable[[Connection, Fact], Awaitable[None]]


class RegistryFollower:
    """Follows the registry's log; `run` it in each replica, they take turns. `released` is told of what became due."""

    def __init__(self, pool: Pool, owner: OwnerLog, clock: Clock, released: Callable[[], None]) -> None:
        self._pool = pool
        self._owner = owner
        self._clock = clock
        self._released = released
        self._rules: Mapping[str, Rule] = {
            "DeliveryPolicyUpdated": self._update_policy,
            "DestinationDisabled": self._close_breaker,
            "DestinationDisconnected": self._release_departed,
            "MemberRemoved": self._orphan_subscriptions,
            "DestinationEnabled": self._replay_skipped,
        }
        # The log's heads when all of it was applied.
        self._applied: dict[str, int] = {}
        self._applier = PostgresFactApplier(
            pool, consumer=CONSUMER, service=REGISTRY, apply=each(self._apply), read_facts=owner.read_facts
        )

    async def run(self) -> None:
        """Look until cancelled; whatever fails is tried again."""
        while True:
            try:
                complete = await self.look()
            except OnwardError as error:
                log.warning("registry_not_read", reason=error.reason, retry_in_s=RETRY_DELAY_S)
                complete = False
            await asyncio.sleep(LOOK_INTERVAL_S if complete else RETRY_DELAY_S)

    async def look(self) -> bool:
        """Apply what the log has beyond what is applied; whether that was possible for all workspaces."""
        heads = dict(await self._owner.heads())
        if heads == self._applied:
            return True
        rows = await self._pool.fetch(queries.followed_positions, CONSUMER, REGISTRY)
        applied = {row["workspace"]: row["position"] for row in rows}
        behind = [workspace for workspace, head in sorted(heads.items()) if applied.get(workspace, 0) < head]
        caught_up = [await self._caught_up(workspace) for workspace in behind]
        if all(caught_up):
            self._applied = heads
        return all(caught_up)

    async def _caught_up(self, workspace: str) -> bool:
        """Whatever is wrong in one workspace holds up no other."""
        try:
            await self._applier.catch_up(workspace)
        except OnwardError as error:
            log.warning("registry_not_followed", workspace=workspace, reason=error.reason)
            return False
        except Exception:
            log.exception("registry_not_followed", workspace=workspace)
            return False
        self._released()
        return True

    async def _apply(self, connection: Connection, fact: Fact) -> None:
        await apply_connection(connection, fact)
        rule = self._rules.get(fact.type)
        if rule is not None:
            await rule(connection, fact)

    async def _release_departed(self, connection: Connection, fact: Fact) -> None:
        gone = parsed(fact, facts.DestinationDisconnected())
        # What is applied at the same time either sees that the destination is gone, or has its rows released here.
        await connection.execute(locks.lock_workspaces, [fact.workspace], [True])
        await connection.execute(queries.note_departed, fact.workspace, gone.destination)
        await connection.execute(queries.release_departed, fact.workspace, gone.destination, unix_us(self._clock))
        await store_policy(connection, fact.workspace, gone.destination, resources_pb2.DeliveryPolicy())
        await remove_breaker(connection, (fact.workspace, gone.destination), unix_us(self._clock))
        log.info("deliveries_released_to_end", workspace=fact.workspace, destination=gone.destination)

    async def _update_policy(self, connection: Connection, fact: Fact) -> None:
        changed = parsed(fact, facts.DeliveryPolicyUpdated())
        # Outcomes lock rows in the order of their keys, this in whatever order they are found.
        await connection.execute(locks.lock_workspaces, [fact.workspace], [True])
        await connection.execute(queries.release_gathering, fact.workspace, changed.destination, unix_us(self._clock))
        kept = await store_policy(connection, fact.workspace, changed.destination, changed.policy)
        if kept.breaker_disabled:
            await remove_breaker(connection, (fact.workspace, changed.destination), unix_us(self._clock))

    async def _close_breaker(self, connection: Connection, fact: Fact) -> None:
        """Nothing is attempted any more that could close it: what waits is to be skipped."""
        disabled = parsed(fact, facts.DestinationDisabled())
        await remove_breaker(connection, (fact.workspace, disabled.destination), unix_us(self._clock))

    async def _orphan_subscriptions(self, connection: Connection, fact: Fact) -> None:
        """Nobody is told of anything in the name of somebody who is gone. They end by facts of their own, soon."""
        gone = parsed(fact, facts.MemberRemoved())
        await connection.execute(alerts.orphan_subscriptions, fact.workspace, f"member:{gone.member}")

    async def _replay_skipped(self, connection: Connection, fact: Fact) -> None:
        await replay_skipped(connection, fact, unix_us(self._clock))
