"""Secrets of the registry: where they are, where they never are, and what happens without their key."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from nats.aio.client import Client

from kit.embedded.data_folder import DataFolder
from kit.embedded.nats import EmbeddedNats
from kit.embedded.nats_users import NatsUser
from kit.embedded.postgres import EmbeddedPostgres
from kit.errors import OnwardError
from kit.settings import SettingsError
from kit.vault import Sealed, Vault, VaultError, setting_place
from onward.common.v1 import access_pb2
from onward.registry.v1 import destination_service_pb2 as dpb
from onward.registry.v1 import function_service_pb2 as fpb
from onward.registry.v1 import internal_service_pb2 as ipb
from onward.registry.v1 import operator_service_pb2 as opb
from onward.registry.v1 import resources_pb2
from onward.registry.v1 import source_service_pb2 as spb
from onward.registry.v1 import workspace_service_pb2 as wpb
from services.registry.app import build
from services.registry.handlers.sealing import forget
from tests.integration import canary as canary_scan
from tests.integration.canary import make_canary
from tests.integration.registry_world import (
    KEY,
    SERVICE_TOKEN,
    FakeExecutor,
    Stubs,
    World,
    a_function,
    a_source,
    connect,
    definition,
    refused,
    running,
    save,
    settings,
    text,
)

pytestmark = pytest.mark.integration

CANARY = "canary-7f3e9a1c5d"
CRM_EU = "workspaces/acme/destinations/crm-eu"
LIST = definition("keys", encrypted=True, type=resources_pb2.SETTING_TYPE_STRING_LIST)
SECRET = definition("apiKey", required=True, encrypted=True)


@pytest.fixture
async def world(database: str, nats_url: str) -> AsyncIterator[World]:
    async with running(database, nats_url) as world:
        yield world


async def resolve(world: World, name: str = CRM_EU) -> ipb.ResolveDestinationResponse:
    answer: ipb.ResolveDestinationResponse = await world.service.internal.ResolveDestination(
        ipb.ResolveDestinationRequest(name=name)
    )
    return answer


def opened(resolved: ipb.ResolveDestinationResponse, place: bytes | None = None) -> dict[str, str]:
    """The encrypted values as the executor would read them."""
    data_key = Vault.from_base64(KEY).unwrap(resolved.wrapped_key, "acme")
    destination = resolved.destination.name.rpartition("/")[2]
    values = {}
    for one in resolved.encrypted:
        where = place or setting_place("acme", destination, one.name)
        plaintext = data_key.decrypt(Sealed(one.nonce, one.ciphertext), where)
        values[one.name] = resources_pb2.SettingValue.FromString(plaintext).string_value
    return values


async def everything_stored(world: World) -> str:
    """Every row of every table as text; bytes show as hex."""
    tables = await world.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    rows = [row[0] for one in tables for row in await world.rows(f'SELECT t::text FROM "{one[0]}" t')]
    assert len(rows) > 10
    return "\n".join(rows)


# ---- where secrets never are ---------------------------------------------------------------------------------------


async def use(owner: Stubs, secret: str, visible: str) -> list[str]:
    """Everything that is done with a setting's value; gives what was answered, and what was refused."""
    await a_function(owner, [SECRET, definition("plain"), LIST])
    await a_source(owner)
    answers = [await connect(owner, settings={"apiKey": text(secret), "plain": text(visible)}, request_id="r1")]
    changes: list[dict[str, Any]] = [
        {"set": {"apiKey": text(secret)}, "request_id": "r2"},
        {"set": {"apiKey": text(secret)}, "request_id": "r2"},
        # Refused: the request_id of another, an undefined one, a wrong type, an old etag, a NUL.
        {"set": {"apiKey": text(secret + "x")}, "request_id": "r2"},
        {"set": {"undefined": text(secret)}},
        {"set": {"keys": text(secret)}},
        {"set": {"apiKey": text(secret)}, "etag": "old"},
        {"set": {"apiKey": text(secret + "\0")}},
        {"set": {"apiKey": text(secret), "undefined": text(visible)}},
    ]
    refusals = []
    for change in changes:
        try:
            answers.append(await owner.destinations.SetSettings(dpb.SetSettingsRequest(name=CRM_EU, **change)))
        except OnwardError as error:
            refusals.append(f"{error.message} {error.metadata} {error.violations}")
    assert len(refusals) == 6
    return [*map(str, answers), *refusals]


