"""Callers who are let in by what was true a moment ago: nobody sees a difference to being asked each time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from kit.auth.caller import Caller
from kit.errors import OnwardError
from kit.testing.eventually import eventually
from onward.registry.v1 import destination_service_pb2 as dpb
from onward.registry.v1 import function_service_pb2 as fpb
from onward.registry.v1 import operator_service_pb2 as opb
from onward.registry.v1 import resources_pb2 as pb
from onward.registry.v1 import source_service_pb2 as spb
from onward.registry.v1 import workspace_service_pb2 as wpb
from services.registry.handlers import authorization
from services.registry.handlers.authorization import LocalAuthorizer
from tests.integration.people_world import ACME, ADA, CRM, OWNER, add, facts_of, grant, remove, somebody, token_of
from tests.integration.registry_world import (
    CODE,
    Stubs,
    World,
    a_function,
    a_source,
    connect,
    definition,
    refused,
    rule,
    running,
    save,
    text,
)

pytestmark = pytest.mark.integration

WEB = f"{ACME}/sources/web"
CRM_EU = f"{ACME}/destinations/crm-eu"
CRM_US = f"{ACME}/destinations/crm-us"

Call = Callable[[Stubs], Awaitable[object]]


def update(**fields: object) -> Call:
    values: dict[str, Any] = {"name": CRM, "display_name": "New", **fields}
    request = fpb.UpdateFunctionRequest(**values)
    return lambda caller: caller.functions.UpdateFunction(request)


CALLS: dict[str, Call] = {
    "good": update(),
    "repeated": update(request_id="once"),
    "its id reused": update(request_id="once", description="other"),
    "breaks the rules": update(display_name="x" * 5_000),
    "not there": update(name=f"{ACME}/functions/nothing"),
    "old etag": update(etag="0"),
    "code that is none": lambda caller: save(caller, [], code="syntax error"),
    "a save": lambda caller: save(caller, [], code=f"{CODE}// new"),
    "a value": lambda caller: caller.destinations.SetSettings(
        dpb.SetSettingsRequest(name=CRM_EU, set={"region": text("eu")})
    ),
    "a deployment": lambda caller: caller.functions.DeployVersion(
        fpb.DeployVersionRequest(name=f"{CRM}/versions/1", target=fpb.DeploymentTarget(all=True))
    ),
    "a source": lambda caller: caller.sources.UpdateSource(spb.UpdateSourceRequest(name=WEB, display_name="New")),
    "switched on": lambda caller: caller.destinations.EnableDestination(dpb.EnableDestinationRequest(name=CRM_EU)),
    "switched off": lambda caller: caller.destinations.DisableDestination(dpb.DisableDestinationRequest(name=CRM_US)),
    "a policy": lambda caller: caller.destinations.UpdateDeliveryPolicy(
        dpb.UpdateDeliveryPolicyRequest(name=CRM_EU, policy=pb.DeliveryPolicy(retry_only_explicit=True))
    ),
    "a filter": lambda caller: caller.destinations.CreateFilter(
        dpb.CreateFilterRequest(parent=WEB, rule=rule("Other"))
    ),
    "its rule": lambda caller: caller.destinations.UpdateFilter(
        dpb.UpdateFilterRequest(name=f"{WEB}/filters/one", rule=rule("Uno"))
    ),
    "their order": lambda caller: caller.destinations.ReorderFilters(
        dpb.ReorderFiltersRequest(parent=WEB, filters=[f"{WEB}/filters/two", f"{WEB}/filters/one"])
    ),
    "no filter": lambda caller: caller.destinations.DeleteFilter(dpb.DeleteFilterRequest(name=f"{WEB}/filters/two")),
}


@pytest.fixture(autouse=True)
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered outlasts each test."""
    monkeypatch.setattr(authorization, "REMEMBERED_S", 3600.0)


