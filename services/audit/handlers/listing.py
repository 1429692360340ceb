"""Pages of the trail in either order, and searched by a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kit.postgres.pool import Pool
from kit.postgres.queries import load_queries
from onward.audit.v1 import audit_service_pb2 as pb
from services.audit import queries as reads
from services.audit.queries import INDEX_ABOVE_ALL, PAGE_BYTES_MAX, Filter

# Records that one page is searched among. A text can be anywhere in a name, for which Postgres has no index without
# extensions; so many take some 10 ms, and a search of millions is as many short pages as it takes.
SCAN_MAX: Final = 10_000

_scan = load_queries(Path(__file__).parent / "listing.sql").scan
_SCANS: Final = {False: _scan, True: _scan.replace("index < $2", "index > $2").replace(" DESC", "")}


@dataclass(frozen=True, slots=True)
class Page:
    """Events in order. The next page begins beyond the index `end`; None on the last one."""

    events: Sequence[pb.AuditEvent]
    end: int | None


async def read_page(
    pool: Pool, workspace: str, wanted: Filter, limit: int, *, text: str, oldest_first: bool, beyond: int | None
) -> Page:
    """Up to `limit` events beyond an index; with a text there may be fewer, or none, and more on the next page."""
    if text or oldest_first:
        return await _scanned(pool, workspace, wanted, limit, text=text, oldest_first=oldest_first, beyond=beyond)
    below = INDEX_ABOVE_ALL if beyond is None else beyond
    events, more = await reads.list_events(pool, workspace, below, wanted, limit)
    return Page(events, events[-1].index if more else None)


async def _scanned(
    pool: Pool, workspace: str, wanted: Filter, limit: int, *, text: str, oldest_first: bool, beyond: int | None
) -> Page:
    begin = (0 if oldest_first else INDEX_ABOVE_ALL) if beyond is None else beyond
    # One more than asked for tells whether there are more.
    scan = SCAN_MAX if text else limit + 1
    async with pool.transaction() as connection:
        await connection.execute(reads.queries.plan_for_filter)
        rows = await connection.fetch(
            _SCANS[oldest_first],
            workspace,
            begin,
            scan,
            limit + 1,
            PAGE_BYTES_MAX,
            wanted.start_time,
            wanted.end_time,
            wanted.principal,
            wanted.action,
            wanted.target_type,
            wanted.target_id,
            wanted.outcome,
            any_case(text) if text else None,
        )
    shown = [row for row in rows if row["index"] is not None][:limit]
    events = [reads.read_event(row) for row in shown]
    if rows[0]["found"] > len(shown):
        return Page(events, events[-1].index)
    # All that was looked at is told; where that was as much as may be, there is more to look at.
    last = rows[0]["highest" if oldest_first else "lowest"]
    return Page(events, last if rows[0]["scanned"] == scan else None)


def any_case(text: str) -> str:
    """A regular expression for a text in whatever case: the database's own idea of case depends on its locale."""
    return "".join(_any_case(character) for character in text)


def _any_case(character: str) -> str:
    cases = sorted({character, character.lower(), character.upper()})
    return "(?:" + "|".join("".join(map(_literal, one)) for one in cases) + ")"


def _literal(character: str) -> str:
    # A letter or digit after a backslash would mean something.
    return character if character.isalnum() else f"\\U{ord(character):08x}"
