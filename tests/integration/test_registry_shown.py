"""What is shown of a resource, and to whom, through a running registry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from kit.eventstore.facts import Meta, NewFact
from kit.eventstore.postgres import PostgresEventStore
from kit.postgres.pool import connect_pool
from kit.testing.eventually import eventually
from onward.common.v1 import access_pb2 as access
from onward.registry.v1 import facts_pb2
from onward.registry.v1 import function_service_pb2 as fpb
from onward.registry.v1 import operator_service_pb2 as opb
from onward.registry.v1 import resources_pb2 as pb
from onward.registry.v1 import source_service_pb2 as spb
from onward.registry.v1 import workspace_service_pb2 as wpb
from services.registry import projections
from tests.integration.people_world import ACME, ADA, CRM, OWNER, add, grant, somebody, token_of
from tests.integration.registry_world import CODE, Stubs, World, a_function, a_source, refused, running

pytestmark = pytest.mark.integration

GONE, NEVER = f"{ACME}/functions/gone", f"{ACME}/functions/never"
WEB, APP = f"{ACME}/sources/web", f"{ACME}/sources/app"


@pytest.fixture
async def world(database: str, nats_url: str) -> AsyncIterator[World]:
    async with running(database, nats_url) as world:
        yield world


async def shown(caller: Stubs) -> pb.Workspace:
    answer: wpb.GetWorkspaceResponse = await caller.workspaces.GetWorkspace(wpb.GetWorkspaceRequest(name=ACME))
    return answer.workspace


async def test_a_workspaces_limits_and_ranges_are_not_for_every_member(world: World) -> None:
    """A private range tells what is behind the firewall."""
    owner = await world.workspace()
    await world.operator.operator.AllowEgressRange(opb.AllowEgressRangeRequest(name=ACME, range="10.1.2.0/24"))
    whole = await shown(owner)
    assert (list(whole.egress_ranges), whole.functions_max) == (["10.1.2.0/24"], 10)
    exists = pb.Workspace(name=ACME, display_name="Acme")
    await a_function(owner, [])
    for member, role in (
        ("member", grant(pb.ROLE_MEMBER)),
        ("reader", grant(pb.ROLE_FUNCTIONS_READ_ONLY)),
        ("admin-of-one", grant(pb.ROLE_FUNCTIONS_ADMIN, CRM)),
        ("source-admin", grant(pb.ROLE_SOURCE_ADMIN)),
    ):
        assert await shown(await somebody(world, owner, role, member=member)) == exists
    admin = await somebody(world, owner, grant(pb.ROLE_FUNCTIONS_ADMIN), member="admin")
    # Who may create functions needs to know how many.
    assert await shown(admin) == pb.Workspace(name=ACME, display_name="Acme", functions_max=10)


async def test_a_source_shows_its_labels_to_those_who_administer_it(world: World) -> None:
    owner = await world.workspace()
    for source in ("app", "web"):
        await a_source(owner, source)
        labels = pb.Labels(labels={"team": "secret-project"})
        name = f"{ACME}/sources/{source}"
        await owner.sources.UpdateSource(spb.UpdateSourceRequest(name=name, labels=labels))
    app, web = (await owner.sources.ListSources(spb.ListSourcesRequest(parent=ACME))).sources
    assert app.labels["team"] == web.labels["team"] == "secret-project"
    exists = pb.Source(name=APP, display_name="app", subject="events.acme.app")
    ada = await somebody(world, owner, grant(pb.ROLE_SOURCE_ADMIN, WEB))
    assert list((await ada.sources.ListSources(spb.ListSourcesRequest(parent=ACME))).sources) == [exists, web]
    assert (await ada.sources.GetSource(spb.GetSourceRequest(name=APP))).source == exists
    assert (await ada.sources.GetSource(spb.GetSourceRequest(name=WEB))).source == web


async def test_a_deleted_function_is_told_from_one_that_never_was_by_those_who_read_its_history(world: World) -> None:
    owner = await world.workspace()
    await owner.functions.CreateFunction(
        fpb.CreateFunctionRequest(parent=ACME, function_id="gone", display_name="Gone")
    )
    await owner.functions.DeleteFunction(fpb.DeleteFunctionRequest(name=GONE))
    everything = list(access.Permission.values())

    async def held(caller: Stubs, name: str) -> set[int]:
        request = wpb.TestPermissionsRequest(name=name, permissions=everything)
        return set((await caller.workspaces.TestPermissions(request)).permissions)

    for member, role in (("reader", pb.ROLE_FUNCTIONS_READ_ONLY), ("admin", pb.ROLE_FUNCTIONS_ADMIN)):
        caller = await somebody(world, owner, grant(role), member=member)
        assert await held(caller, GONE) == await held(caller, NEVER)
        for name in (GONE, NEVER):
            async with refused("NOT_FOUND", "NOT_FOUND"):
                await caller.functions.GetFunction(fpb.GetFunctionRequest(name=name))
    auditor = await somebody(world, owner, grant(pb.ROLE_AUDITOR), member="auditor")
    assert access.PERMISSION_FUNCTION_VIEW in await held(auditor, GONE) - await held(auditor, NEVER)


async def test_a_repeated_save_is_not_answered_to_whoever_lost_the_role_meanwhile(world: World, database: str) -> None:
    """H4: as every change, though this one looks for its answer before it takes the workspace's lock."""
    owner = await world.workspace()
    await a_function(owner, [])
    await add(owner, "ada", grants=[OWNER])
    ada = world.caller((await token_of(owner)).secret)
    save = fpb.SaveFunctionRequest(name=CRM, code=CODE, request_id="r1")
    first = await ada.functions.SaveFunction(save)
    assert await ada.functions.SaveFunction(save) == first
    bindings = (await owner.workspaces.ListRoleBindings(wpb.ListRoleBindingsRequest(parent=ACME))).role_bindings
    (binding,) = [one.name.rpartition("/")[2] for one in bindings if one.member == ADA]
    pool = await connect_pool(database, application_name="test")
    # Another registry holds the workspace's lock; this one has let the call in and waits for its turn.
    async with PostgresEventStore(pool).writing("acme") as unit:
        call = asyncio.ensure_future(ada.functions.SaveFunction(save))
        await eventually(lambda: waits_for_a_lock(world))
        revoked = NewFact("members/ada", facts_pb2.RoleRevoked(binding=binding, member="ada"))
        await projections.project(unit.connection, await unit.append([revoked], Meta("member:owner")))
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await call
    await pool.close()


async def waits_for_a_lock(world: World) -> bool:
    return bool(await world.rows("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))
