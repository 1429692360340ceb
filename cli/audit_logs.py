"""The logs that a service has, as a monitor asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from kit.errors import InvalidArgument, NotFound
from onward.audit.v1 import audit_service_pb2 as pb
from onward.audit.v1 import audit_service_pb2_grpc as pb_grpc

HEADS = "_workspaces"


class WorkspaceLog:
    """The trail of one workspace."""

    def __init__(self, stub: pb_grpc.AuditServiceAsyncStub, workspace: str) -> None:
        self.name = workspace
        self._stub = stub
        self._parent = f"workspaces/{workspace}"

    async def checkpoint(self, size: int) -> tuple[str, str] | None:
        """See `Log`."""
        try:
            answer = await self._stub.GetCheckpoint(pb.GetCheckpointRequest(parent=self._parent, size=size))
        except NotFound:
            return None
        return answer.checkpoint, answer.verifier_key

    async def consistency(self, old_size: int, size: int) -> Sequence[bytes] | None:
        """See `Log`."""
        request = pb.GetConsistencyProofRequest(parent=self._parent, old_size=old_size, tree_size=size)
        try:
            return list((await self._stub.GetConsistencyProof(request)).hashes)
        except InvalidArgument:
            return None

    async def last_record(self) -> int:
        """See `Log`."""
        answer = await self._stub.ListAuditEvents(pb.ListAuditEventsRequest(parent=self._parent, page_size=1))
        return answer.audit_events[0].index if answer.audit_events else 0

    async def recorded_at(self, index: int) -> datetime | None:
        """See `Log`."""
        name = f"{self._parent}/auditEvents/{index}"
        try:
            answer = await self._stub.GetAuditEvent(pb.GetAuditEventRequest(name=name))
        except NotFound:
            return None
        return answer.audit_event.record_time.ToDatetime(tzinfo=UTC)


class HeadsLog:
    """The tree of heads, which has a leaf for each checkpoint of each workspace; the operator's."""

    name = HEADS

    def __init__(self, stub: pb_grpc.AuditServiceAsyncStub) -> None:
        self._stub = stub
        self._size = 0

    async def checkpoint(self, size: int) -> tuple[str, str] | None:
        """See `Log`."""
        try:
            answer = await self._stub.GetHeadsCheckpoint(pb.GetHeadsCheckpointRequest(size=size))
        except NotFound:
            return None
        self._size = max(self._size, answer.size)
        return answer.checkpoint, answer.verifier_key

    async def consistency(self, old_size: int, size: int) -> Sequence[bytes] | None:
        """See `Log`."""
        try:
            answer = await self._stub.GetHeadsProof(pb.GetHeadsProofRequest(old_size=old_size, tree_size=size))
        except InvalidArgument:
            return None
        return list(answer.consistency_hashes)

    async def last_record(self) -> int:
        """See `Log`; heads are made when they are signed."""
        return self._size

    async def recorded_at(self, index: int) -> datetime | None:
        """See `Log`; nobody waits for heads."""
        return None
