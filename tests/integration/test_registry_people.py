"""Members, roles, tokens and what becomes of them, through a running registry."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from nats.aio.client import Client
from structlog.testing import capture_logs

from kit.eventstore.commitments import commitments
from onward.registry.v1 import operator_service_pb2 as opb
from onward.registry.v1 import resources_pb2 as pb
from onward.registry.v1 import workspace_service_pb2 as wpb
from tests.integration.functions_world import projected
from tests.integration.people_world import (
    ACME,
    ADA,
    CRM,
    OWNER,
    PERSON,
    add,
    everything_kept,
    facts_of,
    grant,
    remove,
    see,
    somebody,
    token_of,
)
from tests.integration.registry_world import World, a_function, rebuild, refused, running

pytestmark = pytest.mark.integration

SERVICE = pb.MEMBER_KIND_SERVICE_ACCOUNT


@pytest.fixture
async def world(database: str, nats_url: str) -> AsyncIterator[World]:
    async with running(database, nats_url) as world:
        yield world


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


# --- persons --------------------------------------------------------------------------------------------------

NAME, EMAIL = "Zyxwvut Canarybird", "qponmlkj@canarybird.example"


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
    await rebuild(database)
    assert await projected(world) == live
    listed = await owner.workspaces.ListTokens(wpb.ListTokensRequest(parent=ACME))
    assert made.token in list(listed.tokens)


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
