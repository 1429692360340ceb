"""onward.registry.v1.SourceService."""

# gRPC names methods as the protos do.

from __future__ import annotations

from typing import Any

from kit.rpc import names
from onward.registry.v1 import resources_pb2, source_service_pb2_grpc
from onward.registry.v1 import source_service_pb2 as pb
from services.registry import queries
from services.registry.handlers.workspaces import WorkspaceHandlers
from services.registry.rpc.reading import Reading, last_id


class SourceServicer(source_service_pb2_grpc.SourceServiceServicer):
    """See the proto."""

    def __init__(self, handlers: WorkspaceHandlers, reading: Reading) -> None:
        self._handlers = handlers
        self._reading = reading

    async def CreateSource(self, request: pb.CreateSourceRequest, context: Any) -> pb.CreateSourceResponse:
        (workspace,) = names.WORKSPACE.parse(request.parent, "parent")
        return await self._handlers.create_source(request, workspace)

    async def GetSource(self, request: pb.GetSourceRequest, context: Any) -> pb.GetSourceResponse:
        workspace, source = names.SOURCE.parse(request.name)
        await self._reading.wait_for(workspace, request.at_least_position)
        return pb.GetSourceResponse(source=await queries.get_source(self._reading.pool, workspace, source))

    async def ListSources(self, request: pb.ListSourcesRequest, context: Any) -> pb.ListSourcesResponse:
        (workspace,) = names.WORKSPACE.parse(request.parent, "parent")

        async def read(after: str, limit: int) -> list[resources_pb2.Source]:
            return await queries.list_sources(self._reading.pool, workspace, after, limit)

        page, following = await self._reading.page(
            ("sources", workspace), request.page_size, request.page_token, read, lambda one: last_id(one.name)
        )
        return pb.ListSourcesResponse(sources=page, next_page_token=following)
