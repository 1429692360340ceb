"""onward.registry.v1.SourceService."""

# gRPC names methods as the protos do.

from __future__ import annotations

from typing import Any

from kit.auth.caller import current_caller
from kit.rpc import names
from kit.rpc.methods import confirms_caller
from onward.registry.v1 import resources_pb2, source_service_pb2_grpc
from onward.registry.v1 import source_service_pb2 as pb
from services.registry import queries
from services.registry.domain.visibility import told_source
from services.registry.handlers.sources import SourceHandlers
from services.registry.queries.sources import list_write_keys
from services.registry.rpc.reading import Reading, last_id


class SourceServicer(source_service_pb2_grpc.SourceServiceServicer):
    """See the proto."""

    def __init__(self, handlers: SourceHandlers, reading: Reading) -> None:
        self._handlers = handlers
        self._reading = reading

    async def CreateSource(self, request: pb.CreateSourceRequest, context: Any) -> pb.CreateSourceResponse:
        (workspace,) = names.WORKSPACE.parse(request.parent, "parent")
        return await self._handlers.create(request, workspace)

    async def GetSource(self, request: pb.GetSourceRequest, context: Any) -> pb.GetSourceResponse:
        workspace, source = names.SOURCE.parse(request.name)
        await self._reading.wait_for(workspace, request.at_least_position)
        found = await queries.get_source(self._reading.pool, workspace, source)
        return pb.GetSourceResponse(source=told_source(found, current_caller().sources))

    async def ListSources(self, request: pb.ListSourcesRequest, context: Any) -> pb.ListSourcesResponse:
        (workspace,) = names.WORKSPACE.parse(request.parent, "parent")

        async def read(after: str, limit: int) -> list[resources_pb2.Source]:
            return await queries.list_sources(self._reading.pool, workspace, after, limit)

        page, following = await self._reading.page(
            ("sources", workspace), request.page_size, request.page_token, read, lambda one: last_id(one.name)
        )
        shown = [told_source(one, current_caller().sources) for one in page]
        return pb.ListSourcesResponse(sources=shown, next_page_token=following)

    @confirms_caller
    async def UpdateSource(self, request: pb.UpdateSourceRequest, context: Any) -> pb.UpdateSourceResponse:
        return await self._handlers.update(request, *names.SOURCE.parse(request.name))

    async def DeleteSource(self, request: pb.DeleteSourceRequest, context: Any) -> pb.DeleteSourceResponse:
        return await self._handlers.delete(request, *names.SOURCE.parse(request.name))

    async def CreateWriteKey(self, request: pb.CreateWriteKeyRequest, context: Any) -> pb.CreateWriteKeyResponse:
        return await self._handlers.create_write_key(request, *names.SOURCE.parse(request.parent, "parent"))

    async def RevokeWriteKey(self, request: pb.RevokeWriteKeyRequest, context: Any) -> pb.RevokeWriteKeyResponse:
        return await self._handlers.revoke_write_key(request, *names.WRITE_KEY.parse(request.name))

    async def ListWriteKeys(self, request: pb.ListWriteKeysRequest, context: Any) -> pb.ListWriteKeysResponse:
        workspace, source = names.SOURCE.parse(request.parent, "parent")
        # An empty list would hide that there is no such source.
        await queries.get_source(self._reading.pool, workspace, source)

        async def read(after: str, limit: int) -> list[resources_pb2.WriteKey]:
            return await list_write_keys(self._reading.pool, workspace, source, after, limit)

        page, following = await self._reading.page(
            ("writeKeys", request.parent), request.page_size, request.page_token, read, lambda one: last_id(one.name)
        )
        return pb.ListWriteKeysResponse(write_keys=page, next_page_token=following)
