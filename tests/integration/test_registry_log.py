"""The registry's log: what it tells the others, and that everything else follows from it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client

from kit.embedded.data_folder import DataFolder
from kit.embedded.nats import EmbeddedNats
from kit.embedded.nats_users import NatsUser
from kit.errors import InvalidToken, NotFound, PermissionDenied
from kit.eventstore.postgres import PostgresEventStore
from kit.eventstore.relay import Relay
from kit.ids import uuid7
from kit.postgres.pool import connect_pool
from kit.testing.eventually import eventually
from kit.testing.servers import TEST_USER
from onward.common.v1 import access_pb2, facts_pb2
from onward.registry.v1 import destination_service_pb2 as dpb
from onward.registry.v1 import function_service_pb2 as fpb
from onward.registry.v1 import internal_service_pb2 as ipb
from onward.registry.v1 import operator_service_pb2 as opb
from onward.registry.v1 import source_service_pb2 as spb
from onward.registry.v1 import workspace_service_pb2 as wpb
from services.registry.app import PUBLISHED_WAIT_S
from services.registry.projections import rebuild
from tests.integration.functions_world import projected
from tests.integration.registry_world import (
    CODE,
    Stubs,
    World,
    a_function,
    a_source,
    connect,
    definition,
    refused,
    running,
    save,
    text,
)

pytestmark = pytest.mark.integration

CRM = "workspaces/acme/functions/crm"
CRM_EU = "workspaces/acme/destinations/crm-eu"


@pytest.fixture
async def world(database: str, nats_url: str) -> AsyncIterator[World]:
    async with running(database, nats_url) as world:
        yield world


async def a_full_story(world: World) -> Stubs:
    """Facts of many types; those about people and filters have stories of their own."""
    owner = await world.workspace()
    await world.operator.operator.SetLimits(opb.SetLimitsRequest(name="workspaces/acme", functions_max=20))
    allow = opb.AllowEgressRangeRequest(name="workspaces/acme", range="10.1.0.0/16")
    await world.operator.operator.AllowEgressRange(allow)
    kept = [definition("kept"), definition("hidden", encrypted=True)]
    await a_function(owner, [definition("region"), definition("apiKey", encrypted=True), *kept])
    await a_source(owner)
    await owner.sources.CreateWriteKey(spb.CreateWriteKeyRequest(parent="workspaces/acme/sources/web"))
    values = {name: text(name) for name in ("region", "apiKey", "kept", "hidden")}
    await connect(owner, settings=values, labels={"b": "2", "a": "1"})
    await owner.destinations.EnableDestination(dpb.EnableDestinationRequest(name=CRM_EU))
    await save(owner, [definition("region", encrypted=True), definition("apiKey"), *kept])
    target = fpb.DeploymentTarget(all=True)
    await owner.functions.DeployVersion(fpb.DeployVersionRequest(name=f"{CRM}/versions/3", target=target))
    await owner.destinations.SetSettings(dpb.SetSettingsRequest(name=CRM_EU, clear=["region"]))
    await owner.destinations.DisableDestination(dpb.DisableDestinationRequest(name=CRM_EU))
    return owner


async def read_facts(world: World, **fields: object) -> facts_pb2.ReadFactsResponse:
    request = ipb.ReadFactsRequest(read=facts_pb2.ReadFactsRequest(**fields))  # type: ignore[arg-type]  # by name
    answer: ipb.ReadFactsResponse = await world.service.internal.ReadFacts(request)
    return answer.read


async def test_facts_are_read_in_order_and_by_part(world: World) -> None:
    await a_full_story(world)
    heads = (await read_facts(world)).heads
    facts = list((await read_facts(world, workspace="acme")).facts)
    assert heads == {"acme": len(facts)}
    assert [fact.position for fact in facts] == list(range(1, len(facts) + 1))
    first = ["WorkspaceCreated", "MemberAdded", "RoleGranted", "TokenCreated", "LimitsSet", "EgressRangeAllowed"]
    assert [fact.type for fact in facts][:6] == first
    assert len({fact.type for fact in facts}) == 15
    assert json.loads(facts[0].data)["workspace"] == "acme"
    assert facts[0].principal == "operator"
    assert facts[6].principal == "member:owner"
    assert facts[6].credential.startswith("token:")
    assert facts[6].traceparent
    part = (await read_facts(world, workspace="acme", after_position=3, limit=2)).facts
    assert list(part) == facts[3:5]
    assert list((await read_facts(world, workspace="acme", after_position=len(facts))).facts) == []


async def test_an_answer_comes_after_its_facts_are_on_the_bus(world: World, nats_client: Client) -> None:
    owner = await world.workspace()
    await eventually(lambda: nats_client.jetstream().stream_info("FACTS"))
    before = (await nats_client.jetstream().stream_info("FACTS")).state.messages
    await a_source(owner)
    state = (await nats_client.jetstream().stream_info("FACTS")).state
    assert state.messages == before + 1
    message = await nats_client.jetstream().get_msg("FACTS", state.last_seq)
    assert message.subject == "facts.registry.acme.SourceCreated"
    assert json.loads(message.data or b"") == {"source": "web", "displayName": "web"}


async def test_rows_made_again_from_the_log_are_the_live_rows(world: World, database: str) -> None:
    """C3."""
    await a_full_story(world)
    live = await projected(world)
    assert {table for table, rows in live.items() if not rows} <= {"filters", "filter_revisions"}
    pool = await connect_pool(database, application_name="test")
    store = PostgresEventStore(pool)
    async with store.writing("acme") as unit:
        await rebuild(unit.connection, "acme", await unit.read(0))
    await pool.close()
    assert await projected(world) == live


async def test_a_registry_that_starts_anew_decides_from_the_log(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        made = await world.operator.workspaces.CreateWorkspace(
            wpb.CreateWorkspaceRequest(workspace_id="acme", display_name="Acme", request_id="r1")
        )
        owner = world.caller(made.owner_token)
        await a_function(owner, [definition("region", required=True)])
        await a_source(owner)
        await connect(owner)
    async with running(database, nats_url) as world:
        owner = world.caller(made.owner_token)
        async with refused("FAILED_PRECONDITION", "SETTINGS_MISSING"):
            await owner.destinations.EnableDestination(dpb.EnableDestinationRequest(name=CRM_EU))
        async with refused("ALREADY_EXISTS", "ALREADY_EXISTS"):
            await a_source(owner)
        repeated = wpb.CreateWorkspaceRequest(workspace_id="acme", display_name="Acme", request_id="r1")
        assert (await world.operator.workspaces.CreateWorkspace(repeated)).workspace == made.workspace


async def test_two_registries_on_one_database_keep_one_log(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as one, running(database, nats_url) as two:
        made = await one.operator.workspaces.CreateWorkspace(wpb.CreateWorkspaceRequest(display_name="Acme"))
        owners = [one.caller(made.owner_token), two.caller(made.owner_token)]
        await a_function(owners[0], [])
        answers = await asyncio.gather(*(save(owners[n % 2], []) for n in range(8)))
        assert sorted(answer.version.number for answer in answers) == list(range(3, 11))


async def test_what_a_destination_runs_is_told_to_services_alone(world: World) -> None:
    owner = await a_full_story(world)
    request = ipb.ResolveDestinationRequest(name=CRM_EU)
    resolved = await world.service.internal.ResolveDestination(request)
    assert resolved.position == (await read_facts(world)).heads["acme"]
    assert (resolved.version.number, resolved.version.code) == (3, CODE)
    shown = await owner.destinations.GetDestination(dpb.GetDestinationRequest(name=CRM_EU))
    assert resolved.destination == shown.destination
    assert resolved.settings_revision == 3
    assert list(resolved.egress_ranges) == ["10.1.0.0/16"]
    async with refused("NOT_FOUND", "NOT_FOUND"):
        await world.service.internal.ResolveDestination(
            ipb.ResolveDestinationRequest(name="workspaces/acme/destinations/none")
        )
    for caller in (owner, world.operator):
        for call in (caller.internal.ResolveDestination(request), caller.internal.ReadFacts(ipb.ReadFactsRequest())):
            with pytest.raises((PermissionDenied, InvalidToken)):
                await call


async def test_services_ask_what_a_token_may(world: World) -> None:
    made = await world.operator.workspaces.CreateWorkspace(wpb.CreateWorkspaceRequest(display_name="Acme"))
    await world.workspace("other")

    async def ask(token: str, permission: int, resource: str) -> ipb.AuthorizeResponse:
        request = ipb.AuthorizeRequest(token=token, permission=permission, resource=resource)  # type: ignore[arg-type]  # an int
        answer: ipb.AuthorizeResponse = await world.service.internal.Authorize(request)
        return answer

    view = access_pb2.PERMISSION_DELIVERY_VIEW
    answer = await ask(made.owner_token, view, "workspaces/acme/deliveries/d1")
    assert (answer.principal, answer.lease_ms) == ("member:owner", 1000)
    assert answer.credential == f"token:{made.owner_token.split('_')[1]}"
    with pytest.raises(NotFound):
        await ask(made.owner_token, view, "workspaces/other")
    with pytest.raises(InvalidToken):
        await ask(made.owner_token.rpartition("_")[0] + "_" + "x" * 32, view, "workspaces/acme")
    with pytest.raises(PermissionDenied):
        await ask(made.owner_token, access_pb2.PERMISSION_OPERATE, "")
    with pytest.raises(PermissionDenied):
        await ask(made.owner_token, access_pb2.PERMISSION_SERVICE, "workspaces/acme")
    used = await world.rows("SELECT last_used_at FROM token_secrets WHERE workspace = 'acme'")
    await ask(made.owner_token, view, "workspaces/acme")
    assert used == await world.rows("SELECT last_used_at FROM token_secrets WHERE workspace = 'acme'")
    assert used[0][0] is not None


async def test_a_new_workspace_has_its_stream_when_it_is_answered(world: World, nats_client: Client) -> None:
    await world.workspace()
    info = await nats_client.jetstream().stream_info("EVENTS_acme")
    assert info.config.subjects == ["events.acme.>"]
    consumers = await nats_client.jsm().consumers_info("EVENTS_acme")
    assert [one.name for one in consumers] == ["executor"]


async def test_streams_missing_at_the_start_are_made(database: str, nats_url: str, nats_client: Client) -> None:
    async with running(database, nats_url) as world:
        await world.workspace()
    await nats_client.jsm().delete_stream("EVENTS_acme")
    async with running(database, nats_url):
        assert await eventually(lambda: stream_exists(nats_client))


async def stream_exists(nats_client: Client) -> bool:
    return "EVENTS_acme" in [one.config.name for one in await nats_client.jsm().streams_info()]


async def test_without_nats_changes_are_still_accepted_and_published_later(
    database: str, data_folder: DataFolder
) -> None:
    """B12."""
    nats = EmbeddedNats(data_folder, [NatsUser(TEST_USER, data_folder.secret("nats test"))])
    await nats.start()
    try:
        async with running(database, nats.url(TEST_USER)) as world:
            await world.workspace("first")
            await nats.stop()
            owner = await world.workspace()
            await a_source(owner)
            await nats.start()
            await eventually(lambda: published(world), timeout_s=20)
    finally:
        await nats.stop()


async def test_an_answer_waits_until_facts_that_others_act_on_are_on_the_bus(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await world.workspace()
    await a_function(owner, [])
    await a_source(owner)
    await connect(owner)
    waited_for: list[int] = []

    async def wait_published(_: Relay, workspace: str, position: int, timeout_s: float) -> bool:
        assert (workspace, timeout_s) == ("acme", PUBLISHED_WAIT_S)
        waited_for.append(position)
        return True

    monkeypatch.setattr(Relay, "wait_published", wait_published)
    rename = fpb.UpdateFunctionRequest(name=CRM, display_name="Ours", request_id=uuid7())
    renamed = await owner.functions.UpdateFunction(rename)
    saved = await save(owner, [], code=CODE + "// 3")
    assert not waited_for
    # Nothing is known here of what a repeated request once changed.
    assert (await owner.functions.UpdateFunction(rename)).position == renamed.position
    assert waited_for == [renamed.position]
    deployed = await save(owner, [], code=CODE + "// 4", deploy_to=fpb.DeploymentTarget(all=True))
    assert waited_for == [renamed.position, deployed.position]
    assert saved.position == renamed.position + 1


async def published(world: World) -> bool:
    rows = await world.rows("SELECT position FROM relay_positions WHERE workspace = 'acme'")
    return [row[0] for row in rows] == [5]
