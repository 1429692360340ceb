"""What is already stored about the deliveries of some batches; read before anything is decided about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import asyncpg

from kit.postgres.pool import Connection
from kit.postgres.queries import load_queries
from onward.executor.v1 import outcomes_pb2 as pb
from services.delivery.domain.decisions import ENDED_STATES, Pending
from services.delivery.domain.identity import event_key
from services.delivery.domain.policy import NO_POLICY, Policy
from services.delivery.domain.replays import made_by
from services.delivery.domain.schedule import DAY_US, is_past
from services.delivery.projections.policies import read_policies
from services.delivery.projections.rollups import columns

queries = load_queries(Path(__file__).parent / "projections.sql")

# Why an executor filtered an event that repeats another one.
DUPLICATE = "duplicate"

# (workspace, destination)
Destination = tuple[str, str]
# (workspace, destination, stream sequence, event index)
Key = tuple[str, str, int, int]
# (workspace, stream sequence, event index)
EventKey = tuple[str, int, int]


class Group(NamedTuple):
    """Attempts of one destination that ran the same code."""

    workspace: str
    header: pb.DestinationOutcomes
    attempts: list[pb.Attempt]


class StoredPending(NamedTuple):
    """A row of `due`."""

    pending: Pending
    error_message: str
    released: bool
    # When; 0 where it was not.
    released_at_us: int = 0


@dataclass(slots=True)
class Standing:
    """How deliveries stood, kept up to date while outcomes are decided one after the other."""

    # Deliveries that take a decision; every other one ends with its first attempt.
    special: set[Key] = field(default_factory=set)
    pending: dict[Key, StoredPending] = field(default_factory=dict)
    ended: set[Key] = field(default_factory=set)
    # Attempts of special deliveries that are recorded.
    recorded: set[tuple[Key, int]] = field(default_factory=set)
    # Events that had run already under another reference.
    duplicates: set[EventKey] = field(default_factory=set)
    # Of destinations that have one: those of special deliveries, and of what was held back.
    policies: dict[Destination, Policy] = field(default_factory=dict)
    # The numbers of the replays that pending deliveries are of.
    replays: dict[Key, int] = field(default_factory=dict)
    # Rows of seen_events and duplicate_events to be written.
    seen_rows: list[tuple[bytes, int, int, int, int]] = field(default_factory=list)
    duplicate_rows: list[tuple[object, ...]] = field(default_factory=list)

    def policy(self, destination: Destination) -> Policy:
        return self.policies.get(destination, NO_POLICY)


async def read_standing(connection: Connection, groups: Sequence[Group], now_us: int, *, careful: bool) -> Standing:
    """Lock the workspaces, then read what matters. `careful` looks at every delivery, not only at unusual ones."""
    standing = Standing()
    await _lock(connection, groups)
    backlog = await _read_unusual(connection, standing, groups)
    received, held = _special_ones(groups, backlog, now_us, careful=careful)
    if held:
        received |= await _departed_ones(connection, held)
    standing.special = set(received)
    if standing.special:
        await _read_special(connection, standing, received)
    deciding = {key[:2] for key in (*received, *held)}
    if deciding:
        standing.policies = await read_policies(connection, deciding)
    standing.special |= standing.ended
    await _read_seen(connection, standing, groups)
    return standing


async def _lock(connection: Connection, groups: Sequence[Group]) -> None:
    alone: dict[str, bool] = {}
    for workspace, _, attempts in groups:
        alone[workspace] = alone.get(workspace, False) or any(one.attempt > 1 for one in attempts)
    await connection.execute(queries.lock_workspaces, *columns([*sorted(alone.items())], 2))


def _special_ones(
    groups: Sequence[Group], backlog: set[Destination], now_us: int, *, careful: bool
) -> tuple[dict[Key, int], dict[Key, int]]:
    """Find the deliveries that need a decision, and when their events were received.

    Second is what was held back and has most likely no row yet: floods come that way, and looking for a row, and
    upserting one, is a third of what it costs.
    """
    received: dict[Key, int] = {}
    held: dict[Key, int] = {}
    for workspace, header, attempts in groups:
        destination = workspace, header.destination
        every = careful or destination in backlog
        for one in attempts:
            if every or one.attempt > 1 or one.result not in ENDED_STATES:
                found = held if one.fresh and not careful and _is_held(one, now_us) else received
                found[*destination, one.stream_sequence, one.index] = one.received_at_us
    return received, held


def _is_held(one: pb.Attempt, now_us: int) -> bool:
    """Whether a deferral keeps its delivery waiting, unless something is known of it."""
    first = one.result == pb.RESULT_DEFERRED and one.attempt == 1
    return first and bool(one.detail.event) and not is_past(one.received_at_us, now_us)


async def _departed_ones(connection: Connection, held: Mapping[Key, int]) -> dict[Key, int]:
    """What is left of destinations that have departed: that waits for nothing."""
    destinations = sorted({key[:2] for key in held})
    rows = await connection.fetch(queries.departed, *columns([*destinations], 2))
    departed = {(row["workspace"], row["destination"]) for row in rows}
    return {key: received for key, received in held.items() if key[:2] in departed}


async def _read_unusual(connection: Connection, standing: Standing, groups: Sequence[Group]) -> set[Destination]:
    """Deliveries that ended in a later attempt, within the spans of the first attempts at hand.

    Answers the destinations with a backlog.
    """
    spans: list[tuple[object, ...]] = []
    times: list[int] = []
    for workspace, header, attempts in groups:
        sequences = [one.stream_sequence for one in attempts]
        spans.append((workspace, header.destination, min(sequences), max(sequences)))
        received = [one.received_at_us for one in attempts]
        times += (min(received), max(received))
    destinations = sorted({(group.workspace, group.header.destination) for group in groups})
    keys = (*columns([*destinations], 2), *columns(spans, 4))
    rows = await connection.fetch(queries.unusual, *keys, min(times), max(times))
    standing.ended.update(_key(row) for row in rows if row["stream_sequence"] is not None)
    return {(row["workspace"], row["destination"]) for row in rows if row["stream_sequence"] is None}


async def _read_special(connection: Connection, standing: Standing, received: dict[Key, int]) -> None:
    keys = sorted(received)
    for row in await connection.fetch(queries.pending, *columns([*keys], 4)):
        standing.pending[_key(row)] = _stored_pending(row)
        if row["replay"]:
            standing.replays[_key(row)] = row["replay"]
    timed: list[tuple[object, ...]] = [(*key, received[key]) for key in keys]
    for row in await connection.fetch(queries.known_attempts, *columns(timed, 5)):
        key = _key(row)
        standing.recorded.add((key, row["attempt"]))
        if row["terminal"]:
            standing.ended.add(key)


async def _read_seen(connection: Connection, standing: Standing, groups: Sequence[Group]) -> None:
    """Compare messageIds with those of the last 24 hours, and those at hand with one another."""
    events: dict[EventKey, tuple[bytes, int]] = {}
    for workspace, header, attempts in groups:
        source = header.source
        for one in attempts:
            reference = (workspace, one.stream_sequence, one.index)
            if reference in events or reference in standing.duplicates:
                continue
            key = event_key(workspace, source, one.message_id)
            if one.reason == DUPLICATE:
                # Reported before the event that it repeats may be: that one is the first.
                _repeats(standing, reference, key, one.received_at_us)
            else:
                events[reference] = (key, one.received_at_us)
    if standing.special:
        # What a replay has made is its event once more, and no other event with the same messageId.
        events = {reference: known for reference, known in events.items() if not made_by(reference[2])}
    if not events:
        return
    keys = [key for key, _ in events.values()]
    days = [received // DAY_US for _, received in events.values()]
    known: dict[bytes, list[tuple[int, int, int]]] = {}
    for row in await connection.fetch(queries.seen_events, keys, min(days) - 1, max(days) + 1):
        place = (row["stream_sequence"], row["event_index"], row["received_at_us"])
        known.setdefault(row["event_key"], []).append(place)
    for reference, (key, received) in events.items():
        _see(standing, known, reference, key, received)


def _see(
    standing: Standing, known: dict[bytes, list[tuple[int, int, int]]], event: EventKey, key: bytes, received_at_us: int
) -> None:
    _, sequence, index = event
    before = known.get(key)
    if before is None:
        known[key] = [(sequence, index, received_at_us)]
    elif any(one[:2] == (sequence, index) for one in before):
        return
    elif any(abs(one[2] - received_at_us) < DAY_US for one in before):
        _repeats(standing, event, key, received_at_us)
        return
    else:
        before.append((sequence, index, received_at_us))
    standing.seen_rows.append((key, received_at_us // DAY_US, sequence, index, received_at_us))


def _repeats(standing: Standing, event: EventKey, key: bytes, received_at_us: int) -> None:
    standing.duplicates.add(event)
    standing.duplicate_rows.append((key, event[1], event[2], received_at_us))


def _key(row: asyncpg.Record) -> Key:
    return row["workspace"], row["destination"], row["stream_sequence"], row["event_index"]


def _stored_pending(row: asyncpg.Record) -> StoredPending:
    pending = Pending(
        attempt=row["attempt"],
        retries_used=row["retries_used"],
        reason=row["reason"],
        due_at_us=row["due_at_us"],
        first_ended_at_us=row["first_ended_at_us"],
        deferrals=row["deferrals"],
        losses=row["losses"],
        alone=row["alone"],
        error_type=row["error_type"],
        batch_events_max=row["batch_events_max"],
        gathered=row["gathered"],
        batch_limit=row["batch_limit"],
        reopened_at_us=row["reopened_at_us"],
        cancelled=row["cancelled"],
    )
    released_at_us = row["released_at_us"]
    return StoredPending(pending, row["error_message"], released_at_us is not None, released_at_us or 0)
