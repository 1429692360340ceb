"""Two workspaces with the same ids, everybody of `access_table.PRINCIPALS`, and calls as any of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc.aio
from google.protobuf.message import Message

from kit.rpc.call import AUTHORIZATION_KEY, SERVICE_KEY
from kit.rpc.status import DETAILS_KEY
from kit.testing.eventually import eventually
from onward.registry.v1 import destination_service_pb2 as dpb
from onward.registry.v1 import function_service_pb2 as fpb
from onward.registry.v1 import resources_pb2 as r
from onward.registry.v1 import workspace_service_pb2 as wpb
from tests.integration.access_table import INSIDERS, PRINCIPALS
from tests.integration.people_world import grant
from tests.integration.registry_world import OPERATOR_TOKEN, SERVICE_TOKEN, Stubs, World, a_source, running

ACME, APEX = "workspaces/acme", "workspaces/apex"
CRM, GON = f"{ACME}/functions/crm", f"{ACME}/functions/gon"
WEB = f"{ACME}/sources/web"
RULE = r.FilterRule(title="No bots", enabled=True, condition="all", actions=[r.FilterAction(drop=True)])
# More than a workspace may have under way at once is refused (kit.rpc.limits), and more than this is no faster.
CALLS_AT_ONCE = 32

ADMIN, READER, KEEPER = r.ROLE_FUNCTIONS_ADMIN, r.ROLE_FUNCTIONS_READ_ONLY, r.ROLE_SOURCE_ADMIN
ROLES: dict[str, Sequence[r.RoleGrant]] = {
    "admin": [grant(ADMIN)],
    "admin-crm": [grant(ADMIN, CRM, GON)],
    "reader": [grant(READER)],
    "reader-crm": [grant(READER, CRM, GON)],
    "keeper": [grant(KEEPER)],
    "keeper-web": [grant(KEEPER, WEB)],
    "builder": [grant(ADMIN, CRM), grant(KEEPER, WEB)],
    "member": [grant(r.ROLE_MEMBER)],
    "auditor": [grant(r.ROLE_AUDITOR)],
    "robot": [grant(READER), grant(KEEPER, WEB)],
    "roleless": [grant(r.ROLE_MEMBER)],
    "removed": [grant(r.ROLE_OWNER)],
}
# A destination is called after what it connects in acme; in apex it connects other things.
CONNECTED = {"crm-web": ("crm", "web"), "erp-web": ("erp", "web"), "crm-ios": ("crm", "ios"), "erp-ios": ("erp", "ios")}
CONNECTED_IN_APEX = {"crm-web": ("gon", "ios"), "erp-web": ("gon", "ios"), "crm-ios": ("gon", "web")}


@dataclass(frozen=True)
class Answer:
    """What a call was answered; of errors the message and the serialized google.rpc.Status, of others the response."""

    code: str
    message: str = ""
    status: bytes = b""
    response: bytes = b""


@dataclass(frozen=True)
class Call:
    """An RPC and its request. `method` is as in access_table.NEEDS."""

    method: str
    request: Message

    @property
    def path(self) -> str:
        package, rest = self.method.split(".", 1)
        return f"/onward.{package}.v1.{rest.replace('.', '/')}"


class AccessWorld:
    """Calls as any of the principals."""

    def __init__(self, world: World, tokens: dict[str, str]) -> None:
        self.world = world
        self.tokens = tokens
        assert set(tokens) == set(PRINCIPALS)
        self._channel = grpc.aio.insecure_channel(world.app.address)

    async def ask(self, principal: str, call: Call) -> Answer:
        """The answer as it is on the wire."""
        metadata = [(AUTHORIZATION_KEY, f"Bearer {self.tokens[principal]}")] if self.tokens[principal] else []
        if principal == "service":
            metadata.append((SERVICE_KEY, "executor"))
        method: Any = self._channel.unary_unary(call.path)
        try:
            response = await method(call.request.SerializeToString(), metadata=metadata, timeout=30)
        except grpc.aio.AioRpcError as error:
            status = dict(error.trailing_metadata()).get(DETAILS_KEY, b"")
            assert isinstance(status, bytes)
            return Answer(error.code().name, error.details() or "", status)
        return Answer("OK", response=response)

    async def ask_all(self, asked: Sequence[tuple[str, Call]]) -> list[Answer]:
        """The answers in the order of the calls, a bounded number of which are under way at a time."""
        places = asyncio.Semaphore(CALLS_AT_ONCE)

        async def one(principal: str, call: Call) -> Answer:
            async with places:
                return await self.ask(principal, call)

        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(one(*pair)) for pair in asked]
        return [task.result() for task in asking]

    async def close(self) -> None:
        await self._channel.close()


@asynccontextmanager
async def access_world(database: str, nats_url: str) -> AsyncIterator[AccessWorld]:
    """A registry with both workspaces and everybody."""
    async with running(database, nats_url) as world:
        tokens = await _everybody(world)
        access = AccessWorld(world, tokens)
        try:
            yield access
        finally:
            await access.close()


async def _everybody(world: World) -> dict[str, str]:
    answer = await world.operator.workspaces.CreateWorkspace(
        wpb.CreateWorkspaceRequest(workspace_id="acme", display_name="Acme")
    )
    owner = world.caller(answer.owner_token)
    await _furnish(owner, "acme", CONNECTED)
    tokens = {"owner": answer.owner_token, "narrow": await _narrow(owner)}
    for member, grants in ROLES.items():
        tokens[member] = await _join(owner, "acme", member, grants)
    await owner.functions.DeleteFunction(fpb.DeleteFunctionRequest(name=GON))
    await _end_things(owner, tokens)
    tokens |= {
        "stranger": await _apex(world),
        "no-token": "",
        "malformed": "Basic",
        "unknown": "onw_zzzz9999_0123456789abcdefghjkmnpqrstv",
        "wrong-secret": f"{answer.owner_token[:-4]}0000",
        "jwt": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.",
        "operator": OPERATOR_TOKEN,
        "service": SERVICE_TOKEN,
    }
    return tokens


async def _furnish(owner: Stubs, workspace: str, connected: dict[str, tuple[str, str]]) -> None:
    name = f"workspaces/{workspace}"
    for function in ("crm", "erp", "gon"):
        request = fpb.CreateFunctionRequest(parent=name, function_id=function, display_name=function)
        await owner.functions.CreateFunction(request)
    for source in ("web", "ios"):
        await a_source(owner, source, workspace)
    for destination, (function, source) in connected.items():
        await owner.destinations.ConnectDestination(
            dpb.ConnectDestinationRequest(
                source=f"{name}/sources/{source}",
                function=f"{name}/functions/{function}",
                destination_id=destination,
                display_name=destination,
            )
        )
    places = [name, *(f"{name}/sources/{one}" for one in ("web", "ios"))]
    for place in [*places, *(f"{name}/destinations/{one}" for one in connected)]:
        await owner.destinations.CreateFilter(dpb.CreateFilterRequest(parent=place, filter_id="bots", rule=RULE))


async def _apex(world: World) -> str:
    """The other workspace, with the same ids: its owner's token."""
    request = wpb.CreateWorkspaceRequest(workspace_id="apex", display_name="Apex")
    token: str = (await world.operator.workspaces.CreateWorkspace(request)).owner_token
    owner = world.caller(token)
    await _furnish(owner, "apex", CONNECTED_IN_APEX)
    # What is deleted in the one workspace is not in the other.
    await owner.functions.DeleteFunction(fpb.DeleteFunctionRequest(name=f"{APEX}/functions/erp"))
    # Nor is somebody there who he is here. (Its owner is the only one, and so can't be removed.)
    for member in sorted(set(INSIDERS) - {"owner", "narrow"}):
        await _join(owner, "apex", member, [grant(ADMIN), grant(KEEPER), grant(r.ROLE_AUDITOR)])
    return token


