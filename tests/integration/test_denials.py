"""Refused calls leave a record: whose, of what, why, how often; and no secret."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from kit.auth.denials import Proof, Refusal
from kit.auth.tokens import hash_secret
from kit.clock import FakeClock
from kit.embedded.postgres import EmbeddedPostgres
from kit.errors import OnwardError
from kit.eventstore.postgres import PostgresEventStore
from kit.postgres.pool import connect_pool
from kit.rpc.client import open_channel
from onward.audit.v1 import audit_service_pb2 as apb
from onward.audit.v1 import audit_service_pb2_grpc
from onward.common.v1 import access_pb2
from onward.registry.v1 import function_service_pb2 as fpb
from onward.registry.v1 import internal_service_pb2 as ipb
from onward.registry.v1 import operator_service_pb2 as opb
from onward.registry.v1 import resources_pb2
from onward.registry.v1 import source_service_pb2 as spb
from onward.registry.v1 import workspace_service_pb2 as wpb
from services.registry.handlers.denials import FACTS_PER_HOUR_MAX, Denials
from tests.integration.registry_world import (
    CODE,
    OPERATOR_TOKEN,
    SERVICE_TOKEN,
    World,
    a_function,
    a_source,
    connect,
    refused,
)
from tests.integration.registry_world import running as registry_running
from tests.integration.trail_world import Trail, fields, running

pytestmark = pytest.mark.integration

ACME = "workspaces/acme"
CRM = f"{ACME}/functions/crm"
SAVE = "/onward.registry.v1.FunctionService/SaveFunction"
SECRET = "0123456789abcdef0123456789abcdef"
BAD_TOKEN = f"onw_f00f_{SECRET}"


@pytest.fixture
async def trail(database: str, postgres_server: EmbeddedPostgres, nats_url: str) -> AsyncIterator[Trail]:
    async with running(database, postgres_server, nats_url) as trail:
        yield trail


@pytest.fixture
def world(trail: Trail) -> World:
    return trail.registry


async def created(world: World, workspace: str = "acme") -> str:
    """The token of a new workspace's owner."""
    request = wpb.CreateWorkspaceRequest(workspace_id=workspace, display_name=workspace.title())
    answer: wpb.CreateWorkspaceResponse = await world.operator.workspaces.CreateWorkspace(request)
    return answer.owner_token


async def member(world: World, owner: str, name: str, role: str) -> str:
    """The token of a new member who has one role on everything."""
    stub = world.caller(owner).workspaces
    kind = resources_pb2.MEMBER_KIND_SERVICE_ACCOUNT
    await stub.AddMember(wpb.AddMemberRequest(parent=ACME, member_id=name, kind=kind, display_name=name))
    grant = resources_pb2.RoleGrant(role=resources_pb2.Role.Value(role))
    await stub.GrantRole(wpb.GrantRoleRequest(member=f"{ACME}/members/{name}", grant=grant))
    request = wpb.CreateTokenRequest(member=f"{ACME}/members/{name}", display_name=name)
    answer: wpb.CreateTokenResponse = await stub.CreateToken(request)
    return answer.secret


def are(number: int, events: list[apb.AuditEvent]) -> bool:
    return len(events) == number


def id_of(token: str) -> str:
    return token.split("_")[1]


async def save(world: World, token: str, name: str = CRM) -> None:
    await world.caller(token).functions.SaveFunction(fpb.SaveFunctionRequest(name=name, code="1"))


async def test_a_refused_call_is_recorded_with_member_token_and_permission(trail: Trail, world: World) -> None:
    """D3, H1."""
    owner = await created(world)
    token = await member(world, owner, "eve", "ROLE_MEMBER")
    before = datetime.now(UTC)
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await save(world, token)
    (event,) = await trail.denied(owner)
    assert (event.action, event.principal, event.credential) == ("AccessDenied", "member:eve", f"token:{id_of(token)}")
    assert (event.target_type, event.target_id) == ("functions", "crm")
    told = fields(event)
    assert abs(datetime.fromisoformat(told.pop("firstTime")) - before) < timedelta(minutes=1)
    assert told.pop("lastTime")
    assert told == {
        "method": SAVE,
        "resource": CRM,
        "permission": "FUNCTION_EDIT",
        "reason": "PERMISSION_DENIED",
        "count": "1",
        "service": "registry",
    }


