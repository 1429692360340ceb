"""Facts to the rows of the trail, in the transaction that also moves the consumer's position."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import asyncpg
import orjson

from kit.eventstore.facts import Fact
from kit.postgres.pool import Connection
from kit.postgres.queries import load_queries
from services.audit.domain.content import Content, read
from services.audit.domain.description import Description, describe, trace_id
from services.audit.domain.fields import State

# Columns that are searched by; the fact's own bytes keep all of a longer value. An index entry may take 2.7 kB.
PRINCIPAL_LENGTH_MAX = 256
ACTION_LENGTH_MAX = 128
TARGET_LENGTH_MAX = 512
TEXT_LENGTH_MAX = 1_024

queries = load_queries(Path(__file__).parent / "projections.sql")


async def record(service: str, connection: Connection, fact: Fact) -> None:
    """Record a fact at the workspace's next index. Whatever is in it, it is recorded: a trail has no gaps."""
    head = await connection.fetchrow(queries.next_index, fact.workspace)
    assert head is not None, "an upsert returns its row"
    content = read(fact)
    states = await _states(connection, service, content)
    description = describe(content, states)
    await _record_event(connection, service, fact, head, description)
    await _record_fact(connection, service, fact, head["index"])
    await _record_states(connection, service, fact.workspace, description.states)


async def _states(connection: Connection, service: str, content: Content) -> dict[str, State]:
    rows = await connection.fetch(queries.states, content.fact.workspace, service, content.streams)
    return {row["stream"]: orjson.loads(row["state"]) for row in rows}


async def _record_event(
    connection: Connection, service: str, fact: Fact, head: asyncpg.Record, description: Description
) -> None:
    changes = orjson.dumps(description.changes)
    await connection.execute(
        queries.record_event,
        fact.workspace,
        head["index"],
        service,
        fact.position,
        fact.fact_id,
        fact.meta.occurred_at or fact.recorded_at,
        head["record_time"],
        _column(fact.meta.principal, PRINCIPAL_LENGTH_MAX),
        _column(fact.type, ACTION_LENGTH_MAX),
        _column(description.target_type, TARGET_LENGTH_MAX),
        _column(description.target_id, TARGET_LENGTH_MAX),
        _column(description.target_display_name, TEXT_LENGTH_MAX),
        description.outcome,
        changes.decode(),
        len(changes),
        _column(fact.meta.request_id, TEXT_LENGTH_MAX),
        _column(trace_id(fact.meta.traceparent), TEXT_LENGTH_MAX),
        _column(fact.meta.credential, PRINCIPAL_LENGTH_MAX),
    )


async def _record_fact(connection: Connection, service: str, fact: Fact, index: int) -> None:
    await connection.execute(
        queries.record_fact,
        fact.workspace,
        index,
        service,
        fact.position,
        fact.stream,
        fact.version,
        fact.type,
        fact.data,
        # Sorted, so that it is the same whether the fact came from the bus or from the log.
        json.dumps(fact.meta.to_json(), separators=(",", ":"), sort_keys=True),
        fact.fact_id,
        fact.recorded_at,
    )


async def _record_states(connection: Connection, service: str, workspace: str, states: Mapping[str, State]) -> None:
    encoded = [orjson.dumps(state, option=orjson.OPT_SORT_KEYS).decode() for state in states.values()]
    await connection.execute(queries.record_states, workspace, service, list(states), encoded)


def _column(text: str, length_max: int) -> str:
    # Postgres takes no NUL in text, and a name must not stop the trail.
    return text[:length_max].replace("\0", "\N{REPLACEMENT CHARACTER}")
