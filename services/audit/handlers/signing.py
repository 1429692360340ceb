"""Signed checkpoints of the workspaces' trees, and of the tree of heads that ties these together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import asyncpg

from kit.clock import Clock
from kit.postgres.pool import Connection, Pool
from services.audit.domain import merkle
from services.audit.domain.checkpoints import Checkpoint, Signer
from services.audit.domain.heads import HEADS, head_bytes
from services.audit.handlers.checkpoint_folder import CheckpointFolder
from services.audit.handlers.trees import add_leaves, queries, read_tree

# Signed in one transaction: a file each is synced meanwhile, which takes milliseconds.
SIGNED_TOGETHER_MAX: Final = 100


class Signing:
    """Signs what has grown; of several replicas one at a time."""

    def __init__(self, pool: Pool, signer: Signer, folder: CheckpointFolder | None, clock: Clock) -> None:
        """`folder` keeps checkpoints outside Postgres."""
        self._pool = pool
        self._signer = signer
        self._folder = folder
        self._clock = clock

    async def sign(self) -> None:
        """Sign every tree that has grown since it was last signed, the tree of heads last."""
        await self._pool.execute(queries.create_tree, HEADS)
        while await self._sign_workspaces() == SIGNED_TOGETHER_MAX:
            pass
        await self._sign_heads()

    async def _sign_workspaces(self) -> int:
        async with self._pool.transaction() as connection:
            size = await connection.fetchval(queries.lock_heads, HEADS)
            if size is None:
                return 0
            rows = await connection.fetch(queries.unsigned, HEADS, SIGNED_TOGETHER_MAX)
            signed = [await self._sign(connection, row["workspace"], row["size"]) for row in rows]
            if rows:
                await _put_heads(connection, size, rows, signed)
        return len(rows)

    async def _sign_heads(self) -> None:
        """Only when its leaves are committed: one made again has another time, and one size must have one root."""
        size = await self._pool.fetchval(queries.size, HEADS)
        last = await self._pool.fetchrow(queries.last_checkpoint, HEADS)
        if size > (last["size"] if last else 0):
            await self._sign(self._pool, HEADS, size)

    async def _sign(self, connection: Connection | Pool, workspace: str, size: int) -> Checkpoint:
        root = await read_tree(connection, workspace, lambda read: merkle.root(read, size))
        checkpoint = Checkpoint(f"{self._signer.name}/{workspace}", size, root, self._clock.now())
        note = self._signer.sign(checkpoint)
        if self._folder is not None:
            # First, so that one which could not be kept there is signed again; its root will be the same.
            await asyncio.to_thread(self._folder.keep, workspace, size, note)
        await connection.execute(queries.put_checkpoint, workspace, size, note, checkpoint.time)
        return checkpoint


async def _put_heads(
    connection: Connection, size: int, rows: Sequence[asyncpg.Record], signed: Sequence[Checkpoint]
) -> None:
    workspaces = [row["workspace"] for row in rows]
    heads = [head_bytes(workspace, one) for workspace, one in zip(workspaces, signed, strict=True)]
    places = list(range(size + 1, size + 1 + len(heads)))
    await connection.execute(queries.put_heads, places, workspaces, [one.size for one in signed], heads)
    await add_leaves(connection, HEADS, size, [merkle.leaf_hash(one) for one in heads])