@pytest.fixture
def let_in(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each call that might be was let in by what is remembered."""
    told: list[bool] = []
    remembered = LocalAuthorizer.remembered

    def noting(*args: object) -> Caller | None:
        caller = remembered(*args)  # type: ignore[arg-type]  # what it is given
        told.append(caller is not None)
        return caller

    monkeypatch.setattr(LocalAuthorizer, "remembered", noting)
    return told


@pytest.fixture
async def world(let_in: list[bool], database: str, nats_url: str) -> AsyncIterator[World]:
    async with running(database, nats_url) as world:
        yield world


@pytest.fixture
async def token(world: World) -> str:
    """The owner's."""
    request = wpb.CreateWorkspaceRequest(workspace_id="acme", display_name="Acme")
    answer: wpb.CreateWorkspaceResponse = await world.operator.workspaces.CreateWorkspace(request)
    return answer.owner_token


@pytest.fixture
async def owner(world: World, token: str) -> Stubs:
    return world.caller(token)


@pytest.fixture
async def elsewhere(token: str, database: str, nats_url: str) -> AsyncIterator[Stubs]:
    """The owner at another replica of the registry."""
    async with running(database, nats_url) as other:
        yield other.caller(token)


async def known(world: World, owner: Stubs, let_in: list[bool]) -> Stubs:
    """Another owner, whom this replica remembers. (Of others, it is to be read whether the function is deleted.)"""
    await a_function(owner, [definition("region")])
    await a_source(owner)
    await connect(owner)
    await connect(owner, "crm-us")
    await owner.destinations.EnableDestination(dpb.EnableDestinationRequest(name=CRM_US))
    for title in ("One", "Two"):
        await owner.destinations.CreateFilter(dpb.CreateFilterRequest(parent=WEB, rule=rule(title)))
    ada = await somebody(world, owner, OWNER)
    await update(request_id="once")(ada)
    await update(display_name="Known")(ada)
    let_in.clear()
    await update(display_name="Newer")(ada)
    assert let_in == [True]
    return ada


@pytest.mark.parametrize("what", CALLS)
@pytest.mark.parametrize(
    ("taken", "code", "reason"),
    [("token", "UNAUTHENTICATED", "INVALID_TOKEN"), ("role", "PERMISSION_DENIED", "PERMISSION_DENIED")],
)
async def test_what_another_replica_takes_away_is_gone_at_once(
    world: World, owner: Stubs, elsewhere: Stubs, let_in: list[bool], taken: str, code: str, reason: str, what: str
) -> None:
    """H4: not even why a call would have been refused is told any more."""
    ada = await known(world, owner, let_in)
    before = await state(world)
    if taken == "token":
        await elsewhere.workspaces.RevokeToken(wpb.RevokeTokenRequest(name=await token_name(owner)))
    else:
        await elsewhere.workspaces.RevokeRole(wpb.RevokeRoleRequest(name=await binding_name(owner)))
    async with refused(code, reason):
        await CALLS[what](ada)
    assert let_in[-1]
    assert await state(world) == before
    # The refusal is told as one.
    await eventually(lambda: denied(world))


@pytest.mark.parametrize("what", ["the token", "the member", "the person"])
async def test_what_is_taken_away_here_is_gone_at_once(
    world: World, owner: Stubs, let_in: list[bool], what: str
) -> None:
    ada = await known(world, owner, let_in)
    if what == "the token":
        await owner.workspaces.RevokeToken(wpb.RevokeTokenRequest(name=await token_name(owner)))
    else:
        await owner.workspaces.RemoveMember(remove())
    if what == "the person":
        await world.operator.operator.ErasePerson(opb.ErasePersonRequest(name=ADA))
    async with refused("UNAUTHENTICATED", "INVALID_TOKEN"):
        await update()(ada)
    # This replica has forgotten whoever might be concerned.
    assert not let_in[-1]


async def test_other_changes_leave_it_remembered_and_rights_that_grow_are_seen(
    world: World, owner: Stubs, elsewhere: Stubs, let_in: list[bool]
) -> None:
    ada = await known(world, owner, let_in)
    await update(display_name="Elsewhere")(elsewhere)
    answer = await update(description="Of both")(ada)
    assert isinstance(answer, fpb.UpdateFunctionResponse)
    assert (answer.function.display_name, answer.function.description) == ("New", "Of both")
    assert let_in[-1]
    bob = await somebody(world, owner, grant(pb.ROLE_FUNCTIONS_READ_ONLY), member="bob")
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await update()(bob)
    await owner.workspaces.GrantRole(
        wpb.GrantRoleRequest(member=f"{ACME}/members/bob", grant=grant(pb.ROLE_FUNCTIONS_ADMIN))
    )
    await update()(bob)


async def test_errors_stay_what_they_are_to_who_may_call(world: World, owner: Stubs, let_in: list[bool]) -> None:
    ada = await known(world, owner, let_in)
    found = {}
    for what in CALLS:
        try:
            await CALLS[what](ada)
            found[what] = "OK"
        except OnwardError as error:
            found[what] = error.code
    assert let_in == [True] * (1 + len(CALLS))
    assert found == {
        "good": "OK",
        "repeated": "OK",
        "its id reused": "ALREADY_EXISTS",
        "breaks the rules": "INVALID_ARGUMENT",
        "not there": "NOT_FOUND",
        "old etag": "ABORTED",
        "code that is none": "INVALID_ARGUMENT",
        "a save": "OK",
        "a value": "OK",
        "a deployment": "OK",
        "a source": "OK",
        "switched on": "OK",
        "switched off": "OK",
        "a policy": "OK",
        "a filter": "OK",
        "its rule": "OK",
        "their order": "INVALID_ARGUMENT",
        "no filter": "OK",
    }


async def test_nobody_is_remembered_by_half_a_token_for_other_resources_or_beyond_a_tokens_time(
    world: World, owner: Stubs, let_in: list[bool]
) -> None:
    await known(world, owner, let_in)
    await add(owner, "eve", grants=[OWNER])
    told = (await token_of(owner, "eve")).secret
    eve = world.caller(told)
    await update()(eve)
    await update(display_name="Newer")(eve)
    stranger = world.caller(f"{told[:-4]}AAAA")
    let_in.clear()
    async with refused("UNAUTHENTICATED", "INVALID_TOKEN"):
        await update()(stranger)
    await world.workspace("other")
    async with refused("NOT_FOUND", "NOT_FOUND"):
        await update(name="workspaces/other/functions/crm")(eve)
    listed = await somebody(world, owner, grant(pb.ROLE_FUNCTIONS_ADMIN, CRM), member="bob")
    for name in ("By", "a", "list"):
        await update(display_name=name)(listed)
    await add(owner, "carl", grants=[OWNER])
    request = wpb.CreateTokenRequest(member=f"{ACME}/members/carl", display_name="Short")
    request.expire_time.FromSeconds(4_000_000_000)
    carl = world.caller((await owner.workspaces.CreateToken(request)).secret)
    for name in ("For", "a", "time"):
        await update(display_name=name)(carl)
    assert let_in == [False] * 8


async def test_nobody_is_remembered_for_long(
    world: World, owner: Stubs, let_in: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await known(world, owner, let_in)
    monkeypatch.setattr(authorization, "REMEMBERED_S", 0.0)
    await update(display_name="Later")(ada)
    assert let_in == [True, False]


async def test_what_was_deleted_elsewhere_never_was_to_who_may_not_read_its_history(
    world: World, owner: Stubs, elsewhere: Stubs, let_in: list[bool]
) -> None:
    ada = await known(world, owner, let_in)
    await elsewhere.functions.DeleteFunction(fpb.DeleteFunctionRequest(name=CRM, disconnect=True))
    binding = await binding_name(owner)
    await elsewhere.workspaces.GrantRole(wpb.GrantRoleRequest(member=ADA, grant=grant(pb.ROLE_FUNCTIONS_ADMIN)))
    await elsewhere.workspaces.RevokeRole(wpb.RevokeRoleRequest(name=binding))
    async with refused("NOT_FOUND", "NOT_FOUND"):
        await update(request_id="once")(ada)
    assert let_in[-1]
    await eventually(lambda: denied(world))


async def binding_name(owner: Stubs) -> str:
    listed = await owner.workspaces.ListRoleBindings(wpb.ListRoleBindingsRequest(parent=ACME))
    (name,) = [str(one.name) for one in listed.role_bindings if one.member == ADA]
    return name


async def token_name(owner: Stubs) -> str:
    listed = await owner.workspaces.ListTokens(wpb.ListTokensRequest(parent=ACME))
    (name,) = [str(one.name) for one in listed.tokens if one.member == ADA]
    return name


async def state(world: World) -> list[str]:
    told = ("AccessDenied", "TokenRevoked", "RoleRevoked")
    return [fact.type for fact in await facts_of(world) if fact.type not in told]


async def denied(world: World) -> bool:
    return any(fact.type == "AccessDenied" for fact in await facts_of(world))
