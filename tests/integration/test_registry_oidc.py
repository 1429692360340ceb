"""Persons who sign in at the configured OIDC issuer, through a running registry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from kit.clock import FakeClock, SystemClock
from kit.errors import InvalidToken, NotFound, PermissionDenied
from onward.common.v1 import access_pb2 as access
from onward.registry.v1 import internal_service_pb2 as ipb
from onward.registry.v1 import operator_service_pb2 as opb
from onward.registry.v1 import resources_pb2 as pb
from onward.registry.v1 import source_service_pb2 as spb
from onward.registry.v1 import workspace_service_pb2 as wpb
from tests.integration.oidc_world import AUDIENCE
from tests.integration.oidc_world import World as Issuer
from tests.integration.registry_world import Stubs, World, refused, running

pytestmark = pytest.mark.integration

ACME = "workspaces/acme"
ADA = f"{ACME}/members/ada"
EMAIL: dict[str, Any] = {"email": "ada@example.com", "email_verified": True}


@dataclass
class Setting:
    """A registry that trusts an issuer, and a workspace with its owner."""

    world: World
    issuer: Issuer
    owner: Stubs

    async def add(self, member: str = "ada", email: str = "ada@example.com", role: Any = pb.ROLE_SOURCE_ADMIN) -> None:
        request = wpb.AddMemberRequest(
            parent=ACME,
            member_id=member,
            kind=pb.MEMBER_KIND_PERSON,
            email=email,
            grants=[pb.RoleGrant(role=role)],
        )
        await self.owner.workspaces.AddMember(request)

    def caller(self, **claims: Any) -> Stubs:
        return self.world.caller(self.issuer.token(**claims))

    async def subjects(self) -> dict[str, str]:
        listed = await self.owner.workspaces.ListMembers(wpb.ListMembersRequest(parent=ACME))
        return {one.name.rpartition("/")[2]: one.oidc_subject for one in listed.members if one.oidc_subject}


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    issuer = Issuer(FakeClock(SystemClock().now()))
    issuer.open.set()
    await issuer.start()
    yield issuer
    await issuer.stop()


@pytest.fixture
async def setting(database: str, nats_url: str, issuer: Issuer) -> AsyncIterator[Setting]:
    async with running(database, nats_url, oidc_issuer=issuer.url, oidc_audience=AUDIENCE) as world:
        yield Setting(world, issuer, await world.workspace())


async def see(caller: Stubs, name: str = ACME) -> None:
    await caller.workspaces.GetWorkspace(wpb.GetWorkspaceRequest(name=name))


async def test_a_person_is_found_by_a_verified_address_once_and_by_the_subject_from_then_on(setting: Setting) -> None:
    await setting.add(email="Ada@Example.com")
    assert await setting.subjects() == {}
    await see(setting.caller(sub="s-1", **EMAIL))
    assert await setting.subjects() == {"ada": "s-1"}
    # The address may change at the issuer; somebody else who gets it is somebody else.
    await see(setting.caller(sub="s-1", email="countess@example.com", email_verified=True))
    await see(setting.caller(sub="s-1"))
    async with refused("NOT_FOUND", "NOT_FOUND"):
        await see(setting.caller(sub="s-2", **EMAIL))
    assert await setting.subjects() == {"ada": "s-1"}


async def test_of_two_subjects_with_one_address_the_first_is_the_member(setting: Setting) -> None:
    await setting.add()
    callers = [setting.caller(sub=f"s-{n % 4}", **EMAIL) for n in range(12)]
    answers = await asyncio.gather(*(see(one) for one in callers), return_exceptions=True)
    (winner,) = (await setting.subjects()).values()
    for number, answer in enumerate(answers):
        assert (answer is None) == (winner == f"s-{number % 4}")
        assert answer is None or isinstance(answer, NotFound)


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"email": "ada@example.com"},
        {"email": "ada@example.com", "email_verified": False},
        {"email": "ada@example.com", "email_verified": "true"},
        {"email": "eve@example.com", "email_verified": True},
    ],
)
async def test_who_is_no_member_is_an_outsider(setting: Setting, claims: dict[str, Any]) -> None:
    """H1: NOT_FOUND, whether or not it exists."""
    await setting.add()
    caller = setting.caller(sub="s-9", **claims)
    for name in (ACME, "workspaces/none"):
        async with refused("NOT_FOUND", "NOT_FOUND"):
            await see(caller, name)
    async with refused("INVALID_ARGUMENT", "INVALID_FIELD"):
        await see(caller, "acme")
    assert await setting.subjects() == {}


async def test_one_person_may_be_a_member_of_several_workspaces(setting: Setting) -> None:
    """C10."""
    await setting.add()
    other = await setting.world.workspace("other")
    request = wpb.AddMemberRequest(parent="workspaces/other", kind=pb.MEMBER_KIND_PERSON, email="ada@example.com")
    await other.workspaces.AddMember(request)
    caller = setting.caller(**EMAIL)
    await see(caller)
    await see(caller, "workspaces/other")
    await setting.owner.workspaces.RemoveMember(wpb.RemoveMemberRequest(name=ADA))
    async with refused("NOT_FOUND", "NOT_FOUND"):
        await see(caller)
    await see(caller, "workspaces/other")


async def test_a_persons_roles_count_and_its_records_say_how_it_came(setting: Setting) -> None:
    await setting.add(role=pb.ROLE_OWNER)
    caller = setting.caller(**EMAIL)
    await caller.sources.CreateSource(spb.CreateSourceRequest(parent=ACME, source_id="web", display_name="Web"))
    rows = await setting.world.rows("SELECT meta FROM facts WHERE type = 'SourceCreated'")
    assert '"member:ada"' in rows[0]["meta"]
    assert '"oidc"' in rows[0]["meta"]
    for denied in (
        caller.workspaces.ListWorkspaces(wpb.ListWorkspacesRequest()),
        caller.operator.SetLimits(opb.SetLimitsRequest(name=ACME)),
    ):
        with pytest.raises((PermissionDenied, InvalidToken)):
            await denied


async def test_a_persons_lost_role_is_lost_on_the_next_call(setting: Setting) -> None:
    """H4."""
    await setting.add(role=pb.ROLE_MEMBER)
    caller = setting.caller(**EMAIL)
    await see(caller)
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await caller.workspaces.ListMembers(wpb.ListMembersRequest(parent=ACME))
    bindings = (await setting.owner.workspaces.ListRoleBindings(wpb.ListRoleBindingsRequest(parent=ACME))).role_bindings
    (binding,) = [one.name for one in bindings if one.member == ADA]
    await setting.owner.workspaces.RevokeRole(wpb.RevokeRoleRequest(name=binding))
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await see(caller)


async def test_other_services_learn_of_a_person_from_the_registry(setting: Setting) -> None:
    await setting.add()
    request = ipb.AuthorizeRequest(
        token=setting.issuer.token(**EMAIL), permission=access.PERMISSION_DELIVERY_VIEW, resource=f"{ACME}/sources/web"
    )
    answer = await setting.world.service.internal.Authorize(request)
    assert (answer.principal, answer.credential, answer.lease_ms) == ("member:ada", "oidc", 1000)
    assert answer.sources.all
    request.token = setting.issuer.token(sub="s-9")
    with pytest.raises(NotFound):
        await setting.world.service.internal.Authorize(request)
    request.permission, request.resource = access.PERMISSION_OPERATE, ""
    with pytest.raises(PermissionDenied):
        await setting.world.service.internal.Authorize(request)


async def test_a_token_that_the_issuer_did_not_make_is_none(setting: Setting) -> None:
    await setting.add()
    for token in (setting.issuer.token(number=1, **EMAIL), setting.issuer.token(aud="others", **EMAIL), "a.b.c"):
        async with refused("UNAUTHENTICATED", "INVALID_TOKEN"):
            await see(setting.world.caller(token))


async def test_a_person_who_comes_back_is_another_member(setting: Setting) -> None:
    await setting.add()
    caller = setting.caller(**EMAIL)
    await see(caller)
    await setting.owner.workspaces.RemoveMember(wpb.RemoveMemberRequest(name=ADA))
    async with refused("NOT_FOUND", "NOT_FOUND"):
        await see(caller)
    await setting.add("ada-2")
    await see(caller)
    assert await setting.subjects() == {"ada-2": "ada"}


async def test_another_issuers_subject_is_another_person(setting: Setting, database: str, nats_url: str) -> None:
    """The operator changes the identity provider: only a verified address tells who is who."""
    await setting.add()
    await see(setting.caller(sub="s-1", **EMAIL))
    issuer = setting.issuer
    url = issuer.url.replace("127.0.0.1", "localhost")
    changes: dict[str, Any] = {
        "oidc_issuer": url,
        "oidc_audience": AUDIENCE,
        "oidc_jwks_url": f"http://127.0.0.1:{issuer.port}/keys",
    }
    async with running(database, nats_url, **changes) as world:
        async with refused("NOT_FOUND", "NOT_FOUND"):
            await see(world.caller(issuer.token(iss=url, sub="s-1")))
        await see(world.caller(issuer.token(iss=url, sub="s-2", **EMAIL)))
    assert await setting.subjects() == {"ada": "s-2"}


async def test_without_an_issuer_such_tokens_are_refused_with_the_setting(
    database: str, nats_url: str, issuer: Issuer
) -> None:
    async with running(database, nats_url) as world:
        await world.workspace()
        async with refused("UNAUTHENTICATED", "INVALID_TOKEN") as told:
            await see(world.caller(issuer.token()))
        assert "ONWARD_OIDC_ISSUER" in told["message"]
        assert issuer.asked == []
