"""Members, roles, tokens and what becomes of them, through a running registry."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from nats.aio.client import Client
from structlog.testing import capture_logs

from kit.eventstore.facts import Meta, NewFact
from kit.eventstore.postgres import PostgresEventStore
from kit.postgres.pool import connect_pool
from kit.testing.eventually import eventually
from onward.common.v1 import access_pb2 as access
from onward.common.v1 import facts_pb2 as stored
from onward.registry.v1 import facts_pb2
from onward.registry.v1 import function_service_pb2 as fpb
from onward.registry.v1 import internal_service_pb2 as ipb
from onward.registry.v1 import operator_service_pb2 as opb
from onward.registry.v1 import resources_pb2 as pb
from onward.registry.v1 import workspace_service_pb2 as wpb
from services.registry import projections
from services.registry.domain.members import commitments
from tests.integration.registry_world import Stubs, World, a_function, a_source, refused, running

pytestmark = pytest.mark.integration

ACME = "workspaces/acme"
ADA = f"{ACME}/members/ada"
CRM, ERP = f"{ACME}/functions/crm", f"{ACME}/functions/erp"
PERSON = pb.MEMBER_KIND_PERSON
SERVICE = pb.MEMBER_KIND_SERVICE_ACCOUNT
OWNER = pb.RoleGrant(role=pb.ROLE_OWNER)


@pytest.fixture
async def world(database: str, nats_url: str) -> AsyncIterator[World]:
    async with running(database, nats_url) as world:
        yield world


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


def erase(member: str = ADA) -> opb.ErasePersonRequest:
    return opb.ErasePersonRequest(name=member)


# --- members --------------------------------------------------------------------------------------------------


async def test_a_member_is_added_listed_and_removed(world: World) -> None:
    owner = await world.workspace()
    answer = await add(owner, "ada", display_name="Ada", email="Ada@Example.com", grants=[OWNER])
    assert (answer.member.name, answer.member.kind) == (ADA, PERSON)
    assert (answer.member.display_name, answer.member.email) == ("Ada", "Ada@Example.com")
    assert answer.member.HasField("create_time")
    assert [(one.member, one.grant) for one in answer.role_bindings] == [(ADA, OWNER)]
    listed = await owner.workspaces.ListMembers(wpb.ListMembersRequest(parent=ACME))
    assert [one.name for one in listed.members] == [ADA, f"{ACME}/members/owner"]
    assert listed.members[0] == answer.member
    removed = await owner.workspaces.RemoveMember(remove())
    assert removed.position == (await facts_of(world))[-1].position
    listed = await owner.workspaces.ListMembers(wpb.ListMembersRequest(parent=ACME))
    assert [one.name for one in listed.members] == [f"{ACME}/members/owner"]
    bindings = await owner.workspaces.ListRoleBindings(wpb.ListRoleBindingsRequest(parent=ACME))
    assert [one.member for one in bindings.role_bindings] == [f"{ACME}/members/owner"]
    async with refused("ALREADY_EXISTS", "ALREADY_EXISTS"):
        await add(owner, "ada")


async def test_an_address_belongs_to_one_member_however_it_is_written(world: World) -> None:
    owner = await world.workspace()
    await add(owner, "ada", email="ada@example.com")
    async with refused("ALREADY_EXISTS", "ALREADY_EXISTS") as told:
        await add(owner, "bob", email="ADA@example.COM")
    assert told["resource"] == ADA
    assert "example" not in told["message"]
    # Who was removed may come back, as another member; and other workspaces know nothing of it (C10).
    await owner.workspaces.RemoveMember(remove())
    await add(owner, "bob", email="ADA@example.COM")
    await (await world.workspace("other")).workspaces.AddMember(
        wpb.AddMemberRequest(parent="workspaces/other", kind=PERSON, email="ada@example.com")
    )


async def test_members_added_at_once_share_no_address(world: World) -> None:
    owner = await world.workspace()
    calls = (add(owner, f"m{n}", email="ada@example.com") for n in range(5))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(not isinstance(one, BaseException) for one in answers) == 1


async def test_lists_are_read_by_page(world: World) -> None:
    owner = await world.workspace()
    for number in range(4):
        await add(owner, f"m{number}")
        await token_of(owner, f"m{number}")
    service = owner.workspaces
    for method, kind, field, count in (
        (service.ListMembers, wpb.ListMembersRequest, "members", 5),
        (service.ListRoleBindings, wpb.ListRoleBindingsRequest, "role_bindings", 5),
        (service.ListTokens, wpb.ListTokensRequest, "tokens", 5),
    ):
        found: list[str] = []
        following = ""
        while True:
            page = await method(kind(parent=ACME, page_size=2, page_token=following))
            found += [one.name for one in getattr(page, field)]
            following = page.next_page_token
            if not following:
                break
        assert found == sorted(set(found))
        assert len(found) == count


async def test_the_first_owner_is_a_member_that_can_be_replaced(world: World) -> None:
    owner = await world.workspace()
    first = f"{ACME}/members/owner"
    async with refused("FAILED_PRECONDITION", "WRONG_STATE"):
        await owner.workspaces.RemoveMember(remove(first))
    ada = await somebody(world, owner, OWNER)
    await ada.workspaces.RemoveMember(remove(first))
    async with refused("UNAUTHENTICATED", "INVALID_TOKEN"):
        await see(owner)
    async with refused("FAILED_PRECONDITION", "WRONG_STATE"):
        await ada.workspaces.RemoveMember(remove())


async def test_only_owners_manage_members_roles_and_tokens(world: World) -> None:
    """H1."""
    owner = await world.workspace()
    await world.workspace("other")
    stranger = world.caller("onw_zzzz9999_0123456789abcdefghjkmnpqrstv")
    admin = await somebody(world, owner, grant(pb.ROLE_FUNCTIONS_ADMIN), grant(pb.ROLE_SOURCE_ADMIN))
    calls: list[tuple[str, Any]] = [
        ("UpdateWorkspace", wpb.UpdateWorkspaceRequest(name=ACME, display_name="Mine")),
        ("AddMember", wpb.AddMemberRequest(parent=ACME, kind=PERSON)),
        ("RemoveMember", remove()),
        ("ListMembers", wpb.ListMembersRequest(parent=ACME)),
        ("GrantRole", wpb.GrantRoleRequest(member=ADA, grant=OWNER)),
        ("RevokeRole", wpb.RevokeRoleRequest(name=f"{ACME}/roleBindings/owner")),
        ("ListRoleBindings", wpb.ListRoleBindingsRequest(parent=ACME)),
        ("CreateToken", wpb.CreateTokenRequest(member=ADA, display_name="T")),
        ("RevokeToken", wpb.RevokeTokenRequest(name=f"{ACME}/tokens/none")),
        ("ListTokens", wpb.ListTokensRequest(parent=ACME)),
    ]
    head = len(await facts_of(world))
    for method, request in calls:
        async with refused("UNAUTHENTICATED", "INVALID_TOKEN"):
            await getattr(stranger.workspaces, method)(request)
        async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
            await getattr(admin.workspaces, method)(request)
        async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
            await getattr(world.operator.workspaces, method)(request)
        elsewhere = type(request)()
        elsewhere.CopyFrom(request)
        field = next(one for one in ("name", "parent", "member") if one in request.DESCRIPTOR.fields_by_name)
        setattr(elsewhere, field, getattr(request, field).replace("acme", "other"))
        async with refused("NOT_FOUND", "NOT_FOUND"):
            await getattr(owner.workspaces, method)(elsewhere)
    for erasing in (owner, admin):
        async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
            await erasing.operator.ErasePerson(erase())
    # Refusals may be on the trail; nothing else happened.
    assert {one.type for one in (await facts_of(world))[head:]} <= {"AccessDenied"}


async def test_equal_ids_in_two_workspaces_have_nothing_to_do_with_each_other(world: World) -> None:
    """C10."""
    acme, other = await world.workspace(), await world.workspace("other")
    for owner, workspace in ((acme, "acme"), (other, "other")):
        request = wpb.AddMemberRequest(parent=f"workspaces/{workspace}", member_id="ada", kind=PERSON, email="a@b.c")
        await owner.workspaces.AddMember(request)
    await acme.workspaces.RemoveMember(remove())
    await world.operator.operator.ErasePerson(erase())
    listed = await other.workspaces.ListMembers(wpb.ListMembersRequest(parent="workspaces/other"))
    assert [one.email for one in listed.members] == ["a@b.c", ""]


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
        found = list((await caller.workspaces.TestPermissions(request)).permissions)
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


# --- persons --------------------------------------------------------------------------------------------------

NAME, EMAIL = "Zyxwvut Canarybird", "qponmlkj@canarybird.example"


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


async def everything_published(nats_client: Client) -> str:
    jetstream = nats_client.jetstream()
    state = (await jetstream.stream_info("FACTS")).state
    messages = [await jetstream.get_msg("FACTS", number) for number in range(state.first_seq, state.last_seq + 1)]
    return "\n".join(f"{one.subject} {one.headers} {(one.data or b'').decode()}" for one in messages)


async def test_nothing_is_left_of_a_person_who_was_erased(world: World, nats_client: Client) -> None:
    """D13: in no table, stream, log line or answer; and the log's bytes stay as they were."""
    with capture_logs() as lines:
        owner = await world.workspace()
        added = await add(owner, display_name=NAME, email=EMAIL, request_id="r1")
        assert (added.member.display_name, added.member.email) == (NAME, EMAIL)
        repeated = await add(owner, display_name=NAME, email=EMAIL, request_id="r1")
        assert repeated == added
        kept = await everything_kept(world)
        assert (NAME in kept, EMAIL in kept) == (True, True), "the canary must sing"
        assert len([row for row in await world.rows("SELECT * FROM people") if row["email"] == EMAIL]) == 1
        async with refused("FAILED_PRECONDITION", "WRONG_STATE"):
            await world.operator.operator.ErasePerson(erase())
        await owner.workspaces.RemoveMember(remove())
        before = await log_bytes(world)
        erased = await world.operator.operator.ErasePerson(erase())
        again = await world.operator.operator.ErasePerson(erase())
        assert again.position == erased.position
        repeated = await add(owner, display_name=NAME, email=EMAIL, request_id="r1")
    after = await log_bytes(world)
    assert after[: len(before)] == before
    assert [one.type for one in await facts_of(world)][-1] == "PersonErased"
    places = [await everything_kept(world), await everything_published(nats_client), repr(lines), str(repeated)]
    places.append(str(await owner.workspaces.ListMembers(wpb.ListMembersRequest(parent=ACME))))
    for place in places:
        for word in ("Zyxwvut", "qponmlkj", "canarybird"):
            assert word.lower() not in place.lower()
    assert repeated.member.name == ADA
    assert repeated.role_bindings == added.role_bindings


