"""The trail's Merkle trees, grown after the records and signed now and then."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from kit.clock import Clock
from kit.errors import OnwardError
from kit.postgres.pool import Connection, Pool
from kit.waiting import is_set_within
from services.audit.domain import merkle
from services.audit.domain.records import record_bytes
from services.audit.handlers.signing import Signing
from services.audit.handlers.trees import RECORD_BYTES_MAX, RECORDS_MAX, add_leaves, queries

log = structlog.get_logger(__name__)

WORKSPACES_MAX: Final = 100
# Another replica's records are seen within this time; this one's at once.
POLL_S: Final = 1.0
# What no retry heals must not fill the log.
FAULT_DELAY_S: Final = 10.0
# A tree that has grown this much is signed at once.
UNSIGNED_MAX: Final = 1_000


class MerkleLog:
    """Grows the trees of all workspaces and has them signed; several replicas may."""

    def __init__(self, pool: Pool, signing: Signing | None, clock: Clock, sign_every_s: float) -> None:
        """Without `signing` trees grow and nothing vouches for them."""
        self._pool = pool
        self._signing = signing
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
        if self._signing is None:
            log.warning("checkpoints_not_signed", advice="set ONWARD_AUDIT_SIGNING_KEY")
        more = True
        while True:
            if not more:
                await is_set_within(self._woken, POLL_S)
            self._woken.clear()
            more = False
            try:
                # Not all at once: while records go on coming, or there are millions of them, trees are signed as well.
                more = await self.grow()
                if self._grown >= UNSIGNED_MAX or self._clock.monotonic() - self._signed_at >= self._sign_every_s:
                    await self.sign()
            except (OnwardError, OSError) as error:
                log.warning("trees_not_grown", error=str(error), retry_in_s=POLL_S)
                await asyncio.sleep(POLL_S)
            except Exception:
                # A fault of ours, or tables that somebody has changed. Records must go on being made; that no tree
                # follows them is told by the check "trees".
                log.exception("trees_not_grown", retry_in_s=FAULT_DELAY_S)
                await asyncio.sleep(FAULT_DELAY_S)

    async def grow(self) -> bool:
        """Take the next records into each tree that is behind; whether there were any."""
        behind = [row["workspace"] for row in await self._pool.fetch(queries.behind, WORKSPACES_MAX)]
        # None where somebody has taken the records away.
        taken = sum([await self._grow(workspace) for workspace in behind])
        self._grown += taken
        return taken > 0

    async def _grow(self, workspace: str) -> int:
        async with self._pool.transaction() as connection:
            size = await _lock(connection, workspace)
            rows = await connection.fetch(queries.records, workspace, size, RECORDS_MAX, RECORD_BYTES_MAX)
            leaves = [merkle.leaf_hash(record_bytes(dict(row))) for row in rows]
            await add_leaves(connection, workspace, size, leaves)
        return len(leaves)

    async def sign(self) -> None:
        """Sign every tree that has grown since its last checkpoint."""
        self._signed_at, self._grown = self._clock.monotonic(), 0
        if self._signing is not None:
            await self._signing.sign()


async def _lock(connection: Connection, workspace: str) -> int:
    size = await connection.fetchval(queries.lock_tree, workspace)
    if size is None:
        await connection.execute(queries.create_tree, workspace)
        size = await connection.fetchval(queries.lock_tree, workspace)
    return int(size)
