"""Where calls came from that leave facts: kept apart from them, told to services, and erased with the person."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from nats.aio.client import Client

from kit.eventstore.commitments import commitments
from kit.rpc.client import open_channel
from kit.testing.eventually import eventually
from onward.common.v1 import facts_pb2 as stored
from onward.registry.v1 import internal_service_pb2 as ipb
from onward.registry.v1 import operator_service_pb2 as opb
from onward.registry.v1 import resources_pb2 as pb
from onward.registry.v1 import source_service_pb2 as spb
from onward.registry.v1 import workspace_service_pb2 as wpb
from tests.integration import canary
from tests.integration.people_world import ACME, ADA, OWNER, add, facts_of, remove, token_of
from tests.integration.registry_world import Stubs, World, a_function, connect, refused, running
from tests.integration.registry_world import a_source as make_source

pytestmark = pytest.mark.integration

LOOPBACK = "127.0.0.1"
Callers = Callable[[str, str], Awaitable[Stubs]]


@pytest.fixture
async def world(database: str, nats_url: str) -> AsyncIterator[World]:
    async with running(database, nats_url) as world:
        yield world


@pytest.fixture
async def callers(world: World) -> AsyncIterator[Callers]:
    """Opens channels of programs that call themselves something."""
    async with AsyncExitStack() as channels:

        async def calling(token: str, agent: str) -> Stubs:
            return Stubs(await channels.enter_async_context(open_channel(world.app.address, token, agent=agent)))

        yield calling


async def clients_of(world: World, *positions: int, workspace: str = "acme") -> dict[int, ipb.Client]:
    request = ipb.ReadClientsRequest(workspace=workspace, positions=positions)
    answer: ipb.ReadClientsResponse = await world.service.internal.ReadClients(request)
    return dict(answer.clients)


async def ada(world: World, callers: Callers, agent: str) -> tuple[Stubs, Stubs]:
    """The workspace's owner, and another one who calls by a program of her own."""
    owner = await world.workspace()
    await add(owner, display_name="Ada", grants=[OWNER])
    secret = (await token_of(owner)).secret
    return owner, await callers(secret, agent)


def a_source(name: str = "web") -> spb.CreateSourceRequest:
    return spb.CreateSourceRequest(parent=ACME, source_id=name, display_name=name)


async def test_each_fact_of_a_call_commits_to_where_it_came_from(world: World, callers: Callers) -> None:
    """D13."""
    _, caller = await ada(world, callers, "tool/1.0")
    before = len(await facts_of(world))
    await caller.sources.CreateSource(a_source())
    member = wpb.AddMemberRequest(parent=ACME, member_id="bob", kind=pb.MEMBER_KIND_PERSON, grants=[OWNER])
    await caller.workspaces.AddMember(member)
    facts = (await facts_of(world))[before:]
    assert [one.type for one in facts] == ["SourceCreated", "MemberAdded", "RoleGranted"]
    clients = await clients_of(world, *(one.position for one in facts))
    for fact in facts:
        client = clients[fact.position]
        assert client.client_address == LOOPBACK
        assert client.user_agent.startswith("tool/1.0 ")
        told = {"client_address": client.client_address, "user_agent": client.user_agent}
        assert dict(fact.commitments) == commitments(client.salt, told)
    salts = [clients[one.position].salt for one in facts]
    assert salts[0] != salts[1], "of two calls"
    assert salts[1] == salts[2], "of one"
    assert all(len(salt) >= 16 for salt in salts)


async def test_what_a_call_of_many_facts_left_is_found_by_each_position_and_by_no_other(world: World) -> None:
    await world.workspace()
    facts = await facts_of(world)
    assert len(facts) > 1
    assert set(await clients_of(world, *range(20))) == {one.position for one in facts}
    assert await clients_of(world, 1, workspace="other") == {}


async def test_services_that_act_by_themselves_leave_no_address(world: World) -> None:
    owner = await world.workspace()
    await owner.sources.CreateSource(a_source())
    denial = ipb.Denial(method="m", resource=ACME, reason="r", principal="member:owner")
    await world.service.internal.RecordDenial(ipb.RecordDenialRequest(denials=[denial]))
    (fact,) = [one for one in await facts_of(world) if one.type == "AccessDenied"]
    assert dict(fact.commitments) == {}
    assert await clients_of(world, fact.position) == {}


async def test_a_refusal_keeps_where_it_came_from_cut_to_a_length(world: World) -> None:
    """D3."""
    await world.workspace()
    odd = "x\0" + "y" * 1000
    denial = ipb.Denial(method="m", resource=ACME, reason="r", client_address="10.1.2.3", user_agent=odd)
    await world.service.internal.RecordDenial(ipb.RecordDenialRequest(denials=[denial]))
    (fact,) = [one for one in await facts_of(world) if one.type == "AccessDenied"]
    client = (await clients_of(world, fact.position))[fact.position]
    assert (client.client_address, len(client.user_agent)) == ("10.1.2.3", 256)
    told = {"client_address": client.client_address, "user_agent": client.user_agent}
    assert dict(fact.commitments) == commitments(client.salt, told)


