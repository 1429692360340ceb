"""Sends the webhooks that wait, by way of the executor: it alone reaches addresses of others' choice.

One at a time to each subscription. A receiver that hangs holds a place for some seconds, and then waits for its next
try like any other. What is sent twice, since nobody could note that it was taken, bears the same id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import asyncpg
import structlog

from kit.clock import Clock, unix_us
from kit.errors import OnwardError
from kit.eventstore.store import EventStore
from kit.postgres.pool import Pool
from onward.delivery.v1 import facts_pb2 as facts
from onward.executor.v1 import execution_service_pb2 as executor_pb
from services.delivery.domain.schedule import Random
from services.delivery.domain.signatures import secret_of, signed_headers
from services.delivery.domain.webhooks import GIVE_UP_AFTER_US, is_taken, next_try_us
from services.delivery.handlers.alerts import Alerts, queries
from services.delivery.handlers.leading import POLL_S, Wake
from services.delivery.projections.rollups import columns

log = structlog.get_logger(__name__)

# Requests under way, in all and for one workspace: each is a place in the executor for some seconds at most.
IN_FLIGHT_MAX = 32
PER_WORKSPACE_MAX = 8
# Of an error as it is shown.
ERROR_LENGTH_MAX = 200
# An executor that is away, or a database.
RETRY_DELAY_S = 2.0

Send = Callable[[executor_pb.SendWebhookRequest], Awaitable[executor_pb.SendWebhookResponse]]
Row: TypeAlias = "asyncpg.Record"


class WebhookSender:
    """`run` it in the replica that leads.

    `key` is what subscriptions' secrets are made of. Webhooks bear the time of `clock`, and are due by `deadlines`.
    """

    def __init__(
        self,
        pool: Pool,
        store: EventStore,
        alerts: Alerts,
        send: Send,
        key: bytes,
        clock: Clock,
        deadlines: Clock,
        random: Random,
    ) -> None:
        self._pool = pool
        self._store = store
        self._alerts = alerts
        self._send = send
        self._key = key
        self._clock = clock
        self._deadlines = deadlines
        self._random = random
        # Set where something may wait to be sent, or the time has moved.
        self.wake = Wake()
        # (workspace, subscription) of what is under way.
        self._busy: set[tuple[str, str]] = set()

    async def run(self) -> None:
        """Send until cancelled."""
        # What was under way when this replica ceased to lead was cancelled.
        self._busy.clear()
        async with asyncio.TaskGroup() as tasks:
            while True:
                self.wake.clear()
                for row in await self._due():
                    self._busy.add((row["workspace"], row["subscription"]))
                    tasks.create_task(self._try(row))
                await self.wake.sleep(POLL_S)

    async def _due(self) -> list[Row]:
        """What goes out now: as many as there are places, the ones that are due for longest."""
        busy = columns([*sorted(self._busy)], 2)
        rows = await self._pool.fetch(queries.due_webhooks, unix_us(self._deadlines), *busy)
        places: dict[str, int] = {}
        for workspace, _ in self._busy:
            places[workspace] = places.get(workspace, 0) + 1
        going: list[Row] = []
        for row in sorted(rows, key=lambda row: row["due_at_us"]):
            if len(self._busy) + len(going) >= IN_FLIGHT_MAX:
                break
            taken = places.get(row["workspace"], 0)
            if taken < PER_WORKSPACE_MAX:
                places[row["workspace"]] = taken + 1
                going.append(row)
        return going

    async def _try(self, row: Row) -> None:
        key = (row["workspace"], row["subscription"])
        try:
            answer = await self._send(self._request(row))
            await self._settle(row, answer.status, answer.error)
        except OnwardError as error:
            # Ours, and not the receiver's: nothing is known of that, so that no try is used up.
            log.warning("webhook_not_sent", workspace=key[0], subscription=key[1], reason=error.reason)
            await asyncio.sleep(RETRY_DELAY_S)
        finally:
            self._busy.discard(key)
            self.wake.set()

    def _request(self, row: Row) -> executor_pb.SendWebhookRequest:
        body = row["body"].encode()
        secret = secret_of(self._key, row["workspace"], row["subscription"], row["salt"])
        now_s = int(self._clock.now().timestamp())
        headers = {"content-type": "application/json", "user-agent": "Onward-Webhooks/1.0"}
        return executor_pb.SendWebhookRequest(
            workspace=row["workspace"],
            purpose=row["subscription"],
            url=row["url"],
            headers={**headers, **signed_headers(secret, row["alert"], now_s, body)},
            body=body,
        )

    async def _settle(self, row: Row, status: int, error: str) -> None:
        """Note how a try went. The subscription may be gone by then, and its webhooks with it."""
        taken = is_taken(status) and not error
        error = "" if taken else (error or f"it answered {status}")[:ERROR_LENGTH_MAX]
        now_us, tries = unix_us(self._deadlines), row["tries"] + 1
        key = (row["workspace"], row["subscription"], row["alert"])
        if not taken and now_us - row["created_at_us"] >= GIVE_UP_AFTER_US:
            await self._give_up(row, tries, status, error)
        elif taken:
            await self._pool.execute(queries.delete_webhook, *key)
        else:
            due_at_us = next_try_us(tries, now_us, self._random)
            await self._pool.execute(queries.postpone_webhook, *key, tries, due_at_us)
        await self._pool.execute(queries.note_result, *key[:2], now_us, status, error)
        log.info("webhook_tried", workspace=key[0], subscription=key[1], status=status, taken=taken, tries=tries)

    async def _give_up(self, row: Row, tries: int, status: int, error: str) -> None:
        workspace, subscription, alert = row["workspace"], row["subscription"], row["alert"]
        async with self._store.writing(workspace) as unit:
            deleted = await unit.connection.execute(queries.delete_webhook, workspace, subscription, alert)
            if deleted == "DELETE 0":
                return
            await unit.connection.execute(queries.count_undelivered, workspace, subscription, 1)
            fact = facts.AlertUndelivered(
                alert=alert, subscription=subscription, attempts=tries, http_status=status, error=error
            )
            await self._alerts.append(unit, [fact])
