"""What all modules of queries make of rows."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

import asyncpg
from google.protobuf.timestamp_pb2 import Timestamp

from services.registry.errors import Missing


class Reader(Protocol):
    """A connection or a pool of them."""

    async def fetch(self, query: str, *args: Any) -> list[asyncpg.Record]: ...

    async def fetchrow(self, query: str, *args: Any) -> asyncpg.Record | None: ...


def require(row: asyncpg.Record | None, name: str) -> asyncpg.Record:
    """The row; raises Missing about the resource of that name."""
    if row is None:
        raise Missing(name)
    return row


def timestamp(moment: datetime | None) -> Timestamp | None:
    """As messages take it; absent where there is none."""
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
