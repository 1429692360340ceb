"""What people do with one delivery: try it now, or end it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import asyncpg

from kit.auth.caller import current_caller
from kit.clock import Clock, unix_us
from kit.errors import WrongState
from kit.eventstore.facts import Meta, NewFact, day_stream
from kit.eventstore.store import Unit
from kit.postgres.pool import Connection
from kit.postgres.queries import load_queries
from kit.rpc import names
from onward.delivery.v1 import acts_pb2 as pb
from onward.delivery.v1 import delivery_service_pb2 as delivery_pb
from onward.delivery.v1 import facts_pb2 as facts
from services.delivery.domain.decisions import CANCELLED_REASON
from services.delivery.domain.identity import delivery_id, destination_hash, parse_delivery_id
from services.delivery.domain.replays import made_by
from services.delivery.errors import HiddenDelivery, MissingDelivery
from services.delivery.handlers.acts import Acts
from services.delivery.handlers.cancelled import cancelled_batch
from services.delivery.projections import reopening
from services.delivery.projections.batches import Applied, BatchWriter
from services.delivery.projections.standing import queries as locks

queries = load_queries(Path(__file__).parent / "interventions.sql")


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
            if row is None:
                row = await self._reopened(unit.connection, request.name)
            elif row["released_at_us"] is not None:
                raise WrongState(f"{request.name} is being attempted at this moment; try again when that has ended.")
            else:
                await unit.connection.execute(queries.hurry, *_key(row), unix_us(self._clock))
            fact = facts.DeliveryRetried(
                destination=row["destination"], delivery=_delivery(row), message_id=row["message_id"]
            )
            await unit.append([NewFact(day_stream("deliveries", self._clock), fact)], meta)
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
            if row is None:
                await _ended(unit.connection, request.name)
                raise WrongState(f"{request.name} has ended: only a delivery that waits can be cancelled.")
            if row["released_at_us"] is not None:
                # It is out: it ends with its attempt.
                await unit.connection.execute(queries.mark_cancelled, *_key(row))
            else:
                now_us = unix_us(self._clock)
                batch = cancelled_batch([row], now_us, CANCELLED_REASON)
                applied.append(await self._writer.write(unit.connection, [batch], now_us, careful=True))
            fact = facts.DeliveryCancelled(
                destination=row["destination"], delivery=_delivery(row), message_id=row["message_id"]
            )
            await unit.append([NewFact(day_stream("deliveries", self._clock), fact)], meta)
            return pb.CancelDeliveryResponse()

        workspace, _ = names.DELIVERY.parse(request.name)
        answer = await self._acts.make(workspace, request, pb.CancelDeliveryResponse, act)
        for one in applied:
            self._writer.committed(one)
            self._told(one)
        return answer

    async def _reopened(self, connection: Connection, name: str) -> asyncpg.Record:
        """Have a delivery that failed go on, with a schedule that begins anew."""
        row = await _ended(connection, name)
        if row["state"] != delivery_pb.DELIVERY_STATE_FAILED:
            raise WrongState(f"{name} has ended, and not failed: only what waits or has failed can be tried again.")
        if not row["event"]:
            raise WrongState(f"{name} can't be tried again: its event was not kept.")
        now_us = unix_us(self._clock)
        place = reopening.Place(row["workspace"], row["destination"])
        replay = made_by(row["event_index"])
        await reopening.reopen(connection, place, [row], [now_us], replay, now_us)
        if replay:
            # It counts by how it ends now.
            await connection.execute(queries.uncount_failed, row["workspace"], replay)
        return row


async def _waiting(connection: Connection, name: str) -> asyncpg.Record | None:
    """The delivery's row in `due`, locked, its workspace too; None where it does not wait. Raises HiddenDelivery."""
    workspace, delivery = names.DELIVERY.parse(name)
    event, hashed = parse_delivery_id(delivery)
    await connection.execute(locks.lock_workspaces, [workspace], [True])
    rows = await connection.fetch(queries.waiting, workspace, *event)
    row = next((one for one in rows if destination_hash(one["destination"]) == hashed), None)
    if row is None:
        return None
    _require_shown(row, name)
    return await connection.fetchrow(queries.lock_waiting, *_key(row))


async def _ended(connection: Connection, name: str) -> asyncpg.Record:
    """The row that ended a delivery. Raises MissingDelivery, HiddenDelivery."""
    workspace, delivery = names.DELIVERY.parse(name)
    event, hashed = parse_delivery_id(delivery)
    rows = await connection.fetch(queries.ended, workspace, *event)
    row = next((one for one in rows if destination_hash(one["destination"]) == hashed), None)
    if row is None and current_caller().sources.all:
        raise MissingDelivery(name)
    if row is None:
        raise HiddenDelivery(name)
    _require_shown(row, name)
    return row


def _require_shown(row: asyncpg.Record, name: str) -> None:
    caller = current_caller()
    if row["source"] not in caller.sources or row["function"] not in caller.functions:
        raise HiddenDelivery(name)


def _key(row: asyncpg.Record) -> tuple[object, ...]:
    return row["workspace"], row["destination"], row["stream_sequence"], row["event_index"]


def _delivery(row: asyncpg.Record) -> str:
    return delivery_id(row["stream_sequence"], row["event_index"], row["destination"])
