"""The operator's keys: one put in the place of another under load, and starts with keys that do not fit."""

from __future__ import annotations

import asyncio
import base64
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from kit.errors import Unavailable
from kit.eventstore.postgres import MIGRATIONS as EVENT_LOG_MIGRATIONS
from kit.postgres.migrate import migrate
from kit.postgres.pool import connect_pool
from kit.settings import SettingsError
from kit.testing.eventually import eventually
from kit.vault import DataKey, Keyring, Sealed, Vault, setting_place
from onward.registry.v1 import destination_service_pb2 as dpb
from onward.registry.v1 import internal_service_pb2 as ipb
from onward.registry.v1 import operator_service_pb2 as opb
from onward.registry.v1 import resources_pb2
from onward.registry.v1 import workspace_service_pb2 as wpb
from services.registry.app import MIGRATIONS, build
from services.registry.handlers import keys as handlers
from tests.integration.registry_world import (
    KEY,
    FakeExecutor,
    Stubs,
    World,
    a_function,
    a_source,
    connect,
    definition,
    refused,
    running,
    settings,
    text,
)

pytestmark = pytest.mark.integration

NEW_KEY = base64.b64encode(b"n" * 32).decode()
OTHER_KEY = base64.b64encode(b"o" * 32).decode()
OLD, NEW, OTHER = (Vault.from_base64(key) for key in (KEY, NEW_KEY, OTHER_KEY))
ROTATING: dict[str, Any] = {"key_encryption_key": NEW_KEY, "previous_key_encryption_keys": KEY}
BOTH = Keyring(NEW, (OLD,))
SECRET = definition("apiKey", required=True, encrypted=True)
CRM_EU = "workspaces/acme/destinations/crm-eu"


async def a_secret(world: World) -> str:
    """A workspace's owner's token; its destination has a secret."""
    request = wpb.CreateWorkspaceRequest(workspace_id="acme", display_name="Acme")
    token: str = (await world.operator.workspaces.CreateWorkspace(request)).owner_token
    owner = world.caller(token)
    await a_function(owner, [SECRET])
    await a_source(owner)
    await connect(owner, settings={"apiKey": text("first")})
    return token


async def before_rotation(database: str, nats_url: str, more: int = 0) -> str:
    """Everything wrapped by the old key: those of a workspace, of `system`, and some more."""
    async with running(database, nats_url) as world:
        token = await a_secret(world)
        await more_data_keys(world, more)
    return token


async def more_data_keys(world: World, count: int, vault: Vault = OLD) -> None:
    """Of workspaces that are nothing else."""
    rows = [(f"more-{n:05}", vault.wrap(DataKey.generate(), f"more-{n:05}")) for n in range(count)]
    await world.rows(
        "INSERT INTO data_keys SELECT one, wrapped, $3 FROM unnest($1::text[], $2::bytea[]) AS n(one, wrapped)",
        [workspace for workspace, _ in rows],
        [wrapped for _, wrapped in rows],
        vault.key_id,
    )


async def resolved(world: World, keyring: Keyring = BOTH) -> str:
    """The secret as an executor with these keys reads it."""
    answer: ipb.ResolveDestinationResponse = await world.service.internal.ResolveDestination(
        ipb.ResolveDestinationRequest(name=CRM_EU)
    )
    (one,) = answer.encrypted
    data_key = keyring.unwrap(answer.key_id, answer.wrapped_key, "acme")
    value = data_key.decrypt(Sealed(one.nonce, one.ciphertext), setting_place("acme", "crm-eu", one.name))
    return resources_pb2.SettingValue.FromString(value).string_value


async def rotate(world: World, **changes: Any) -> opb.RotateKeysResponse:
    answer: opb.RotateKeysResponse = await world.operator.operator.RotateKeys(opb.RotateKeysRequest(**changes))
    return answer


async def status(world: World) -> opb.GetKeyStatusResponse:
    answer: opb.GetKeyStatusResponse = await world.operator.operator.GetKeyStatus(opb.GetKeyStatusRequest())
    return answer


async def all_unwrap(world: World, keyring: Keyring = BOTH) -> int:
    """The number of data keys, each of which opens."""
    rows = await world.rows("SELECT workspace, key_id, wrapped_key FROM data_keys")
    for row in rows:
        keyring.unwrap(row["key_id"], row["wrapped_key"], row["workspace"])
    return len(rows)


async def rewrapped_in_facts(world: World) -> list[tuple[str, int]]:
    query = """SELECT data ->> 'keyId', (data ->> 'rewrapped')::bigint FROM facts
    WHERE workspace = 'system' AND type = 'KeysRotated' ORDER BY position"""
    return [tuple(row) for row in await world.rows(query)]


