"""Verifies a trail as its service shows it now, against every checkpoint at hand, and names what was altered."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from cli.audit_verifier import Checkpoint, Key, NotVerifiedError, Report, Verifier, leads_to, read_checkpoint
from kit.errors import NotFound
from onward.audit.v1 import audit_service_pb2 as pb
from onward.audit.v1 import audit_service_pb2_grpc as pb_grpc

# One is made every some seconds in which there are records; of more than these, every so many are asked for.
CHECKPOINTS_MAX = 1_000
# Proofs that are asked for to name a record. Checkpoints are 1,000 records apart at most while the service is well.
PROOFS_MAX = 20_000
PROOFS_AT_ONCE = 16


async def checkpoints(stub: pb_grpc.AuditServiceAsyncStub, parent: str, key: Key) -> list[Checkpoint]:
    """What the service has signed, the latest included. Raises NotVerifiedError."""
    latest = read_checkpoint((await stub.GetCheckpoint(pb.GetCheckpointRequest(parent=parent))).checkpoint, key)
    found: list[Checkpoint] = []
    size, step = 0, max(1, latest.size // CHECKPOINTS_MAX)
    while size < latest.size:
        answer = await stub.GetCheckpoint(pb.GetCheckpointRequest(parent=parent, size=min(size + step, latest.size)))
        found.append(read_checkpoint(answer.checkpoint, key))
        if found[-1].size <= size:
            raise NotVerifiedError(f"a checkpoint of more than {size} records was asked for, and a smaller one came")
        size = found[-1].size
    return found


async def verify(
    stub: pb_grpc.AuditServiceAsyncStub, parent: str, shown: Sequence[Checkpoint], kept: Iterable[Checkpoint]
) -> Report:
    """All records up to the latest checkpoint; what is altered is named, if it can be. Raises NotVerifiedError."""
    signed = [*shown, *kept]
    last = max((one.size for one in shown), default=0)
    verifier = Verifier(signed, ends_at=max((one.size for one in signed), default=0))
    async for part in stub.ExportAuditEvents(pb.ExportAuditEventsRequest(parent=parent, until_index=last)):
        for record in part.records:
            verifier.add(record)
    report = verifier.report()
    if report.altered:
        report.faults += await _named(stub, parent, report.altered, signed)
    return report


async def _named(
    stub: pb_grpc.AuditServiceAsyncStub, parent: str, altered: tuple[int, int], signed: Sequence[Checkpoint]
) -> list[str]:
    """The first record of a range whose proof does not lead to what was signed, asked for in order."""
    first, size = altered
    roots = {one.root for one in signed if one.size == size}
    for start in range(first, min(size, first + PROOFS_MAX - 1) + 1, PROOFS_AT_ONCE):
        places = range(start, min(start + PROOFS_AT_ONCE, size + 1))
        for index, holds in zip(places, await _hold(stub, parent, places, size, roots), strict=True):
            if not holds:
                return [f"record {index} is the first that is not the one that was signed"]
    return []


async def _hold(
    stub: pb_grpc.AuditServiceAsyncStub, parent: str, places: Iterable[int], size: int, roots: set[bytes]
) -> list[bool]:
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(_holds(stub, parent, index, size, roots)) for index in places]
    return [one.result() for one in asked]


async def _holds(stub: pb_grpc.AuditServiceAsyncStub, parent: str, index: int, size: int, roots: set[bytes]) -> bool:
    name = f"{parent}/auditEvents/{index}"
    try:
        proof = await stub.GetInclusionProof(pb.GetInclusionProofRequest(name=name, tree_size=size))
        return leads_to(proof.record, index, size, list(proof.hashes)) in roots
    except (NotVerifiedError, NotFound):
        return False


async def verifier_key(stub: pb_grpc.AuditServiceAsyncStub, parent: str) -> str:
    """What the service says of itself. Raises OnwardError."""
    return (await stub.GetCheckpoint(pb.GetCheckpointRequest(parent=parent))).verifier_key
