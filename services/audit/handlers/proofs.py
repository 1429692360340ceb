"""What the Merkle log answers: checkpoints, proofs, and the records that they are about."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

from kit.errors import Unavailable
from kit.postgres.pool import Pool
from kit.rpc.names import AUDIT_EVENT, malformed
from onward.audit.v1 import audit_service_pb2 as pb
from services.audit.domain import merkle
from services.audit.domain.checkpoints import Signer
from services.audit.domain.records import record_bytes
from services.audit.errors import Missing
from services.audit.handlers.trees import RECORD_BYTES_MAX, RECORDS_MAX, queries, read_tree

# A tree follows its records within about this time.
GROWS_WITHIN_S = 1.0


class Proofs:
    """Reads trees; whoever may read a workspace's trail may have all of it."""

    def __init__(self, pool: Pool, signer: Signer | None) -> None:
        self._pool = pool
        self.verifier_key = signer.verifier_key if signer else ""

    async def checkpoint(self, workspace: str, size: int) -> pb.GetCheckpointResponse:
        """The latest, or the first of at least a size; raises Missing."""
        found = await self.last_or_first(workspace, size)
        if found is None:
            raise Missing(f"A checkpoint of workspaces/{workspace} of {size or 'any'} records")
        return pb.GetCheckpointResponse(size=found[0], checkpoint=found[1], verifier_key=self.verifier_key)

    async def inclusion(self, workspace: str, index: int, tree_size: int) -> pb.GetInclusionProofResponse:
        """That a record is in a tree; raises Missing, and Unavailable for a record that no tree has yet."""
        # Postgres looks for one while we read the other.
        row, (size, note) = await asyncio.gather(
            self._pool.fetchrow(queries.record, workspace, index), self.tree(workspace, tree_size)
        )
        if row is None:
            raise Missing(AUDIT_EVENT.format(workspace, index))
        if index > size:
            if tree_size:
                raise malformed("tree_size", f"must be {index} at least, to have this record in it")
            raise Unavailable("No checkpoint covers this record yet; ask again.", retry_after_s=GROWS_WITHIN_S)
        hashes = await read_tree(self._pool, workspace, partial(merkle.inclusion_proof, index=index - 1, size=size))
        record = record_bytes(dict(row))
        return pb.GetInclusionProofResponse(
            record=record, index=index, tree_size=size, hashes=hashes, checkpoint=note
        )  # fmt: skip

    async def consistency(self, workspace: str, old_size: int, tree_size: int) -> pb.GetConsistencyProofResponse:
        """That a tree is the beginning of a later one."""
        size, note = await self.tree(workspace, tree_size)
        hashes = await self.consistency_hashes(workspace, old_size, size)
        return pb.GetConsistencyProofResponse(hashes=hashes, tree_size=size, checkpoint=note)

    async def consistency_hashes(self, workspace: str, old_size: int, size: int) -> list[bytes]:
        """The proof itself."""
        if old_size > size:
            raise malformed("old_size", f"must not be above {size}, the size of the other tree")
        return await read_tree(self._pool, workspace, partial(merkle.consistency_proof, old_size=old_size, size=size))

    async def export(self, workspace: str, after: int, until: int) -> AsyncIterator[pb.ExportAuditEventsResponse]:
        """Records after an index, in messages of about 1 MB, and the checkpoint with the last."""
        last, note = await self.end(workspace, until, "the last record's index")
        if after >= last:
            yield pb.ExportAuditEventsResponse(last_index=after, until_index=last, checkpoint=note)
        while after < last:
            limit = min(RECORDS_MAX, last - after)
            rows = await self._pool.fetch(queries.records, workspace, after, limit, RECORD_BYTES_MAX)
            after = rows[-1]["index"]
            yield pb.ExportAuditEventsResponse(
                records=[record_bytes(dict(row)) for row in rows],
                last_index=after,
                until_index=last,
                checkpoint=note if after == last else "",
            )

    async def last_or_first(self, workspace: str, size: int) -> tuple[int, str] | None:
        """The latest checkpoint, or the first of at least a size."""
        query = (queries.checkpoint, workspace, size) if size else (queries.last_checkpoint, workspace)
        row = await self._pool.fetchrow(*query)
        return (row["size"], row["note"]) if row else None

    async def tree(self, workspace: str, wanted: int) -> tuple[int, str]:
        """The size of a tree, and the checkpoint of just that size, "" where there is none.

        Without a `wanted` size it is what the latest checkpoint covers; where nothing is signed, all that is there.
        """
        found = await self.last_or_first(workspace, wanted)
        if not wanted:
            return found or (await self._size(workspace), "")
        if found is None:
            await self._require(workspace, wanted, "tree_size", "the number of records")
        return wanted, found[1] if found and found[0] == wanted else ""

    async def end(self, workspace: str, until: int, what: str) -> tuple[int, str]:
        """Where an export ends, and the first checkpoint that covers all of it; `what` names the most for errors."""
        if not until:
            return await self.tree(workspace, 0)
        found = await self.last_or_first(workspace, until)
        if found is None:
            await self._require(workspace, until, "until_index", what)
        return until, found[1] if found else ""

    async def _require(self, workspace: str, wanted: int, field: str, what: str) -> None:
        """What no checkpoint covers must be there nevertheless."""
        if wanted > (size := await self._size(workspace)):
            raise malformed(field, f"must not be above {size}, {what}")

    async def _size(self, workspace: str) -> int:
        return await self._pool.fetchval(queries.size, workspace) or 0
