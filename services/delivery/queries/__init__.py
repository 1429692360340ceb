"""Rows to the messages that callers see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import asyncpg

from kit.auth.demand import EVERYTHING, Subset
from kit.postgres.queries import load_queries
from onward.delivery.v1 import delivery_service_pb2 as pb
from onward.delivery.v1 import internal_service_pb2 as internal_pb
from onward.executor.v1 import outcomes_pb2
from services.delivery.domain.decisions import DEFERRED
from services.delivery.domain.identity import EventReference, delivery_id, destination_hash, event_key
from services.delivery.domain.replays import made_by, replay_id
from services.delivery.domain.schedule import DAY_US, MINUTE_US
from services.delivery.domain.shapes import group_name
from services.delivery.errors import HiddenDelivery, MissingDelivery, TooManyOutcomes

queries = load_queries(Path(__file__).parent / "queries.sql")

# Of one messageId: its event, and those that repeated it.
EVENTS_OF_MESSAGE_MAX = 100
# An event has one delivery a destination, each with some ten attempts.
ATTEMPTS_OF_EVENT_MAX = 10_000
# A delivery's captures are at most 128 KiB an attempt, and an answer 4 MB.
DETAILS_MAX = 20
# Events wait in their stream for a week; a redelivered one is not older.
REDELIVERED_AGE_MAX_US = 8 * DAY_US
# An answer to LookupOutcomes: gRPC refuses messages above 4 MiB, so it ends well below, and its rows before they take
# more than some 50 MB of memory. A packed message has 2,500 events, each with an outcome a destination.
KNOWN_BYTES_MAX = 3_670_016
KNOWN_OUTCOMES_MAX = 100_000

# A row, or what is about to be one.
Row = Mapping[str, Any] | asyncpg.Record


class Reader(Protocol):
    """A connection or a pool of them."""

    async def fetch(self, query: str, *args: Any) -> list[asyncpg.Record]: ...


class Span(NamedTuple):
    """Events received from `start_us` on and before `end_us`."""

    start_us: int
    end_us: int

    @property
    def minutes(self) -> tuple[int, int]:
        """The whole minutes that hold it."""
        return self.start_us // MINUTE_US, -(-self.end_us // MINUTE_US)


class Cursor(NamedTuple):
    """The last delivery of a page; the one of the first page is above all events before the span's end."""

    received_at_us: int
    stream_sequence: int = -1
    event_index: int = -1
    destination: str = ""


class Wanted(NamedTuple):
    """Which deliveries a list shows; "" and 0 mean any."""

    workspace: str
    destination: str
    span: Span
    state: int = 0
    error_type: int = 0
    # Of these sources only.
    sources: Subset = EVERYTHING
    # That ended for this reason, or are held back for it.
    reason: str = ""


def _columns(subset: Subset) -> tuple[bool, list[str]]:
    return subset.all, sorted(subset.ids)


async def list_deliveries(reader: Reader, wanted: Wanted, after: Cursor, limit: int) -> list[pb.Delivery]:
    """The newest deliveries after a cursor."""
    ended: list[pb.Delivery] = []
    pending: list[pb.Delivery] = []
    if wanted.state != pb.DELIVERY_STATE_PENDING:
        found = await reader.fetch(
            queries.list_ended, wanted.workspace, wanted.destination, wanted.span.start_us, after.received_at_us,
            wanted.state, wanted.error_type, after.stream_sequence, after.event_index, after.destination, limit,
            *_columns(wanted.sources), wanted.reason,
        )  # fmt: skip
        ended = [ended_delivery(row) for row in found]
    if wanted.state in (pb.DELIVERY_STATE_UNSPECIFIED, pb.DELIVERY_STATE_PENDING):
        found = await reader.fetch(
            queries.list_pending, wanted.workspace, wanted.destination, wanted.span.start_us, after.received_at_us,
            wanted.error_type, after.stream_sequence, after.event_index, after.destination, limit,
            *_columns(wanted.sources), wanted.reason,
        )  # fmt: skip
        pending = [pending_delivery(row) for row in found]
    return merged(ended + pending)[:limit]


