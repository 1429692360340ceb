"""Pages of the trail in either order, filtered, and searched by a text.

A page looks at so many candidates at most, whatever the filter: those of one condition that an index knows, in the
order of their indexes. So it takes milliseconds in a trail of millions; where few of the candidates match, it is short,
or empty, and the next page goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
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
SPREAD_SCAN_MAX: Final = 1_000
# Looked at first, times what is wanted: mostly enough.
FIRST_SCAN: Final = 4
# A condition with fewer than these leads to all of its records at once.
FEW: Final = 1_000
# By so much the time of an act and that of its record may differ before an index has it among the few that do; see
# migrations/0004.
LATE: Final = timedelta(minutes=1)

queries = load_queries(Path(__file__).parent / "listing.sql")

_LATE = (
    "record_time - occur_time NOT BETWEEN interval '-1 min' AND interval '1 min'"
    " AND occur_time >= coalesce($9::timestamptz, '-infinity') AND occur_time < coalesce($10::timestamptz, 'infinity')"
)
_ANY = ("true",)
# Conditions that an index has in the order of their records' indexes; each for one place of `Filter`, the strictest
# first. What is done with a credential is asked for by principal as well.
_TARGET = ("target_type = {target_type} AND target_id = {target_id}",)
_PRINCIPAL = ("principal = {principal}", "credential = {principal} AND credential <> '' AND principal <> {principal}")
_ACTION = ("action = {action}",)
_REFUSED = ("outcome <> 1",)
# All names at once, since a look at each takes four times as long; and where the text is of ASCII without a regular
# expression, which takes three times as long again.
_NAMES = "concat_ws(E'\\n', e.target_display_name, e.target_id, e.principal, e.credential)"
_ASCII_TEXT = f'strpos(lower({_NAMES} COLLATE "C"), $12) > 0'
_OTHER_TEXT = f"{_NAMES} ~ $12"
_NO_TEXT = "$12::text IS NULL"
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

    def within(self, other: _Span) -> _Span:
        """What both have; maybe nothing."""
        return _Span(max(self.low, other.low), min(self.high, other.high))

    @property
    def ends(self) -> tuple[int, int]:
        """As a statement takes them."""
        return self.low, self.high


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
        conditions = await _selected(connection, workspace, wanted, span.within(recorded))
        reading = _Reading(connection, workspace, wanted, limit, text, oldest_first)
        for scan_max in _scans(wanted, conditions, limit, text):
            page = await reading.scan(conditions, span, recorded, scan_max)
            if len(page.events) == limit or page.end is None:
                break
    return page


@dataclass(frozen=True, slots=True)
class _Reading:
    """What is asked for."""

    connection: Connection
    workspace: str
    wanted: Filter
    limit: int
    text: str
    oldest_first: bool

    async def scan(self, conditions: Sequence[str], span: _Span, recorded: _Span, scan_max: int) -> Page:
        """Look at up to `scan_max` candidates."""
        wanted = self.wanted
        timed = wanted.start_time is not None or wanted.end_time is not None
        rows = await self.connection.fetch(
            _statement(conditions, self.text, timed=timed, oldest_first=self.oldest_first),
            self.workspace,
            *span.within(recorded).ends,
            scan_max,
            wanted.principal,
            wanted.action,
            wanted.target_type,
            wanted.target_id,
            wanted.start_time,
            wanted.end_time,
            wanted.outcome,
            _sought(self.text),
            # One more than asked for tells whether there are more.
            self.limit + 1,
            PAGE_BYTES_MAX,
            *span.within(_Span(recorded.high + 1, span.high)).ends,
            *span.within(_Span(span.low, recorded.low - 1)).ends,
        )
        return self._page(rows, scan_max)

    def _page(self, rows: Sequence[Any], scan_max: int) -> Page:
        shown = [row for row in rows if row["index"] is not None][: self.limit]
        events = [reads.read_event(row) for row in shown]
        if rows[0]["found"] > len(shown):
            return Page(events, events[-1].index)
        # All that was looked at is told; where that was as much as may be, there is more to look at.
        last = rows[0]["highest" if self.oldest_first else "lowest"]
        return Page(events, last if rows[0]["scanned"] == scan_max else None)


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


async def _first_recorded(connection: Connection, workspace: str, moment: datetime, shift: timedelta, head: int) -> Any:
    with suppress(OverflowError):
        moment += shift
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
    found: list[tuple[str, ...]] = []
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


async def _count(connection: Connection, workspace: str, wanted: Filter, span: _Span, conditions: Sequence[str]) -> int:
    """How many events a place of the filter has, up to FEW."""
    total = 0
    for condition in conditions:
        values = [getattr(wanted, name) for name in _COLUMNS if f"{{{name}}}" in condition]
        names = [name for name in _COLUMNS if f"{{{name}}}" in condition]
        numbered = {name: f"${number}" for number, name in enumerate(names, start=5)}
        statement = queries.probe.format(condition=condition.format(**numbered))
        total += await connection.fetchval(statement, workspace, *span.ends, FEW, *values)
    return min(total, FEW)


# Of `scan`.
_COLUMNS: Final = {"principal": "$5", "action": "$6", "target_type": "$7", "target_id": "$8"}


def _statement(conditions: Sequence[str], text: str, *, timed: bool, oldest_first: bool) -> str:
    parts = [
        queries.candidates.format(low="$2", high="$3", condition=condition.format(**_COLUMNS))
        for condition in conditions
    ]
    if timed:
        parts += [
            queries.candidates.format(low=low, high=high, condition=_LATE)
            for low, high in (("$15", "$16"), ("$17", "$18"))
        ]
    statement = queries.scan.format(candidates=" UNION ALL ".join(parts), matches_text=_matches(text))
    return statement.replace(" DESC", "") if oldest_first else statement


def _scans(wanted: Filter, conditions: Sequence[str], limit: int, text: str) -> Sequence[int]:
    """How many candidates to look at, and where these do not fill the page, how many then."""
    exact = {_TARGET: ("target_type", "target_id"), _PRINCIPAL: ("principal",), _ACTION: ("action",), _ANY: ()}
    places = tuple(name for name in wanted.__slots__ if getattr(wanted, name) is not None)
    if not text and places == exact.get(tuple(conditions)):
        return [limit + 1]
    scan_max = SCAN_MAX if text and conditions is _ANY else SPREAD_SCAN_MAX
    few = FIRST_SCAN * (limit + 1)
    return [few, scan_max] if few < scan_max else [scan_max]


def _matches(text: str) -> str:
    if not text:
        return _NO_TEXT
    return _ASCII_TEXT if text.isascii() else _OTHER_TEXT


def _sought(text: str) -> str | None:
    if not text:
        return None
    return text.lower() if text.isascii() else any_case(text)


def any_case(text: str) -> str:
    """A regular expression for a text in whatever case: what the database takes for cases depends on its locale."""
    return "".join(_any_case(character) for character in text)


def _any_case(character: str) -> str:
    cases = sorted({character, character.lower(), character.upper()})
    return "(?:" + "|".join("".join(map(_literal, one)) for one in cases) + ")"


def _literal(character: str) -> str:
    # A letter or digit after a backslash would mean something.
    return character if character.isalnum() else f"\\U{ord(character):08x}"
