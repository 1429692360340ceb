"""Secrets of the registry: where they are, where they never are, and what happens without their key."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client

from kit.settings import SettingsError
from kit.vault import Sealed, Vault, VaultError, setting_place
from onward.registry.v1 import destination_service_pb2 as dpb
from onward.registry.v1 import function_service_pb2 as fpb
from onward.registry.v1 import internal_service_pb2 as ipb
from onward.registry.v1 import resources_pb2
from onward.registry.v1 import workspace_service_pb2 as wpb
from services.registry.app import build
from tests.integration.registry_world import (
    KEY,
    FakeExecutor,
    World,
    a_function,
    a_source,
    connect,
    definition,
    running,
    save,
    settings,
    text,
)

pytestmark = pytest.mark.integration

CANARY = "canary-7f3e9a1c5d"
CRM_EU = "workspaces/acme/destinations/crm-eu"
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


async def everything_published(nats_client: Client) -> str:
    stream = await nats_client.jetstream().stream_info("FACTS")
    found = []
    for seq in range(1, stream.state.last_seq + 1):
        message = await nats_client.jetstream().get_msg("FACTS", seq)
        found.append(f"{message.subject} {message.headers} {message.data!r}")
    return "\n".join(found)


async def test_a_secret_is_in_no_table_fact_answer_or_log_line(
    world: World, nats_client: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    """G7."""
    owner = await world.workspace()
    await a_function(owner, [SECRET, definition("plain")])
    await a_source(owner)
    answers = [
        await connect(owner, settings={"apiKey": text(CANARY), "plain": text("visible")}, request_id="r1"),
        await owner.destinations.SetSettings(
            dpb.SetSettingsRequest(name=CRM_EU, set={"apiKey": text(CANARY)}, request_id="r2")
        ),
        await owner.destinations.GetDestination(dpb.GetDestinationRequest(name=CRM_EU)),
        await owner.destinations.ListDestinations(dpb.ListDestinationsRequest(parent="workspaces/acme")),
        await resolve(world),
    ]
    told = "".join(str(answer) for answer in answers)
    logged = capfd.readouterr()
    places = [await everything_stored(world), await everything_published(nats_client), told, logged.out + logged.err]
    assert all("visible" in place for place in places[:3]), "the search itself must find what is there"
    encodings = [CANARY, CANARY.encode().hex(), base64.b64encode(CANARY.encode()).decode().rstrip("=")[:-1]]
    assert [(i, e) for i, place in enumerate(places) for e in encodings if e in place] == []
    assert opened(await resolve(world)) == {"apiKey": CANARY}


async def test_no_token_is_stored_in_clear(world: World, nats_client: Client) -> None:
    request = wpb.CreateWorkspaceRequest(display_name="Acme", request_id="r1")
    made = await world.operator.workspaces.CreateWorkspace(request)
    secret = made.owner_token.rpartition("_")[2]
    stored = await everything_stored(world)
    assert secret not in stored
    assert secret.encode().hex() not in stored
    assert secret not in await everything_published(nats_client)


async def test_a_ciphertext_copied_to_another_row_does_not_open(world: World) -> None:
    """G3."""
    owner = await world.workspace()
    await a_function(owner, [SECRET])
    await a_source(owner)
    await connect(owner, settings={"apiKey": text(CANARY)})
    await connect(owner, "crm-us", settings={"apiKey": text("another")})
    await world.rows(
        "UPDATE encrypted_settings AS t SET nonce = s.nonce, ciphertext = s.ciphertext "
        "FROM encrypted_settings AS s WHERE s.destination = 'crm-eu' AND t.destination = 'crm-us'"
    )
    assert opened(await resolve(world)) == {"apiKey": CANARY}
    with pytest.raises(VaultError):
        opened(await resolve(world, "workspaces/acme/destinations/crm-us"))


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