async def _join(owner: Stubs, workspace: str, member: str, grants: Sequence[r.RoleGrant]) -> str:
    """Add a member; a token of it."""
    program = member == "robot"
    await owner.workspaces.AddMember(
        wpb.AddMemberRequest(
            parent=f"workspaces/{workspace}",
            member_id=member,
            kind=r.MEMBER_KIND_SERVICE_ACCOUNT if program else r.MEMBER_KIND_PERSON,
            display_name=member,
            grants=grants,
        )
    )
    return await _token(owner, f"workspaces/{workspace}/members/{member}")


async def _token(owner: Stubs, member: str, grants: Sequence[r.RoleGrant] = (), lasts_s: float = 0) -> str:
    request = wpb.CreateTokenRequest(member=member, display_name="Laptop", grants=grants)
    if lasts_s:
        request.expire_time.FromDatetime(datetime.now(UTC) + timedelta(seconds=lasts_s))
    secret: str = (await owner.workspaces.CreateToken(request)).secret
    return secret


async def _narrow(owner: Stubs) -> str:
    return await _token(owner, f"{ACME}/members/owner", [grant(READER, CRM), grant(KEEPER, WEB)])


async def _end_things(owner: Stubs, tokens: dict[str, str]) -> None:
    """Take a role, a token and a member, and let a token expire."""
    bindings = await owner.workspaces.ListRoleBindings(wpb.ListRoleBindingsRequest(parent=ACME, page_size=1000))
    (role,) = [one.name for one in bindings.role_bindings if one.member == f"{ACME}/members/roleless"]
    await owner.workspaces.RevokeRole(wpb.RevokeRoleRequest(name=role))
    tokens["revoked"] = await _token(owner, f"{ACME}/members/owner")
    token_id = tokens["revoked"].split("_")[1]
    await owner.workspaces.RevokeToken(wpb.RevokeTokenRequest(name=f"{ACME}/tokens/{token_id}"))
    await owner.workspaces.RemoveMember(wpb.RemoveMemberRequest(name=f"{ACME}/members/removed"))
    tokens["expired"] = await _token(owner, f"{ACME}/members/owner", lasts_s=0.2)


async def until_expired(access: AccessWorld) -> None:
    """Wait until the token that has an end is refused."""
    call = Call("registry.WorkspaceService.GetWorkspace", wpb.GetWorkspaceRequest(name=ACME))

    async def refused() -> bool:
        return (await access.ask("expired", call)).code == "UNAUTHENTICATED"

    await eventually(refused)
