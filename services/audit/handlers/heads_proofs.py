"""What the tree of heads answers: checkpoints, proofs, and its leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Final

from kit.postgres.pool import Pool
from kit.rpc.names import WORKSPACE
from onward.audit.v1 import audit_service_pb2 as pb
from services.audit.domain import merkle
from services.audit.domain.heads import HEADS
from services.audit.errors import Missing
from services.audit.handlers.proofs import Proofs
from services.audit.handlers.trees import queries, read_tree

# A head takes 200 bytes.
HEADS_MAX: Final = 5_000


class HeadsProofs:
    """Reads the tree of heads."""

    def __init__(self, pool: Pool, proofs: Proofs) -> None:
        self._pool = pool
        self._proofs = proofs

    async def checkpoint(self, size: int) -> pb.GetHeadsCheckpointResponse:
        """The latest, or the first of at least a size; raises Missing."""
        found = await self._proofs.last_or_first(HEADS, size)
        if found is None:
            raise Missing(f"A checkpoint of {size or 'any'} heads")
        key = self._proofs.verifier_key
        return pb.GetHeadsCheckpointResponse(size=found[0], checkpoint=found[1], verifier_key=key)

    async def proof(self, request: pb.GetHeadsProofRequest) -> pb.GetHeadsProofResponse:
        """That a workspace's last head is in a tree, and that the tree has grown from an older one."""
        size, note = await self._proofs.tree(HEADS, request.tree_size)
        answer = pb.GetHeadsProofResponse(tree_size=size, checkpoint=note)
        if request.old_size:
            answer.consistency_hashes.extend(await self._proofs.consistency_hashes(HEADS, request.old_size, size))
        if request.workspace:
            await self._prove_head(answer, request.workspace, size)
        return answer

    async def _prove_head(self, answer: pb.GetHeadsProofResponse, name: str, size: int) -> None:
        (workspace,) = WORKSPACE.parse(name, "workspace")
        row = await self._pool.fetchrow(queries.last_head, workspace, size)
        if row is None:
            raise Missing(f"A head of {name} among the first {size}")
        proof = partial(merkle.inclusion_proof, index=row["index"] - 1, size=size)
        answer.head, answer.index = row["head"], row["index"]
        answer.inclusion_hashes.extend(await read_tree(self._pool, HEADS, proof))

    async def export(self, after: int, until: int) -> AsyncIterator[pb.ExportHeadsResponse]:
        """Heads after an index, and the checkpoint with the last."""
        last, note = await self._proofs.end(HEADS, until, "the number of heads")
        if after >= last:
            yield pb.ExportHeadsResponse(last_index=after, until_index=last, checkpoint=note)
        while after < last:
            rows = await self._pool.fetch(queries.heads, after, min(HEADS_MAX, last - after))
            after = rows[-1]["index"]
            yield pb.ExportHeadsResponse(
                heads=[row["head"] for row in rows],
                last_index=after,
                until_index=last,
                checkpoint=note if after == last else "",
            )