async def deliveries_of_message(reader: Reader, wanted: Wanted, message_id: str) -> list[pb.Delivery]:
    """All deliveries of the events that bear a messageId, newest first."""
    sources = [
        row["source"] for row in await reader.fetch(queries.sources, wanted.workspace, *_columns(wanted.sources))
    ]
    keys = [event_key(wanted.workspace, source, message_id) for source in sources]
    events = await reader.fetch(queries.events_of_keys, keys, EVENTS_OF_MESSAGE_MAX)
    sequences, indexes = [one["stream_sequence"] for one in events], [one["event_index"] for one in events]
    received = [one["received_at_us"] for one in events]
    rows = await reader.fetch(queries.attempts_of_events, wanted.workspace, sequences, indexes, received)
    rows += await reader.fetch(queries.replayed_of_events, wanted.workspace, sequences, indexes, received, message_id)
    waiting = await reader.fetch(queries.pending_of_events, wanted.workspace, sequences, indexes)
    waiting += await reader.fetch(queries.pending_replayed, wanted.workspace, sequences, indexes, message_id)
    found = [ended_delivery(row) for row in rows] + [pending_delivery(row) for row in waiting]
    return merged(one for one in found if _is_wanted(one, wanted))


def _is_wanted(delivery: pb.Delivery, wanted: Wanted) -> bool:
    received_at_us = delivery.receive_time.ToMicroseconds()
    return (
        wanted.span.start_us <= received_at_us < wanted.span.end_us
        and last_id(delivery.source) in wanted.sources
        and (not wanted.destination or delivery.destination.rpartition("/")[2] == wanted.destination)
        and wanted.state in (0, delivery.state)
        and wanted.error_type in (0, delivery.error_type)
        and wanted.reason in ("", delivery.reason)
    )


def last_id(name: str) -> str:
    """The id at the end of a resource's name."""
    return name.rpartition("/")[2]


def cursor_of(delivery: pb.Delivery) -> Cursor:
    """Where a delivery stands in a list."""
    sequence, index, _ = delivery.name.rpartition("/")[2][1:].split("-")
    received_at_us = delivery.receive_time.ToMicroseconds()
    return Cursor(received_at_us, int(sequence), int(index), delivery.destination.rpartition("/")[2])


def merged(deliveries: Iterable[pb.Delivery]) -> list[pb.Delivery]:
    """Newest first; a delivery that ended between two statements of one answer shows once, as ended."""
    once: dict[str, pb.Delivery] = {}
    for one in deliveries:
        once.setdefault(one.name, one)

    def place(one: pb.Delivery) -> tuple[int, int, int, str]:
        received_at_us, sequence, index, destination = cursor_of(one)
        return -received_at_us, -sequence, -index, destination

    return sorted(once.values(), key=place)


async def get_delivery(
    reader: Reader, workspace: str, event: EventReference, hashed: str, sources: Subset
) -> pb.GetDeliveryResponse:
    """A delivery of these sources with all its attempts; raises MissingDelivery, of other sources HiddenDelivery."""
    name = f"workspaces/{workspace}/deliveries/d{event[0]}-{event[1]}-{hashed}"
    rows = await reader.fetch(queries.event_attempts, workspace, *event, ATTEMPTS_OF_EVENT_MAX)
    rows = [row for row in rows if destination_hash(row["destination"]) == hashed]
    rows = [row for row in rows if row["received_at_us"] == rows[0]["received_at_us"]]
    waiting = await reader.fetch(queries.pending_of_events, workspace, [event[0]], [event[1]])
    waiting = [row for row in waiting if destination_hash(row["destination"]) == hashed]
    if not sources.all and not any(row["source"] in sources for row in (rows or waiting)):
        # Whether there is such a delivery is not for them to know either.
        raise HiddenDelivery(name)
    if not rows and not waiting:
        raise MissingDelivery(name)
    details: dict[int, outcomes_pb2.AttemptDetail] = {}
    if rows:
        key = (workspace, *event, rows[0]["destination"], rows[0]["received_at_us"])
        found = await reader.fetch(queries.attempt_details, *key, DETAILS_MAX)
        details = {row["attempt"]: _detail(row) for row in found}
    ended = [row for row in rows if row["terminal"]]
    if ended:
        last = details.get(ended[0]["attempt"])
        message = last.error_message[:1024] if last is not None else ""
        delivery = ended_delivery({**dict(ended[0]), "error_message": message})
    elif waiting:
        delivery = pending_delivery(waiting[0])
    else:
        # Its row was read before it ended and `due` after: the next call will find it.
        raise MissingDelivery(name)
    delivery.attempts = len(rows)
    return pb.GetDeliveryResponse(delivery=delivery, attempts=[_attempt(row, details) for row in rows])


