"""Functions from creation to deletion, as callers of each role meet them, on a running registry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from kit.errors import Conflict, NotFound, OnwardError
from kit.eventstore.postgres import PostgresEventStore
from kit.postgres.pool import connect_pool
from onward.registry.v1 import destination_service_pb2 as dpb
from onward.registry.v1 import function_service_pb2 as pb
from onward.registry.v1 import operator_service_pb2 as opb
from onward.registry.v1 import resources_pb2
from onward.registry.v1 import workspace_service_pb2 as wpb
from services.registry.projections import rebuild
from tests.integration.functions_world import (
    ACME,
    ADMIN,
    ALL,
    AUDITOR,
    CRM,
    MEMBER,
    MUTATIONS,
    READER,
    READS,
    SOURCE_ADMIN,
    a_member,
    call,
    diffed,
    facts_of,
    get,
    grant,
    listed,
    projected,
    remove,
    runs,
    two_destinations,
    versions_of,
)
from tests.integration.registry_world import (
    World,
    a_function,
    a_source,
    connect,
    definition,
    refused,
    running,
    text,
)

pytestmark = pytest.mark.integration

# What databases, shells, paths and terminals give a meaning to.
HOSTILE = '\'; DROP TABLE functions;-- %_\\ $.a[*]?(@) {"a": 1} \x1b[31m \u202e \r\n\t ${x} `y` é 𝄞'
# Those of a destination's source are needed besides.
DEPLOYING = ("delete", "save", "restore", "deploy")


@pytest.fixture
async def world(database: str, nats_url: str) -> AsyncIterator[World]:
    async with running(database, nats_url) as world:
        yield world


@pytest.mark.parametrize("mutation", MUTATIONS)
async def test_a_repeated_request_gets_its_first_answer_and_does_nothing(world: World, mutation: str) -> None:
    """A3."""
    owner = await two_destinations(world)
    method, request = MUTATIONS[mutation](request_id="once")
    first = await call(owner, method, request)
    facts = await facts_of(world)
    assert await call(owner, method, request) == first
    assert await facts_of(world) == facts
    request.etag = "1"
    async with refused("ALREADY_EXISTS", "REQUEST_ID_REUSED"):
        await call(owner, method, request)


@pytest.mark.parametrize("mutation", MUTATIONS)
async def test_of_two_changes_on_one_reading_one_is_aborted(world: World, mutation: str) -> None:
    owner = await two_destinations(world)
    etag = (await get(owner)).etag
    method, request = MUTATIONS[mutation](etag=etag)
    ended = await asyncio.gather(call(owner, method, request), call(owner, method, request), return_exceptions=True)
    refusals = [one for one in ended if isinstance(one, OnwardError)]
    assert len(refusals) == 1
    # Who comes second after a deletion finds nothing.
    assert isinstance(refusals[0], NotFound if mutation == "delete" else Conflict)


@pytest.mark.parametrize("case", [*MUTATIONS, *READS])
async def test_outsiders_find_no_function_and_insiders_without_the_role_are_told_so(world: World, case: str) -> None:
    owner = await two_destinations(world)
    outsider = await world.workspace("other")
    member = await a_member(world, owner, "ada", grant(MEMBER))
    auditor = await a_member(world, owner, "eve", grant(AUDITOR))
    admin = await a_member(world, owner, "bob", grant(ADMIN), grant(SOURCE_ADMIN))
    method, request = READS[case] if case in READS else MUTATIONS[case]()
    async with refused("NOT_FOUND", "NOT_FOUND"):
        await call(outsider, method, request)
    for caller in (member, auditor):
        async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
            await call(caller, method, request)
    async with refused("UNAUTHENTICATED", "INVALID_TOKEN"):
        await call(world.caller("onw_nobody_" + "0" * 32), method, request)
    assert await call(admin, method, request)


@pytest.mark.parametrize("mutation", DEPLOYING)
async def test_what_touches_sources_needs_each_of_them(world: World, mutation: str) -> None:
    owner = await two_destinations(world)
    half = await a_member(world, owner, "bob", grant(ADMIN, "functions/crm"), grant(SOURCE_ADMIN, "sources/web"))
    method, request = MUTATIONS[mutation](request_id="r1")
    facts, function = await facts_of(world), await get(owner)
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED") as error:
        await call(half, method, request)
    assert error["sources"] == "app"
    # Refused as a whole: no version, no deployment, no end.
    assert [one for one in await facts_of(world) if one != "AccessDenied"] == facts
    assert await get(owner) == function
    role = wpb.GrantRoleRequest(member=f"{ACME}/members/bob", grant=grant(SOURCE_ADMIN, "sources/app"))
    await owner.workspaces.GrantRole(role)
    await call(half, method, request)


async def test_an_update_changes_what_is_present(world: World) -> None:
    owner = await world.workspace()
    create = pb.CreateFunctionRequest(
        parent=ACME, function_id="crm", display_name="CRM", description="Old", labels={"a": "1"}
    )
    before = (await owner.functions.CreateFunction(create)).function
    answer = await owner.functions.UpdateFunction(pb.UpdateFunctionRequest(name=CRM, description=""))
    assert (answer.function.display_name, answer.function.description) == ("CRM", "")
    assert dict(answer.function.labels) == {"a": "1"}
    assert answer.function.etag != before.etag
    cleared = pb.UpdateFunctionRequest(name=CRM, labels=resources_pb2.Labels())
    assert not (await owner.functions.UpdateFunction(cleared)).function.labels
    assert await get(owner) == (await owner.functions.UpdateFunction(cleared)).function


async def test_an_update_that_changes_nothing_leaves_no_trace(world: World) -> None:
    owner = await world.workspace()
    await a_function(owner, [])
    before, facts = await get(owner), await facts_of(world)
    same = pb.UpdateFunctionRequest(name=CRM, display_name=before.display_name, description=before.description)
    assert (await owner.functions.UpdateFunction(same)).function == before
    assert await facts_of(world) == facts


async def test_a_function_with_destinations_is_deleted_only_with_them(world: World) -> None:
    """G7: what was sealed for them is gone."""
    owner = await two_destinations(world, [definition("apiKey", encrypted=True)])
    for destination in ("crm-web", "crm-app"):
        name = f"{ACME}/destinations/{destination}"
        await owner.destinations.SetSettings(dpb.SetSettingsRequest(name=name, set={"apiKey": text("s3cret")}))
    async with refused("FAILED_PRECONDITION", "WRONG_STATE") as error:
        await remove(owner)
    assert error["used_by"] == "crm-app,crm-web"
    assert len(await world.rows("SELECT FROM encrypted_settings")) == 2
    deleted = await remove(owner, disconnect=True)
    assert deleted.delete_time.ToDatetime() > deleted.create_time.ToDatetime()
    assert (await facts_of(world))[-3:] == ["DestinationDisconnected", "DestinationDisconnected", "FunctionDeleted"]
    assert not await world.rows("SELECT FROM encrypted_settings")
    assert not await world.rows("SELECT FROM destination_settings")
    async with refused("NOT_FOUND", "NOT_FOUND"):
        await runs(owner, "crm-web")


@pytest.mark.parametrize("read", READS)
async def test_a_deleted_functions_history_is_for_owners_and_auditors(world: World, read: str) -> None:
    owner = await two_destinations(world)
    auditor = await a_member(world, owner, "eve", grant(AUDITOR))
    admin = await a_member(world, owner, "bob", grant(ADMIN), grant(SOURCE_ADMIN))
    reader = await a_member(world, owner, "ada", grant(READER, "functions/crm"))
    member = await a_member(world, owner, "joe", grant(MEMBER))
    await remove(owner, disconnect=True)
    method, request = READS[read]
    assert await call(owner, method, request) == await call(auditor, method, request)
    for caller in (admin, reader):
        async with refused("NOT_FOUND", "NOT_FOUND"):
            await call(caller, method, request)
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await call(member, method, request)


@pytest.mark.parametrize("mutation", MUTATIONS)
async def test_a_deleted_function_can_not_be_changed(world: World, mutation: str) -> None:
    owner = await two_destinations(world)
    admin = await a_member(world, owner, "bob", grant(ADMIN), grant(SOURCE_ADMIN))
    await remove(owner, disconnect=True)
    method, request = MUTATIONS[mutation]()
    for caller in (owner, admin):
        async with refused("NOT_FOUND", "NOT_FOUND"):
            await call(caller, method, request)
    async with refused("NOT_FOUND", "NOT_FOUND"):
        await connect(owner, "again")


async def test_a_deleted_function_frees_its_place_but_not_its_id(world: World) -> None:
    owner = await world.workspace()
    await world.operator.operator.SetLimits(opb.SetLimitsRequest(name=ACME, functions_max=1))
    await a_function(owner, [])
    another = pb.CreateFunctionRequest(parent=ACME, display_name="crm")
    async with refused("RESOURCE_EXHAUSTED", "LIMIT_REACHED"):
        await owner.functions.CreateFunction(another)
    await remove(owner)
    async with refused("ALREADY_EXISTS", "ALREADY_EXISTS") as error:
        await owner.functions.CreateFunction(
            pb.CreateFunctionRequest(parent=ACME, function_id="crm", display_name="crm")
        )
    assert "deleted" in error["message"]
    assert (await owner.functions.CreateFunction(another)).function.name == f"{ACME}/functions/crm-2"


async def test_a_list_tells_of_functions_that_the_caller_may_not_view_their_names_alone(world: World) -> None:
    owner = await world.workspace()
    for function in ("crm", "erp", "old"):
        await a_function(owner, [], function=function)
    await remove(owner, name=f"{ACME}/functions/old")
    reader = await a_member(world, owner, "ada", grant(READER, "functions/crm"))
    member = await a_member(world, owner, "joe", grant(SOURCE_ADMIN))
    auditor = await a_member(world, owner, "eve", grant(AUDITOR))
    crm, erp = await listed(owner)
    deleted = await get(owner, f"{ACME}/functions/old")
    named = [resources_pb2.Function(name=one.name, display_name=one.display_name) for one in (crm, erp)]
    assert crm == await get(owner)
    assert await listed(reader) == [crm, named[1]]
    assert await listed(member) == named
    assert await listed(auditor) == []
    assert await listed(owner, show_deleted=True) == [crm, erp, deleted]
    assert await listed(auditor, show_deleted=True) == [deleted]
    for caller in (reader, member):
        async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
            await listed(caller, show_deleted=True)
    async with refused("NOT_FOUND", "NOT_FOUND"):
        await listed(await world.workspace("other"))


async def test_pages_of_functions_hold_what_is_shown(world: World) -> None:
    owner = await world.workspace()
    for function in ("a", "b", "c", "d"):
        await a_function(owner, [], function=function)
    await remove(owner, name=f"{ACME}/functions/b")
    first = await owner.functions.ListFunctions(pb.ListFunctionsRequest(parent=ACME, page_size=2))
    assert [one.name[-1] for one in first.functions] == ["a", "c"]
    token = first.next_page_token
    assert [one.name[-1] for one in await listed(owner, page_size=2, page_token=token)] == ["d"]
    async with refused("INVALID_ARGUMENT", "INVALID_PAGE_TOKEN"):
        await listed(owner, page_size=2, page_token=token, show_deleted=True)


async def test_equal_ids_in_two_workspaces_have_nothing_in_common(world: World) -> None:
    """C10."""
    acme, other = await world.workspace(), await world.workspace("other")
    for owner, workspace in ((acme, "acme"), (other, "other")):
        await a_function(owner, [], workspace=workspace)
        await a_source(owner, workspace=workspace)
        parts = {"source": f"workspaces/{workspace}/sources/web", "function": f"workspaces/{workspace}/functions/crm"}
        await connect(owner, "crm-eu", **parts)
    theirs = "workspaces/other/functions/crm"
    before, runs_before = await get(other, theirs), await versions_of(other, theirs)
    await acme.functions.UpdateFunction(pb.UpdateFunctionRequest(name=CRM, display_name="New"))
    await acme.functions.RestoreVersion(pb.RestoreVersionRequest(name=f"{CRM}/versions/1", deploy_to=ALL))
    await remove(acme, disconnect=True)
    assert (await get(other, theirs), await versions_of(other, theirs)) == (before, runs_before)


async def test_every_string_is_stored_as_it_is(world: World) -> None:
    """H12."""
    owner = await world.workspace()
    create = pb.CreateFunctionRequest(
        parent=ACME,
        display_name=HOSTILE,
        description=HOSTILE,
        labels={HOSTILE[:30]: HOSTILE[-30:]},
        request_id=HOSTILE,
    )
    made = (await owner.functions.CreateFunction(create)).function
    assert (await owner.functions.CreateFunction(create)).function == made
    assert (made.display_name, made.description) == (HOSTILE, HOSTILE)
    assert dict(made.labels) == {HOSTILE[:30]: HOSTILE[-30:]}
    hostile = definition("a", label=HOSTILE, description=HOSTILE)
    request = pb.SaveFunctionRequest(name=made.name, code=f"//{HOSTILE}", definitions=[hostile], request_id="%")
    version = (await owner.functions.SaveFunction(request)).version
    assert (version.code, list(version.definitions)) == (f"//{HOSTILE}", [hostile])
    update = pb.UpdateFunctionRequest(name=made.name, display_name=f"{HOSTILE}2", description="%", request_id="_")
    updated = (await owner.functions.UpdateFunction(update)).function
    assert (updated.display_name, updated.description) == (f"{HOSTILE}2", "%")
    assert await listed(owner) == [updated]
    restore = pb.RestoreVersionRequest(name=f"{made.name}/versions/1", request_id="'")
    assert (await owner.functions.RestoreVersion(restore)).version.number == 3
    diff = await diffed(owner, name=made.name)
    assert f"-//{HOSTILE}".split("\n", 1)[0] in diff.code_diff


@pytest.mark.parametrize("wild", ["%", "_", "'", HOSTILE, "crm%", "crm\0"])
async def test_no_string_has_a_meaning_to_the_database(world: World, wild: str) -> None:
    """H12: nothing is matched, and errors are those of any other string."""
    owner = await two_destinations(world)
    name = f"{ACME}/functions/{wild}"
    for method, request in (
        ("GetFunction", pb.GetFunctionRequest(name=name)),
        ("ListVersions", pb.ListVersionsRequest(parent=name)),
        ("DiffVersions", pb.DiffVersionsRequest(name=name)),
        ("DeleteFunction", pb.DeleteFunctionRequest(name=name)),
        ("CreateFunction", pb.CreateFunctionRequest(parent=ACME, function_id=wild, display_name="x")),
        ("CreateFunction", pb.CreateFunctionRequest(parent=ACME, display_name="x", template=wild)),
    ):
        async with refused("INVALID_ARGUMENT", "INVALID_FIELD"):
            await call(owner, method, request)
    async with refused("INVALID_ARGUMENT", "INVALID_PAGE_TOKEN"):
        await listed(owner, page_token=wild)
    if "\0" in wild:
        return
    named = pb.DeploymentTarget(named=pb.DestinationNames(names=[f"{ACME}/destinations/{wild}"]))
    async with refused("NOT_FOUND", "NOT_FOUND"):
        await owner.functions.DeployVersion(pb.DeployVersionRequest(name=f"{CRM}/versions/1", target=named))
    async with refused("ABORTED", "CONFLICT"):
        await owner.functions.UpdateFunction(pb.UpdateFunctionRequest(name=CRM, etag=wild))


@pytest.mark.parametrize("mutation", MUTATIONS)
async def test_a_nul_is_refused_wherever_it_stands(world: World, mutation: str) -> None:
    """H12: the one character that the database can't store."""
    owner = await two_destinations(world)
    method, request = MUTATIONS[mutation](request_id="a\0b")
    async with refused("INVALID_ARGUMENT", "INVALID_FIELD") as error:
        await call(owner, method, request)
    assert "request_id" in error["violations"]


