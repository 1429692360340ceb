"""Changes that are made in one statement: nobody sees a difference to those that are not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from kit.errors import Conflict, InvalidToken, NotFound, PermissionDenied
from kit.eventstore.facts import Meta, NewFact
from kit.eventstore.postgres import PostgresEventStore
from kit.postgres.pool import connect_pool
from kit.testing.eventually import eventually
from onward.registry.v1 import facts_pb2, resources_pb2
from onward.registry.v1 import function_service_pb2 as pb
from onward.registry.v1 import workspace_service_pb2 as wpb
from services.registry import projections
from tests.integration.functions_world import ADMIN, CRM, a_member, facts_of, get, grant, projected
from tests.integration.registry_world import (
    CODE,
    Stubs,
    World,
    a_function,
    definition,
    noting_outright,
    rebuild,
    refused,
    running,
    save,
)

pytestmark = pytest.mark.integration


@pytest.fixture
async def world(database: str, nats_url: str) -> AsyncIterator[World]:
    async with running(database, nats_url) as world:
        yield world


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    return noting_outright(monkeypatch)


async def rename(caller: Stubs, display_name: str, etag: str = "", request_id: str = "") -> pb.UpdateFunctionResponse:
    request = pb.UpdateFunctionRequest(name=CRM, display_name=display_name, etag=etag, request_id=request_id)
    answer: pb.UpdateFunctionResponse = await caller.functions.UpdateFunction(request)
    return answer


async def test_the_answer_is_what_is_read_afterwards_now_and_when_repeated(world: World, made: list[bool]) -> None:
    """A3."""
    owner = await world.workspace()
    await a_function(owner, [])
    made.clear()
    request = pb.UpdateFunctionRequest(
        name=CRM, description="Of '1'", labels=resources_pb2.Labels(labels={"b": "2", "a": "1"}), request_id="once"
    )
    first = await owner.functions.UpdateFunction(request)
    assert made == [True]
    assert await get(owner) == first.function
    await save(owner, [])
    assert await owner.functions.UpdateFunction(request) == first
    assert made == [True, True, False]
    # The long way comes to the same.
    await world.rows("UPDATE request_answers SET request_id = 'other' WHERE request_id = 'once'")
    assert (await rename(owner, "New")).function == await get(owner)


async def test_a_save_answers_what_is_read_afterwards_now_and_when_repeated(world: World, made: list[bool]) -> None:
    """A3."""
    owner = await world.workspace()
    await a_function(owner, [])
    made.clear()
    definitions = [definition("region", description="of it"), definition("apiKey", encrypted=True)]
    first = await save(owner, definitions, code=f"{CODE}// ü $1", request_id="once")
    assert made == [True]
    read = await owner.functions.GetVersion(pb.GetVersionRequest(name=f"{CRM}/versions/latest"))
    assert (first.function, first.version) == (await get(owner), read.version)
    assert list(first.version.definitions) == definitions
    await rename(owner, "New")
    checked = world.executor.checked
    assert await save(owner, definitions, code=f"{CODE}// ü $1", request_id="once") == first
    assert world.executor.checked == checked
    # The long way comes to the same, and so does one that another replica makes at the same time.
    both = await asyncio.gather(*(save(owner, definitions, code=CODE, request_id="both") for _ in range(4)))
    assert all(answer == both[0] for answer in both)
    assert both[0].version.number == first.version.number + 1
    target = pb.DeploymentTarget(all=True)
    request = pb.SaveFunctionRequest(name=CRM, code=CODE, keep_definitions=True, deploy_to=target)
    made.clear()
    deployed = await owner.functions.SaveFunction(request)
    assert made == []
    read = await owner.functions.GetVersion(pb.GetVersionRequest(name=f"{CRM}/versions/latest"))
    assert (deployed.function, deployed.version) == (await get(owner), read.version)


async def test_what_is_made_outright_is_what_a_rebuild_makes(world: World, database: str) -> None:
    owner = await world.workspace()
    await a_function(owner, [])
    await rename(owner, "New")
    await save(owner, [definition("region")])
    await owner.functions.UpdateFunction(pb.UpdateFunctionRequest(name=CRM, description="x"))
    before = await projected(world)
    await rebuild(database)
    assert await projected(world) == before
    # Rows that were made anew are found.
    assert (await rename(owner, "Newer")).function == await get(owner)


async def test_a_change_that_changes_nothing_and_one_that_is_refused_are_answered_as_ever(
    world: World, made: list[bool]
) -> None:
    owner = await world.workspace()
    await a_function(owner, [])
    made.clear()
    first = await rename(owner, "New", request_id="r1")
    assert (await rename(owner, "New", request_id="r2")).function == first.function
    # It is the first reading that the repeated request names, and it has been changed since, by itself.
    etag = first.function.etag
    second = await rename(owner, "Newer", etag=etag, request_id="r3")
    assert await rename(owner, "Newer", etag=etag, request_id="r3") == second
    with pytest.raises(Conflict):
        await rename(owner, "Newest", etag=etag, request_id="r4")
    async with refused("ALREADY_EXISTS", "REQUEST_ID_REUSED"):
        await rename(owner, "Newest", request_id="r3")
    assert made == [True, False, True, False, False, False]
    assert (await facts_of(world)).count("FunctionUpdated") == 2


async def test_a_request_repeated_at_once_in_two_replicas_is_made_once(database: str, nats_url: str) -> None:
    """A3, C1."""
    async with running(database, nats_url) as one, running(database, nats_url) as two:
        token = (
            await one.operator.workspaces.CreateWorkspace(
                wpb.CreateWorkspaceRequest(workspace_id="acme", display_name="Acme")
            )
        ).owner_token
        owners = [one.caller(token), two.caller(token)]
        await a_function(owners[0], [])
        await rename(owners[1], "Known to both")
        for number in range(5):
            calls = (rename(owners[n % 2], f"New {number}", request_id=f"r{number}") for n in range(6))
            answers = await asyncio.gather(*calls)
            assert all(answer == answers[0] for answer in answers)
        assert (await facts_of(one)).count("FunctionUpdated") == 6
        names = await asyncio.gather(*(rename(owners[n % 2], f"Of {n}") for n in range(12)))
        assert len({answer.function.etag for answer in names}) == 12
        assert len({answer.position for answer in names}) == 12


async def test_a_role_that_another_replica_takes_away_meanwhile_has_no_effect(
    world: World, database: str, made: list[bool]
) -> None:
    """H4."""
    owner = await world.workspace()
    await a_function(owner, [])
    bob = await a_member(world, owner, "bob", grant(ADMIN))
    await rename(bob, "Bob's")
    listed = await owner.workspaces.ListRoleBindings(wpb.ListRoleBindingsRequest(parent="workspaces/acme"))
    (binding,) = [
        one.name.rpartition("/")[2] for one in listed.role_bindings if one.member == "workspaces/acme/members/bob"
    ]
    pool = await connect_pool(database, application_name="test")
    async with PostgresEventStore(pool).writing("acme") as unit:
        call = asyncio.ensure_future(rename(bob, "Taken over", request_id="r1"))
        await eventually(lambda: waits_for_a_lock(world))
        revoked = NewFact("members/bob", facts_pb2.RoleRevoked(binding=binding, member="bob"))
        await projections.project(unit.connection, await unit.append([revoked], Meta("member:owner")))
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await call
    await pool.close()
    assert made[-1] is False
    assert (await get(owner)).display_name == "Bob's"
    assert await world.rows("SELECT * FROM request_answers WHERE request_id = 'r1'") == []


async def test_a_role_that_is_taken_away_while_a_call_waits_its_turn_has_no_effect(
    world: World, made: list[bool]
) -> None:
    """H4."""
    owner = await world.workspace()
    await a_function(owner, [])
    bob = await a_member(world, owner, "bob", grant(ADMIN))
    await rename(bob, "Bob's")
    store = world.app._store
    assert store is not None
    async with store.turn("acme"):
        remove = wpb.RemoveMemberRequest(name="workspaces/acme/members/bob")
        removed = asyncio.ensure_future(owner.workspaces.RemoveMember(remove))
        await eventually(lambda: waiting(store, 1))
        call = asyncio.ensure_future(rename(bob, "Taken over"))
        await eventually(lambda: waiting(store, 2))
    await removed
    with pytest.raises((InvalidToken, NotFound, PermissionDenied)):
        await call
    assert made[-1] is False
    assert (await get(owner)).display_name == "Bob's"


def waiting(store: PostgresEventStore, count: int) -> bool:
    return len(store._turns._locks["acme"]._waiters or ()) == count


async def waits_for_a_lock(world: World) -> bool:
    return bool(await world.rows("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))


async def test_where_it_came_from_is_kept(world: World, made: list[bool]) -> None:
    owner = await world.workspace()
    await a_function(owner, [])
    made.clear()
    position = (await rename(owner, "New")).position
    (kept,) = await world.rows("SELECT * FROM fact_clients WHERE position = $1", position)
    assert made == [True]
    assert (kept["last_position"], kept["principal"], kept["address"]) == (position, "member:owner", "127.0.0.1")
    (fact,) = await world.rows("SELECT meta FROM facts WHERE position = $1 AND workspace = 'acme'", position)
    assert "commitments" in fact["meta"]
