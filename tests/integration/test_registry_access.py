"""Roles and tokens: what they open and when they cease to, through a running registry."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from nats.aio.client import Client

from kit.eventstore.facts import Meta, NewFact
from kit.eventstore.postgres import PostgresEventStore
from kit.postgres.pool import connect_pool
from kit.testing.eventually import eventually
from onward.common.v1 import access_pb2 as access
from onward.registry.v1 import facts_pb2
from onward.registry.v1 import function_service_pb2 as fpb
from onward.registry.v1 import resources_pb2 as pb
from onward.registry.v1 import workspace_service_pb2 as wpb
from services.registry import projections
from tests.integration.people_world import (
    ACME,
    ADA,
    CRM,
    ERP,
    OWNER,
    add,
    everything_kept,
    facts_of,
    grant,
    remove,
    see,
    somebody,
    token_of,
)
from tests.integration.registry_world import Stubs, World, a_function, a_source, refused, running

pytestmark = pytest.mark.integration


@pytest.fixture
async def world(database: str, nats_url: str) -> AsyncIterator[World]:
    async with running(database, nats_url) as world:
        yield world


# --- roles ----------------------------------------------------------------------------------------------------


async def test_a_role_works_from_the_next_call_on_and_no_longer_when_revoked(world: World) -> None:
    owner = await world.workspace()
    await a_function(owner, [])
    ada = await somebody(world, owner)
    get = fpb.GetVersionRequest(name=f"{CRM}/versions/1")
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await ada.functions.GetVersion(get)
    request = wpb.GrantRoleRequest(member=ADA, grant=grant(pb.ROLE_FUNCTIONS_READ_ONLY, CRM))
    granted = await owner.workspaces.GrantRole(request)
    assert granted.role_binding.grant == request.grant
    await ada.functions.GetVersion(get)
    again = await owner.workspaces.GrantRole(request)
    assert again.role_binding == granted.role_binding
    assert [one.type for one in await facts_of(world)].count("RoleGranted") == 3
    await owner.workspaces.RevokeRole(wpb.RevokeRoleRequest(name=granted.role_binding.name))
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await ada.functions.GetVersion(get)
    async with refused("NOT_FOUND", "NOT_FOUND"):
        await owner.workspaces.RevokeRole(wpb.RevokeRoleRequest(name=granted.role_binding.name))


async def test_a_role_for_some_holds_for_no_others_and_creates_none(world: World) -> None:
    """H1: a resource outside the subset."""
    owner = await world.workspace()
    for function in ("crm", "erp"):
        await a_function(owner, [], function=function)
    ada = await somebody(world, owner, grant(pb.ROLE_FUNCTIONS_ADMIN, CRM))
    code = "async function onTrack() {}"
    await ada.functions.SaveFunction(fpb.SaveFunctionRequest(name=CRM, code=code))
    for name in (ERP, f"{ACME}/functions/none"):
        async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
            await ada.functions.SaveFunction(fpb.SaveFunctionRequest(name=name, code=code))
    create = fpb.CreateFunctionRequest(parent=ACME, display_name="New")
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await ada.functions.CreateFunction(create)
    await owner.workspaces.GrantRole(wpb.GrantRoleRequest(member=ADA, grant=grant(pb.ROLE_FUNCTIONS_ADMIN)))
    await ada.functions.CreateFunction(create)


async def test_a_member_whose_last_role_went_may_nothing(world: World) -> None:
    owner = await world.workspace()
    ada = await somebody(world, owner)
    await see(ada)
    bindings = (await owner.workspaces.ListRoleBindings(wpb.ListRoleBindingsRequest(parent=ACME))).role_bindings
    (binding,) = [one for one in bindings if one.member == ADA]
    assert binding.grant.role == pb.ROLE_MEMBER
    await owner.workspaces.RevokeRole(wpb.RevokeRoleRequest(name=binding.name))
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await see(ada)
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await ada.workspaces.TestPermissions(wpb.TestPermissionsRequest(name=ACME))


async def test_a_role_that_is_revoked_between_check_and_effect_has_no_effect(world: World, database: str) -> None:
    """H4: decision and effect are one transaction."""
    owner = await world.workspace()
    await add(owner, "ada", grants=[OWNER])
    made = await token_of(owner)
    ada = world.caller(made.secret)
    bindings = (await owner.workspaces.ListRoleBindings(wpb.ListRoleBindingsRequest(parent=ACME))).role_bindings
    (binding,) = [one.name.rpartition("/")[2] for one in bindings if one.member == ADA]
    pool = await connect_pool(database, application_name="test")
    rename = wpb.UpdateWorkspaceRequest(name=ACME, display_name="Taken over", request_id="r1")
    # Another registry holds the workspace's lock; this one has let the call in and waits for its turn.
    async with PostgresEventStore(pool).writing("acme") as unit:
        call = asyncio.ensure_future(ada.workspaces.UpdateWorkspace(rename))
        await eventually(lambda: waits_for_a_lock(world))
        revoked = NewFact("members/ada", facts_pb2.RoleRevoked(binding=binding, member="ada"))
        await projections.project(unit.connection, await unit.append([revoked], Meta("member:owner")))
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await call
    await pool.close()
    shown = await owner.workspaces.GetWorkspace(wpb.GetWorkspaceRequest(name=ACME))
    assert shown.workspace.display_name == "Acme"
    assert "WorkspaceUpdated" not in {one.type for one in await facts_of(world)}
    assert await world.rows("SELECT * FROM request_answers WHERE request_id = 'r1'") == []


async def waits_for_a_lock(world: World) -> bool:
    return bool(await world.rows("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))


async def test_the_policy_opens_functions_to_every_member_and_closes_them_again(world: World) -> None:
    owner = await world.workspace()
    ada = await somebody(world, owner)
    narrowed = world.caller((await token_of(owner, grants=[grant(pb.ROLE_MEMBER)])).secret)
    create = fpb.CreateFunctionRequest(parent=ACME, function_id="crm", display_name="CRM")
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await ada.functions.CreateFunction(create)
    shown = (await owner.workspaces.GetWorkspace(wpb.GetWorkspaceRequest(name=ACME))).workspace
    assert not shown.members_may_edit_functions
    switch = wpb.UpdateWorkspaceRequest(name=ACME, members_may_edit_functions=True, etag=shown.etag)
    updated = await owner.workspaces.UpdateWorkspace(switch)
    assert updated.workspace.members_may_edit_functions
    assert updated.workspace.etag != shown.etag
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await narrowed.functions.CreateFunction(create)
    await ada.functions.CreateFunction(create)
    async with refused("ABORTED", "CONFLICT"):
        await owner.workspaces.UpdateWorkspace(switch)
    off = wpb.UpdateWorkspaceRequest(name=ACME, members_may_edit_functions=False)
    await owner.workspaces.UpdateWorkspace(off)
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await ada.functions.SaveFunction(fpb.SaveFunctionRequest(name=CRM, code="async function onTrack() {}"))


async def test_a_caller_learns_what_it_may(world: World) -> None:
    owner = await world.workspace()
    for function in ("crm", "erp"):
        await a_function(owner, [], function=function)
    await a_source(owner)
    ada = await somebody(world, owner, grant(pb.ROLE_FUNCTIONS_ADMIN, CRM))
    everything = list(access.Permission.values())

    async def held(caller: Stubs, name: str) -> set[int]:
        request = wpb.TestPermissionsRequest(name=name, permissions=everything * 2)
        answer = await caller.workspaces.TestPermissions(request)
        assert answer.principal == ("member:owner" if caller is owner else "member:ada")
        found = list(answer.permissions)
        assert len(found) == len(set(found))
        return set(found)

    seen = {access.PERMISSION_WORKSPACE_ENTER, access.PERMISSION_WORKSPACE_VIEW}
    edit = {access.PERMISSION_FUNCTION_VIEW, access.PERMISSION_FUNCTION_EDIT}
    assert await held(ada, CRM) == seen | edit | {access.PERMISSION_DESTINATION_VIEW}
    # What is there and what is not look the same.
    for name in (ERP, f"{ACME}/functions/none", ACME, f"{ACME}/sources/web", f"{ACME}/destinations/none"):
        assert await held(ada, name) == seen
    assert await held(owner, CRM) >= edit | {access.PERMISSION_FUNCTION_CREATE}
    assert not {access.PERMISSION_OPERATE, access.PERMISSION_SERVICE} & await held(owner, ACME)
    async with refused("NOT_FOUND", "NOT_FOUND"):
        await held(ada, "workspaces/other/functions/crm")
    for name in (f"{CRM}/versions/1", f"{ACME}/members/ada", "acme"):
        async with refused("INVALID_ARGUMENT", "INVALID_FIELD"):
            await held(owner, name)


# --- tokens ---------------------------------------------------------------------------------------------------


async def test_a_tokens_secret_is_shown_once_and_stored_as_a_hash(world: World) -> None:
    owner = await world.workspace()
    await add(owner)
    made = await token_of(owner, request_id="r1")
    assert made.secret.startswith("onw_")
    again = await token_of(owner, request_id="r1")
    assert (again.token, again.secret, again.position) == (made.token, "", made.position)
    await see(world.caller(made.secret))
    assert made.secret.split("_")[2] not in await everything_kept(world)


async def test_a_tokens_last_use_shows(world: World) -> None:
    owner = await world.workspace()
    ada = await somebody(world, owner)
    tokens = (await owner.workspaces.ListTokens(wpb.ListTokensRequest(parent=ACME))).tokens
    (before,) = [one for one in tokens if one.member == ADA]
    assert (before.display_name, before.HasField("last_use_time"), before.HasField("expire_time")) == (
        "Laptop",
        False,
        False,
    )
    await see(ada)
    tokens = (await owner.workspaces.ListTokens(wpb.ListTokensRequest(parent=ACME))).tokens
    (after,) = [one for one in tokens if one.member == ADA]
    used = after.last_use_time.ToDatetime(UTC)
    assert abs(datetime.now(UTC) - used) < timedelta(minutes=1)


async def test_a_revoked_token_fails_at_once_and_its_hash_is_gone(world: World) -> None:
    owner = await world.workspace()
    await add(owner)
    made = await token_of(owner)
    ada = world.caller(made.secret)
    await see(ada)
    await owner.workspaces.RevokeToken(wpb.RevokeTokenRequest(name=made.token.name))
    async with refused("UNAUTHENTICATED", "INVALID_TOKEN"):
        await see(ada)
    token = made.token.name.rpartition("/")[2]
    assert await world.rows("SELECT * FROM token_secrets WHERE token = $1", token) == []
    async with refused("NOT_FOUND", "NOT_FOUND"):
        await owner.workspaces.RevokeToken(wpb.RevokeTokenRequest(name=made.token.name))


async def test_a_token_ends_with_its_member(world: World) -> None:
    owner = await world.workspace()
    await add(owner)
    made = [await token_of(owner) for _ in range(2)]
    callers = [world.caller(one.secret) for one in made]
    for ada in callers:
        await see(ada)
    await owner.workspaces.RemoveMember(remove())
    for ada in callers:
        async with refused("UNAUTHENTICATED", "INVALID_TOKEN"):
            await see(ada)
    # The refusals may be on the trail by now.
    types = [one.type for one in await facts_of(world) if one.type != "AccessDenied"]
    assert types[-3:] == ["TokenRevoked", "TokenRevoked", "MemberRemoved"]
    tokens = (await owner.workspaces.ListTokens(wpb.ListTokensRequest(parent=ACME))).tokens
    assert [one.member for one in tokens] == [f"{ACME}/members/owner"]
    assert len(await world.rows("SELECT * FROM token_secrets")) == 1


async def test_an_expired_token_says_when_it_expired(world: World) -> None:
    """H1, D3: UNAUTHENTICATED, with the time, and nothing of the secret."""
    owner = await world.workspace()
    await add(owner)
    soon = Timestamp()
    soon.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
    made = await token_of(owner, expire_time=soon)
    assert made.token.expire_time.seconds == soon.seconds
    ada = world.caller(made.secret)
    await see(ada)
    past = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    await world.rows("UPDATE tokens SET expire_time = $1 WHERE member = 'ada'", past)
    async with refused("UNAUTHENTICATED", "INVALID_TOKEN") as told:
        await see(ada)
    assert "2026-03-01 09:30 UTC" in told["message"]
    assert made.secret.split("_")[2] not in repr(told)
    async with refused("INVALID_ARGUMENT", "INVALID_FIELD"):
        await token_of(owner, expire_time=Timestamp(seconds=1))


async def test_a_narrowed_token_has_what_both_its_member_and_its_grants_have(world: World) -> None:
    owner = await world.workspace()
    for function in ("crm", "erp"):
        await a_function(owner, [], function=function)
    await add(owner, grants=[grant(pb.ROLE_FUNCTIONS_ADMIN, CRM)])
    narrowed = world.caller((await token_of(owner, grants=[grant(pb.ROLE_FUNCTIONS_READ_ONLY)])).secret)
    await narrowed.functions.GetVersion(fpb.GetVersionRequest(name=f"{CRM}/versions/1"))
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await narrowed.functions.GetVersion(fpb.GetVersionRequest(name=f"{ERP}/versions/1"))
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await narrowed.functions.SaveFunction(fpb.SaveFunctionRequest(name=CRM, code="async function onTrack() {}"))
    wide = world.caller((await token_of(owner, grants=[OWNER])).secret)
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await wide.workspaces.ListMembers(wpb.ListMembersRequest(parent=ACME))


async def test_every_record_names_the_member_and_its_token(world: World, nats_client: Client) -> None:
    owner = await world.workspace()
    await add(owner, grants=[OWNER])
    made = await token_of(owner)
    ada = world.caller(made.secret)
    await a_source(ada)
    last = (await facts_of(world))[-1]
    credential = f"token:{made.token.name.rpartition('/')[2]}"
    assert (last.type, last.principal, last.credential) == ("SourceCreated", "member:ada", credential)
    jetstream = nats_client.jetstream()
    state = (await jetstream.stream_info("FACTS")).state
    message = await jetstream.get_msg("FACTS", state.last_seq)
    assert json.loads((message.headers or {})["Onward-Fact"])["credential"] == credential
