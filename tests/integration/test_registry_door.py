"""The registry at the publishers' door: what a write key and a token open on the real NATS server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import pytest
from nats.aio.msg import Msg
from nats.errors import TimeoutError as NatsTimeoutError

from kit.auth.tokens import parse_token, parse_write_key
from kit.bus.connection import connect
from kit.embedded.data_folder import DataFolder
from kit.embedded.nats import EmbeddedNats
from kit.errors import Unavailable
from kit.nats_auth.admission import AUTH_USER, inbox_prefix
from kit.testing.eventually import eventually
from onward.registry.v1 import resources_pb2
from onward.registry.v1 import source_service_pb2 as spb
from onward.registry.v1 import workspace_service_pb2 as wpb
from tests.integration import registry_world
from tests.integration.nats_world import Connection, connection_to, embedded, running
from tests.integration.registry_world import Stubs, World, a_source, refused

pytestmark = pytest.mark.integration

WEB = "workspaces/acme/sources/web"


@dataclass
class Site:
    """A registry behind the door of a NATS server."""

    nats: EmbeddedNats
    world: World
    owner: Stubs

    def with_key(self, secret: str) -> AbstractAsyncContextManager[Connection]:
        """A client that presents a write key or a token."""
        prefix = "onwk_" if secret.startswith("onwk_") else "onw_"
        key_id = (parse_write_key(secret) if prefix == "onwk_" else parse_token(secret)).id
        return connection_to(self.nats.address, inbox_prefix(key_id), token=secret, allow_reconnect=False)

    async def stays_out(self, secret: str) -> None:
        """The server refuses it, as it is seen by the command line."""
        with pytest.raises(Unavailable, match=r"(?i)authorization"):
            await connect(self.nats.address, "anybody", secret, name="test", timeout_s=5.0)

    async def key(self, source: str = WEB) -> spb.CreateWriteKeyResponse:
        answer: spb.CreateWriteKeyResponse = await self.owner.sources.CreateWriteKey(
            spb.CreateWriteKeyRequest(parent=source)
        )
        return answer

    async def token(self, role: resources_pb2.Role.ValueType, name: str) -> wpb.CreateTokenResponse:
        member = await self.owner.workspaces.AddMember(
            wpb.AddMemberRequest(
                parent="workspaces/acme",
                member_id=name,
                kind=resources_pb2.MEMBER_KIND_SERVICE_ACCOUNT,
                display_name=name,
                grants=[resources_pb2.RoleGrant(role=role)],
            )
        )
        answer: wpb.CreateTokenResponse = await self.owner.workspaces.CreateToken(
            wpb.CreateTokenRequest(member=member.member.name, display_name=name)
        )
        return answer


@pytest.fixture
async def site(data_folder: DataFolder, database: str) -> AsyncIterator[Site]:
    async with running(embedded(data_folder)) as nats:
        door: dict[str, Any] = {
            "nats_user": "registry",
            "nats_password": data_folder.secret("nats registry"),
            "nats_auth_password": data_folder.secret(f"nats {AUTH_USER}"),
            "nats_callout_seed": nats.issuer.seed,
        }
        async with registry_world.running(database, nats.address, **door) as world:
            owner = await world.workspace()
            await a_source(owner, "web")
            await a_source(owner, "shop")
            yield Site(nats, world, owner)


def event(number: int) -> bytes:
    return json.dumps({"type": "track", "event": "Paid", "userId": "u", "messageId": f"m{number}"}).encode()


async def is_stored(connection: Connection, subject: str, number: int = 1) -> bool:
    """Whether JetStream acknowledges a publish."""
    try:
        answer = await connection.client.request(subject, event(number), timeout=1.0)
    except NatsTimeoutError:
        return False
    return "seq" in json.loads(answer.data)


async def test_a_write_key_publishes_to_its_source_and_to_no_other(site: Site) -> None:
    """H9."""
    key = await site.key()
    async with site.with_key(key.secret) as connection:
        assert await is_stored(connection, "events.acme.web")
        assert not await is_stored(connection, "events.acme.shop")
        assert await connection.is_refused("events.acme.shop")


async def test_a_key_that_is_revoked_is_disconnected_and_stays_out(site: Site) -> None:
    key, other = await site.key(), await site.key()
    async with site.with_key(key.secret) as revoked, site.with_key(other.secret) as kept:
        await site.owner.sources.RevokeWriteKey(spb.RevokeWriteKeyRequest(name=key.write_key.name))
        await eventually(lambda: revoked.closed == 1)
        assert await is_stored(kept, "events.acme.web")
    await site.stays_out(key.secret)


async def test_two_keys_are_valid_at_once_and_a_third_is_refused(site: Site) -> None:
    keys = [await site.key(), await site.key()]
    for number, key in enumerate(keys):
        async with site.with_key(key.secret) as connection:
            assert await is_stored(connection, "events.acme.web", number)
    async with refused("RESOURCE_EXHAUSTED", "LIMIT_REACHED"):
        await site.key()


async def test_the_keys_of_a_deleted_source_end(site: Site) -> None:
    key = await site.key("workspaces/acme/sources/shop")
    async with site.with_key(key.secret) as connection:
        await site.owner.sources.DeleteSource(spb.DeleteSourceRequest(name="workspaces/acme/sources/shop"))
        await eventually(lambda: connection.closed == 1)


async def test_owners_and_auditors_read_the_facts_of_their_workspace_and_no_others(site: Site) -> None:
    other = await site.world.workspace("other")
    auditor = await site.token(resources_pb2.ROLE_AUDITOR, "auditor")
    async with site.with_key(auditor.secret) as connection:
        heard: list[str] = []

        async def hear(message: Msg) -> None:
            heard.append(message.subject)

        await connection.client.subscribe("facts.*.acme.>", cb=hear)
        await connection.client.subscribe("facts.*.other.>", cb=hear)
        await connection.client.flush()
        await a_source(other, "web", workspace="other")
        await a_source(site.owner, "app")
        await eventually(lambda: "facts.registry.acme.SourceCreated" in heard)
        assert not [subject for subject in heard if ".other." in subject]
        assert await connection.is_refused("facts.*.other.>")


async def test_a_member_may_not_read_facts_and_the_trail_tells(site: Site) -> None:
    member = await site.token(resources_pb2.ROLE_MEMBER, "member")
    await site.stays_out(member.secret)
    token_id = parse_token(member.secret).id

    async def told() -> bool:
        rows = await site.world.rows("SELECT data, meta FROM facts WHERE workspace = 'acme' AND type = 'AccessDenied'")
        return any(f"token:{token_id}" in row["meta"] and '"nats"' in row["data"] for row in rows)

    await eventually(told)


async def test_a_reader_whose_token_or_role_ends_is_disconnected(site: Site) -> None:
    auditor = await site.token(resources_pb2.ROLE_AUDITOR, "auditor")
    async with site.with_key(auditor.secret) as connection:
        await site.owner.workspaces.RevokeToken(wpb.RevokeTokenRequest(name=auditor.token.name))
        await eventually(lambda: connection.closed == 1)


async def test_a_wrong_secret_of_a_known_key_is_refused_and_recorded(site: Site) -> None:
    key = await site.key()
    guessed = key.secret[:-4] + "aaaa"
    await site.stays_out(guessed)

    async def told() -> bool:
        rows = await site.world.rows("SELECT data FROM facts WHERE workspace = 'acme' AND type = 'AccessDenied'")
        return any(WEB in row["data"] and "INVALID_TOKEN" in row["data"] for row in rows)

    await eventually(told)
    rows = await site.world.rows("SELECT data::text || meta::text AS told FROM facts")
    assert not any(parse_write_key(guessed).secret in row["told"] for row in rows)
