"""Pages of the trail in either order, filtered, and searched by a text.

A page looks at so many candidates at most, whatever the filter: those of one condition that an index knows, in the
order of their indexes. So it takes milliseconds in a trail of millions; where few of the candidates match, it is short,
or empty, and the next page goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from kit.postgres.pool import Connection, Pool
from kit.postgres.queries import load_queries
from onward.audit.v1 import audit_service_pb2 as pb
from services.audit import queries as reads
from services.audit.queries import INDEX_ABOVE_ALL, PAGE_BYTES_MAX, Filter

# Candidates of a page. A text can be anywhere in a name, for which Postgres has no index without extensions; so many
# neighbours take some 10 ms, and a search of millions is as many short pages as it takes.
SCAN_MAX: Final = 10_000
# Those that one condition has are spread over the table, and take longer to look at.
SPREAD_SCAN_MAX: Final = 2_000
# A condition with fewer than these leads to all of its records at once.
FEW: Final = 1_000
# By so much the time of an act and that of its record may differ before an index has it among the few that do; see
# migrations/0004.
LATE: Final = timedelta(hours=1)

queries = load_queries(Path(__file__).parent / "listing.sql")

_LATE = "record_time - occur_time NOT BETWEEN interval '-1 hour' AND interval '1 hour'"
_ANY = ("true",)
# Conditions that an index has in the order of their records' indexes; each for one place of `Filter`, the strictest
# first. What is done with a credential is asked for by principal as well.
_TARGET = ("target_type = {target_type} AND target_id = {target_id}",)
_PRINCIPAL = ("principal = {principal}", "credential = {principal} AND credential <> '' AND principal <> {principal}")
_ACTION = ("action = {action}",)
_REFUSED = ("outcome <> 1",)
# It has no such order: fit for few alone.
_TYPE = ("target_type = {target_type}",)


@dataclass(frozen=True, slots=True)
class Page:
    """Events in order. The next page begins beyond the index `end`; None on the last one."""

    events: Sequence[pb.AuditEvent]
    end: int | None


@dataclass(frozen=True, slots=True)
class _Span:
    """A range of indexes, both ends included."""

    low: int
    high: int

    def within(self, low: int, high: int) -> _Span:
        return _Span(max(self.low, low), min(self.high, high))


async def read_page(
    pool: Pool, workspace: str, wanted: Filter, limit: int, *, text: str, oldest_first: bool, beyond: int | None
) -> Page:
    """Up to `limit` events beyond an index; there may be fewer, or none, and more on the next page."""
    async with pool.transaction() as connection:
        await connection.execute(reads.queries.plan_for_filter)
        head = await connection.fetchval(reads.queries.head, workspace) or 0
        begin = (0 if oldest_first else INDEX_ABOVE_ALL) if beyond is None else beyond
        span = _Span(begin + 1, head) if oldest_first else _Span(1, min(begin - 1, head))
        recorded = await _recorded(connection, workspace, wanted, head)
        conditions = await _selected(connection, workspace, wanted, span.within(recorded.low, recorded.high))
        scan = _scan_max(wanted, conditions, limit, text)
        rows = await connection.fetch(
            _statement(conditions, timed=recorded != _Span(1, head), oldest_first=oldest_first),
            workspace,
            *_ends(span.within(recorded.low, recorded.high)),
            scan,
            wanted.principal,
            wanted.action,
            wanted.target_type,
            wanted.target_id,
            wanted.start_time,
            wanted.end_time,
            wanted.outcome,
            any_case(text) if text else None,
            # One more than asked for tells whether there are more.
            limit + 1,
            PAGE_BYTES_MAX,
            *_ends(span.within(recorded.high + 1, head)),
            *_ends(span.within(1, recorded.low - 1)),
        )
    shown = [row for row in rows if row["index"] is not None][:limit]
    events = [reads.read_event(row) for row in shown]
    if rows[0]["found"] > len(shown):
        return Page(events, events[-1].index)
    # All that was looked at is told; where that was as much as may be, there is more to look at.
    last = rows[0]["highest" if oldest_first else "lowest"]
    return Page(events, last if rows[0]["scanned"] == scan else None)


def _ends(span: _Span) -> tuple[int, int]:
    return span.low, span.high


async def _recorded(connection: Connection, workspace: str, wanted: Filter, head: int) -> _Span:
    """Where the records are of acts in the wanted time, but for those that were told late."""
    low, high = 1, head
    if wanted.start_time is not None:
        row = await _first_recorded(connection, workspace, wanted.start_time, -LATE, head)
        low = row["earliest"]
    if wanted.end_time is not None:
        row = await _first_recorded(connection, workspace, wanted.end_time, LATE, head)
        high = row["latest"] - 1
    return _Span(low, min(high, head))


async def _first_recorded(
    connection: Connection, workspace: str, moment: datetime, shift: timedelta, head: int
) -> Any:
    try:
        moment += shift
    except OverflowError:
        pass
    return await connection.fetchrow(queries.first_recorded, workspace, moment, head)


async def _selected(connection: Connection, workspace: str, wanted: Filter, span: _Span) -> tuple[str, ...]:
    """The conditions, one of which each candidate has: those of the place of the filter that the fewest events have."""
    known = _known(wanted)
    ordered = [one for one in known if one is not _TYPE]
    if len(known) < 2 and ordered == known:
        return known[0] if known else _ANY
    counts = [await _count(connection, workspace, wanted, span, one) for one in known]
    count, place = min((count, place) for place, count in enumerate(counts))
    if count < FEW:
        return known[place]
    return ordered[0] if ordered else _ANY


def _known(wanted: Filter) -> list[tuple[str, ...]]:
    found = []
    if wanted.target_id is not None:
        found.append(_TARGET)
    if wanted.principal is not None:
        found.append(_PRINCIPAL)
    if wanted.action is not None:
        found.append(_ACTION)
    if wanted.outcome == pb.OUTCOME_DENIED:
        found.append(_REFUSED)
    if wanted.target_type is not None and wanted.target_id is None:
        found.append(_TYPE)
    return found


async def _count(
    connection: Connection, workspace: str, wanted: Filter, span: _Span, conditions: Sequence[str]
) -> int:
    """How many events a place of the filter has, up to FEW."""
    total = 0
    for condition in conditions:
        values = [getattr(wanted, name) for name in _COLUMNS if f"{{{name}}}" in condition]
        names = [name for name in _COLUMNS if f"{{{name}}}" in condition]
        numbered = {name: f"${number}" for number, name in enumerate(names, start=5)}
        statement = queries.probe.format(condition=condition.format(**numbered))
        total += await connection.fetchval(statement, workspace, *_ends(span), FEW, *values)
    return min(total, FEW)


# Of `scan`.
_COLUMNS: Final = {"principal": "$5", "action": "$6", "target_type": "$7", "target_id": "$8"}


def _statement(conditions: Sequence[str], *, timed: bool, oldest_first: bool) -> str:
    parts = [
        queries.candidates.format(low="$2", high="$3", condition=condition.format(**_COLUMNS))
        for condition in conditions
    ]
    if timed:
        parts += [
            queries.candidates.format(low=low, high=high, condition=_LATE)
            for low, high in (("$15", "$16"), ("$17", "$18"))
        ]
    statement = queries.scan.format(candidates=" UNION ALL ".join(parts))
    return statement.replace(" DESC", "") if oldest_first else statement


def _scan_max(wanted: Filter, conditions: Sequence[str], limit: int, text: str) -> int:
    if conditions is _ANY:
        return SCAN_MAX if text or wanted != Filter() else limit + 1
    places = [name for name in wanted.__slots__ if getattr(wanted, name) is not None]
    told = {_TARGET: ["target_type", "target_id"], _PRINCIPAL: ["principal"], _ACTION: ["action"], _REFUSED: ["outcome"]}
    return limit + 1 if places == told.get(tuple(conditions)) and not text else SPREAD_SCAN_MAX


def any_case(text: str) -> str:
    """A regular expression for a text in whatever case: the database's own idea of case depends on its locale."""
    return "".join(_any_case(character) for character in text)


def _any_case(character: str) -> str:
    cases = sorted({character, character.lower(), character.upper()})
    return "(?:" + "|".join("".join(map(_literal, one)) for one in cases) + ")"


def _literal(character: str) -> str:
    # A letter or digit after a backslash would mean something.
    return character if character.isalnum() else f"\\U{ord(character):08x}"
