"""onward.registry.v1.FunctionService."""

# gRPC names methods as the protos do.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kit.rpc import names
from onward.registry.v1 import function_service_pb2 as pb
from onward.registry.v1 import function_service_pb2_grpc, resources_pb2
from services.registry import queries
from services.registry.handlers.functions import FunctionHandlers
from services.registry.rpc.reading import Reading, last_id
from services.registry.templates import Template

# A version's number in names: the newest one.
LATEST = "/versions/latest"
# Numbers in names have up to 18 digits, those of versions 32 bits; a larger one exists nowhere.
NUMBER_MAX = 2**31 - 1


class FunctionServicer(function_service_pb2_grpc.FunctionServiceServicer):
    """See the proto."""

    def __init__(self, handlers: FunctionHandlers, reading: Reading, templates: Mapping[str, Template]) -> None:
        self._handlers = handlers
        self._reading = reading
        self._templates = templates

    async def CreateFunction(self, request: pb.CreateFunctionRequest, context: Any) -> pb.CreateFunctionResponse:
        (workspace,) = names.WORKSPACE.parse(request.parent, "parent")
        return await self._handlers.create_function(request, workspace)

    async def GetFunction(self, request: pb.GetFunctionRequest, context: Any) -> pb.GetFunctionResponse:
        workspace, function = names.FUNCTION.parse(request.name)
        await self._reading.wait_for(workspace, request.at_least_position)
        found = await queries.get_function(self._reading.pool, workspace, function)
        return pb.GetFunctionResponse(function=found)

    async def ListFunctions(self, request: pb.ListFunctionsRequest, context: Any) -> pb.ListFunctionsResponse:
        (workspace,) = names.WORKSPACE.parse(request.parent, "parent")

        async def read(after: str, limit: int) -> list[resources_pb2.Function]:
            return await queries.list_functions(self._reading.pool, workspace, after, limit)

        page, following = await self._reading.page(
            ("functions", workspace), request.page_size, request.page_token, read, lambda one: last_id(one.name)
        )
        return pb.ListFunctionsResponse(functions=page, next_page_token=following)

    async def SaveFunction(self, request: pb.SaveFunctionRequest, context: Any) -> pb.SaveFunctionResponse:
        return await self._handlers.save_function(request, *names.FUNCTION.parse(request.name))

    async def GetVersion(self, request: pb.GetVersionRequest, context: Any) -> pb.GetVersionResponse:
        workspace, function, number = _version(request.name)
        found = await queries.get_version(self._reading.pool, workspace, function, number)
        return pb.GetVersionResponse(version=found)

    async def ListVersions(self, request: pb.ListVersionsRequest, context: Any) -> pb.ListVersionsResponse:
        workspace, function = names.FUNCTION.parse(request.parent, "parent")
        # An empty list would hide that there is no such function.
        await queries.get_function(self._reading.pool, workspace, function)

        async def read(below: str, limit: int) -> list[resources_pb2.Version]:
            number = int(below or queries.NUMBER_ABOVE_ALL)
            return await queries.list_versions(self._reading.pool, workspace, function, number, limit)

        page, following = await self._reading.page(
            ("versions", request.parent), request.page_size, request.page_token, read, lambda one: str(one.number)
        )
        return pb.ListVersionsResponse(versions=page, next_page_token=following)

    async def DeployVersion(self, request: pb.DeployVersionRequest, context: Any) -> pb.DeployVersionResponse:
        workspace, function, number = _version(request.name)
        return await self._handlers.deploy_version(request, workspace, function, number)

    async def ListTemplates(self, request: pb.ListTemplatesRequest, context: Any) -> pb.ListTemplatesResponse:
        return pb.ListTemplatesResponse(templates=[_template(one) for one in self._templates.values()])


def _version(name: str) -> tuple[str, str, int | None]:
    """Workspace, function and number of a version's name; None for `latest`."""
    if name.endswith(LATEST):
        workspace, function = names.FUNCTION.parse(name.removesuffix(LATEST))
        return workspace, function, None
    workspace, function, number = names.VERSION.parse(name)
    return workspace, function, min(int(number), NUMBER_MAX)


def _template(template: Template) -> pb.Template:
    return pb.Template(
        name=template.name,
        display_name=template.display_name,
        description=template.description,
        code=template.code,
        definitions=template.definitions,
        sample_event=template.sample_event,
    )
