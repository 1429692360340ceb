"""Every method of the registry that users call, by reflection: whom it lets in, and what the others are told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from kit.errors import OnwardError
from kit.rpc.access import Access, declared_access
from onward.common.v1 import access_pb2 as access
from onward.registry.v1 import resources_pb2 as pb
from tests.integration.people_world import grant, somebody
from tests.integration.registry_world import Stubs, World, running

pytestmark = pytest.mark.integration

SERVICES = {
    "workspaces": "WorkspaceService",
    "operator": "OperatorService",
    "functions": "FunctionService",
    "sources": "SourceService",
    "destinations": "DestinationService",
    "internal": "InternalService",
}
# Who has the least of roles may call these.
FOR_ALL = {access.PERMISSION_NONE, access.PERMISSION_WORKSPACE_VIEW, access.PERMISSION_WORKSPACE_ENTER}
OUTSIDE = {access.PERMISSION_OPERATE, access.PERMISSION_SERVICE}


def methods() -> list[tuple[str, MethodDescriptor, Access]]:
    pool = descriptor_pool.Default()
    return [
        (stub, method, declared_access(method))
        for stub, service in SERVICES.items()
        for method in pool.FindServiceByName(f"onward.registry.v1.{service}").methods
    ]


def request_for(method: MethodDescriptor, needs: Access, workspace: str) -> Message:
    """A request whose names are of the workspace; of nothing that exists."""
    request: Message = GetMessageClass(method.input_type)()
    for path in (needs.resource_path, *(path for _, path in needs.also)):
        where: Any = request
        for part in path[:-1]:
            where = getattr(where, part)
        if path:
            setattr(where, path[-1], f"workspaces/{workspace}/functions/none")
    return request


async def told(caller: Stubs, stub: str, method: MethodDescriptor, request: Message) -> str:
    """The code of the refusal, "" for none."""
    try:
        await getattr(getattr(caller, stub), method.name)(request)
    except OnwardError as error:
        return error.code
    return ""


@pytest.fixture
async def world(database: str, nats_url: str) -> AsyncIterator[World]:
    async with running(database, nats_url) as world:
        yield world


async def test_no_method_lets_a_stranger_an_outsider_or_a_mere_member_in(world: World) -> None:
    """H1: UNAUTHENTICATED, NOT_FOUND, PERMISSION_DENIED."""
    owner = await world.workspace()
    await world.workspace("other")
    strangers = [world.caller(""), world.caller("onw_zzzz9999_0123456789abcdefghjkmnpqrstv")]
    member = await somebody(world, owner, grant(pb.ROLE_MEMBER))
    nobody = await somebody(world, owner, grant(pb.ROLE_AUDITOR), member="eve")
    assert len(methods()) > 50
    for stub, method, needs in methods():
        if needs.permission == access.PERMISSION_NONE:
            continue
        name, own = method.full_name, request_for(method, needs, "acme")
        for stranger in strangers:
            # A user's token, known or not, is not what services and the operator present.
            allowed = {"UNAUTHENTICATED"} | ({"PERMISSION_DENIED"} if needs.permission in OUTSIDE else set())
            assert await told(stranger, stub, method, own) in allowed, name
        if needs.permission in OUTSIDE:
            assert await told(owner, stub, method, own) in ("PERMISSION_DENIED", "UNAUTHENTICATED"), name
            continue
        for workspace in ("other", "none"):
            elsewhere = request_for(method, needs, workspace)
            assert await told(owner, stub, method, elsewhere) == "NOT_FOUND", name
        if needs.permission not in FOR_ALL:
            assert await told(member, stub, method, own) == "PERMISSION_DENIED", name
        if needs.permission != access.PERMISSION_WORKSPACE_ENTER:
            assert await told(nobody, stub, method, own) == "PERMISSION_DENIED", name
        assert await told(world.operator, stub, method, own) == "PERMISSION_DENIED", name


async def test_an_owner_is_refused_nothing_for_its_rights(world: World) -> None:
    owner = await world.workspace()
    for stub, method, needs in methods():
        if needs.permission not in OUTSIDE:
            code = await told(owner, stub, method, request_for(method, needs, "acme"))
            assert code not in ("PERMISSION_DENIED", "UNAUTHENTICATED"), method.full_name
