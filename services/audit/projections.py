"""Facts to the rows of the trail, in the transaction that also moves the consumer's position."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from kit.eventstore.facts import Fact
from kit.postgres.pool import Connection
from kit.postgres.queries import load_queries
from services.audit.domain.content import Content, read
from services.audit.domain.description import Description, describe, trace_id

# Columns that are searched by; the fact's own bytes keep all of a longer value. An index entry may take 2.7 kB.
PRINCIPAL_LENGTH_MAX = 256
ACTION_LENGTH_MAX = 128
TARGET_LENGTH_MAX = 512
TEXT_LENGTH_MAX = 1_024

EVENT_COLUMNS = (
    "workspace", "index", "service", "position", "fact_id", "occur_time", "record_time", "principal", "action",
    "target_type", "target_id", "target_display_name", "outcome", "changes", "changes_bytes", "request_id", "trace_id",
    "credential",
)  # fmt: skip
FACT_COLUMNS = (
    "workspace", "index", "service", "position", "stream", "version", "type", "data", "meta", "fact_id", "recorded_at",
)  # fmt: skip

queries = load_queries(Path(__file__).parent / "projections.sql")


async def record(service: str, connection: Connection, facts: Sequence[Fact]) -> None:
    """Record a run of a workspace's facts at its next indexes.

    Whatever is in them, they are recorded: a trail has no gaps. Few statements do it, whatever the number of facts.
    """
    workspace, contents = facts[0].workspace, [read(fact) for fact in facts]
    # Locks the workspace until the commit.
    head = await connection.fetchrow(queries.next_indexes, workspace, len(facts))
    assert head is not None, "an upsert returns its row"
    streams = {stream for content in contents for stream in content.streams}
    found = await connection.fetch(queries.states, workspace, service, list(streams))
    states = {row["stream"]: row["state"] for row in found}
    changed: dict[str, str] = {}
    descriptions = [_described(content, states, changed) for content in contents]
    first, moment = head["index"] - len(facts) + 1, head["record_time"]
    numbered = list(enumerate(zip(facts, descriptions, strict=True), start=first))
    events = [_event(service, index, moment, *told) for index, told in numbered]
    # Encoding what COPY takes costs half of what arrays of parameters cost.
    await connection.copy_records_to_table("audit_events", records=events, columns=EVENT_COLUMNS)
    rows = [_fact(service, index, fact) for index, (fact, _) in numbered]
    await connection.copy_records_to_table("audit_facts", records=rows, columns=FACT_COLUMNS)
    if changed:
        await connection.execute(queries.record_states, workspace, service, list(changed), list(changed.values()))


def _described(content: Content, states: dict[str, str], changed: dict[str, str]) -> Description:
    """What a fact did, after those before it; what it leaves behind goes into both maps as it will be stored."""
    known = {stream: orjson.loads(states[stream]) for stream in content.streams if stream in states}
    description = describe(content, known)
    for stream, state in description.states.items():
        changed[stream] = states[stream] = orjson.dumps(state, option=orjson.OPT_SORT_KEYS).decode()
    return description


def _event(service: str, index: int, record_time: datetime, fact: Fact, description: Description) -> tuple[Any, ...]:
    """The values of EVENT_COLUMNS."""
    changes = orjson.dumps(description.changes)
    return (
        fact.workspace,
        index,
        service,
        fact.position,
        fact.fact_id,
        fact.meta.occurred_at or fact.recorded_at,
        record_time,
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


def _fact(service: str, index: int, fact: Fact) -> tuple[Any, ...]:
    """The values of FACT_COLUMNS."""
    return (
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


def _column(text: str, length_max: int) -> str:
    # Postgres takes no NUL in text, and a name must not stop the trail.
    return text[:length_max].replace("\0", "\N{REPLACEMENT CHARACTER}")
