"""Versions saved, restored, compared and deployed, on a running registry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from kit.eventstore import store as event_store
from kit.eventstore.facts import Meta, NewFact
from kit.eventstore.postgres import PostgresEventStore
from kit.postgres.pool import connect_pool
from kit.testing.eventually import eventually
from onward.registry.v1 import destination_service_pb2 as dpb
from onward.registry.v1 import facts_pb2
from onward.registry.v1 import function_service_pb2 as pb
from services.registry import projections
from tests.integration.functions_world import (
    ACME,
    ADMIN,
    ALL,
    CRM,
    SOURCE_ADMIN,
    a_member,
    diffed,
    facts_of,
    get,
    grant,
    remove,
    runs,
    two_destinations,
    versions_of,
)
from tests.integration.registry_world import CODE, World, a_function, definition, refused, running, save

pytestmark = pytest.mark.integration

WAITING = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
async def world(database: str, nats_url: str) -> AsyncIterator[World]:
    async with running(database, nats_url) as world:
        yield world


async def test_two_deployments_at_once_are_one_after_the_other(world: World) -> None:
    owner = await two_destinations(world)
    asked = [pb.DeployVersionRequest(name=f"{CRM}/versions/{number}", target=ALL) for number in (1, 3) * 5]
    answers = await asyncio.gather(*(owner.functions.DeployVersion(one) for one in asked))
    last = max(answers, key=lambda one: one.position).version.number
    assert [await runs(owner, "crm-web"), await runs(owner, "crm-app")] == [last, last]


async def test_a_source_that_is_taken_away_between_call_and_effect_counts_as_lacking(
    world: World, database: str
) -> None:
    owner = await two_destinations(world)
    admin = await a_member(world, owner, "bob", grant(ADMIN), grant(SOURCE_ADMIN))
    request = pb.DeployVersionRequest(name=f"{CRM}/versions/3", target=ALL)
    (role,) = await world.rows("SELECT binding FROM role_bindings WHERE member = 'bob' AND role = 'ROLE_SOURCE_ADMIN'")
    revoked = NewFact("members/bob", facts_pb2.RoleRevoked(binding=role["binding"], member="bob"))
    # Another replica.
    pool = await connect_pool(database, application_name="test")
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED") as error, asyncio.timeout(30):
        async with PostgresEventStore(pool).writing("acme") as unit:
            deploying = admin.functions.DeployVersion(request)
            # It was let in, and waits for its turn.
            await eventually(lambda: world.rows(WAITING))
            await projections.project(unit.connection, await unit.append([revoked], Meta("member:owner")))
        await deploying
    assert error["sources"] == "app,web"
    await pool.close()
    assert [await runs(owner, "crm-web"), await runs(owner, "crm-app")] == [2, 2]


async def test_a_part_of_the_destinations_needs_their_sources_only(world: World) -> None:
    owner = await two_destinations(world)
    half = await a_member(world, owner, "bob", grant(ADMIN), grant(SOURCE_ADMIN, "sources/web"))
    named = pb.DestinationNames(names=[f"{ACME}/destinations/crm-web"])
    target = pb.DeploymentTarget(named=named)
    await half.functions.DeployVersion(pb.DeployVersionRequest(name=f"{CRM}/versions/latest", target=target))
    assert [await runs(owner, "crm-web"), await runs(owner, "crm-app")] == [3, 2]


async def test_a_restored_version_is_the_old_one_again(world: World) -> None:
    owner = await two_destinations(world, [definition("region", description="Where")])
    await save(owner, [], code="async function onPage() {}\n", timeout_ms=9000)
    old = (await owner.functions.GetVersion(pb.GetVersionRequest(name=f"{CRM}/versions/2"))).version
    request = pb.RestoreVersionRequest(name=f"{CRM}/versions/2", deploy_to=ALL)
    answer = await owner.functions.RestoreVersion(request)
    new = answer.version
    assert (new.number, new.code, new.timeout_ms) == (5, old.code, old.timeout_ms)
    assert list(new.definitions) == list(old.definitions)
    assert answer.function.latest_version == 5
    assert list(answer.function.handlers) == list(old.handlers)
    assert [name.rpartition("/")[2] for name in new.deployed_to] == ["crm-app", "crm-web"]
    facts = await world.rows("SELECT data FROM facts WHERE type = 'FunctionVersionSaved' ORDER BY position DESC")
    assert '"restoredFrom":2' in facts[0]["data"]


async def test_restoring_the_newest_version_makes_none(world: World) -> None:
    owner = await two_destinations(world)
    facts = await facts_of(world)
    answer = await owner.functions.RestoreVersion(pb.RestoreVersionRequest(name=f"{CRM}/versions/latest"))
    assert (answer.version.number, await facts_of(world)) == (3, facts)


async def test_a_diff_shows_code_definitions_and_timeout(world: World) -> None:
    owner = await world.workspace()
    await a_function(owner, [definition("region")])
    await save(owner, [definition("region", required=True)], code=f"{CODE}// more\n", timeout_ms=9000)
    told = await diffed(owner)
    assert (getattr(told, "from"), told.to, told.truncated) == (2, 3, False)
    assert told.code_diff == f"--- versions/2\n+++ versions/3\n@@ -1 +1,2 @@\n {CODE}+// more\n"
    assert '-      "required": false,\n+      "required": true,\n' in told.definitions_diff
    assert '+  "timeoutMs": 9000\n' in told.definitions_diff
    back = await diffed(owner, **{"from": 3, "to": 2})
    assert "-// more\n" in back.code_diff
    same = await diffed(owner, **{"from": 2, "to": 2})
    assert (same.code_diff, same.definitions_diff) == ("", "")
    first = await diffed(owner, to=1)
    assert getattr(first, "from") == 0
    assert first.code_diff.startswith("--- /dev/null\n+++ versions/1\n@@ -0,0 +1,")
    for asked in ({"to": 4}, {"from": 4}):
        async with refused("NOT_FOUND", "NOT_FOUND"):
            await diffed(owner, **asked)


async def test_versions_are_labelled_with_the_destinations_that_run_them(world: World) -> None:
    owner = await two_destinations(world)
    web = [f"{ACME}/destinations/crm-web"]
    target = pb.DeploymentTarget(named=pb.DestinationNames(names=web))
    await owner.functions.DeployVersion(pb.DeployVersionRequest(name=f"{CRM}/versions/3", target=target))
    assert [list(one.deployed_to) for one in await versions_of(owner)] == [web, [f"{ACME}/destinations/crm-app"], []]
    for destination in ("crm-web", "crm-app"):
        name = f"{ACME}/destinations/{destination}"
        await owner.destinations.DisconnectDestination(dpb.DisconnectDestinationRequest(name=name))
    assert [list(one.deployed_to) for one in await versions_of(owner)] == [[], [], []]
    found = (await owner.functions.GetVersion(pb.GetVersionRequest(name=f"{CRM}/versions/latest"))).version
    assert not found.deployed_to
    # What is disconnected touches nobody.
    await owner.functions.DeployVersion(pb.DeployVersionRequest(name=f"{CRM}/versions/1", target=ALL))
    await remove(owner)


async def test_a_save_that_is_refused_makes_no_version(world: World) -> None:
    """E25."""
    owner = await two_destinations(world)
    function, facts = await get(owner), await facts_of(world)
    async with refused("INVALID_ARGUMENT", "SYNTAX_ERROR") as error:
        await save(owner, [], code="fine\nsyntax error", deploy_to=ALL)
    assert (error["line"], error["column"]) == ("2", "7")
    for code, reason in (("", "INVALID_FIELD"), ("x" * (256 * 1024 + 1), "INVALID_FIELD")):
        async with refused("INVALID_ARGUMENT", reason):
            await save(owner, [], code=code, deploy_to=ALL)
    missing = pb.DeploymentTarget(named=pb.DestinationNames(names=[f"{ACME}/destinations/none"]))
    async with refused("NOT_FOUND", "NOT_FOUND"):
        await save(owner, [], deploy_to=missing)
    assert (await get(owner), await facts_of(world)) == (function, facts)


async def test_the_logs_own_bound_of_a_stream_reaches_the_caller(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """C8."""
    owner = await two_destinations(world)
    monkeypatch.setattr(event_store, "STREAM_FACTS_MAX", int((await get(owner)).etag))
    async with refused("RESOURCE_EXHAUSTED", "LIMIT_REACHED") as error:
        await save(owner, [])
    assert (error["limit"], error["stream"]) == ("stream_facts", "functions/crm")
    assert "create a new one" in error["message"]
