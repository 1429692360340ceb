"""What tests of functions and versions have in common: members with roles, and each call once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from onward.registry.v1 import destination_service_pb2 as dpb
from onward.registry.v1 import function_service_pb2 as pb
from onward.registry.v1 import resources_pb2
from onward.registry.v1 import workspace_service_pb2 as wpb
from services.registry.projections import PROJECTED_TABLES
from tests.integration.registry_world import CODE, Stubs, World, a_function, a_source, connect, save

ACME = "workspaces/acme"
CRM = f"{ACME}/functions/crm"
ALL = pb.DeploymentTarget(all=True)
ADMIN = resources_pb2.ROLE_FUNCTIONS_ADMIN
READER = resources_pb2.ROLE_FUNCTIONS_READ_ONLY
SOURCE_ADMIN = resources_pb2.ROLE_SOURCE_ADMIN
MEMBER = resources_pb2.ROLE_MEMBER
AUDITOR = resources_pb2.ROLE_AUDITOR


def grant(role: resources_pb2.Role.ValueType, *names: str) -> resources_pb2.RoleGrant:
    """The role for those named; for all where none are."""
    if not names:
        return resources_pb2.RoleGrant(role=role)
    scope = resources_pb2.RoleScope(names=resources_pb2.ResourceNames(names=[f"{ACME}/{name}" for name in names]))
    return resources_pb2.RoleGrant(role=role, scope=scope)


async def a_member(world: World, owner: Stubs, member: str, *grants: resources_pb2.RoleGrant) -> Stubs:
    kind = resources_pb2.MEMBER_KIND_SERVICE_ACCOUNT
    request = wpb.AddMemberRequest(parent=ACME, member_id=member, kind=kind, display_name=member, grants=grants)
    await owner.workspaces.AddMember(request)
    asked = wpb.CreateTokenRequest(member=f"{ACME}/members/{member}", display_name=member)
    return world.caller((await owner.workspaces.CreateToken(asked)).secret)


async def two_destinations(world: World, definitions: list[resources_pb2.SettingDefinition] | None = None) -> Stubs:
    """Version 3 of a function whose version 2 runs for crm-web and crm-app, each on a source of its own."""
    owner = await world.workspace()
    await a_function(owner, definitions or [])
    for source in ("web", "app"):
        await a_source(owner, source)
        await connect(owner, f"crm-{source}", source=f"{ACME}/sources/{source}")
    await save(owner, definitions or [], code=f"{CODE}// 3\n")
    return owner


async def get(caller: Stubs, name: str = CRM) -> resources_pb2.Function:
    answer: pb.GetFunctionResponse = await caller.functions.GetFunction(pb.GetFunctionRequest(name=name))
    return answer.function


async def versions_of(caller: Stubs, name: str = CRM) -> list[resources_pb2.Version]:
    answer: pb.ListVersionsResponse = await caller.functions.ListVersions(pb.ListVersionsRequest(parent=name))
    return list(answer.versions)


async def listed(caller: Stubs, **fields: Any) -> list[resources_pb2.Function]:
    answer = await caller.functions.ListFunctions(pb.ListFunctionsRequest(parent=ACME, **fields))
    return list(answer.functions)


async def remove(caller: Stubs, **fields: Any) -> resources_pb2.Function:
    request = pb.DeleteFunctionRequest(**{"name": CRM, **fields})
    answer: pb.DeleteFunctionResponse = await caller.functions.DeleteFunction(request)
    return answer.function


async def runs(caller: Stubs, destination: str) -> int:
    request = dpb.GetDestinationRequest(name=f"{ACME}/destinations/{destination}")
    answer: dpb.GetDestinationResponse = await caller.destinations.GetDestination(request)
    return answer.destination.version


async def diffed(caller: Stubs, **fields: Any) -> pb.DiffVersionsResponse:
    answer: pb.DiffVersionsResponse = await caller.functions.DiffVersions(
        pb.DiffVersionsRequest(**{"name": CRM, **fields})
    )
    return answer


async def facts_of(world: World) -> list[str]:
    rows = await world.rows("SELECT type FROM facts WHERE workspace = 'acme' ORDER BY position")
    return [row["type"] for row in rows]


# Each mutation of a function, on the one of `two_destinations`.
MUTATIONS: dict[str, Callable[..., tuple[str, Any]]] = {
    "update": lambda **f: ("UpdateFunction", pb.UpdateFunctionRequest(name=CRM, display_name="New", **f)),
    "delete": lambda **f: ("DeleteFunction", pb.DeleteFunctionRequest(name=CRM, disconnect=True, **f)),
    "save": lambda **f: ("SaveFunction", pb.SaveFunctionRequest(name=CRM, code=CODE, deploy_to=ALL, **f)),
    "restore": lambda **f: (
        "RestoreVersion",
        pb.RestoreVersionRequest(name=f"{CRM}/versions/1", deploy_to=ALL, **f),
    ),
    "deploy": lambda **f: ("DeployVersion", pb.DeployVersionRequest(name=f"{CRM}/versions/3", target=ALL, **f)),
}
READS: dict[str, tuple[str, Any]] = {
    "get": ("GetFunction", pb.GetFunctionRequest(name=CRM)),
    "get version": ("GetVersion", pb.GetVersionRequest(name=f"{CRM}/versions/1")),
    "list versions": ("ListVersions", pb.ListVersionsRequest(parent=CRM)),
    "diff": ("DiffVersions", pb.DiffVersionsRequest(name=CRM)),
}


async def call(caller: Stubs, method: str, request: Any) -> Any:
    return await getattr(caller.functions, method)(request)


async def projected(world: World) -> dict[str, list[str]]:
    """Every projected row as text, byte for byte."""
    return {
        table: [row[0] for row in await world.rows(f"SELECT t::text FROM {table} t ORDER BY 1")]
        for table in PROJECTED_TABLES
    }
