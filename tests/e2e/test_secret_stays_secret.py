"""A secret is followed through a whole stack: only the API that it is for ever sees it.

Beside the secret of a setting these are looked for: tokens, write keys, and what the stack proves itself with.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.operator_keys import current_key, previous_keys
from cli.stack import STORING_SERVICES
from kit.embedded.data_folder import DataFolder
from kit.embedded.nats import EmbeddedNats
from kit.embedded.nats_users import NatsUser
from kit.embedded.postgres import EmbeddedPostgres
from kit.testing.servers import TEST_USER, connect_nats, run_now, short_lived_folder
from tests.e2e.onward_program import Api, Onward, start
from tests.e2e.otlp_collector import Collector
from tests.e2e.secret_life import WAYS, Life
from tests.integration.canary import Sighting, in_database, in_files, in_nats, in_text

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]

# The only files that may hold secrets; each is its owner's alone (0600). nats.conf has the services' passwords.
SECRETS_FILES = ("credentials.json", "client.json", "nats/nats.conf")


def make_canary() -> str:
    """Characters that differ in every encoding, and that a header may have."""
    return f'canary-{uuid.uuid4().hex}/+?"% end'


@dataclass
class Afterwards:
    """A stack that has ended: its folder, what it told, what the collector got."""

    life: Life
    collector: Collector
    folder: Path

    @property
    def data(self) -> Path:
        return self.life.onward.data

    def own_secrets(self) -> dict[str, str]:
        """What the stack made for itself: of the data folder's secrets file, and what is derived from it."""
        held = json.loads((self.data / "credentials.json").read_text())
        found = {name: held[name] for name in ("service token", "operator token", "key encryption key")}
        with DataFolder(self.data) as folder:
            keys = [current_key(folder), *previous_keys(folder).split(",")]
        return found | {f"operator's key {number}": key for number, key in enumerate(keys) if key}


@contextmanager
def traced_stack(data: Path, collector: Collector) -> Iterator[Onward]:
    variables = {"ONWARD_OTLP_ENDPOINT": collector.address, "ONWARD_TRACE_RATIO": "1"}
    up = start(data, variables=variables)
    try:
        yield Onward(data)
    finally:
        assert up.stop() == 0


@pytest.fixture(scope="module")
def afterwards() -> Iterator[Afterwards]:
    """Run the whole life once: used well and badly, refused, retried, its key rotated."""
    collector = Collector()
    with short_lived_folder() as folder, Api().listening() as api, collector.listening():
        data, inputs = folder / "data", folder / "inputs"
        inputs.mkdir()
        life = Life(Onward(data), api, make_canary(), make_canary())
        with traced_stack(data, collector):
            life.prepare(inputs)
            with life.followed():
                life.publish_returns()
                run_now(life.publish("before"))
                life.refusals()
            life.told["keys make"] = life.onward.done("keys", "make")
        with traced_stack(data, collector):
            life.run("keys", "rotate")
            run_now(life.publish("after", WAYS[:-1]))
            life.told["keys retire"] = life.onward.done("keys", "retire", "--yes")
            life.read()
        yield Afterwards(life, collector, folder)


def where(sightings: list[Sighting]) -> set[str]:
    return {one.where for one in sightings}


def in_stored_files(secret: str, data: Path) -> list[Sighting]:
    return [one for one in in_files(secret, data) if one.where not in SECRETS_FILES]


def test_the_api_gets_the_secret_before_and_after_the_rotation(afterwards: Afterwards) -> None:
    """G1's other half: what is masked is masked in what is kept only."""
    life = afterwards.life
    bearers = [one for one in life.api.headers if one.get("Authorization") == f"Bearer {life.secret}"]
    # One of the ways is tried twice, and not again after the rotation.
    assert len(bearers) >= 2 * len(WAYS)
    assert any(one.get("X-Thing") == f"is {life.secret}" for one in life.api.headers)
    assert any(isinstance(one, dict) and one.get("key") == life.secret for one in life.api.bodies)
    assert in_text(life.secret, {"paths": "\n".join(life.api.paths)})


