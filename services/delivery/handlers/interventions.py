"""What people do with one delivery that waits: try it now, or end it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import asyncpg

from kit.auth.caller import current_caller
from kit.clock import Clock
from kit.errors import WrongState
from kit.eventstore.facts import Meta, NewFact
from kit.eventstore.store import Unit
from kit.ids import uuid7
from kit.postgres.pool import Connection
from kit.postgres.queries import load_queries
from kit.rpc import names
from onward.delivery.v1 import acts_pb2 as pb
from onward.delivery.v1 import facts_pb2 as facts
from onward.executor.v1 import outcomes_pb2
from services.delivery.domain.identity import delivery_id, destination_hash, parse_delivery_id
from services.delivery.domain.schedule import SECOND_US
from services.delivery.errors import HiddenDelivery, MissingDelivery
from services.delivery.handlers.acts import Acts
from services.delivery.projections.batches import Applied, BatchWriter
from services.delivery.projections.standing import queries as locks

queries = load_queries(Path(__file__).parent / "interventions.sql")

# Why a delivery that somebody ended was cancelled, as lists show it.
CANCELLED_REASON = "cancelled"


class Interventions:
    """Tries and ends deliveries. `told` hears of what was applied, `hurried` that something is due."""

    def __init__(
        self,
        acts: Acts,
        writer: BatchWriter,
        clock: Clock,
        told: Callable[[Applied], None],
        hurried: Callable[[], None],
    ) -> None:
        self._acts = acts
        self._writer = writer
        self._clock = clock
        self._told = told
        self._hurried = hurried

    async def retry(self, request: pb.RetryDeliveryRequest) -> pb.RetryDeliveryResponse:
        """Make it due now. Raises MissingDelivery, HiddenDelivery, WrongState."""

        async def act(unit: Unit, meta: Meta) -> pb.RetryDeliveryResponse:
            row = await _waiting(unit.connection, request.name)
            await unit.connection.execute(queries.hurry, *_key(row), self._now_us())
            fact = facts.DeliveryRetried(
                destination=row["destination"], delivery=_delivery(row), message_id=row["message_id"]
            )
            await unit.append([NewFact(self._stream(), fact)], meta)
            return pb.RetryDeliveryResponse()

        workspace, _ = names.DELIVERY.parse(request.name)
        answer = await self._acts.make(workspace, request, pb.RetryDeliveryResponse, act)
        self._hurried()
        return answer

    async def cancel(self, request: pb.CancelDeliveryRequest) -> pb.CancelDeliveryResponse:
        """End it. Raises MissingDelivery, HiddenDelivery, WrongState."""
        applied: list[Applied] = []

        async def act(unit: Unit, meta: Meta) -> pb.CancelDeliveryResponse:
            row = await _waiting(unit.connection, request.name)
            # As an executor reports it, so that there is one way in which deliveries end.
            batch = _cancelled(row, self._now_us())
            applied.append(await self._writer.write(unit.connection, [batch], self._now_us(), careful=True))
            fact = facts.DeliveryCancelled(
                destination=row["destination"], delivery=_delivery(row), message_id=row["message_id"]
            )
            await unit.append([NewFact(self._stream(), fact)], meta)
            return pb.CancelDeliveryResponse()

        workspace, _ = names.DELIVERY.parse(request.name)
        answer = await self._acts.make(workspace, request, pb.CancelDeliveryResponse, act)
        for one in applied:
            self._writer.committed(one)
            self._told(one)
        return answer

    def _now_us(self) -> int:
        return int(self._clock.now().timestamp() * SECOND_US)

    def _stream(self) -> str:
        # Not the destination's own: nothing of it changes, and streams have an end.
        return f"deliveries/{self._clock.now():%Y-%m-%d}"


async def _waiting(connection: Connection, name: str) -> asyncpg.Record:
    """The delivery's row in `due`, locked with its workspace. Raises where the caller may not, or it does not wait."""
    workspace, delivery = names.DELIVERY.parse(name)
    event, hashed = parse_delivery_id(delivery)
    await connection.execute(locks.lock_workspaces, [workspace], [True])
    rows = await connection.fetch(queries.waiting, workspace, *event)
    row = next((one for one in rows if destination_hash(one["destination"]) == hashed), None)
    caller = current_caller()
    if row is None:
        known = await connection.fetch(queries.ended, workspace, *event)
        ended = next((one for one in known if destination_hash(one["destination"]) == hashed), None)
        if ended is None and caller.sources.all:
            raise MissingDelivery(name)
        if ended is None or ended["source"] not in caller.sources or ended["function"] not in caller.functions:
            raise HiddenDelivery(name)
        raise WrongState(f"{name} has ended: only a delivery that waits can be retried or cancelled.")
    if row["source"] not in caller.sources or row["function"] not in caller.functions:
        raise HiddenDelivery(name)
    if row["released_at_us"] is not None:
        raise WrongState(f"{name} is being attempted at this moment; try again when that has ended.")
    return row


def _key(row: asyncpg.Record) -> tuple[object, ...]:
    return row["workspace"], row["destination"], row["stream_sequence"], row["event_index"]


def _delivery(row: asyncpg.Record) -> str:
    return delivery_id(row["stream_sequence"], row["event_index"], row["destination"])


def _cancelled(row: asyncpg.Record, now_us: int) -> outcomes_pb2.OutcomeBatch:
    attempt = outcomes_pb2.Attempt(
        stream_sequence=row["stream_sequence"],
        index=row["event_index"],
        attempt=row["attempt"],
        retries_used=row["retries_used"],
        message_id=row["message_id"],
        type=row["type"],
        event_name=row["event_name"],
        received_at_us=row["received_at_us"],
        ended_at_us=now_us,
        result=outcomes_pb2.RESULT_CANCELLED,
        reason=CANCELLED_REASON,
    )
    group = outcomes_pb2.DestinationOutcomes(
        destination=row["destination"], source=row["source"], function=row["function"], attempts=[attempt]
    )
    return outcomes_pb2.OutcomeBatch(batch_id=uuid7(), workspace=row["workspace"], destinations=[group])