def _attempt(row: asyncpg.Record, details: Mapping[int, outcomes_pb2.AttemptDetail]) -> pb.DeliveryAttempt:
    attempt = pb.DeliveryAttempt(
        number=row["attempt"],
        result=row["result"],
        error_type=row["error_type"],
        wall_us=row["wall_us"],
        cpu_us=row["cpu_us"],
        function=row["function"],
        version=row["version"],
        settings_revision=row["settings_revision"],
        filter_revision=row["filter_revision"],
        batch_events=row["batch_events"],
        replay=_replay(row),
        reason=row["reason"],
        detail=details.get(row["attempt"]),
        error_group=group_name(row["error_group"]),
    )
    attempt.end_time.FromMicroseconds(row["ended_at_us"])
    return attempt


def _detail(row: asyncpg.Record) -> outcomes_pb2.AttemptDetail:
    filtered = row["filtered_event"]
    return outcomes_pb2.AttemptDetail(
        # What the handler was given: what filters took away is shown to nobody.
        event=row["event"] if filtered is None else filtered,
        error_name=row["error_name"],
        error_message=row["error_message"],
        error_stack=row["error_stack"],
        http_status=row["http_status"],
        logs=row["logs"],
        requests=row["requests"],
        value=row["value"],
    )


def ended_delivery(row: Row) -> pb.Delivery:
    """A terminal row of `attempts`, with its error's message."""
    delivery = _delivery(row)
    delivery.state = row["state"]
    delivery.attempts = row["attempt"]
    delivery.reason = row["reason"]
    delivery.end_time.FromMicroseconds(row["ended_at_us"])
    return delivery


def pending_delivery(row: Row) -> pb.Delivery:
    """A row of `due`."""
    delivery = _delivery(row)
    delivery.state = pb.DELIVERY_STATE_PENDING
    delivery.attempts = row["attempt"] - 1
    delivery.reason = row.get("held") or ""
    delivery.next_attempt_time.FromMicroseconds(row["due_at_us"])
    return delivery


def _delivery(row: Row) -> pb.Delivery:
    workspace, destination = row["workspace"], row["destination"]
    identity = delivery_id(row["stream_sequence"], row["event_index"], destination)
    delivery = pb.Delivery(
        name=f"workspaces/{workspace}/deliveries/{identity}",
        destination=f"workspaces/{workspace}/destinations/{destination}",
        source=f"workspaces/{workspace}/sources/{row['source']}",
        message_id=row["message_id"],
        type=row["type"],
        event_name=row["event_name"],
        error_type=row["error_type"],
        error_message=row["error_message"],
        duplicate=row["duplicate"],
        replay=_replay(row),
    )
    delivery.receive_time.FromMicroseconds(row["received_at_us"])
    return delivery