async def test_a_bad_token_is_recorded_with_what_it_claims_and_nobodys_name(trail: Trail, world: World) -> None:
    """D3, H1."""
    owner = await created(world)
    tried = {"": "", "nonsense": "", SERVICE_TOKEN: "", BAD_TOKEN: "token:f00f", "eyJh.eyJz.c2ln": "oidc"}
    requests = [
        ("functions", "SaveFunction", fpb.SaveFunctionRequest(name=CRM, code="1")),
        ("functions", "GetFunction", fpb.GetFunctionRequest(name=CRM)),
        ("functions", "DeleteFunction", fpb.DeleteFunctionRequest(name=CRM)),
        ("functions", "ListVersions", fpb.ListVersionsRequest(parent=CRM)),
        ("sources", "CreateSource", spb.CreateSourceRequest(parent=ACME, source_id="web", display_name="Web")),
    ]
    for token, (service, method, request) in zip(tried, requests, strict=True):
        async with refused("UNAUTHENTICATED", "INVALID_TOKEN"):
            await getattr(getattr(world.caller(token), service), method)(request)
    events = await trail.denied(owner, when=partial(are, len(tried)))
    assert [(one.principal, one.credential) for one in events] == [("anonymous", one) for one in tried.values()]
    assert {fields(one)["reason"] for one in events} == {"INVALID_TOKEN"}
    assert [fields(one)["method"].rpartition("/")[2] for one in events] == [method for _, method, _ in requests]
    assert [f"{one.target_type}/{one.target_id}" for one in events][:4] == ["functions/crm"] * 4


async def test_somebody_elses_id_with_a_wrong_secret_is_not_recorded_under_his_name(trail: Trail, world: World) -> None:
    """D3."""
    owner = await created(world)
    async with refused("UNAUTHENTICATED", "INVALID_TOKEN"):
        await save(world, f"onw_{id_of(owner)}_{SECRET}")
    (event,) = await trail.denied(owner)
    assert (event.principal, event.credential) == ("anonymous", f"token:{id_of(owner)}")
    # Nor for an operator's method, where the secret is not even looked at.
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        forged = world.caller(f"onw_{id_of(owner)}_{SECRET}")
        await forged.operator.SetLimits(opb.SetLimitsRequest(name=ACME, functions_max=99))
    (event,) = await trail.denied(OPERATOR_TOKEN, "system")
    assert (event.principal, event.credential) == ("anonymous", f"token:{id_of(owner)}")


async def test_an_expired_token_is_recorded(trail: Trail, world: World) -> None:
    """D3."""
    owner = await created(world)
    token = await member(world, owner, "eve", "ROLE_OWNER")
    await expire(world, token)
    async with refused("UNAUTHENTICATED", "INVALID_TOKEN"):
        await save(world, token)
    (event,) = await trail.denied(owner)
    assert (event.principal, event.credential) == ("anonymous", f"token:{id_of(token)}")


async def expire(world: World, token: str) -> None:
    await world.rows("UPDATE tokens SET expire_time = now() - interval '1 second' WHERE token = $1", id_of(token))


async def test_an_outsider_is_recorded_where_he_wanted_in_by_his_token_alone(trail: Trail, world: World) -> None:
    """H1: the workspace learns that somebody tried, and not who is a member elsewhere."""
    owner, outsider = await created(world), await created(world, "other")
    async with refused("NOT_FOUND", "NOT_FOUND"):
        await save(world, outsider)
    (event,) = await trail.denied(owner)
    assert (event.principal, event.credential) == (f"token:{id_of(outsider)}",) * 2
    assert fields(event)["reason"] == "NOT_FOUND"
    assert await trail.read(outsider, "other", outcome=apb.OUTCOME_DENIED) == []


async def test_what_names_no_workspace_is_in_the_operators_trail(trail: Trail, world: World) -> None:
    """H1."""
    owner = await created(world)
    async with refused("NOT_FOUND", "NOT_FOUND"):
        await save(world, owner, "workspaces/nowhere/functions/crm")
    (event,) = await trail.denied(OPERATOR_TOKEN, "system")
    assert (event.principal, event.target_type, event.target_id) == (f"token:{id_of(owner)}", "workspaces", "nowhere")


async def test_the_operator_reads_its_own_trail_and_no_others(trail: Trail, world: World) -> None:
    owner = await created(world)
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await save(world, OPERATOR_TOKEN)
    (event,) = await trail.denied(owner)
    assert event.principal == "operator"
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await trail.read(OPERATOR_TOKEN, "acme")
    for token in (owner, SERVICE_TOKEN, ""):
        with pytest.raises(OnwardError) as caught:
            await trail.read(token, "system")
        assert caught.value.code == ("NOT_FOUND" if token == owner else "UNAUTHENTICATED")