async def denied(world: World, workspace: str = "acme", number: int = 1) -> list[stored.StoredFact]:
    async def found() -> list[stored.StoredFact]:
        facts = [one for one in await facts_of(world, workspace) if one.type == "AccessDenied"]
        return facts if len(facts) >= number else []

    return await eventually(found)


async def test_of_an_erased_person_no_address_is_left_in_any_workspace(
    world: World, callers: Callers, nats_client: Client
) -> None:
    """D13: what it did, what it was refused here and elsewhere, and what is tried with its token later on."""
    agent = f"canary-{uuid.uuid4().hex}"
    owner, caller = await ada(world, callers, agent)
    await world.workspace("other")
    await caller.sources.CreateSource(a_source())
    async with refused("NOT_FOUND", "NOT_FOUND"):
        await caller.sources.CreateSource(spb.CreateSourceRequest(parent="workspaces/other", display_name="x"))
    await owner.workspaces.RemoveMember(remove())
    async with refused("UNAUTHENTICATED", "INVALID_TOKEN"):
        await caller.sources.CreateSource(a_source("late"))
    await denied(world)
    await denied(world, "other")
    assert {one.where for one in await canary.in_database(agent, world.database)} == {"public.fact_clients"}
    mine = [dict(row) for row in await world.rows("SELECT * FROM fact_clients")]
    assert sum(agent in row["agent"] for row in mine) == 3
    facts = await world.rows("SELECT f::text FROM facts f ORDER BY workspace, position")
    await world.operator.operator.ErasePerson(opb.ErasePersonRequest(name=ADA))
    assert await canary.in_database(agent, world.database) == []
    assert await canary.in_nats(agent, nats_client) == []
    left = [dict(row) for row in await world.rows("SELECT * FROM fact_clients WHERE principal <> 'operator'")]
    assert left == [row for row in mine if agent not in row["agent"] and row["principal"] != "operator"]
    after = await world.rows("SELECT f::text FROM facts f WHERE type <> 'PersonErased' ORDER BY workspace, position")
    assert after == facts


async def test_a_refusal_that_is_recorded_after_the_erasure_keeps_no_address(world: World, callers: Callers) -> None:
    """D13."""
    owner, _ = await ada(world, callers, "x")
    await owner.workspaces.RemoveMember(remove())
    await world.operator.operator.ErasePerson(opb.ErasePersonRequest(name=ADA))
    denial = ipb.Denial(method="m", resource=ACME, reason="r", principal="member:ada", client_address="10.1.2.3")
    await world.service.internal.RecordDenial(ipb.RecordDenialRequest(denials=[denial]))
    assert await canary.in_database("10.1.2.3", world.database) == []


async def test_who_stays_is_not_erased_and_neither_is_what_it_left(world: World, callers: Callers) -> None:
    _, caller = await ada(world, callers, "tool/2.0")
    await caller.sources.CreateSource(a_source())
    kept = await world.rows("SELECT * FROM fact_clients WHERE principal = 'member:ada'")
    async with refused("FAILED_PRECONDITION", "WRONG_STATE"):
        await world.operator.operator.ErasePerson(opb.ErasePersonRequest(name=ADA))
    assert await world.rows("SELECT * FROM fact_clients WHERE principal = 'member:ada'") == kept
    assert kept


async def test_only_services_may_ask(world: World) -> None:
    owner = await world.workspace()
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await owner.internal.ReadClients(ipb.ReadClientsRequest(workspace="acme", positions=[1]))
    async with refused("UNAUTHENTICATED", "INVALID_TOKEN"):
        await world.operator.internal.ReadClients(ipb.ReadClientsRequest(workspace="acme", positions=[1]))


async def test_a_run_by_hand_has_the_address_of_who_asked_for_it_and_not_the_executors(world: World) -> None:
    owner = await world.workspace()
    await a_function(owner, [])
    await make_source(owner)
    destination = (await connect(owner)).destination.name
    request = ipb.RecordInvocationRequest(name=destination, principal="member:ada", message_id="m")
    request.client_address, request.user_agent = "192.0.2.7", "tool/1"
    await world.service.internal.RecordInvocation(request)
    fact = (await facts_of(world))[-1]
    client = (await clients_of(world, fact.position))[fact.position]
    assert (fact.type, client.client_address, client.user_agent) == ("DestinationInvoked", "192.0.2.7", "tool/1")
