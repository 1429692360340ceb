"""How trees are stored: as tiles, read and written together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from kit.postgres.pool import Connection, Pool
from kit.postgres.queries import load_queries
from services.audit.domain import merkle
from services.audit.domain.merkle import ReadSubtree, TileKey

queries = load_queries(Path(__file__).parent / "merkle_log.sql")

# One transaction's worth: some 10 ms of hashing, and 1 MB of records.
RECORDS_MAX: Final = 1_000
RECORD_BYTES_MAX: Final = 1024 * 1024


async def read_tree(
    connection: Connection | Pool, workspace: str, use: Callable[[ReadSubtree], merkle.Result]
) -> merkle.Result:
    """What a computation over a workspace's tree gives; its tiles are fetched together."""
    tiles = await _tiles(connection, workspace, merkle.tiles_read(use))
    return use(merkle.reading(tiles))


async def add_leaves(connection: Connection, workspace: str, size: int, leaves: Sequence[bytes]) -> None:
    """Add leaves' hashes to a tree of `size`, in a transaction that holds the tree's lock."""
    tiles = await _tiles(connection, workspace, merkle.edge(size))
    changed = merkle.grown(tiles, size, leaves)
    await connection.execute(queries.put_tiles, workspace, *_columns(changed), list(changed.values()))
    await connection.execute(queries.set_size, workspace, size + len(leaves))


async def _tiles(connection: Connection | Pool, workspace: str, keys: Iterable[TileKey]) -> Mapping[TileKey, bytes]:
    rows = await connection.fetch(queries.tiles, workspace, *_columns(keys))
    return {(row["level"], row["tile"]): row["hashes"] for row in rows}


def _columns(keys: Iterable[TileKey]) -> tuple[list[int], list[int]]:
    listed = list(keys)
    return [level for level, _ in listed], [tile for _, tile in listed]