async def test_what_another_service_refuses_is_recorded_too(trail: Trail, world: World) -> None:
    """D3."""
    owner = await created(world)
    token = await member(world, owner, "eve", "ROLE_MEMBER")
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await trail.read(token)
    (event,) = await trail.denied(owner)
    told = fields(event)
    assert (told["service"], told["method"]) == ("audit", "/onward.audit.v1.AuditService/ListAuditEvents")
    assert (event.principal, event.credential) == ("member:eve", f"token:{id_of(token)}")
    # The registry, which was asked, has not recorded it a second time.
    assert [row["workspace"] for row in await world.rows("SELECT * FROM facts WHERE type = 'AccessDenied'")] == ["acme"]


async def test_a_watch_that_is_refused_is_recorded(trail: Trail, world: World) -> None:
    owner = await created(world)
    async with open_channel(trail.audit.app.address, BAD_TOKEN) as channel:
        stub: Any = audit_service_pb2_grpc.AuditServiceStub(channel)
        async with refused("UNAUTHENTICATED", "INVALID_TOKEN"):
            async for _ in stub.WatchAuditEvents(apb.WatchAuditEventsRequest(parent=ACME)):
                pass
    (event,) = await trail.denied(owner)
    assert fields(event)["method"].endswith("WatchAuditEvents")


async def test_what_a_handler_refuses_is_recorded_with_what_was_missing(trail: Trail, world: World) -> None:
    """H1: deploying needs Source Admin of each source as well, which only the state can tell."""
    owner = await created(world)
    token = await member(world, owner, "eve", "ROLE_FUNCTIONS_ADMIN")
    await a_function(world.caller(owner), [])
    await a_source(world.caller(owner))
    await connect(world.caller(owner))
    everywhere = fpb.DeploymentTarget(all=True)
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await world.caller(token).functions.SaveFunction(
            fpb.SaveFunctionRequest(name=CRM, code=CODE, deploy_to=everywhere)
        )
    (event,) = await trail.denied(owner)
    assert (event.principal, event.credential) == ("member:eve", f"token:{id_of(token)}")
    assert (event.target_type, event.target_id, event.target_display_name) == ("functions", "crm", "crm")
    assert (fields(event)["permission"], fields(event)["resource"]) == ("SOURCE_ADMINISTER", CRM)


async def test_refusals_that_the_stop_interrupts_are_recorded(database: str, nats_url: str) -> None:
    """D3."""
    async with registry_running(database, nats_url) as world:
        for _ in range(10):
            async with refused("UNAUTHENTICATED", "INVALID_TOKEN"):
                await save(world, BAD_TOKEN)
    rows = await world.rows("SELECT data FROM facts WHERE type = 'AccessDenied' ORDER BY position")
    assert [int(json.loads(row["data"])["count"]) for row in rows] == [1, 9]


async def test_what_is_not_there_or_wrong_is_no_refusal(trail: Trail, world: World) -> None:
    owner = await created(world)
    for request in (fpb.GetFunctionRequest(name=f"{ACME}/functions/none"), fpb.GetFunctionRequest(name="nonsense")):
        with pytest.raises(OnwardError):
            await world.caller(owner).functions.GetFunction(request)
    async with refused("UNAUTHENTICATED", "INVALID_TOKEN"):
        await save(world, BAD_TOKEN)
    # In order, so that an earlier one would be here.
    assert [event.credential for event in await trail.denied(owner)] == ["token:f00f"]
    assert await trail.read(OPERATOR_TOKEN, "system") == []


async def test_no_secret_is_in_any_record(trail: Trail, world: World) -> None:
    """D3."""
    owner = await created(world)
    token = await member(world, owner, "eve", "ROLE_MEMBER")
    tried = (BAD_TOKEN, token, SERVICE_TOKEN, OPERATOR_TOKEN)
    for one in tried:
        with pytest.raises(OnwardError):
            await save(world, one)
    # Those whom nothing proves are one record, until the minute ends.
    await trail.denied(owner, when=partial(are, 3))
    rows = [*await world.rows("SELECT data, meta FROM facts")]
    rows += await trail.audit.rows(
        "SELECT e.*, f.data AS fact, f.meta FROM audit_events e JOIN audit_facts f USING (index)"
    )
    stored = repr([dict(row) for row in rows])
    assert "AccessDenied" in stored
    for one in tried:
        secret = one.rpartition("_")[2] if one.startswith("onw_") else one
        assert secret not in stored
        assert hash_secret(secret).hex() not in stored


