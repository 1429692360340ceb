"""Destinations by the registry's facts: what connects what, and what is disabled since when."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message

from kit.eventstore.facts import Fact
from kit.postgres.pool import Connection
from kit.postgres.queries import load_queries
from onward.registry.v1 import facts_pb2 as facts
from services.delivery.domain.schedule import SECOND_US

queries = load_queries(Path(__file__).parent / "connections.sql")

M = TypeVar("M", bound=Message)


async def apply_connection(connection: Connection, fact: Fact) -> None:
    """Keep what a fact says of a destination."""
    rule = _RULES.get(fact.type)
    if rule is not None:
        await rule(connection, fact)


def fact_us(fact: Fact) -> int:
    """When it was recorded."""
    return int(fact.recorded_at.timestamp() * SECOND_US)


def parsed(fact: Fact, message: M) -> M:
    """A fact of the registry; what a newer release has added is passed over."""
    return json_format.Parse(fact.data, message, ignore_unknown_fields=True)


async def _connected(connection: Connection, fact: Fact) -> None:
    data = parsed(fact, facts.DestinationConnected())
    row = (fact.workspace, data.destination, data.source, data.function, fact_us(fact))
    await connection.execute(queries.connect, *row)


async def _enabled(connection: Connection, fact: Fact) -> None:
    data = parsed(fact, facts.DestinationEnabled())
    await connection.execute(queries.enable, fact.workspace, data.destination)


async def _disabled(connection: Connection, fact: Fact) -> None:
    data = parsed(fact, facts.DestinationDisabled())
    await connection.execute(queries.disable, fact.workspace, data.destination, fact_us(fact))


async def _disconnected(connection: Connection, fact: Fact) -> None:
    data = parsed(fact, facts.DestinationDisconnected())
    await connection.execute(queries.disconnect, fact.workspace, data.destination)


_RULES: Mapping[str, Callable[[Connection, Fact], Awaitable[None]]] = {
    "DestinationConnected": _connected,
    "DestinationEnabled": _enabled,
    "DestinationDisabled": _disabled,
    "DestinationDisconnected": _disconnected,
}