async def log_bytes(world: World) -> list[str]:
    """Every fact of the workspace as it is stored."""
    return [row["line"] for row in await world.rows("SELECT f::text AS line FROM facts f ORDER BY workspace, position")]


async def test_what_a_fact_tells_of_a_person_can_be_checked_until_it_is_erased(world: World) -> None:
    """D13."""
    owner = await world.workspace()
    await add(owner, display_name=NAME, email=EMAIL)
    (row,) = await world.rows("SELECT * FROM people")
    (fact,) = [one for one in await facts_of(world) if one.type == "MemberAdded" and b"ada" in one.data]
    told = json.loads(fact.data)["commitments"]
    assert told == commitments(row["salt"], {"display_name": NAME, "email": EMAIL})
    assert len(row["salt"]) >= 32


async def test_who_never_was_a_member_can_not_be_erased(world: World) -> None:
    owner = await world.workspace()
    for name in (ADA, "workspaces/none/members/ada"):
        async with refused("NOT_FOUND", "NOT_FOUND"):
            await world.operator.operator.ErasePerson(erase(name))
    await add(owner, "ci", kind=SERVICE, display_name="CI")
    await owner.workspaces.RemoveMember(remove(f"{ACME}/members/ci"))
    position = (await facts_of(world))[-1].position
    assert (await world.operator.operator.ErasePerson(erase(f"{ACME}/members/ci"))).position == position