async def test_only_services_record_refusals(trail: Trail, world: World) -> None:
    owner = await created(world)
    denial = ipb.Denial(method="/x", resource=CRM, reason="PERMISSION_DENIED", count=7, token_id="f00f")
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await world.caller(owner).internal.RecordDenial(ipb.RecordDenialRequest(denials=[denial]))
    await world.service.internal.RecordDenial(ipb.RecordDenialRequest(denials=[denial] * 2))
    events = await trail.denied(owner, when=partial(are, 2))
    assert [(fields(one)["service"], fields(one)["count"]) for one in events] == [("executor", "7")] * 2


async def test_refusals_are_no_changes_of_the_workspace(trail: Trail, world: World) -> None:
    """They are in its log, and whoever changes it next goes on from them."""
    owner = await created(world)
    for number in range(3):
        async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
            await save(world, OPERATOR_TOKEN, f"{ACME}/functions/f{number}")
        request = spb.CreateSourceRequest(parent=ACME, source_id=f"s{number}", display_name=f"S{number}")
        await trail.denied(owner, when=partial(are, number + 1))
        answer = await world.caller(owner).sources.CreateSource(request)
        assert answer.position == 4 + 2 * (number + 1)


# A flood


MEMBERS_MAX = FACTS_PER_HOUR_MAX[Proof.MEMBER]


def refusal(clock: FakeClock, number: int, workspace: str = "acme", principal: str = "member:eve") -> Refusal:
    return Refusal(
        method=SAVE,
        resource=f"workspaces/{workspace}/functions/f{number}",
        permission=int(access_pb2.PERMISSION_FUNCTION_EDIT),
        reason="PERMISSION_DENIED",
        token_id="f00f",  # an id
        count=2,
        first_time=clock.now(),
        last_time=clock.now(),
        principal=principal,
    )


async def test_of_a_flood_an_hours_worth_is_told_one_by_one_and_the_rest_by_its_number(world: World) -> None:
    """D3."""
    await created(world)
    await created(world, "other")
    clock = FakeClock()
    pool = await connect_pool(world.database, application_name="test")
    denials = Denials(pool, PostgresEventStore(pool, clock=clock), clock)
    beyond = 50
    for start in range(0, MEMBERS_MAX + beyond, 50):
        await denials.record("registry", [refusal(clock, start + one) for one in range(50)])
    await denials.record("registry", [refusal(clock, 1, "other")])

    async def counts(workspace: str) -> list[int]:
        query = "SELECT data FROM facts WHERE workspace = $1 AND type = 'AccessDenied' ORDER BY position"
        return [int(json.loads(row["data"])["count"]) for row in await world.rows(query, workspace)]

    assert await counts("acme") == [2] * MEMBERS_MAX
    assert await counts("other") == [2]
    clock.advance(3600)
    await denials.record("registry", [refusal(clock, 1)])
    assert await counts("acme") == [*[2] * MEMBERS_MAX, 2 * beyond, 2]
    for _ in range(MEMBERS_MAX):
        await denials.record("registry", [refusal(clock, 1)])
    await denials.close()
    assert (await counts("acme"))[-2:] == [2, 2]
    assert len(await counts("acme")) == 2 * MEMBERS_MAX + 2
    await pool.close()


async def test_strangers_fill_no_workspaces_log_and_hide_no_member(world: World) -> None:
    """D3."""
    await created(world)
    clock = FakeClock()
    pool = await connect_pool(world.database, application_name="test")
    denials = Denials(pool, PostgresEventStore(pool, clock=clock), clock)
    for proof, principal in ((Proof.NOTHING, ""), (Proof.OUTSIDER, "token:f00f")):
        for start in range(0, 700, 50):
            await denials.record("registry", [refusal(clock, start + n, principal=principal) for n in range(50)])
        assert await recorded(world, principal or "anonymous") == FACTS_PER_HOUR_MAX[proof]
    await denials.record("registry", [refusal(clock, 1)])
    assert await recorded(world, "member:eve") == 1
    await denials.close()
    # None of them is uncounted.
    rows = await world.rows("SELECT data FROM facts WHERE type = 'AccessDenied'")
    assert sum(int(json.loads(row["data"])["count"]) for row in rows) == 2 * (700 + 700 + 1)
    await pool.close()


async def recorded(world: World, principal: str) -> int:
    rows = await world.rows("SELECT meta FROM facts WHERE workspace = 'acme' AND type = 'AccessDenied'")
    return sum(json.loads(row["meta"])["principal"] == principal for row in rows)
