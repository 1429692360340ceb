"""onward.registry.v1.WorkspaceService."""

# gRPC names methods as the protos do.

from __future__ import annotations

from typing import Any

from kit.rpc import names
from onward.registry.v1 import resources_pb2, workspace_service_pb2_grpc
from onward.registry.v1 import workspace_service_pb2 as pb
from services.registry import queries
from services.registry.handlers.workspaces import WorkspaceHandlers
from services.registry.rpc.reading import Reading, last_id


class WorkspaceServicer(workspace_service_pb2_grpc.WorkspaceServiceServicer):
    """See the proto."""

    def __init__(self, handlers: WorkspaceHandlers, reading: Reading) -> None:
        self._handlers = handlers
        self._reading = reading

    async def CreateWorkspace(self, request: pb.CreateWorkspaceRequest, context: Any) -> pb.CreateWorkspaceResponse:
        return await self._handlers.create_workspace(request)

    async def GetWorkspace(self, request: pb.GetWorkspaceRequest, context: Any) -> pb.GetWorkspaceResponse:
        (workspace,) = names.WORKSPACE.parse(request.name)
        await self._reading.wait_for(workspace, request.at_least_position)
        return pb.GetWorkspaceResponse(workspace=await queries.get_workspace(self._reading.pool, workspace))

    async def ListWorkspaces(self, request: pb.ListWorkspacesRequest, context: Any) -> pb.ListWorkspacesResponse:
        async def read(after: str, limit: int) -> list[resources_pb2.Workspace]:
            return await queries.list_workspaces(self._reading.pool, after, limit)

        page, following = await self._reading.page(
            ("workspaces", ""), request.page_size, request.page_token, read, lambda one: last_id(one.name)
        )
        return pb.ListWorkspacesResponse(workspaces=page, next_page_token=following)