async def set_secret(owner: Stubs, value: str, request_id: str = "") -> dpb.SetSettingsResponse:
    request = dpb.SetSettingsRequest(name=CRM_EU, set={"apiKey": text(value)}, request_id=request_id)
    answer: dpb.SetSettingsResponse = await owner.destinations.SetSettings(request)
    return answer


# ---- rotation ------------------------------------------------------------------------------------------------------


async def test_a_rotation_wraps_all_data_keys_anew_and_says_so_once(database: str, nats_url: str) -> None:
    await before_rotation(database, nats_url, more=3)
    async with running(database, nats_url, **ROTATING) as rotating:
        before = await status(rotating)
        assert (before.current_key_id, before.behind) == (NEW.key_id, 5)
        told = [(key.key_id, key.configured, key.data_keys) for key in before.keys]
        assert told == [(NEW.key_id, True, 0), (OLD.key_id, True, 5)]
        some = await rotate(rotating, limit=2)
        assert (some.rewrapped, some.behind, some.key_id) == (2, 3, NEW.key_id)
        rest = await rotate(rotating)
        assert (rest.rewrapped, rest.behind) == (3, 0)
        nothing = await rotate(rotating)
        assert (nothing.rewrapped, nothing.behind, nothing.position) == (0, 0, rest.position)
        assert await rewrapped_in_facts(rotating) == [(NEW.key_id, 2), (NEW.key_id, 3)]
        assert await resolved(rotating, Keyring(NEW)) == "first"
    async with running(database, nats_url, key_encryption_key=NEW_KEY) as after:
        assert [(key.key_id, key.data_keys) for key in (await status(after)).keys] == [(NEW.key_id, 5)]
        assert await resolved(after, Keyring(NEW)) == "first"


async def test_a_rotation_of_many_is_made_in_small_transactions(
    database: str, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "BATCH_MAX", 7)
    await before_rotation(database, nats_url, more=18)
    async with running(database, nats_url, **ROTATING) as rotating:
        answer = await rotate(rotating, limit=17)
        assert (answer.rewrapped, answer.behind) == (17, 3)
        assert [count for _, count in await rewrapped_in_facts(rotating)] == [7, 7, 3]
        assert await all_unwrap(rotating) == 20