async def find_duplicates(
    reader: Reader, workspace: str, events: Sequence[tuple[str, str, int, int, int]]
) -> list[int]:
    """Positions of the events whose messageId another one bore within 24 hours.

    An event is its source, messageId, sequence, index and time of receipt.
    """
    if not events:
        return []
    keys = [event_key(workspace, source, message_id) for source, message_id, *_ in events]
    times = [received_at_us for *_, received_at_us in events]
    first_day, last_day = min(times) // DAY_US - 1, max(times) // DAY_US
    found: list[int] = []
    for row in await reader.fetch(queries.seen_before, keys, first_day, last_day):
        position = row["position"] - 1
        _, _, sequence, index, received_at_us = events[position]
        another = (row["stream_sequence"], row["event_index"]) != (sequence, index)
        if another and abs(row["received_at_us"] - received_at_us) < DAY_US:
            found.append(position)
    return found


def _replay(row: Row) -> str:
    """The replay that it is of, by its number; else the one that made it."""
    number = row["replay"] or made_by(row["event_index"])
    return f"workspaces/{row['workspace']}/replays/{replay_id(number)}" if number else ""


async def lookup_outcomes(
    reader: Reader, workspace: str, events: Sequence[EventReference], now_us: int
) -> internal_pb.LookupOutcomesResponse:
    """Every attempt known of the events of these messages, with what was held back and what was refused.

    Raises LimitReached where that is more than one answer carries.
    """
    asked = sorted({one.stream_sequence for one in events})
    # What a replay made of them is another delivery, and told where that is asked about.
    made = sorted({one.event_index for one in events if made_by(one.event_index)})
    since_us = now_us - REDELIVERED_AGE_MAX_US
    answer = internal_pb.LookupOutcomesResponse()
    room = KNOWN_OUTCOMES_MAX + 1
    for row in await reader.fetch(queries.known_outcomes, workspace, asked, since_us, room, made):
        _add_known(answer, row, row["destination"], row["attempt"], row["result"])
    for row in await reader.fetch(queries.known_refusals, workspace, asked, since_us, room):
        _add_known(answer, row, "", 1, outcomes_pb2.RESULT_FAILED)
    # A retry's last attempt is among the attempts. What is released again has attempt 0: that answers for the event,
    # and not for the message in DUE, which is still to be run.
    for row in await reader.fetch(queries.known_deferrals, workspace, asked, DEFERRED, room, made):
        attempt = 0 if row["released_at_us"] else row["attempt"]
        _add_known(answer, row, row["destination"], attempt, outcomes_pb2.RESULT_DEFERRED)
    if len(answer.outcomes) > KNOWN_OUTCOMES_MAX or answer.ByteSize() > KNOWN_BYTES_MAX:
        raise TooManyOutcomes(len(asked))
    return answer


def _add_known(
    answer: internal_pb.LookupOutcomesResponse,
    row: asyncpg.Record,
    destination: str,
    attempt: int,
    result: outcomes_pb2.Result.ValueType,
) -> None:
    known = answer.outcomes.add(destination=destination, attempt=attempt, result=result)
    known.event.stream_sequence, known.event.index = row["stream_sequence"], row["event_index"]


async def list_unmatched(
    reader: Reader, workspace: str, after: tuple[int, str, str], limit: int, sources: Subset
) -> list[asyncpg.Record]:
    """Names in `integrations` of these sources' events, the last seen first."""
    return await reader.fetch(queries.list_unmatched, workspace, *after, limit, *_columns(sources))


async def list_ingest_failures(
    reader: Reader, workspace: str, after: tuple[int, int, int], limit: int, sources: Subset
) -> list[outcomes_pb2.IngestFailure]:
    """Refused events of these sources, newest first."""
    rows = await reader.fetch(queries.list_ingest_failures, workspace, *after, limit, *_columns(sources))
    return [
        outcomes_pb2.IngestFailure(
            stream_sequence=row["stream_sequence"],
            index=row["event_index"],
            source=row["source"],
            reason=row["reason"],
            message=row["message"],
            sample=row["sample"],
            received_at_us=row["received_at_us"],
        )
        for row in rows
    ]
