"""A large trail for bench/audit.py: rows as the audit service makes them, put into its tables by Postgres itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import asyncpg

from kit.eventstore.facts import Fact, Meta, serialize
from kit.ids import uuid7
from onward.registry.v1 import facts_pb2 as registry
from onward.registry.v1 import resources_pb2 as pb

# What people did over three years, mostly a few of them; refusals are 2 %, and some thousand acts were told late.
EVENTS = """
INSERT INTO audit_events (
    workspace, index, service, position, fact_id, occur_time, record_time, principal, action, target_type, target_id,
    target_display_name, outcome, changes, changes_bytes, request_id, trace_id, credential
)
SELECT $1, n, 'registry', n, ('018f0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
    at - CASE WHEN n % 2003 = 0 THEN interval '3 hours' ELSE interval '0.3 s' END, at,
    CASE WHEN n % 100003 = 0 THEN 'member:rare' ELSE 'member:m' || floor(200 * power(chance, 3)) END,
    action, target_type, target_id, initcap(replace(target_id, '-', ' ')), CASE WHEN denied THEN 2 ELSE 1 END,
    changes::json, length(changes), 'req-' || n, md5(n::text), 'token:' || left(md5(floor(900 * chance)::text), 8)
FROM (
    SELECT n, at, chance, denied,
        CASE WHEN denied THEN 'AccessDenied' WHEN n % 250007 = 0 THEN 'KeysRotated' ELSE (ARRAY[
            'SettingsChanged', 'FunctionVersionSaved', 'VersionDeployed', 'DestinationEnabled', 'DestinationDisabled',
            'FunctionUpdated', 'FilterUpdated', 'FilterCreated', 'RoleGranted', 'TokenCreated'
        ])[1 + n % 10] END AS action,
        CASE WHEN n % 3 = 0 THEN 'functions' ELSE 'destinations' END AS target_type,
        CASE WHEN n % 3 = 0 THEN 'function-' || n % 499 ELSE 'destination-' || n % 997 END AS target_id,
        CASE WHEN $6 THEN '[]' ELSE '[{"field":"settings.endpoint","before":"\\"https://api.example.com/v' || n % 100
            || '\\"","after":"\\"https://api.example.com/v' || n % 100 + 1
            || '\\""},{"field":"settings.apiKey","before":"\\"set\\"","after":"\\"changed\\""}]' END AS changes
    FROM (
        SELECT n, now() - (($3 - n) * $4 * interval '1 s') AS at,
            (hashint8(n) & 65535) / 65536.0 AS chance, hashint8(n + 1) % 50 = 0 AS denied
        FROM generate_series($2::bigint, $2::bigint + $5::bigint - 1) AS n
    ) AS moments
) AS acts
"""
FACTS = """
INSERT INTO audit_facts (
    workspace, index, service, position, stream, version, type, data, meta, fact_id, recorded_at
)
SELECT workspace, index, service, position, target_type || '/' || target_id, index, action,
    convert_to(
        '{"destination":"' || target_id || '","revision":' || index || ',"changes":' || changes::text || '}', 'UTF8'
    ),
    json_build_object('principal', principal, 'credential', credential, 'request_id', request_id), fact_id, record_time
FROM audit_events WHERE workspace = $1 AND index BETWEEN $2 AND $2::bigint + $3::bigint - 1
"""
YEARS_S = 3 * 365 * 86_400
ROWS_TOGETHER = 250_000
# The rows with which the remains of full pages are filled, of a workspace of their own.
REMAINS = "remains"
REMAINS_OF_PAGE = 2
_SECONDARY = """
SELECT i.indexrelid::regclass::text AS name, pg_get_indexdef(i.indexrelid) AS made_by
FROM pg_index i LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid
WHERE i.indrelid = 'audit_events'::regclass AND c.oid IS NULL
"""


async def seed(connection: asyncpg.Connection[asyncpg.Record], sizes: dict[str, int]) -> dict[str, int]:
    """Fill empty tables, by a connection of their owner; gives the sizes of all workspaces.

    Indexes are made again after the rows. Rows of one length leave the same in every page, and what is recorded after a
    vacuum goes there first, one record a page; a trail that has grown record by record has no such remains. So they
    are filled by a workspace of short ones.
    """
    await connection.execute("SET statement_timeout = 0")
    indexes = await connection.fetch(_SECONDARY)
    for index in indexes:
        await connection.execute(f"DROP INDEX {index['name']}")
    # Foreign keys are checked row by row; these rows are made from one another.
    await connection.execute("ALTER TABLE audit_facts DISABLE TRIGGER ALL")
    for workspace, size in sizes.items():
        await fill(connection, workspace, size)
    await connection.execute("VACUUM audit_events, audit_facts", timeout=None)
    pages: int = await connection.fetchval(
        "SELECT greatest(pg_relation_size('audit_events'), pg_relation_size('audit_facts')) / 8192"
    )
    remains = REMAINS_OF_PAGE * pages
    await fill(connection, REMAINS, remains, short=True)
    await connection.execute("ALTER TABLE audit_facts ENABLE TRIGGER ALL")
    for index in indexes:
        await connection.execute(index["made_by"], timeout=None)
    await connection.execute("ANALYZE audit_events, audit_facts", timeout=None)
    return {**sizes, REMAINS: remains}


async def fill(
    connection: asyncpg.Connection[asyncpg.Record], workspace: str, size: int, *, short: bool = False
) -> None:
    """Give a workspace so many records, all of which are recorded and in no tree."""
    for first in range(1, size + 1, ROWS_TOGETHER):
        count = min(ROWS_TOGETHER, size - first + 1)
        await connection.execute(EVENTS, workspace, first, size, YEARS_S / size, count, short, timeout=None)
        await connection.execute(FACTS, workspace, first, count, timeout=None)
    await connection.execute("INSERT INTO audit_heads VALUES ($1, $2, now())", workspace, size)
    await connection.execute(
        "INSERT INTO consumer_positions (consumer, service, workspace, position) VALUES ('audit', 'registry', $1, $2)",
        workspace,
        size,
    )


def facts(workspace: str, count: int) -> Iterator[Fact]:
    """What people do all day to 100 destinations and 50 functions, as the registry's relay publishes it."""
    for position in range(1, count + 1):
        destination, function = f"destination-{position % 97}", f"function-{position % 47}"
        value = pb.SettingValue(string_value=f"https://api.example.com/v{position}")
        data = [
            registry.DestinationDisabled(destination=destination),
            registry.SettingsChanged(
                destination=destination, changes=[registry.SettingChange(name="endpoint", value=value)]
            ),
            registry.VersionDeployed(function=function, number=position, destinations=[destination]),
            registry.FunctionUpdated(function=function, display_name=f"revised {position} times"),
            registry.DestinationEnabled(destination=destination),
        ][position % 5]
        stream = f"functions/{function}" if position % 5 in (2, 3) else f"destinations/{destination}"
        now = datetime.now(UTC)
        meta = Meta("member:ada", f"request-{position}", occurred_at=now, credential="token:5f0c21ab")
        yield Fact(workspace, position, stream, 1, type(data).__name__, serialize(data), uuid7(), meta, now)
