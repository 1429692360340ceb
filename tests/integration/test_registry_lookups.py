"""Where a leaked value was set as an encrypted setting."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from datetime import UTC
from functools import partial
from typing import Any

import pytest
from nats.aio.client import Client

from kit.embedded.postgres import EmbeddedPostgres
from kit.eventstore import store as event_store
from kit.eventstore.facts import Meta, NewFact
from kit.eventstore.postgres import PostgresEventStore
from kit.postgres.pool import connect_pool
from kit.testing.eventually import eventually
from onward.audit.v1 import audit_service_pb2 as apb
from onward.registry.v1 import destination_service_pb2 as dpb
from onward.registry.v1 import facts_pb2
from onward.registry.v1 import function_service_pb2 as fpb
from onward.registry.v1 import operator_service_pb2 as opb
from onward.registry.v1 import resources_pb2 as r
from onward.registry.v1 import workspace_service_pb2 as wpb
from services.registry import projections
from services.registry.handlers import lookups as handlers
from services.registry.queries import lookups as queries
from tests.integration import canary, trail_world
from tests.integration.people_world import grant, somebody
from tests.integration.registry_world import (
    KEY,
    OPERATOR_TOKEN,
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
from tests.integration.trail_world import Trail, fields

pytestmark = pytest.mark.integration

ACME = "workspaces/acme"
CRM_EU, CRM_US = f"{ACME}/destinations/crm-eu", f"{ACME}/destinations/crm-us"
SECRET, TOKEN = definition("apiKey", encrypted=True), definition("token", encrypted=True)
LIST = definition("keys", encrypted=True, type=r.SETTING_TYPE_STRING_LIST)
MAP = definition("headers", encrypted=True, type=r.SETTING_TYPE_STRING_MAP)
BESIDE = definition("beside", encrypted=True)
EVERYWHERE = fpb.DeploymentTarget(all=True)
NEW_KEY = base64.b64encode(b"n" * 32).decode()


@pytest.fixture
async def world(database: str, nats_url: str) -> AsyncIterator[World]:
    async with running(database, nats_url) as world:
        yield world


def strings(*values: str) -> r.SettingValue:
    return r.SettingValue(list_value=r.StringList(values=values))


def pairs(**values: str) -> r.SettingValue:
    return r.SettingValue(map_value=r.StringMap(values=values))


async def a_workspace(world: World, definitions: Sequence[r.SettingDefinition] = (SECRET,)) -> Stubs:
    """An owner whose function has these settings, and whose source nothing is connected to yet."""
    owner = await world.workspace()
    await a_function(owner, list(definitions))
    await a_source(owner)
    return owner


async def set_to(owner: Stubs, name: str = CRM_EU, **values: r.SettingValue) -> int:
    """The position after settings got values."""
    answer = await owner.destinations.SetSettings(dpb.SetSettingsRequest(name=name, set=values))
    return int(answer.position)


async def find(owner: Stubs, value: r.SettingValue, parent: str = ACME, **more: Any) -> wpb.FindSecretResponse:
    request = wpb.FindSecretRequest(parent=parent, value=value, **more)
    answer: wpb.FindSecretResponse = await owner.workspaces.FindSecret(request)
    return answer


async def uses(owner: Stubs, value: r.SettingValue) -> list[tuple[str, str, bool]]:
    """Destination, setting, and whether it is current, of what is found."""
    answer = await find(owner, value)
    assert answer.found == len(answer.uses)
    return [(one.destination.rpartition("/")[2], one.setting, one.current) for one in answer.uses]


async def sought(world: World) -> list[Any]:
    """The facts that lookups left."""
    rows = await world.rows("SELECT stream, data, meta FROM facts WHERE type = 'SecretSought' ORDER BY position")
    return [tuple(row) for row in rows]


# ---- what is found -------------------------------------------------------------------------------------------------


async def test_a_value_is_found_wherever_it_was_set_newest_first(world: World) -> None:
    owner = await a_workspace(world, [SECRET, TOKEN])
    await connect(owner, settings={"apiKey": text("leaked"), "token": text("another")})
    await connect(owner, "crm-us", settings={"apiKey": text("another")})
    last = await set_to(owner, CRM_US, token=text("leaked"))
    answer = await find(owner, text("leaked"))
    told = [(one.destination, one.setting, one.current) for one in answer.uses]
    assert told == [(CRM_US, "token", True), (CRM_EU, "apiKey", True)]
    assert (answer.found, answer.position, answer.uses[0].position) == (2, last + 1, last)
    for one in answer.uses:
        (fact,) = await world.rows("SELECT type, stream, recorded_at FROM facts WHERE position = $1", one.position)
        assert (fact["type"], f"{ACME}/{fact['stream']}") == ("SettingsChanged", one.destination)
        assert one.set_time.ToDatetime(UTC) == fact["recorded_at"]


async def test_only_whole_values_are_found(world: World) -> None:
    owner = await a_workspace(world, [SECRET, LIST, MAP])
    values = {"apiKey": text("leaked"), "keys": strings("one", "two"), "headers": pairs(a="1", b="2")}
    await connect(owner, settings=values)
    for other in (
        *(text(one) for one in ("other", "leake", "leaked ", "Leaked", "", "one", "1", '["one", "two"]')),
        *(strings(), strings("one"), strings("two", "one"), strings("leaked"), pairs(a="1"), pairs(a="1", b="3")),
    ):
        assert await uses(owner, other) == [], other
    assert await uses(owner, strings("one", "two")) == [("crm-eu", "keys", True)]
    # In a map there is no order.
    assert await uses(owner, pairs(b="2", a="1")) == [("crm-eu", "headers", True)]


async def test_a_value_that_was_replaced_or_cleared_is_found_and_not_current(world: World) -> None:
    owner = await a_workspace(world, [SECRET, TOKEN])
    await connect(owner, settings={"apiKey": text("leaked"), "token": text("leaked")})
    await set_to(owner, apiKey=text("new"))
    assert sorted(await uses(owner, text("leaked"))) == [("crm-eu", "apiKey", False), ("crm-eu", "token", True)]
    await owner.destinations.SetSettings(dpb.SetSettingsRequest(name=CRM_EU, clear=["token"]))
    assert sorted(await uses(owner, text("leaked"))) == [("crm-eu", "apiKey", False), ("crm-eu", "token", False)]
    await set_to(owner, apiKey=text("leaked"))
    assert (await uses(owner, text("leaked")))[0] == ("crm-eu", "apiKey", True)


async def test_what_a_destination_that_is_gone_had_is_found_in_history(world: World) -> None:
    owner = await a_workspace(world)
    await connect(owner, settings={"apiKey": text("leaked")})
    await connect(owner, "crm-us", settings={"apiKey": text("leaked")})
    await owner.destinations.DisconnectDestination(dpb.DisconnectDestinationRequest(name=CRM_EU))
    assert await uses(owner, text("leaked")) == [("crm-us", "apiKey", True), ("crm-eu", "apiKey", False)]
    await owner.functions.DeleteFunction(fpb.DeleteFunctionRequest(name=f"{ACME}/functions/crm", disconnect=True))
    assert await uses(owner, text("leaked")) == [("crm-us", "apiKey", False), ("crm-eu", "apiKey", False)]


async def test_a_plain_value_is_found_from_the_deployment_on_that_encrypts_it(world: World) -> None:
    owner = await a_workspace(world, [definition("apiKey"), BESIDE])
    await connect(owner, settings={"apiKey": text("leaked"), "beside": text("so that there is a data key")})
    assert await uses(owner, text("leaked")) == []
    await save(owner, [SECRET, BESIDE], deploy_to=EVERYWHERE)
    assert await uses(owner, text("leaked")) == [("crm-eu", "apiKey", True)]
    # Back to a plain setting: what was encrypted is deleted.
    await save(owner, [definition("apiKey"), BESIDE], deploy_to=EVERYWHERE)
    assert await uses(owner, text("leaked")) == [("crm-eu", "apiKey", False)]


async def test_what_is_left_to_older_versions_is_current(world: World) -> None:
    """It is stored, and comes into use again with them."""
    owner = await a_workspace(world)
    await connect(owner, settings={"apiKey": text("leaked")})
    await save(owner, [TOKEN], deploy_to=EVERYWHERE)
    assert await uses(owner, text("leaked")) == [("crm-eu", "apiKey", True)]


async def test_after_a_rotation_of_the_operators_key_values_are_found(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        created = wpb.CreateWorkspaceRequest(workspace_id="acme", display_name="Acme")
        token = (await world.operator.workspaces.CreateWorkspace(created)).owner_token
        owner = world.caller(token)
        await a_function(owner, [SECRET])
        await a_source(owner)
        await connect(owner, settings={"apiKey": text("leaked")})
    rotating: dict[str, Any] = {"key_encryption_key": NEW_KEY, "previous_key_encryption_keys": KEY}
    async with running(database, nats_url, **rotating) as world:
        assert (await world.operator.operator.RotateKeys(opb.RotateKeysRequest())).behind == 0
    async with running(database, nats_url, key_encryption_key=NEW_KEY) as world:
        assert await uses(world.caller(token), text("leaked")) == [("crm-eu", "apiKey", True)]


async def test_another_workspaces_values_are_not_found(world: World) -> None:
    owner, other = await a_workspace(world), await world.workspace("other")
    await connect(owner, settings={"apiKey": text("leaked")})
    assert (await find(other, text("leaked"), "workspaces/other")).found == 0
    async with refused("NOT_FOUND", "NOT_FOUND"):
        await find(other, text("leaked"))
    assert len(await sought(world)) == 1


@pytest.mark.parametrize(("positions", "data_bytes"), [(1, 1), (2, 1), (3, 300), (1_000, 1)])
async def test_a_log_is_read_to_its_end_however_it_is_cut(
    world: World, monkeypatch: pytest.MonkeyPatch, positions: int, data_bytes: int
) -> None:
    monkeypatch.setattr(queries, "WINDOW_POSITIONS", positions)
    monkeypatch.setattr(queries, "WINDOW_BYTES_MAX", data_bytes)
    owner = await a_workspace(world)
    await connect(owner)
    for value in ("leaked", "other", "leaked", "leaked"):
        await set_to(owner, apiKey=text(value))
    await owner.destinations.EnableDestination(dpb.EnableDestinationRequest(name=CRM_EU))
    place = ("crm-eu", "apiKey")
    assert await uses(owner, text("leaked")) == [(*place, True), (*place, False), (*place, False)]


# ---- what is not answered ------------------------------------------------------------------------------------------


async def test_where_nothing_was_ever_encrypted_nothing_is_found(world: World) -> None:
    owner = await world.workspace()
    assert (await find(owner, text("guess"))).found == 0
    assert await world.rows("SELECT 1 FROM data_keys WHERE workspace = 'acme'") == []
    assert len(await sought(world)) == 1


async def test_without_the_key_of_its_data_key_a_workspace_is_told_so(world: World) -> None:
    owner = await a_workspace(world)
    await connect(owner, settings={"apiKey": text("leaked")})
    await world.rows("UPDATE data_keys SET key_id = 'ffffffff' WHERE workspace = 'acme'")
    async with refused("UNAVAILABLE", "UNAVAILABLE"):
        await find(owner, text("leaked"))
    assert await sought(world) == []


async def test_what_no_encrypted_setting_holds_is_refused_without_being_repeated(world: World) -> None:
    owner = await world.workspace()
    long = "canary" * 700
    for value in (r.SettingValue(), r.SettingValue(bool_value=True), text(long * 5), strings(*[long[:4096]] * 100)):
        async with refused("INVALID_ARGUMENT", "INVALID_FIELD") as told:
            await find(owner, value)
        assert "value" in told["violations"]
        assert "canary" not in repr(told)
    assert await sought(world) == []


async def test_whose_role_ends_while_a_value_is_looked_up_is_not_answered(world: World, database: str) -> None:
    owner = await a_workspace(world)
    await connect(owner, settings={"apiKey": text("leaked")})
    ada = await somebody(world, owner, grant(r.ROLE_OWNER))
    bindings = (await owner.workspaces.ListRoleBindings(wpb.ListRoleBindingsRequest(parent=ACME))).role_bindings
    (binding,) = [one.name.rpartition("/")[2] for one in bindings if one.member.endswith("/ada")]
    pool = await connect_pool(database, application_name="test")
    # Another registry holds the workspace's lock; this one has read the log and waits to record the lookup.
    async with PostgresEventStore(pool).writing("acme") as unit:
        call = asyncio.ensure_future(find(ada, text("leaked")))
        await eventually(partial(world.rows, "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))
        revoked = NewFact("members/ada", facts_pb2.RoleRevoked(binding=binding, member="ada"))
        await projections.project(unit.connection, await unit.append([revoked], Meta("member:owner")))
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await call
    await pool.close()
    assert await sought(world) == []


async def test_a_day_has_so_many_lookups_and_no_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_store, "STREAM_FACTS_MAX", 2)
    monkeypatch.setattr(handlers, "STREAM_FACTS_MAX", 2)
    owner = await world.workspace()
    for _ in range(2):
        await find(owner, text("guess"))
    async with refused("RESOURCE_EXHAUSTED", "LIMIT_REACHED") as told:
        await find(owner, text("guess"))
    assert told["limit"] == "lookups_per_day"
    assert "go on tomorrow" in told["message"]


# ---- what is left of a lookup --------------------------------------------------------------------------------------


async def test_a_repeated_request_is_answered_as_before_and_leaves_nothing(world: World) -> None:
    owner = await a_workspace(world)
    await connect(owner, settings={"apiKey": text("leaked")})
    first = await find(owner, text("leaked"), request_id="r1")
    await set_to(owner, apiKey=text("new"))
    assert await find(owner, text("leaked"), request_id="r1") == first
    async with refused("ALREADY_EXISTS", "REQUEST_ID_REUSED"):
        await find(owner, text("guess"), request_id="r1")
    assert len(await sought(world)) == 1


async def test_of_a_lookup_nothing_of_the_value_is_kept_or_told(
    world: World, nats_client: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    owner = await a_workspace(world)
    secret, guess = canary.make_canary(), canary.make_canary()
    await connect(owner, settings={"apiKey": text(secret)})
    told = [str(await find(owner, text(value), request_id=value[:20])) for value in (secret, guess)]
    logged = capfd.readouterr()
    for value in (secret, guess):
        assert canary.in_text(value, {"answers": "".join(told), "log": logged.out + logged.err}) == []
        assert await canary.in_database(value, world.database) == []
        assert await canary.in_nats(value, nats_client) == []
    facts = await sought(world)
    assert [data for _, data, _ in facts] == ['{"found":1}', '{"found":0}']
    assert all(stream.startswith("lookups/20") for stream, _, _ in facts)


@pytest.fixture
async def trail(database: str, postgres_server: EmbeddedPostgres, nats_url: str) -> AsyncIterator[Trail]:
    async with trail_world.running(database, postgres_server, nats_url) as trail:
        yield trail


async def a_secret(trail: Trail) -> str:
    """The token of a workspace's owner, whose destination has a secret."""
    world = trail.registry
    request = wpb.CreateWorkspaceRequest(workspace_id="acme", display_name="Acme")
    token: str = (await world.operator.workspaces.CreateWorkspace(request)).owner_token
    owner = world.caller(token)
    await a_function(owner, [SECRET])
    await a_source(owner)
    await connect(owner, settings={"apiKey": text("leaked-canary")})
    return token