async def test_meta_characters_in_names_are_stored_literally(world: World) -> None:
    """H12."""
    owner = await world.workspace()
    odd = "Robert'); DROP TABLE people;-- %_\\ \u2028 $.x ? ${7*7} 😀"
    made = await add(owner, display_name=odd, email="o'neil+%_\\@exa-mple.com")
    assert (made.member.display_name, made.member.email) == (odd, "o'neil+%_\\@exa-mple.com")
    assert (await token_of(owner, display_name=odd)).token.display_name == odd
    async with refused("INVALID_ARGUMENT", "INVALID_FIELD"):
        await add(owner, "bob", display_name="a\0b")


# --- the rows that answer -------------------------------------------------------------------------------------


async def test_rows_about_people_made_again_from_the_log_are_the_live_rows(world: World, database: str) -> None:
    """C3."""
    owner = await world.workspace()
    await a_function(owner, [])
    await add(owner, "ada", display_name=NAME, email=EMAIL, grants=[grant(pb.ROLE_FUNCTIONS_ADMIN, CRM), OWNER])
    later = Timestamp(seconds=4_000_000_000, nanos=500_000_000)
    made = await token_of(owner, grants=[grant(pb.ROLE_FUNCTIONS_READ_ONLY, CRM), OWNER], expire_time=later)
    await owner.workspaces.RevokeToken(wpb.RevokeTokenRequest(name=(await token_of(owner)).token.name))
    granted = await owner.workspaces.GrantRole(wpb.GrantRoleRequest(member=ADA, grant=grant(pb.ROLE_AUDITOR)))
    await owner.workspaces.RevokeRole(wpb.RevokeRoleRequest(name=granted.role_binding.name))
    for member in ("bob", "eve"):
        await add(owner, member, email=f"{member}@example.com")
        await token_of(owner, member)
    await owner.workspaces.RemoveMember(remove(f"{ACME}/members/bob"))
    await world.operator.operator.ErasePerson(erase(f"{ACME}/members/bob"))
    switch = wpb.UpdateWorkspaceRequest(name=ACME, display_name="New", members_may_edit_functions=True)
    await owner.workspaces.UpdateWorkspace(switch)
    for cidr in ("10.1.0.0/16", "10.2.0.0/16"):
        await world.operator.operator.AllowEgressRange(opb.AllowEgressRangeRequest(name=ACME, range=cidr))
    take = opb.DisallowEgressRangeRequest(name=ACME, range="10.1.0.0/16")
    await world.operator.operator.DisallowEgressRange(take)
    live = await projected(world)
    assert {len(live[table]) for table in ("workspaces", "members", "role_bindings", "tokens")} == {1, 3, 4}
    pool = await connect_pool(database, application_name="test")
    async with PostgresEventStore(pool).writing("acme") as unit:
        await projections.rebuild(unit.connection, "acme", await unit.read(0))
    await pool.close()
    assert await projected(world) == live
    listed = await owner.workspaces.ListTokens(wpb.ListTokensRequest(parent=ACME))
    assert made.token in list(listed.tokens)


async def projected(world: World) -> dict[str, list[str]]:
    return {
        table: [row[0] for row in await world.rows(f"SELECT t::text FROM {table} t ORDER BY 1")]
        for table in projections.PROJECTED_TABLES
    }


# --- the workspace itself -------------------------------------------------------------------------------------


async def test_the_operator_takes_a_range_back(world: World) -> None:
    await world.workspace()
    operator = world.operator.operator
    for cidr in ("10.1.0.0/16", "10.2.0.0/16"):
        await operator.AllowEgressRange(opb.AllowEgressRangeRequest(name=ACME, range=cidr))
    take = opb.DisallowEgressRangeRequest(name=ACME, range="10.1.0.0/16")
    answer = await operator.DisallowEgressRange(take)
    assert list(answer.workspace.egress_ranges) == ["10.2.0.0/16"]
    assert (await operator.DisallowEgressRange(take)).position == answer.position
    async with refused("NOT_FOUND", "NOT_FOUND"):
        await operator.DisallowEgressRange(opb.DisallowEgressRangeRequest(name="workspaces/none", range="10.1.0.0/16"))
