"""onward.registry.v1.FunctionService."""

# gRPC names methods as the protos do.

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from kit.auth.caller import current_caller
from kit.rpc import names
from kit.rpc.methods import confirms_caller
from onward.registry.v1 import function_service_pb2 as pb
from onward.registry.v1 import function_service_pb2_grpc, resources_pb2
from services.registry import queries
from services.registry.domain import diff
from services.registry.domain.visibility import shown_functions
from services.registry.handlers.authorization import LocalAuthorizer
from services.registry.handlers.functions import FunctionHandlers
from services.registry.queries import deployments
from services.registry.queries import functions as function_queries
from services.registry.rpc.reading import Reading, last_id
from services.registry.templates import Template

# A version's number in names: the newest one.
LATEST = "/versions/latest"
# Numbers in names have up to 18 digits, those of versions 32 bits; a larger one exists nowhere.
NUMBER_MAX = 2**31 - 1


class FunctionServicer(function_service_pb2_grpc.FunctionServiceServicer):
    """See the proto."""

    def __init__(
        self,
        handlers: FunctionHandlers,
        authorizer: LocalAuthorizer,
        reading: Reading,
        templates: Mapping[str, Template],
    ) -> None:
        self._handlers = handlers
        self._authorizer = authorizer
        self._reading = reading
        self._templates = templates

    async def CreateFunction(self, request: pb.CreateFunctionRequest, context: Any) -> pb.CreateFunctionResponse:
        (workspace,) = names.WORKSPACE.parse(request.parent, "parent")
        return await self._handlers.create_function(request, workspace)

    async def GetFunction(self, request: pb.GetFunctionRequest, context: Any) -> pb.GetFunctionResponse:
        workspace, function = names.FUNCTION.parse(request.name)
        await self._reading.wait_for(workspace, request.at_least_position)
        found = await function_queries.get_function(self._reading.pool, workspace, function)
        return pb.GetFunctionResponse(function=found)

    async def ListFunctions(self, request: pb.ListFunctionsRequest, context: Any) -> pb.ListFunctionsResponse:
        (workspace,) = names.WORKSPACE.parse(request.parent, "parent")
        standing = await self._authorizer.standing(self._reading.pool, current_caller())
        shown = shown_functions(standing.rights, show_deleted=request.show_deleted)

        async def read(after: str, limit: int) -> list[resources_pb2.Function]:
            return await function_queries.list_functions(self._reading.pool, workspace, after, limit, shown)

        kind = "functions, deleted too" if request.show_deleted else "functions"
        page, following = await self._reading.page(
            (kind, workspace), request.page_size, request.page_token, read, lambda one: last_id(one.name)
        )
        return pb.ListFunctionsResponse(functions=page, next_page_token=following)

    @confirms_caller
    async def SaveFunction(self, request: pb.SaveFunctionRequest, context: Any) -> pb.SaveFunctionResponse:
        return await self._handlers.save_function(request, *names.FUNCTION.parse(request.name))

    async def GetVersion(self, request: pb.GetVersionRequest, context: Any) -> pb.GetVersionResponse:
        workspace, function, number = _version(request.name)
        found = await queries.get_version(self._reading.pool, workspace, function, number)
        return pb.GetVersionResponse(version=found)

    async def ListVersions(self, request: pb.ListVersionsRequest, context: Any) -> pb.ListVersionsResponse:
        workspace, function = names.FUNCTION.parse(request.parent, "parent")
        # An empty list would hide that there is no such function.
        await function_queries.get_function(self._reading.pool, workspace, function)

        async def read(below: str, limit: int) -> list[resources_pb2.Version]:
            number = int(below or queries.NUMBER_ABOVE_ALL)
            return await queries.list_versions(self._reading.pool, workspace, function, number, limit)

        page, following = await self._reading.page(
            ("versions", request.parent), request.page_size, request.page_token, read, lambda one: str(one.number)
        )
        return pb.ListVersionsResponse(versions=page, next_page_token=following)

    @confirms_caller
    async def DeployVersion(self, request: pb.DeployVersionRequest, context: Any) -> pb.DeployVersionResponse:
        workspace, function, number = _version(request.name)
        return await self._handlers.deploy_version(request, workspace, function, number)

    @confirms_caller
    async def UpdateFunction(self, request: pb.UpdateFunctionRequest, context: Any) -> pb.UpdateFunctionResponse:
        return await self._handlers.update_function(request, *names.FUNCTION.parse(request.name))

    async def DeleteFunction(self, request: pb.DeleteFunctionRequest, context: Any) -> pb.DeleteFunctionResponse:
        return await self._handlers.delete_function(request, *names.FUNCTION.parse(request.name))

    async def RestoreVersion(self, request: pb.RestoreVersionRequest, context: Any) -> pb.RestoreVersionResponse:
        workspace, function, number = _version(request.name)
        return await self._handlers.restore_version(request, workspace, function, number)

    async def DiffVersions(self, request: pb.DiffVersionsRequest, context: Any) -> pb.DiffVersionsResponse:
        workspace, function = names.FUNCTION.parse(request.name)
        pool = self._reading.pool
        after = await queries.get_version(pool, workspace, function, request.to or None)
        number = getattr(request, "from") or after.number - 1
        before = await queries.get_version(pool, workspace, function, number) if number else None
        # A third of a second at worst, so not in the loop that answers everybody.
        told = await asyncio.to_thread(diff.diff_versions, before, after)
        return pb.DiffVersionsResponse(
            **{"from": number},
            to=after.number,
            code_diff=told.code.text,
            definitions_diff=told.definitions.text,
            truncated=told.code.truncated or told.definitions.truncated,
        )

    async def GetDeployment(self, request: pb.GetDeploymentRequest, context: Any) -> pb.GetDeploymentResponse:
        workspace, function = names.FUNCTION.parse(request.name)
        async with self._reading.pool.transaction() as connection:
            return await deployments.get_deployment(connection, workspace, function)

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
