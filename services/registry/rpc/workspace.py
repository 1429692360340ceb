"""onward.registry.v1.WorkspaceService."""

# gRPC names methods as the protos do.

from __future__ import annotations

from typing import Any

from kit.auth.caller import current_caller
from kit.rpc import names
from kit.rpc.names import malformed
from onward.registry.v1 import resources_pb2, workspace_service_pb2_grpc
from onward.registry.v1 import workspace_service_pb2 as pb
from services.registry import queries
from services.registry.domain.visibility import told_workspace
from services.registry.handlers.authorization import LocalAuthorizer
from services.registry.handlers.lookups import Lookups
from services.registry.handlers.members import MemberHandlers
from services.registry.handlers.workspaces import WorkspaceHandlers
from services.registry.queries import people
from services.registry.rpc.reading import Reading, last_id

_TESTABLE = (names.WORKSPACE, names.FUNCTION, names.SOURCE, names.DESTINATION)


class WorkspaceServicer(workspace_service_pb2_grpc.WorkspaceServiceServicer):
    """See the proto."""

    def __init__(
        self,
        handlers: WorkspaceHandlers,
        members: MemberHandlers,
        lookups: Lookups,
        authorizer: LocalAuthorizer,
        reading: Reading,
    ) -> None:
        self._handlers = handlers
        self._members = members
        self._lookups = lookups
        self._authorizer = authorizer
        self._reading = reading

    async def CreateWorkspace(self, request: pb.CreateWorkspaceRequest, context: Any) -> pb.CreateWorkspaceResponse:
        return await self._handlers.create_workspace(request)

    async def GetWorkspace(self, request: pb.GetWorkspaceRequest, context: Any) -> pb.GetWorkspaceResponse:
        (workspace,) = names.WORKSPACE.parse(request.name)
        await self._reading.wait_for(workspace, request.at_least_position)
        found = await queries.get_workspace(self._reading.pool, workspace)
        standing = await self._authorizer.standing(self._reading.pool, current_caller())
        return pb.GetWorkspaceResponse(workspace=told_workspace(found, standing.rights))

    async def ListWorkspaces(self, request: pb.ListWorkspacesRequest, context: Any) -> pb.ListWorkspacesResponse:
        async def read(after: str, limit: int) -> list[resources_pb2.Workspace]:
            return await queries.list_workspaces(self._reading.pool, after, limit)

        page, following = await self._reading.page(
            ("workspaces", ""), request.page_size, request.page_token, read, lambda one: last_id(one.name)
        )
        return pb.ListWorkspacesResponse(workspaces=page, next_page_token=following)

    async def UpdateWorkspace(self, request: pb.UpdateWorkspaceRequest, context: Any) -> pb.UpdateWorkspaceResponse:
        (workspace,) = names.WORKSPACE.parse(request.name)
        return await self._handlers.update_workspace(request, workspace)

    async def AddMember(self, request: pb.AddMemberRequest, context: Any) -> pb.AddMemberResponse:
        (workspace,) = names.WORKSPACE.parse(request.parent, "parent")
        return await self._members.add_member(request, workspace)

    async def RemoveMember(self, request: pb.RemoveMemberRequest, context: Any) -> pb.RemoveMemberResponse:
        workspace, member = names.MEMBER.parse(request.name)
        return await self._members.remove_member(request, workspace, member)

    async def ListMembers(self, request: pb.ListMembersRequest, context: Any) -> pb.ListMembersResponse:
        (workspace,) = names.WORKSPACE.parse(request.parent, "parent")

        async def read(after: str, limit: int) -> list[resources_pb2.Member]:
            return await people.list_members(self._reading.pool, workspace, after, limit)

        page, following = await self._reading.page(
            ("members", workspace), request.page_size, request.page_token, read, lambda one: last_id(one.name)
        )
        return pb.ListMembersResponse(members=page, next_page_token=following)

    async def GrantRole(self, request: pb.GrantRoleRequest, context: Any) -> pb.GrantRoleResponse:
        workspace, member = names.MEMBER.parse(request.member, "member")
        return await self._members.grant_role(request, workspace, member)

    async def RevokeRole(self, request: pb.RevokeRoleRequest, context: Any) -> pb.RevokeRoleResponse:
        workspace, binding = names.ROLE_BINDING.parse(request.name)
        return await self._members.revoke_role(request, workspace, binding)

    async def ListRoleBindings(self, request: pb.ListRoleBindingsRequest, context: Any) -> pb.ListRoleBindingsResponse:
        (workspace,) = names.WORKSPACE.parse(request.parent, "parent")

        async def read(after: str, limit: int) -> list[resources_pb2.RoleBinding]:
            return await people.list_role_bindings(self._reading.pool, workspace, after, limit)

        page, following = await self._reading.page(
            ("roleBindings", workspace), request.page_size, request.page_token, read, lambda one: last_id(one.name)
        )
        return pb.ListRoleBindingsResponse(role_bindings=page, next_page_token=following)

    async def CreateToken(self, request: pb.CreateTokenRequest, context: Any) -> pb.CreateTokenResponse:
        workspace, member = names.MEMBER.parse(request.member, "member")
        return await self._members.create_token(request, workspace, member)

    async def RevokeToken(self, request: pb.RevokeTokenRequest, context: Any) -> pb.RevokeTokenResponse:
        workspace, token = names.TOKEN.parse(request.name)
        return await self._members.revoke_token(request, workspace, token)

    async def ListTokens(self, request: pb.ListTokensRequest, context: Any) -> pb.ListTokensResponse:
        (workspace,) = names.WORKSPACE.parse(request.parent, "parent")

        async def read(after: str, limit: int) -> list[resources_pb2.Token]:
            return await people.list_tokens(self._reading.pool, workspace, after, limit)

        page, following = await self._reading.page(
            ("tokens", workspace), request.page_size, request.page_token, read, lambda one: last_id(one.name)
        )
        return pb.ListTokensResponse(tokens=page, next_page_token=following)

    async def TestPermissions(self, request: pb.TestPermissionsRequest, context: Any) -> pb.TestPermissionsResponse:
        if not any(one.matches(request.name) for one in _TESTABLE):
            raise malformed("name", f"must be of a form of {', '.join(one.text for one in _TESTABLE)}")
        caller = current_caller()
        held = await self._authorizer.permitted(caller, request.name, request.permissions)
        return pb.TestPermissionsResponse(permissions=held, principal=caller.principal)  # type: ignore[arg-type]  # plain numbers

    async def FindSecret(self, request: pb.FindSecretRequest, context: Any) -> pb.FindSecretResponse:
        (workspace,) = names.WORKSPACE.parse(request.parent, "parent")
        return await self._lookups.find_secret(request, workspace)