async def test_everything_is_readable_at_every_moment_of_a_rotation_that_crashes_under_load(
    database: str, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G5."""
    monkeypatch.setattr(handlers, "BATCH_MAX", 40)
    token = await before_rotation(database, nats_url, more=398)
    async with running(database, nats_url, **ROTATING) as rotating:
        load = Load(rotating, rotating.caller(token))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(load.write())
            tasks.create_task(load.read())
            await eventually(lambda: min(load.written, load.read_) > 2)
            await crash_in_the_middle(rotating)
            assert await all_unwrap(rotating) == 400
            assert (await status(rotating)).behind == 400, "a batch without its fact was undone"
            while (await rotate(rotating, limit=40)).behind:
                assert await all_unwrap(rotating) == 400
            seen = load.read_
            await eventually(lambda: load.read_ > seen + 2)
            load.over = True
        assert sum(count for _, count in await rewrapped_in_facts(rotating)) == 400
        assert (await status(rotating)).behind == 0
    async with running(database, nats_url, key_encryption_key=NEW_KEY) as after:
        assert await resolved(after, Keyring(NEW)) == f"secret-{load.written}"


class Load:
    """Somebody who sets the secret to one value after another, and an executor that reads it."""

    def __init__(self, world: World, owner: Stubs) -> None:
        self._world = world
        self._owner = owner
        self.written = 0
        self.read_ = 0
        self.over = False

    async def write(self) -> None:
        while not self.over:
            with suppress(Unavailable):
                await set_secret(self._owner, f"secret-{self.written + 1}")
                self.written += 1

    async def read(self) -> None:
        while not self.over:
            at_least = self.written
            with suppress(Unavailable):
                value = await resolved(self._world)
                assert int(value.removeprefix("secret-").replace("first", "0")) >= at_least
                self.read_ += 1


async def crash_in_the_middle(world: World) -> None:
    """A rotation's session dies after it wrapped a batch anew, and before that is committed."""
    connection = await asyncpg.connect(world.database)
    try:
        async with connection.transaction():
            # Nobody can write facts meanwhile: the batch is done but for its fact.
            await connection.execute("LOCK TABLE facts IN SHARE MODE")
            call = asyncio.ensure_future(rotate(world))
            rotating = await eventually(lambda: connection.fetchval(REWRAPPING))
            assert await connection.fetchval("SELECT pg_terminate_backend($1)", rotating)
            with pytest.raises(Unavailable):
                await call
    finally:
        await connection.close()


# The process that has changed data keys, and waits to write a fact.
REWRAPPING = """
SELECT waits.pid FROM pg_locks AS waits JOIN pg_locks AS holds USING (pid)
WHERE waits.relation = 'facts'::regclass AND NOT waits.granted
    AND holds.relation = 'data_keys'::regclass AND holds.mode = 'RowExclusiveLock' AND holds.granted
"""


async def test_two_rotations_at_once_wrap_each_data_key_anew_once(
    database: str, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G5."""
    monkeypatch.setattr(handlers, "BATCH_MAX", 10)
    await before_rotation(database, nats_url, more=98)
    async with running(database, nats_url, **ROTATING) as rotating:
        answers = await asyncio.gather(*(rotate(rotating) for _ in range(4)))
        assert sum(answer.rewrapped for answer in answers) == 100
        assert sum(count for _, count in await rewrapped_in_facts(rotating)) == 100
        assert (await status(rotating)).behind == 0
        assert await all_unwrap(rotating, Keyring(NEW)) == 100


async def test_a_data_key_that_does_not_open_stays_behind_and_holds_up_no_other(database: str, nats_url: str) -> None:
    await before_rotation(database, nats_url, more=5)
    async with running(database, nats_url, **ROTATING) as rotating:
        damaged = "UPDATE data_keys SET wrapped_key = wrapped_key || 'x' WHERE workspace = 'more-00001'"
        await rotating.rows(damaged)
        answer = await rotate(rotating, limit=3)
        # Of acme, more-00000 and more-00001.
        assert (answer.rewrapped, answer.behind) == (2, 5)
        answer = await rotate(rotating)
        assert (answer.rewrapped, answer.behind) == (4, 1)


async def test_a_repeated_rotation_gets_the_first_answer(database: str, nats_url: str) -> None:
    await before_rotation(database, nats_url)
    async with running(database, nats_url, **ROTATING) as rotating:
        first = await rotate(rotating, request_id="r1")
        assert first.rewrapped == 2
        assert await rotate(rotating, request_id="r1") == first
        async with refused("ALREADY_EXISTS", "REQUEST_ID_REUSED"):
            await rotate(rotating, limit=7, request_id="r1")


async def test_rotations_are_the_operators(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        owner = await world.workspace()
        async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
            await owner.operator.RotateKeys(opb.RotateKeysRequest())
        async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
            await owner.operator.GetKeyStatus(opb.GetKeyStatusRequest())


# ---- requests that are repeated over a rotation --------------------------------------------------------------------


async def test_a_request_that_is_repeated_after_a_rotation_gets_its_first_answer(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        token = await a_secret(world)
        first = await set_secret(world.caller(token), "second", request_id="r1")
    async with running(database, nats_url, **ROTATING) as rotating:
        assert (await rotate(rotating)).behind == 0
    async with running(database, nats_url, key_encryption_key=NEW_KEY) as after:
        owner = after.caller(token)
        assert await set_secret(owner, "second", request_id="r1") == first
        async with refused("ALREADY_EXISTS", "REQUEST_ID_REUSED"):
            await set_secret(owner, "another", request_id="r1")
        assert await resolved(after) == "second"


async def test_a_request_of_the_first_release_is_still_recognised(database: str, nats_url: str) -> None:
    """Its hash was made by the operator's key itself."""
    async with running(database, nats_url) as world:
        token = await a_secret(world)
        first = await set_secret(world.caller(token), "second", request_id="r1")
        request = dpb.SetSettingsRequest(name=CRM_EU, set={"apiKey": text("second")}, request_id="r1")
        data = request.DESCRIPTOR.full_name.encode() + b"\0" + request.SerializeToString(deterministic=True)
        as_then = "UPDATE request_answers SET request_hash = $1 WHERE request_id = 'r1'"
        await world.rows(as_then, OLD.fingerprint(data))
    async with running(database, nats_url, **ROTATING) as rotating:
        owner = rotating.caller(token)
        assert await set_secret(owner, "second", request_id="r1") == first
        async with refused("ALREADY_EXISTS", "REQUEST_ID_REUSED"):
            await set_secret(owner, "another", request_id="r1")


# ---- starts --------------------------------------------------------------------------------------------------------


async def refused_start(database: str, nats_url: str, **changes: Any) -> str:
    """What a start says that is refused; it changed nothing."""
    before = await known(database)
    app = await build(settings(database, nats_url, **changes), check_code=FakeExecutor())
    try:
        with pytest.raises(SettingsError) as caught:
            await app.start()
    finally:
        await app.stop()
    assert await known(database) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def known(database: str) -> list[Any]:
    connection = await asyncpg.connect(database)
    try:
        return [
            *await connection.fetch("SELECT * FROM key_check ORDER BY key_id"),
            *await connection.fetch("SELECT * FROM data_keys ORDER BY workspace"),
        ]
    finally:
        await connection.close()


async def test_a_new_key_without_the_old_one_does_not_start(database: str, nats_url: str) -> None:
    """G6."""
    await before_rotation(database, nats_url)
    told = await refused_start(database, nats_url, key_encryption_key=NEW_KEY)
    assert "ONWARD_KEY_ENCRYPTION_KEY" in told
    assert NEW.key_id in told
    assert OLD.key_id in told
    assert NEW_KEY not in told
    strangers = {"key_encryption_key": NEW_KEY, "previous_key_encryption_keys": OTHER_KEY}
    await refused_start(database, nats_url, **strangers)


@pytest.mark.parametrize("rewrapped", [0, 1, 3])
async def test_an_old_key_is_not_given_up_before_none_is_behind(database: str, nats_url: str, rewrapped: int) -> None:
    """G5, G6."""
    await before_rotation(database, nats_url, more=2)
    async with running(database, nats_url, **ROTATING) as rotating:
        if rewrapped:
            await rotate(rotating, limit=rewrapped)
    told = await refused_start(database, nats_url, key_encryption_key=NEW_KEY)
    assert f"{4 - rewrapped} data key(s)" in told
    assert OLD.key_id in told
    if rewrapped:
        # Back to the old one, without the new one.
        told = await refused_start(database, nats_url)
        assert f"{rewrapped} data key(s)" in told
        assert NEW.key_id in told
    async with running(database, nats_url, **ROTATING) as rotating:
        assert (await rotate(rotating)).behind == 0


async def test_a_rotation_can_be_taken_back(database: str, nats_url: str) -> None:
    await before_rotation(database, nats_url)
    async with running(database, nats_url, **ROTATING) as rotating:
        await rotate(rotating)
    async with running(database, nats_url, previous_key_encryption_keys=NEW_KEY) as back:
        assert (await rotate(back)).rewrapped == 2
    async with running(database, nats_url) as world:
        assert await resolved(world, Keyring(OLD)) == "first"


async def test_a_database_of_the_first_release_knows_its_key(database: str, nats_url: str, tmp_path: Path) -> None:
    """G6."""
    older = tmp_path / "registry" / "migrations"
    older.mkdir(parents=True)
    for name in ("0001_create_read_models.sql", "0002_people_filters_keys.sql"):
        shutil.copy(MIGRATIONS / name, older)
    await migrate(database, [EVENT_LOG_MIGRATIONS, older])
    connection = await asyncpg.connect(database)
    check = "INSERT INTO key_check (key_id, check_value) VALUES ($1, $2)"
    await connection.execute(check, OLD.key_id, OLD.check_value())
    wrapped = OLD.wrap(DataKey.generate(), "acme")
    await connection.execute("INSERT INTO data_keys VALUES ('acme', $1, $2)", wrapped, OLD.key_id)
    await connection.close()
    await migrate(database, [EVENT_LOG_MIGRATIONS, MIGRATIONS])
    assert OLD.key_id in await refused_start(database, nats_url, key_encryption_key=NEW_KEY)
    async with running(database, nats_url, **ROTATING) as rotating:
        # Of acme; the one of system is new.
        assert (await rotate(rotating)).rewrapped == 1
        assert [row["key_id"] for row in (await known(database))[:2]] == sorted([OLD.key_id, NEW.key_id])


async def test_of_two_first_starts_at_once_with_different_keys_one_is_refused(database: str, nats_url: str) -> None:
    """G6."""
    async with running(database, nats_url):
        pass
    connection = await asyncpg.connect(database)
    await connection.execute("DELETE FROM key_check")
    await connection.execute("DELETE FROM data_keys")
    await connection.close()
    pool = await connect_pool(database, application_name="test")
    try:
        keyrings = [Keyring(OLD), Keyring(NEW)]
        opened = await asyncio.gather(*(handlers.open_keys(pool, one) for one in keyrings), return_exceptions=True)
    finally:
        await pool.close()
    assert sorted(type(one).__name__ for one in opened) == ["DataKey", "WrongKeyError"]
    (kept,) = [row["key_id"] for row in await known(database) if "check_value" in row]
    assert kept == keyrings[0 if isinstance(opened[0], DataKey) else 1].key_id


async def test_a_registry_without_the_new_key_writes_nothing_that_it_could_not_read(
    database: str, nats_url: str
) -> None:
    """Of two registries, the other one has rotated meanwhile."""
    async with running(database, nats_url) as old:
        token = await a_secret(old)
        await old.rows(
            "UPDATE data_keys SET wrapped_key = $1, key_id = $2 WHERE workspace = 'acme'",
            NEW.wrap(DataKey.generate(), "acme"),
            NEW.key_id,
        )
        async with refused("UNAVAILABLE", "UNAVAILABLE") as told:
            await set_secret(old.caller(token), "second")
        assert "operator" in told["message"]
        assert NEW.key_id not in told["message"]