async def test_a_secret_is_in_no_table_fact_answer_or_log_line(
    world: World, nats_client: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    """G7."""
    secret, visible = make_canary(), make_canary()
    told = await use(await world.workspace(), secret, visible)
    logged = capfd.readouterr()
    for canary in (secret, visible):
        found = [
            await canary_scan.in_database(canary, world.database),
            await canary_scan.in_nats(canary, nats_client),
            canary_scan.in_text(canary, dict(zip(map(str, range(len(told))), told, strict=True))),
        ]
        assert [bool(one) for one in found] == [canary == visible] * 3, found
        assert canary_scan.in_text(canary, {"log": logged.out + logged.err}) == []
    assert "bus_provisioned" in logged.out + logged.err
    assert opened(await resolve(world)) == {"apiKey": secret}


async def test_a_secret_is_in_no_file_of_the_servers(data_folder: DataFolder) -> None:
    """G7: tables, write-ahead log, streams and logs, as the disk has them."""
    secret, visible = make_canary(), make_canary()
    postgres = EmbeddedPostgres(data_folder)
    server = EmbeddedNats(data_folder, [NatsUser("test", data_folder.secret("nats test"))])
    await postgres.start()
    try:
        await server.start()
        await postgres.create_database("registry")
        nats_url = server.url("test")
        async with running(postgres.dsn("registry"), nats_url) as world:
            await use(await world.workspace(), secret, visible)
    finally:
        await server.stop()
        await postgres.stop()
    places = {Path(one.where).parts[0] for one in canary_scan.in_files(visible, data_folder.path)}
    assert {"postgres", "nats"} <= places, "the search itself must find what is there"
    assert canary_scan.in_files(secret, data_folder.path) == []


# Messages of all calls of the registry, by their services.
MODULES = (wpb, opb, fpb, spb, dpb, ipb)
RESOURCES = (
    "workspaces/acme",
    "workspaces/acme/functions/crm",
    "workspaces/acme/functions/crm/versions/2",
    "workspaces/acme/sources/web",
    CRM_EU,
)
NAMING = ("name", "parent", "member", "function", "source", "destination", "resource")
# What leaves nothing to look at comes last.
ENDING = ("Delete", "Disconnect", "Remove", "Revoke", "Erase")


def calls() -> list[MethodDescriptor]:
    """Every RPC: reads, then changes, then what ends things."""
    found = [
        method for one in MODULES for service in one.DESCRIPTOR.services_by_name.values() for method in service.methods
    ]

    return sorted(found, key=lambda method: (not reads(method), method.name.startswith(ENDING)))


def reads(method: MethodDescriptor) -> bool:
    return bool(method.GetOptions().Extensions[access_pb2.access].read_only)


def requests(method: MethodDescriptor) -> Iterator[Message]:
    """One for each resource that the call could be about."""
    kind = message_factory.GetMessageClass(method.input_type)
    named = [field for field in NAMING if field in method.input_type.fields_by_name]
    for resource in RESOURCES if named else RESOURCES[:1]:
        request = kind(**dict.fromkeys(named, resource))
        if method.name == "ReadFacts":
            request.read.workspace = "acme"  # type: ignore[attr-defined]  # as ReadFactsRequest has it
        yield request


async def answers_to(caller: Stubs, method: MethodDescriptor) -> AsyncIterator[tuple[str, Message | None]]:
    """What one caller is told: text to look through, and the answer unless it is a refusal."""
    response = message_factory.GetMessageClass(method.output_type)
    call: Any = caller.channel.unary_unary(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=response.FromString,
    )
    for request in requests(method):
        try:
            answer = await call(request)
        except OnwardError as error:
            yield f"{error.message} {error.metadata} {error.violations}", None
        else:
            # Bytes too, for what a text form would escape.
            yield f"{answer} {answer.SerializeToString().decode(errors='surrogateescape')}", answer


async def with_role(world: World, owner: Stubs, role: resources_pb2.Role.ValueType) -> Stubs:
    member = f"has-{role}"
    await owner.workspaces.AddMember(
        wpb.AddMemberRequest(
            parent="workspaces/acme",
            member_id=member,
            kind=resources_pb2.MEMBER_KIND_SERVICE_ACCOUNT,
            display_name=member,
            grants=[resources_pb2.RoleGrant(role=role)],
        )
    )
    request = wpb.CreateTokenRequest(member=f"workspaces/acme/members/{member}", display_name=member)
    return world.caller((await owner.workspaces.CreateToken(request)).secret)


async def test_no_call_returns_a_secret_to_anybody(world: World) -> None:
    """G7: every RPC that there is, by every role, the operator and services, about everything that there is.

    Of changes, those who may make them are told most.
    """
    secret, visible = make_canary(), make_canary()
    owner = await world.workspace()
    await use(owner, secret, visible)
    roles = [role for role in resources_pb2.Role.values() if role != resources_pb2.ROLE_UNSPECIFIED]
    callers = {resources_pb2.Role.Name(role): await with_role(world, owner, role) for role in roles}
    services = {name: world.caller(SERVICE_TOKEN, service=name) for name in ("executor", "audit")}
    mighty = {"ROLE_OWNER": owner, "operator": world.operator, **services}
    answered, seen = set(), set()
    for method in calls():
        for name, caller in (mighty | callers if reads(method) else mighty).items():
            async for told, answer in answers_to(caller, method):
                assert canary_scan.in_text(secret, {f"{method.name} to {name}": told}) == []
                if answer is not None:
                    answered.add(method.name)
                if visible in told:
                    seen.add((method.name, name))
    assert {"GetDestination", "ListDestinations", "ResolveDestination", "ReadFacts", "ListVersions"} <= answered
    assert {("GetDestination", "ROLE_OWNER"), ("ListDestinations", "ROLE_OWNER")} <= seen
    # Values are told to those who may set them, who read the function as well.
    assert ("ListDestinations", "ROLE_SOURCE_ADMIN") not in seen
    assert {("ResolveDestination", "executor"), ("ReadFacts", "audit")} <= seen


async def test_an_answer_says_of_a_secret_only_that_it_is_set_and_when(world: World) -> None:
    """G7."""
    owner = await world.workspace()
    await use(owner, CANARY, "visible")
    found: dpb.GetDestinationResponse = await owner.destinations.GetDestination(dpb.GetDestinationRequest(name=CRM_EU))
    (state,) = (one for one in found.destination.settings if one.name == "apiKey")
    assert {field.name for field, _ in state.ListFields()} == {"name", "encrypted", "set", "update_time"}


async def test_no_token_is_stored_in_clear(world: World, nats_client: Client) -> None:
    request = wpb.CreateWorkspaceRequest(display_name="Acme", request_id="r1")
    made = await world.operator.workspaces.CreateWorkspace(request)
    secret = made.owner_token.rpartition("_")[2]
    stored = await everything_stored(world)
    assert "Acme" in stored
    assert await canary_scan.in_database(secret, world.database) == []
    assert await canary_scan.in_nats(secret, nats_client) == []


# ---- where they are ------------------------------------------------------------------------------------------------


COPIES = {
    "destination": "s.workspace = t.workspace AND s.destination <> t.destination AND s.name = t.name",
    "setting": "s.workspace = t.workspace AND s.destination = t.destination AND s.name <> t.name",
    "workspace": "s.workspace <> t.workspace AND s.destination = t.destination AND s.name = t.name",
}


@pytest.mark.parametrize("copied_to", COPIES)
async def test_a_ciphertext_copied_to_another_row_does_not_open(world: World, copied_to: str) -> None:
    """G3."""
    for workspace in ("acme", "other"):
        owner = await world.workspace(workspace)
        await a_function(owner, [SECRET, definition("second", encrypted=True)], workspace=workspace)
        await a_source(owner, workspace=workspace)
        for destination in ("crm-eu", "crm-us"):
            await connect(
                owner,
                destination,
                source=f"workspaces/{workspace}/sources/web",
                function=f"workspaces/{workspace}/functions/crm",
                settings={"apiKey": text(CANARY), "second": text("another")},
            )
    copied = await world.rows(
        "UPDATE encrypted_settings AS t SET nonce = s.nonce, ciphertext = s.ciphertext FROM encrypted_settings AS s "
        f"WHERE {COPIES[copied_to]} AND t.workspace = 'acme' AND t.destination = 'crm-us' RETURNING 1"
    )
    assert copied
    assert opened(await resolve(world)) == {"apiKey": CANARY, "second": "another"}
    with pytest.raises(VaultError, match="does not open"):
        opened(await resolve(world, "workspaces/acme/destinations/crm-us"))


async def test_a_data_key_copied_to_another_workspace_does_not_open(world: World) -> None:
    """G3: even along with all ciphertexts."""
    owner = await world.workspace()
    await use(owner, CANARY, "visible")
    (row,) = await world.rows("SELECT wrapped_key FROM data_keys WHERE workspace = 'acme'")
    with pytest.raises(VaultError, match="does not open"):
        Vault.from_base64(KEY).unwrap(row["wrapped_key"], "other")


async def test_a_destinations_ciphertexts_can_be_forgotten(world: World) -> None:
    owner = await world.workspace()
    await use(owner, CANARY, "visible")
    await connect(owner, "crm-us", settings={"apiKey": text("another")})
    connection = await asyncpg.connect(world.database)
    await forget(connection, "acme", "crm-eu")
    await connection.close()
    left = await world.rows("SELECT destination, name FROM encrypted_settings")
    assert [tuple(row) for row in left] == [("crm-us", "apiKey")]


async def test_a_disconnected_destination_leaves_no_ciphertext(world: World) -> None:
    owner = await world.workspace()
    await use(owner, CANARY, "visible")
    await owner.destinations.DisconnectDestination(dpb.DisconnectDestinationRequest(name=CRM_EU))
    assert await world.rows("SELECT 1 FROM encrypted_settings") == []


async def test_a_deleted_function_leaves_no_ciphertext_of_the_destinations_that_go_with_it(world: World) -> None:
    owner = await world.workspace()
    await use(owner, CANARY, "visible")
    await owner.functions.DeleteFunction(
        fpb.DeleteFunctionRequest(name="workspaces/acme/functions/crm", disconnect=True)
    )
    assert await world.rows("SELECT 1 FROM encrypted_settings") == []


async def test_each_workspace_has_a_data_key_of_its_own_made_when_it_is_needed(world: World) -> None:
    for workspace in ("acme", "other"):
        owner = await world.workspace(workspace)
        await a_function(owner, [definition("plain")], workspace=workspace)
        await a_source(owner, workspace=workspace)
        await connect(
            owner,
            source=f"workspaces/{workspace}/sources/web",
            function=f"workspaces/{workspace}/functions/crm",
            settings={"plain": text("v")},
        )
    keys = "SELECT workspace, key_id FROM data_keys WHERE workspace <> 'system'"
    assert await world.rows(keys) == []
    await save(owner, [SECRET], workspace="other")
    await connect(
        owner,
        "second",
        source="workspaces/other/sources/web",
        function="workspaces/other/functions/crm",
        settings={"apiKey": text("s")},
    )
    assert [tuple(row) for row in await world.rows(keys)] == [("other", Vault.from_base64(KEY).key_id)]


async def test_deployments_encrypt_and_clear_stored_values(world: World) -> None:
    owner = await world.workspace()
    await a_function(owner, [definition("apiKey")])
    await a_source(owner)
    await connect(owner, settings={"apiKey": text(CANARY)})
    everywhere = fpb.DeploymentTarget(all=True)
    await save(owner, [definition("apiKey", encrypted=True)], deploy_to=everywhere)
    resolved = await resolve(world)
    assert opened(resolved) == {"apiKey": CANARY}
    assert resolved.destination.settings[0].set
    assert not resolved.destination.settings[0].HasField("value")
    assert await world.rows("SELECT 1 FROM destination_settings WHERE value IS NOT NULL") == []
    await save(owner, [definition("apiKey")], deploy_to=everywhere)
    resolved = await resolve(world)
    assert (list(resolved.encrypted), resolved.destination.settings[0].set) == ([], False)
    assert await world.rows("SELECT 1 FROM encrypted_settings") == []


async def test_a_new_name_or_type_leaves_a_secret_to_the_versions_that_it_was_given_for(world: World) -> None:
    owner = await world.workspace()
    await a_function(owner, [definition("apiKey", encrypted=True)])
    await a_source(owner)
    await connect(owner, settings={"apiKey": text(CANARY)})
    everywhere = fpb.DeploymentTarget(all=True)
    renamed = definition("token", encrypted=True)
    other_type = definition("apiKey", encrypted=True, type=resources_pb2.SETTING_TYPE_STRING_LIST)
    for definitions in ([renamed], [other_type]):
        await save(owner, definitions, deploy_to=everywhere)
        resolved = await resolve(world)
        assert (list(resolved.encrypted), resolved.destination.settings[0].set) == ([], False)
    await owner.functions.DeployVersion(
        fpb.DeployVersionRequest(name="workspaces/acme/functions/crm/versions/2", target=everywhere)
    )
    assert opened(await resolve(world)) == {"apiKey": CANARY}


async def test_a_refused_deployment_encrypts_and_clears_nothing(world: World) -> None:
    owner = await world.workspace()
    plain, secret = definition("plain"), definition("secret", encrypted=True)
    await a_function(owner, [plain, secret])
    await a_source(owner)
    await connect(owner, settings={"plain": text("visible"), "secret": text(CANARY)})
    await owner.destinations.EnableDestination(dpb.EnableDestinationRequest(name=CRM_EU))
    before = await everything_stored(world)
    swapped = [definition("plain", encrypted=True), definition("secret"), definition("missing", required=True)]
    async with refused("FAILED_PRECONDITION", "SETTINGS_MISSING"):
        await save(owner, swapped, deploy_to=fpb.DeploymentTarget(all=True))
    assert await everything_stored(world) == before


async def test_another_key_stops_the_start_with_one_line_and_changes_nothing(database: str, nats_url: str) -> None:
    """G6."""
    async with running(database, nats_url) as world:
        owner = await world.workspace()
        await a_function(owner, [SECRET])
        await a_source(owner)
        await connect(owner, settings={"apiKey": text(CANARY)})
        before = await everything_stored(world)
    other = base64.b64encode(b"o" * 32).decode()
    app = await build(settings(database, nats_url, key_encryption_key=other), check_code=FakeExecutor())
    with pytest.raises(SettingsError, match=r"ONWARD_KEY_ENCRYPTION_KEY.*not the one") as caught:
        await app.start()
    assert "\n" not in str(caught.value)
    assert other not in str(caught.value)
    await app.stop()
    async with running(database, nats_url) as world:
        assert opened(await resolve(world)) == {"apiKey": CANARY}
        assert await everything_stored(world) == before


@pytest.mark.parametrize("key", ["", "c2hvcnQ=", "not base64"])
def test_a_key_that_is_no_key_stops_the_start(key: str) -> None:
    """G6."""
    with pytest.raises(ValueError, match="key_encryption_key"):
        settings("postgresql:///x", "nats://x", key_encryption_key=key)
