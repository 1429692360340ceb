"""Breakers of a workspace to messages."""

from __future__ import annotations

from pathlib import Path

import asyncpg

from kit.postgres.queries import load_queries
from kit.rpc import names
from onward.delivery.v1 import breakers_pb2 as pb
from onward.delivery.v1 import delivery_service_pb2 as delivery_pb
from services.delivery.domain.breaker import Breaker, Phase
from services.delivery.queries import Reader
from services.delivery.queries.numbers import Asked

queries = load_queries(Path(__file__).parent / "breakers.sql")

_STATES = {
    Phase.CLOSED: pb.BREAKER_STATE_CLOSED,
    Phase.OPEN: pb.BREAKER_STATE_OPEN,
    Phase.HALF_OPEN: pb.BREAKER_STATE_HALF_OPEN,
}


async def open_breakers(reader: Reader, asked: Asked, now_us: int) -> dict[str, pb.Breaker]:
    """The breakers that are not closed, by the names of their destinations."""
    rows = await reader.fetch(queries.open_breakers, *asked.arguments)
    return {names.DESTINATION.format(asked.workspace, row["destination"]): _breaker(row, now_us) for row in rows}


async def add_breakers(reader: Reader, asked: Asked, now_us: int, answer: delivery_pb.GetSummaryResponse) -> None:
    """Add the breakers that are not closed; also of destinations of which nothing else is to be told."""
    found = await open_breakers(reader, asked, now_us)
    for one in answer.destinations:
        breaker = found.pop(one.destination, None)
        if breaker is not None:
            one.breaker.CopyFrom(breaker)
    others = [delivery_pb.DestinationSummary(destination=name, breaker=one) for name, one in found.items()]
    if others:
        shown = sorted([*answer.destinations, *others], key=lambda one: one.destination)
        del answer.destinations[:]
        answer.destinations.extend(shown)


def _breaker(row: asyncpg.Record, now_us: int) -> pb.Breaker:
    phase = Breaker(opened_at_us=row["opened_at_us"], until_us=row["until_us"]).phase(now_us)
    found = pb.Breaker(state=_STATES[phase])
    found.open_time.FromMicroseconds(row["opened_at_us"])
    found.probe_time.FromMicroseconds(row["until_us"])
    return found
