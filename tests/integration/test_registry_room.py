"""C8: an entity whose stream is full of changes, as callers meet it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from kit.eventstore import store
from onward.registry.v1 import destination_service_pb2 as dpb
from onward.registry.v1 import function_service_pb2 as fpb
from onward.registry.v1 import operator_service_pb2 as opb
from onward.registry.v1 import resources_pb2
from onward.registry.v1 import source_service_pb2 as spb
from onward.registry.v1 import workspace_service_pb2 as wpb
from services.registry.domain import room
from tests.integration import registry_world
from tests.integration.registry_world import Stubs, World, a_source, refused

ACME = "workspaces/acme"
WEB = f"{ACME}/sources/web"
CRM = f"{ACME}/functions/crm"
CRM_WEB = f"{ACME}/destinations/crm-web"
ADA = f"{ACME}/members/ada"
ROOM = 12
FACTS_MAX = 20

Change = Callable[[int], Awaitable[Any]]


@pytest.fixture
async def world(database: str, nats_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(room, "ENTITY_FACTS_MAX", FACTS_MAX)
    monkeypatch.setattr(store, "STREAM_FACTS_MAX", FACTS_MAX + ROOM)
    async with registry_world.running(database, nats_url) as running:
        yield running


async def wear_out(change: Change, resource: str, advice: str) -> None:
    """Change something until that is refused, with advice."""
    async with refused("RESOURCE_EXHAUSTED", "LIMIT_REACHED") as error:
        for number in range(FACTS_MAX + 1):
            await change(number)
    assert (error["limit"], error["max"], error["resource"]) == ("entity_facts", str(FACTS_MAX), resource)
    assert advice in error["message"]


async def a_filter(owner: Stubs, parent: str) -> str:
    rule = resources_pb2.FilterRule(
        title="Drop", enabled=True, condition='userId = "u1"', actions=[resources_pb2.FilterAction(drop=True)]
    )
    made: str = (await owner.destinations.CreateFilter(dpb.CreateFilterRequest(parent=parent, rule=rule))).filter.name
    return made


async def a_destination(owner: Stubs) -> None:
    await a_source(owner, "web")
    await owner.functions.CreateFunction(fpb.CreateFunctionRequest(parent=ACME, function_id="crm", display_name="CRM"))
    secret = {"apiKey": resources_pb2.SettingValue(string_value="key")}
    await owner.destinations.ConnectDestination(
        dpb.ConnectDestinationRequest(
            source=WEB, function=CRM, destination_id="crm-web", display_name="CRM", settings=secret
        )
    )


async def test_a_sources_keys_can_be_revoked_however_often_it_was_changed(world: World) -> None:
    owner = await world.workspace()
    await a_source(owner, "web")
    key = (await owner.sources.CreateWriteKey(spb.CreateWriteKeyRequest(parent=WEB))).write_key.name
    made = await a_filter(owner, WEB)

    async def rename(number: int) -> None:
        await owner.sources.UpdateSource(spb.UpdateSourceRequest(name=WEB, display_name=f"Web {number}"))

    await wear_out(rename, WEB, "Create a new source")
    async with refused("RESOURCE_EXHAUSTED", "LIMIT_REACHED"):
        await owner.sources.CreateWriteKey(spb.CreateWriteKeyRequest(parent=WEB))
    await owner.sources.RevokeWriteKey(spb.RevokeWriteKeyRequest(name=key))
    await owner.destinations.DeleteFilter(dpb.DeleteFilterRequest(name=made))
    await owner.sources.DeleteSource(spb.DeleteSourceRequest(name=WEB))


async def test_a_destination_can_be_emptied_and_ended_however_often_it_was_changed(world: World) -> None:
    owner = await world.workspace()
    await a_destination(owner)
    made = await a_filter(owner, CRM_WEB)
    await owner.destinations.EnableDestination(dpb.EnableDestinationRequest(name=CRM_WEB))

    async def tune(number: int) -> None:
        policy = resources_pb2.DeliveryPolicy(retry_only_explicit=number % 2 == 0)
        await owner.destinations.UpdateDeliveryPolicy(dpb.UpdateDeliveryPolicyRequest(name=CRM_WEB, policy=policy))

    await wear_out(tune, CRM_WEB, "Connect a new destination")
    await owner.destinations.DisableDestination(dpb.DisableDestinationRequest(name=CRM_WEB))
    async with refused("RESOURCE_EXHAUSTED", "LIMIT_REACHED"):
        await owner.destinations.EnableDestination(dpb.EnableDestinationRequest(name=CRM_WEB))
    await owner.destinations.SetSettings(dpb.SetSettingsRequest(name=CRM_WEB, clear=["apiKey"]))
    await owner.destinations.DeleteFilter(dpb.DeleteFilterRequest(name=made))
    await owner.destinations.DisconnectDestination(dpb.DisconnectDestinationRequest(name=CRM_WEB))


async def test_a_function_can_be_deleted_however_often_it_and_its_destination_were_changed(world: World) -> None:
    owner = await world.workspace()
    await a_destination(owner)

    async def tune(number: int) -> None:
        policy = resources_pb2.DeliveryPolicy(retry_only_explicit=number % 2 == 0)
        await owner.destinations.UpdateDeliveryPolicy(dpb.UpdateDeliveryPolicyRequest(name=CRM_WEB, policy=policy))

    async def save(number: int) -> None:
        code = f"async function onTrack() {{ return {number} }}"
        await owner.functions.SaveFunction(fpb.SaveFunctionRequest(name=CRM, code=code, keep_definitions=True))

    await wear_out(tune, CRM_WEB, "Connect a new destination")
    await wear_out(save, CRM, "Create a new function")
    await owner.functions.DeleteFunction(fpb.DeleteFunctionRequest(name=CRM, disconnect=True))


async def test_an_owner_can_be_removed_however_often_its_roles_changed(world: World) -> None:
    owner = await world.workspace()
    grant = resources_pb2.RoleGrant(role=resources_pb2.ROLE_OWNER)
    kind = resources_pb2.MEMBER_KIND_SERVICE_ACCOUNT
    request = wpb.AddMemberRequest(parent=ACME, member_id="ada", kind=kind, display_name="Ada", grants=[grant])
    await owner.workspaces.AddMember(request)
    ada = world.caller(
        (await owner.workspaces.CreateToken(wpb.CreateTokenRequest(member=ADA, display_name="Ada"))).secret
    )

    async def take_turns(_number: int) -> None:
        auditor = resources_pb2.RoleGrant(role=resources_pb2.ROLE_AUDITOR)
        bound = await ada.workspaces.GrantRole(wpb.GrantRoleRequest(member=ADA, grant=auditor))
        await ada.workspaces.RevokeRole(wpb.RevokeRoleRequest(name=bound.role_binding.name))

    await wear_out(take_turns, ADA, "Add the member again")
    await owner.workspaces.RemoveMember(wpb.RemoveMemberRequest(name=ADA))
    async with refused("UNAUTHENTICATED", "INVALID_TOKEN"):
        await ada.workspaces.GetWorkspace(wpb.GetWorkspaceRequest(name=ACME))


async def test_an_owner_cannot_keep_the_operator_from_withdrawing(world: World) -> None:
    """An owner's changes must not reach across the workspace's border."""
    owner = await world.workspace()
    allowed = opb.AllowEgressRangeRequest(name=ACME, range="10.1.0.0/16")
    await world.operator.operator.AllowEgressRange(allowed)
    made = await a_filter(owner, ACME)

    async def rename(number: int) -> None:
        change = wpb.UpdateWorkspaceRequest(name=ACME, display_name=f"Acme {number}", members_may_edit_functions=True)
        await owner.workspaces.UpdateWorkspace(change)

    await wear_out(rename, ACME, "Ask the operator")
    withdrawn = opb.DisallowEgressRangeRequest(name=ACME, range="10.1.0.0/16")
    answer = await world.operator.operator.DisallowEgressRange(withdrawn)
    assert not answer.workspace.egress_ranges
    limits = opb.SetLimitsRequest(name=ACME, functions_max=1)
    assert (await world.operator.operator.SetLimits(limits)).workspace.functions_max == 1
    async with refused("RESOURCE_EXHAUSTED", "LIMIT_REACHED"):
        await world.operator.operator.AllowEgressRange(allowed)
    change = wpb.UpdateWorkspaceRequest(name=ACME, members_may_edit_functions=False)
    assert not (await owner.workspaces.UpdateWorkspace(change)).workspace.members_may_edit_functions
    await owner.destinations.DeleteFilter(dpb.DeleteFilterRequest(name=made))
