"""The trail's Merkle trees: grown after the records, signed now and then, and read for proofs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import asyncpg
import structlog

from kit.clock import Clock
from kit.errors import OnwardError
from kit.postgres.pool import Connection, Pool
from kit.postgres.queries import load_queries
from services.audit.domain import merkle
from services.audit.domain.checkpoints import Checkpoint, Signer
from services.audit.domain.merkle import ReadSubtree, TileKey
from services.audit.domain.records import record_bytes
from services.audit.handlers.checkpoint_folder import CheckpointFolder

log = structlog.get_logger(__name__)

queries = load_queries(Path(__file__).parent / "merkle_log.sql")

# One transaction's worth: some 10 ms of hashing, and 1 MB of records.
RECORDS_MAX: Final = 1_000
RECORD_BYTES_MAX: Final = 1024 * 1024
WORKSPACES_MAX: Final = 100
# Another replica's records are seen within this time; this one's at once.
POLL_S: Final = 1.0
# A tree that has grown this much is signed at once.
UNSIGNED_MAX: Final = 1_000

Row = asyncpg.Record


class MerkleLog:
    """Grows and signs the trees of all workspaces; several replicas may."""

    def __init__(
        self, pool: Pool, signer: Signer | None, folder: CheckpointFolder | None, clock: Clock, sign_every_s: float
    ) -> None:
        """Without a `signer` trees grow and nothing vouches for them; `folder` keeps checkpoints outside Postgres."""
        self._pool = pool
        self._signer = signer
        self._folder = folder
        self._clock = clock
        self._sign_every_s = sign_every_s
        self._woken = asyncio.Event()
        self._signed_at = clock.monotonic()
        self._grown = 0

    def wake(self) -> None:
        """Look now: something was recorded here."""
        self._woken.set()

    async def run(self) -> None:
        """Grow and sign until cancelled."""
        if self._signer is None:
            log.warning("checkpoints_not_signed", advice="set ONWARD_AUDIT_SIGNING_KEY")
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._woken.wait()
            self._woken.clear()
            try:
                await self.grow()
                if self._grown >= UNSIGNED_MAX or self._clock.monotonic() - self._signed_at >= self._sign_every_s:
                    await self.sign()
            except (OnwardError, OSError) as error:
                log.warning("trees_not_grown", error=str(error), retry_in_s=POLL_S)
                await asyncio.sleep(POLL_S)

    async def grow(self) -> None:
        """Bring every tree up to its workspace's last record."""
        while behind := [row["workspace"] for row in await self._pool.fetch(queries.behind, WORKSPACES_MAX)]:
            for workspace in behind:
                self._grown += await self._grow(workspace)

    async def _grow(self, workspace: str) -> int:
        async with self._pool.transaction() as connection:
            size = await _lock(connection, workspace)
            rows = await connection.fetch(queries.records, workspace, size, RECORDS_MAX, RECORD_BYTES_MAX)
            leaves = [merkle.leaf_hash(record_bytes(dict(row))) for row in rows]
            tiles = await _tiles(connection, workspace, merkle.edge(size))
            changed = merkle.grown(tiles, size, leaves)
            await connection.execute(queries.put_tiles, workspace, *_columns(changed), list(changed.values()))
            await connection.execute(queries.set_size, workspace, size + len(leaves))
        return len(leaves)

    async def sign(self) -> None:
        """Sign every tree that has grown since its last checkpoint."""
        self._signed_at, self._grown = self._clock.monotonic(), 0
        if self._signer is None:
            return
        for row in await self._pool.fetch(queries.unsigned):
            await self._sign(self._signer, row["workspace"], row["size"])

    async def _sign(self, signer: Signer, workspace: str, size: int) -> None:
        root = await read_tree(self._pool, workspace, lambda read: merkle.root(read, size))
        now = self._clock.now()
        note = signer.sign(Checkpoint(f"{signer.name}/{workspace}", size, root, now))
        if self._folder is not None:
            # First, so that one which could not be kept there is signed again. Another replica's note is as good.
            await asyncio.to_thread(self._folder.keep, workspace, size, note)
        await self._pool.execute(queries.put_checkpoint, workspace, size, note, now)


async def read_tree(pool: Pool, workspace: str, use: Callable[[ReadSubtree], merkle.Result]) -> merkle.Result:
    """What a computation over a workspace's tree gives; its tiles are fetched together."""
    async with pool.acquire() as connection:
        tiles = await _tiles(connection, workspace, merkle.tiles_read(use))
    return use(merkle.reading(tiles))


async def _lock(connection: Connection, workspace: str) -> int:
    size = await connection.fetchval(queries.lock_tree, workspace)
    if size is None:
        await connection.execute(queries.create_tree, workspace)
        size = await connection.fetchval(queries.lock_tree, workspace)
    return int(size)


async def _tiles(connection: Connection, workspace: str, keys: Iterable[TileKey]) -> Mapping[TileKey, bytes]:
    rows = await connection.fetch(queries.tiles, workspace, *_columns(keys))
    return {(row["level"], row["tile"]): row["hashes"] for row in rows}


def _columns(keys: Iterable[TileKey]) -> tuple[list[int], list[int]]:
    listed = list(keys)
    return [level for level, _ in listed], [tile for _, tile in listed]
