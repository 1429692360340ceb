"""Looks for a secret in everything that a system keeps or tells, however it is encoded.

Each scan gives where it found what. A scan that finds nothing proves nothing by itself: scan for something that must be
there beside it.
"""

from __future__ import annotations

import base64
import json
import os
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, quote_plus

import asyncpg
from nats.aio.client import Client
from nats.js.errors import NotFoundError

# Read at once of a file, and rows of a table.
CHUNK_BYTES = 1 << 20
CHUNK_ROWS = 1_000
STREAMS_PAGE = 256


def make_canary() -> str:
    """A secret that is nowhere else, with characters that make its forms differ from one another."""
    return f"canary-{uuid.uuid4().hex}/?é end"


class Sighting(NamedTuple):
    """Where a secret was seen, and in which form."""

    where: str
    form: str


def forms(secret: str) -> Mapping[str, bytes]:
    """What to look for, by the encoding's name."""
    raw = secret.encode()
    found = {
        "exact": raw,
        "json": json.dumps(secret)[1:-1].encode(),
        "utf-16": secret.encode("utf-16-le"),
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "url": quote(secret, safe="").encode(),
        "url lower": quote(secret, safe="").replace("%C3%A9", "%c3%a9").replace("%2F", "%2f").encode(),
        "url path": quote(secret).encode(),
        "form": quote_plus(secret).encode(),
        "url of every byte": "".join(f"%{byte:02X}" for byte in raw).encode(),
    }
    for shift in range(3):
        found[f"base64 at {shift}"] = _base64(raw, shift)
        found[f"base64url at {shift}"] = _base64(raw, shift).replace(b"+", b"-").replace(b"/", b"_")
    # The same bytes under two names are looked for once.
    return {name: form for form, name in {form: name for name, form in reversed(found.items())}.items()}


def _base64(raw: bytes, shift: int) -> bytes:
    """The characters that stand in any base64 text with these bytes at an offset of 3n + shift."""
    text = base64.b64encode(bytes(shift) + raw)
    # Neighbours before share the first characters with it, those after the last.
    first = (0, 2, 3)[shift]
    whole = (len(raw) + shift) // 3 * 4
    return text[first:whole]


def in_text(secret: str, texts: Mapping[str, str | bytes]) -> list[Sighting]:
    """Of texts or bytes, by what they are called: answers, log lines, errors."""
    found = []
    for where, text in texts.items():
        data = text.encode(errors="surrogateescape") if isinstance(text, str) else text
        found += [Sighting(where, name) for name, form in forms(secret).items() if form in data]
    return found


async def in_database(secret: str, dsn: str) -> list[Sighting]:
    """Of every row of every table of every schema of ours."""
    connection = await asyncpg.connect(dsn)
    try:
        tables = await connection.fetch(
            "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c "
            "JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.relkind IN ('r', 'm', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
        )
        assert tables, "a database without tables"
        return [one for (table,) in tables for one in await _in_table(secret, connection, table)]
    finally:
        await connection.close()


async def _in_table(secret: str, connection: asyncpg.Connection[asyncpg.Record], table: str) -> list[Sighting]:
    # Columns of bytes show as hex, whatever form is within.
    looked_for = [(name, text.decode(errors="ignore")) for name, form in forms(secret).items() for text in _shown(form)]
    found: dict[Sighting, None] = {}
    async with connection.transaction():
        cursor = await connection.cursor(f"SELECT t::text FROM {table} t")
        while rows := await cursor.fetch(CHUNK_ROWS):
            for text in (_unquoted(row) for (row,) in rows):
                found |= {Sighting(table, name): None for name, form in looked_for if form in text}
    return list(found)


def _shown(form: bytes) -> Iterable[bytes]:
    yield form
    yield form.hex().encode()


def _unquoted(row: str) -> str:
    """A row's text without the quoting of its fields, which doubles quotes and backslashes."""
    return row.replace('""', '"').replace("\\\\", "\\")


async def in_nats(secret: str, client: Client) -> list[Sighting]:
    """Of every message and the configuration of every stream that the client may see."""
    jetstream = client.jetstream()
    found: list[Sighting] = []
    offset = 0
    while page := await jetstream.streams_info(offset=offset):
        for info in page:
            name = info.config.name or ""
            found += in_text(secret, {f"{name}'s configuration": str(info.config)})
            found += await _in_stream(secret, client, name, info.state.first_seq, info.state.last_seq)
        offset += len(page)
        if len(page) < STREAMS_PAGE:
            break
    return found


async def _in_stream(secret: str, client: Client, name: str, first: int, last: int) -> list[Sighting]:
    found: list[Sighting] = []
    for sequence in range(max(1, first), last + 1):
        try:
            message = await client.jetstream().get_msg(name, sequence)
        except NotFoundError:
            continue
        head = f"{message.subject} {message.headers or ''}\n".encode()
        found += in_text(secret, {f"{name} {sequence}": head + (message.data or b"")})
    return found


def in_files(secret: str, folder: Path) -> list[Sighting]:
    """Of every file below a folder, byte by byte: tables, write-ahead logs, stores, logs, configuration.

    What Postgres or NATS compressed does not show; `in_database` and `in_nats` see that.
    """
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            found += [Sighting(str(path.relative_to(folder)), form) for form in _in_file(secret, path)]
    return found


def _in_file(secret: str, path: Path) -> Iterable[str]:
    looked_for = forms(secret)
    overlap = max(map(len, looked_for.values()))
    seen: dict[str, None] = {}
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        # Servers delete files meanwhile.
        return seen
    with os.fdopen(fd, "rb") as file:
        tail = b""
        while chunk := file.read(CHUNK_BYTES):
            data = tail + chunk
            seen |= {name: None for name, form in looked_for.items() if form in data}
            tail = data[-overlap:]
    return seen
