"""onward.registry.v1.OperatorService."""

# gRPC names methods as the protos do.

from __future__ import annotations

from typing import Any

from kit.rpc import names
from onward.registry.v1 import operator_service_pb2 as pb
from onward.registry.v1 import operator_service_pb2_grpc
from services.registry.handlers.keys import KeyHandlers
from services.registry.handlers.members import MemberHandlers
from services.registry.handlers.workspaces import WorkspaceHandlers


class OperatorServicer(operator_service_pb2_grpc.OperatorServiceServicer):
    """See the proto."""

    def __init__(self, handlers: WorkspaceHandlers, members: MemberHandlers, keys: KeyHandlers) -> None:
        self._handlers = handlers
        self._members = members
        self._keys = keys

    async def SetLimits(self, request: pb.SetLimitsRequest, context: Any) -> pb.SetLimitsResponse:
        (workspace,) = names.WORKSPACE.parse(request.name)
        return await self._handlers.set_limits(request, workspace)

    async def AllowEgressRange(self, request: pb.AllowEgressRangeRequest, context: Any) -> pb.AllowEgressRangeResponse:
        (workspace,) = names.WORKSPACE.parse(request.name)
        return await self._handlers.allow_egress_range(request, workspace)

    async def DisallowEgressRange(
        self, request: pb.DisallowEgressRangeRequest, context: Any
    ) -> pb.DisallowEgressRangeResponse:
        (workspace,) = names.WORKSPACE.parse(request.name)
        return await self._handlers.disallow_egress_range(request, workspace)

    async def ErasePerson(self, request: pb.ErasePersonRequest, context: Any) -> pb.ErasePersonResponse:
        workspace, member = names.MEMBER.parse(request.name)
        return await self._members.erase_person(request, workspace, member)

    async def RotateKeys(self, request: pb.RotateKeysRequest, context: Any) -> pb.RotateKeysResponse:
        return await self._keys.rotate(request)

    async def GetKeyStatus(self, request: pb.GetKeyStatusRequest, context: Any) -> pb.GetKeyStatusResponse:
        return await self._keys.status()