async def test_rows_of_functions_made_again_from_the_log_are_the_live_rows(world: World, database: str) -> None:
    """C3."""
    owner = await two_destinations(world, [definition("region"), definition("apiKey", encrypted=True)])
    values = {"region": text("eu"), "apiKey": text("s3cret")}
    await owner.destinations.SetSettings(dpb.SetSettingsRequest(name=f"{ACME}/destinations/crm-web", set=values))
    await call(owner, *MUTATIONS["update"](labels=resources_pb2.Labels(labels={"b": "2", "a": "1"})))
    await call(owner, *MUTATIONS["restore"]())
    await a_function(owner, [], function="kept")
    await remove(owner, disconnect=True)
    live = await projected(world)
    pool = await connect_pool(database, application_name="test")
    store = PostgresEventStore(pool)
    async with store.writing("acme") as unit:
        await rebuild(unit.connection, "acme", await unit.read(0))
    await pool.close()
    assert await projected(world) == live


async def test_a_registry_that_starts_anew_knows_what_was_deleted(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        await world.workspace()
        made = await world.operator.workspaces.CreateWorkspace(
            wpb.CreateWorkspaceRequest(workspace_id="beta", display_name="Beta")
        )
        owner = world.caller(made.owner_token)
        await a_function(owner, [], workspace="beta")
        await remove(owner, name="workspaces/beta/functions/crm")
    async with running(database, nats_url) as world:
        owner = world.caller(made.owner_token)
        async with refused("ALREADY_EXISTS", "ALREADY_EXISTS"):
            await a_function(owner, [], workspace="beta")
