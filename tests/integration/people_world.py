"""What tests of members, roles and tokens have in common."""

from __future__ import annotations

from typing import Any

from onward.common.v1 import facts_pb2 as stored
from onward.registry.v1 import internal_service_pb2 as ipb
from onward.registry.v1 import resources_pb2 as pb
from onward.registry.v1 import workspace_service_pb2 as wpb
from tests.integration.registry_world import Stubs, World

ACME = "workspaces/acme"
ADA = f"{ACME}/members/ada"
CRM, ERP = f"{ACME}/functions/crm", f"{ACME}/functions/erp"
PERSON = pb.MEMBER_KIND_PERSON
OWNER = pb.RoleGrant(role=pb.ROLE_OWNER)


def grant(role: pb.Role.ValueType, *names: str) -> pb.RoleGrant:
    scope = pb.RoleScope(names=pb.ResourceNames(names=names)) if names else None
    return pb.RoleGrant(role=role, scope=scope)


async def add(owner: Stubs, member: str = "ada", **fields: Any) -> wpb.AddMemberResponse:
    values = {"parent": ACME, "member_id": member, "kind": PERSON, **fields}
    answer: wpb.AddMemberResponse = await owner.workspaces.AddMember(wpb.AddMemberRequest(**values))
    return answer


async def token_of(owner: Stubs, member: str = "ada", **fields: Any) -> wpb.CreateTokenResponse:
    request = wpb.CreateTokenRequest(**{"member": f"{ACME}/members/{member}", "display_name": "Laptop", **fields})
    answer: wpb.CreateTokenResponse = await owner.workspaces.CreateToken(request)
    return answer


async def somebody(world: World, owner: Stubs, *grants: pb.RoleGrant, member: str = "ada", **fields: Any) -> Stubs:
    """A new member with these roles, by a token of its own."""
    await add(owner, member, grants=grants)
    return world.caller((await token_of(owner, member, **fields)).secret)


async def facts_of(world: World, workspace: str = "acme") -> list[stored.StoredFact]:
    read = stored.ReadFactsRequest(workspace=workspace)
    answer: ipb.ReadFactsResponse = await world.service.internal.ReadFacts(ipb.ReadFactsRequest(read=read))
    return list(answer.read.facts)


async def see(caller: Stubs, name: str = ACME) -> None:
    await caller.workspaces.GetWorkspace(wpb.GetWorkspaceRequest(name=name))


def remove(member: str = ADA, **fields: Any) -> wpb.RemoveMemberRequest:
    return wpb.RemoveMemberRequest(name=member, **fields)


async def everything_kept(world: World) -> str:
    """All rows of all tables, as text and as what bytes hold."""
    tables = await world.rows(
        "SELECT quote_ident(schemaname) || '.' || quote_ident(relname) AS name FROM pg_stat_user_tables"
    )
    found: list[str] = []
    for table in tables:
        for row in await world.rows(f"SELECT * FROM {table['name']}"):  # names from the catalog
            found += [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in row.values()]
    return "\n".join(found)