async def test_each_lookup_is_one_fact_and_one_record_that_names_who_asked(trail: Trail) -> None:
    token = await a_secret(trail)
    for value in ("leaked-canary", "guess-canary"):
        await find(trail.registry.caller(token), text(value))

    async def recorded() -> list[apb.AuditEvent]:
        events = await trail.read(token, action="SecretSought", show_clients=True)
        return events if len(events) >= 2 else []

    events = await eventually(recorded)
    assert [fields(one) for one in events] == [{"found": "1"}, {"found": "0"}]
    for one in events:
        assert (one.principal, one.credential) == ("member:owner", f"token:{token.split('_')[1]}")
        assert (one.target_type, one.target_id, one.target_display_name) == ("workspaces", "acme", "Acme")
        assert (one.outcome, one.client_address) == (apb.OUTCOME_SUCCEEDED, "127.0.0.1")
    assert "canary" not in str(await trail.read(token))
    assert len(await sought(trail.registry)) == 2


@pytest.mark.parametrize(
    "role", [r.ROLE_FUNCTIONS_ADMIN, r.ROLE_FUNCTIONS_READ_ONLY, r.ROLE_SOURCE_ADMIN, r.ROLE_MEMBER, r.ROLE_AUDITOR]
)
async def test_none_but_owners_may_ask_and_who_is_refused_is_in_the_trail(trail: Trail, role: r.Role.ValueType) -> None:
    token = await a_secret(trail)
    eve = await somebody(trail.registry, trail.registry.caller(token), grant(role), member="eve")
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED") as told:
        await find(eve, text("leaked-canary"))
    assert told["permission"] == "WORKSPACE_ADMINISTER"
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await find(trail.registry.caller(OPERATOR_TOKEN), text("leaked-canary"))

    def both(events: list[apb.AuditEvent]) -> bool:
        return {"member:eve", "operator"} <= {one.principal for one in events}

    denied = await trail.denied(token, when=both)
    assert {fields(one)["method"].rpartition("/")[2] for one in denied} == {"FindSecret"}
    assert "canary" not in str(denied)
    assert await sought(trail.registry) == []