def test_no_answer_of_a_command_or_an_rpc_holds_the_secret(afterwards: Afterwards) -> None:
    """G1."""
    life = afterwards.life
    assert in_text(life.secret, life.told) == []
    seen = where(in_text(life.visible, life.told))
    assert "deliveries tail" in seen
    unseen = [way for way in WAYS if f"GetDelivery {life.deliveries[f'before-{way}']} to owner" not in seen]
    # What a success returned is rarely kept; see publish_returns.
    assert set(unseen) <= {"split", "return"}, "the search itself must find what is there"
    assert "destinations show crm-web" in seen
    for call in ("GetDelivery", "GetDestination", "ListDestinations"):
        assert any(one.startswith(f"{call} ") for one in seen), call
    by_hand = {f"{command} throw {kind}" for command in ("invoke", "test") for kind in ("--verbose", "--json")}
    assert by_hand <= seen
    assert any(one.startswith("ListAuditEvents") and "refused" not in one for one in life.told)
    assert "RetryError" in life.told["deliveries show --message-id before-retry"]
    # Looked up by its value, after the rotation.
    assert "apiKey" in life.told["audit leaked"]


def test_a_secret_that_is_split_over_lines_is_masked_and_flagged(afterwards: Afterwards) -> None:
    """G1."""
    life = afterwards.life
    shown = life.told["deliveries show --message-id before-split"]
    assert "a secret was split over several lines" in shown
    assert life.secret[:20] not in shown
    assert life.secret[20:] not in shown


async def test_no_table_and_no_message_holds_the_secret(afterwards: Afterwards) -> None:
    """G1, G7: what is stored, as its servers give it out."""
    life = afterwards.life
    found, controls = await stored(afterwards, life.secret), await stored(afterwards, life.visible)
    assert found == []
    places = where(controls)
    assert {"public.destination_settings", "public.remembered_requests"} & places
    assert any("attempt" in one for one in places), places
    assert any(one.startswith(("FACTS", "OUTCOMES")) for one in places), places


async def stored(afterwards: Afterwards, *secrets: str) -> list[Sighting]:
    """What the servers of the data folder give out, to somebody who may see everything."""
    with DataFolder(afterwards.data) as folder:
        postgres = EmbeddedPostgres(folder)
        server = EmbeddedNats(folder, [NatsUser(TEST_USER, folder.secret("nats test"))])
        await postgres.start()
        try:
            await server.start()
            client = await connect_nats(server)
            found = []
            for secret in secrets:
                for service in STORING_SERVICES:
                    found += await in_database(secret, postgres.dsn(f"onward_{service}"))
                found += await in_nats(secret, client)
            await client.close()
        finally:
            await server.stop()
            await postgres.stop()
    return found


def test_no_file_holds_the_secret(afterwards: Afterwards) -> None:
    """G1, G7: tables, write-ahead logs, streams, logs of services and servers, configuration; nothing is left out."""
    life = afterwards.life
    assert in_files(life.secret, afterwards.data) == []
    assert in_files(life.secret, afterwards.folder / "up.log") == []
    assert {Path(one).parts[0] for one in where(in_files(life.visible, afterwards.data))} >= {"postgres", "nats"}


def test_no_trace_holds_a_secret(afterwards: Afterwards) -> None:
    """G1."""
    assert afterwards.collector.services() == {f"onward-{one}" for one in ("registry", "executor", "delivery", "audit")}
    text = {"traces": afterwards.collector.text()}
    assert in_text("rpc.response.status_code", text), "the search itself must find what is there"
    secrets = {"setting": afterwards.life.secret, **afterwards.life.others, **afterwards.own_secrets()}
    assert [name for name, secret in secrets.items() if in_text(secret_part(secret), text)] == []


async def test_tokens_keys_and_passwords_are_in_their_files_alone(afterwards: Afterwards) -> None:
    """G7."""
    life = afterwards.life
    secrets = life.others | afterwards.own_secrets()
    parts = {name: secret_part(secret) for name, secret in secrets.items()}
    told = [name for name, secret in parts.items() if in_text(secret, life.told)]
    assert told == []
    kept = {name: where(in_stored_files(secret, afterwards.data)) for name, secret in parts.items()}
    assert {name: places for name, places in kept.items() if places} == {}
    assert await stored(afterwards, *parts.values()) == []
    for name in SECRETS_FILES:
        assert (afterwards.data / name).stat().st_mode & 0o077 == 0
    held = where(in_files(parts["owner's token"], afterwards.data))
    assert held == {"client.json"}, "the search itself must find what is there"


def secret_part(secret: str) -> str:
    """What nobody may know of a token or a write key: its id is no secret."""
    return secret.rpartition("_")[2] if secret.startswith(("onw_", "onwk_")) else secret
