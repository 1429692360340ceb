"""The publishers' door: a write key, presented to the NATS server, opens one subject and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError

from kit.bus.connection import connect
from kit.bus.publish import Outgoing, Publisher
from kit.bus.streams import DUE, FACTS, OUTCOMES, events_stream, provision
from kit.embedded.data_folder import DataFolder
from kit.embedded.nats import EmbeddedNats
from kit.errors import PermissionDenied, Unavailable
from kit.nats_auth import kicker
from kit.nats_auth.admission import admit_publisher, admit_reader, inbox_prefix, publisher_name
from kit.nats_auth.callout import CalloutResponder
from kit.nats_auth.kicker import Kicker
from kit.nats_auth.nkeys import make_issuer
from kit.testing.eventually import eventually
from services.registry.consumers.connections import ConnectionKeeper
from tests.integration.nats_world import (
    Connection,
    Keys,
    answering,
    auth_bus,
    connected,
    connection_to,
    embedded,
    running,
)

pytestmark = pytest.mark.integration

WEB = "webkey00001"
SHOP = "shopkey0001"
TOKEN = "token000001"
WEB_KEY, SHOP_KEY, TOKEN_KEY = f"onwk_{WEB}_secret", f"onwk_{SHOP}_secret", f"onw_{TOKEN}_secret"


@pytest.fixture
async def server(data_folder: DataFolder) -> AsyncIterator[EmbeddedNats]:
    async with running(embedded(data_folder)) as server:
        bus = await connect(server.url("test"), name="test")
        await provision(bus, [FACTS, OUTCOMES, DUE, events_stream("acme"), events_stream("other")])
        await bus.close()
        yield server


@pytest.fixture
def keys() -> Keys:
    return Keys(
        {
            WEB_KEY: admit_publisher(WEB, "acme", "web"),
            SHOP_KEY: admit_publisher(SHOP, "acme", "shop"),
            TOKEN_KEY: admit_reader(TOKEN, "acme"),
        }
    )


@pytest.fixture
async def door(server: EmbeddedNats, keys: Keys) -> AsyncIterator[Keys]:
    async with answering(server, keys):
        yield keys


@pytest.fixture
async def publisher(server: EmbeddedNats, door: Keys) -> AsyncIterator[Connection]:
    async with connection_to(server.address, inbox_prefix(WEB), token=WEB_KEY, allow_reconnect=False) as found:
        yield found


async def stored_sources(server: EmbeddedNats) -> set[str]:
    """The subjects of all messages in all streams."""
    async with connected(server, "test") as test:
        manager = test.client.jsm()
        streams = [await manager.stream_info(str(one.config.name), ">") for one in await manager.streams_info()]
    return {subject for stream in streams for subject in stream.state.subjects or {}}


async def count(server: EmbeddedNats) -> dict[str, int]:
    """How many messages every stream has."""
    async with connected(server, "test") as test:
        streams = await test.client.jsm().streams_info()
    return {str(stream.config.name): stream.state.messages for stream in streams}


async def refused(server: EmbeddedNats, **login: str) -> bool:
    """Whether the server refuses a login. Spoken by hand: a refused nats-py client leaves its socket open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        await reader.readline()
        writer.write(f"CONNECT {json.dumps(login)}\r\nPING\r\n".encode())
        answer = await reader.readline()
        # A server that waits for an answer asks whether we are there.
        while answer == b"PING\r\n":
            answer = await reader.readline()
        return answer == b"-ERR 'Authorization Violation'\r\n"
    finally:
        writer.close()
        await writer.wait_closed()


# ---- getting in ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "login", [{"token": WEB_KEY}, {"user": WEB, "password": WEB_KEY}, {"user": "anything", "password": WEB_KEY}]
)
async def test_a_write_key_publishes_to_its_source(server: EmbeddedNats, door: Keys, login: dict[str, str]) -> None:
    async with connection_to(server.address, inbox_prefix(WEB), **login) as publisher:
        ack = await publisher.client.jetstream().publish("events.acme.web", b"{}")
    assert (ack.stream, ack.seq) == ("EVENTS_acme", 1)
    assert publisher.errors == []


async def test_a_write_key_publishes_batches_and_repeats_are_dropped(server: EmbeddedNats, door: Keys) -> None:
    bus = await connect(server.address, WEB, WEB_KEY, name="publisher")
    events = [Outgoing("events.acme.web", b"{}", f"web:m-{number}") for number in range(600)]
    for _ in range(2):
        results = await Publisher(bus).publish_many(events)
        assert [result.error for result in results] == [None] * len(events)
    await bus.close()
    assert (await count(server))["EVENTS_acme"] == 600


async def test_the_registry_is_told_who_asks(server: EmbeddedNats, door: Keys) -> None:
    async with connection_to(server.address, inbox_prefix(WEB), user="me", password=WEB_KEY, name="shop backend"):
        [seen] = door.seen
    assert (seen.user, seen.secret, seen.host) == ("me", WEB_KEY, "127.0.0.1")
    assert (seen.client_name, seen.kind) == ("shop backend", "Client")
    assert seen.server_id.startswith("N")
    assert seen.client_id > 0
    assert WEB_KEY not in repr(seen)


@pytest.mark.parametrize(
    "login",
    [
        {},
        {"auth_token": "onwk_webkey00001_guessed"},
        {"user": "registry", "pass": "guessed"},
        {"user": "registry", "pass": WEB_KEY},
        {"user": "auth", "auth_token": WEB_KEY},
    ],
)
async def test_a_wrong_key_is_refused(server: EmbeddedNats, door: Keys, login: dict[str, str]) -> None:
    assert await refused(server, **login)


async def test_the_services_get_in_while_nobody_answers_for_keys(server: EmbeddedNats) -> None:
    async with connected(server, "executor") as executor:
        await executor.client.flush()
    assert await refused(server, auth_token=WEB_KEY)


async def test_a_slow_or_failing_registry_refuses(server: EmbeddedNats, keys: Keys) -> None:
    async with answering(server, keys, decision_timeout_s=0.1):
        keys.delay_s = 60
        assert await refused(server, auth_token=WEB_KEY)
        keys.failure = Unavailable("the database is away")
        assert await refused(server, auth_token=WEB_KEY)
        keys.failure = ValueError("a fault of ours")
        assert await refused(server, auth_token=WEB_KEY)
        keys.failure, keys.delay_s = None, 0
        assert not await refused(server, auth_token=WEB_KEY)


async def test_replicas_share_the_questions(server: EmbeddedNats, keys: Keys) -> None:
    other = Keys(keys.good)
    async with answering(server, keys), answering(server, other), AsyncExitStack() as clients:
        for _ in range(20):
            await clients.enter_async_context(connection_to(server.address, inbox_prefix(WEB), token=WEB_KEY))
    assert len(keys.seen) + len(other.seen) == 20


async def test_more_questions_than_can_wait_are_refused_at_once(server: EmbeddedNats, keys: Keys) -> None:
    keys.delay_s = 60
    async with answering(server, keys, waiting_max=1):
        answers = await asyncio.gather(*(refused(server, auth_token=WEB_KEY) for _ in range(40)))
    assert all(answers)
    # 16 are being decided and one waits.
    assert len(keys.seen) < 20


async def test_an_answer_under_another_key_is_not_believed(server: EmbeddedNats, keys: Keys) -> None:
    async with auth_bus(server) as bus:
        responder = CalloutResponder(bus, make_issuer()[0], keys.authenticate)
        await responder.start()
        task = asyncio.create_task(responder.run())
        assert await refused(server, auth_token=WEB_KEY)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    # It does not even look at a question for another issuer.
    assert keys.seen == []


async def test_the_responder_answers_again_after_the_server_has_restarted(server: EmbeddedNats, door: Keys) -> None:
    server.crash()
    await server.start()

    async def admitted() -> bool:
        return not await refused(server, auth_token=WEB_KEY)

    await eventually(admitted)


async def test_an_admission_ends_when_it_expires(server: EmbeddedNats, door: Keys) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=2)
    door.good[WEB_KEY] = admit_publisher(WEB, "acme", "web", expires_at=soon)
    async with connection_to(server.address, inbox_prefix(WEB), token=WEB_KEY, allow_reconnect=False) as publisher:
        await eventually(lambda: publisher.closed == 1)


# ---- nothing else --------------------------------------------------------------------------------------------------

FOREIGN = [
    "events.acme.shop",
    "events.other.web",
    "events.acme.web.more",
    "facts.registry.acme.FunctionCreated",
    "outcomes.acme",
    "due.acme.1",
    "$JS.API.STREAM.DELETE.EVENTS_acme",
    "$JS.API.STREAM.PURGE.EVENTS_acme",
    "$JS.API.STREAM.INFO.EVENTS_acme",
    "$JS.API.CONSUMER.CREATE.EVENTS_acme.thief",
    "$JS.API.CONSUMER.MSG.NEXT.EVENTS_acme.executor",
    "$JS.ACK.EVENTS_acme.executor.1.1.1.1.0",
    "$SYS.REQ.USER.AUTH",
    "$SYS.REQ.USER.INFO",
    "$SYS.REQ.SERVER.PING",
    f"_INBOX_{SHOP}.x",
]


async def test_a_key_publishes_nowhere_else(server: EmbeddedNats, publisher: Connection) -> None:
    """H9"""
    before = await count(server)
    for subject in FOREIGN:
        await publisher.client.publish(subject, b"{}")
        assert await publisher.is_refused(f'publish to "{subject}"')
    assert await count(server) == before
    # It is refused, not punished.
    assert (await publisher.client.jetstream().publish("events.acme.web", b"{}")).stream == "EVENTS_acme"


async def test_a_refused_publish_is_a_timeout_and_the_reason_comes_by_the_error_callback(
    publisher: Connection,
) -> None:
    """H9"""
    with pytest.raises(NatsTimeoutError):
        await publisher.client.jetstream().publish("events.acme.shop", b"{}", timeout=0.2)
    assert publisher.errors == ['nats: permissions violation for publish to "events.acme.shop"']


async def test_onwards_own_client_is_told_at_once(server: EmbeddedNats, door: Keys) -> None:
    bus = await connect(server.address, WEB, WEB_KEY, name="publisher")
    with pytest.raises(PermissionDenied, match=r"events\.acme\.shop"):
        await Publisher(bus).publish("events.acme.shop", b"{}")
    await bus.close()


@pytest.mark.parametrize("key", [WEB_KEY, TOKEN_KEY])
async def test_a_key_hears_nothing_but_its_own(server: EmbeddedNats, door: Keys, key: str) -> None:
    """H9"""
    foreign = ["$SYS.>", "_INBOX.>", f"_INBOX_{SHOP}.>", "_INBOX_executor.>", ">", "*", "*.*.>", "events.acme.web"]
    foreign += ["$JS.>", "$JS.EVENT.ADVISORY.>", "facts.>", "facts.*.other.>", "facts.registry.*.>"]
    async with connection_to(server.address, inbox_prefix(WEB), token=key) as client:
        for subject in foreign:
            await client.client.subscribe(subject)
            assert await client.is_refused(f'subscription to "{subject}"')


REPLIES = [
    "facts.registry.acme.FunctionDeleted",
    "outcomes.acme",
    "due.acme.1",
    "events.acme.shop",
    "events.other.web",
    "$JS.API.STREAM.PURGE.EVENTS_acme",
    "$JS.ACK.EVENTS_acme.executor.1.1.1.1.0",
    "_INBOX_executor.x",
]


async def test_an_acknowledgement_can_not_be_sent_where_the_key_may_not_publish(
    server: EmbeddedNats, publisher: Connection
) -> None:
    """JetStream answers to any reply subject, whoever named it: it must not be a way around the permissions. H9"""
    async with connected(server, "test") as test:
        for subject in REPLIES:
            heard = await test.client.subscribe(subject)
            await test.client.flush()
            await publisher.client.publish("events.acme.web", b"{}", reply=subject)
            # Its acknowledgement comes after that of the one before.
            await publisher.client.jetstream().publish("events.acme.web", b"{}")
            await test.client.flush()
            assert heard.pending_msgs == 0, subject
    assert (await stored_sources(server)) == {"events.acme.web"}


async def test_publishers_do_not_hear_one_anothers_acknowledgements(server: EmbeddedNats, door: Keys) -> None:
    shop = connection_to(server.address, inbox_prefix(SHOP), token=SHOP_KEY)
    web = connection_to(server.address, inbox_prefix(WEB), token=WEB_KEY)
    async with shop as listener, web as publisher:
        heard = await listener.client.subscribe(f"{inbox_prefix(SHOP)}.>")
        await listener.client.flush()
        await publisher.client.jetstream().publish("events.acme.web", b"{}")
        await listener.client.flush()
        assert heard.pending_msgs == 0


async def test_a_message_that_is_too_large_is_refused_with_a_reason(publisher: Connection) -> None:
    with pytest.raises(NatsError, match="maximum"):
        await publisher.client.jetstream().publish("events.acme.web", b"x" * 600_000)
    assert publisher.client.is_connected


# ---- facts ---------------------------------------------------------------------------------------------------------


async def test_a_token_reads_the_facts_of_its_workspace_alone(server: EmbeddedNats, door: Keys) -> None:
    reading = connection_to(server.address, inbox_prefix(TOKEN), token=TOKEN_KEY)
    async with connected(server, "registry") as registry, reading as reader:
        facts = await reader.client.subscribe("facts.*.acme.>")
        await reader.client.flush()
        for subject in ("facts.registry.other.FunctionCreated", "facts.registry.acme.FunctionCreated"):
            await registry.client.jetstream().publish(subject, b"{}")
        message = await facts.next_msg(timeout=5)
        assert message.subject == "facts.registry.acme.FunctionCreated"
        assert facts.pending_msgs == 0
        assert reader.errors == []


async def test_a_token_publishes_nothing(server: EmbeddedNats, door: Keys) -> None:
    async with connection_to(server.address, inbox_prefix(TOKEN), token=TOKEN_KEY) as reader:
        for subject in ("events.acme.web", *FOREIGN):
            await reader.client.publish(subject, b"{}")
            assert await reader.is_refused(f'publish to "{subject}"')


# ---- getting out ---------------------------------------------------------------------------------------------------


async def test_a_revoked_key_is_disconnected_and_stays_out(server: EmbeddedNats, keys: Keys) -> None:
    staying = connection_to(server.address, inbox_prefix(SHOP), token=SHOP_KEY)
    leaving = connection_to(server.address, inbox_prefix(WEB), token=WEB_KEY, allow_reconnect=False)
    async with answering(server, keys) as bus, staying as shop, leaving as web:
        del keys.good[WEB_KEY]
        assert await Kicker(bus).kick(publisher_name(WEB)) == 1
        await eventually(lambda: web.lost >= 1)
        await eventually(lambda: web.closed == 1)
        assert await refused(server, auth_token=WEB_KEY)
        assert (await shop.client.jetstream().publish("events.acme.shop", b"{}")).seq == 1
        assert shop.lost == 0


async def test_a_revoked_key_is_found_however_many_others_are_connected(
    server: EmbeddedNats, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kicker, "PAGE_CONNECTIONS", 1)
    async with answering(server, keys) as bus, AsyncExitStack() as clients:
        for _ in range(17):
            await clients.enter_async_context(connection_to(server.address, inbox_prefix(SHOP), token=SHOP_KEY))
        login = connection_to(server.address, inbox_prefix(WEB), token=WEB_KEY, allow_reconnect=False)
        leaving = await clients.enter_async_context(login)

        async def ended(names: Iterable[str]) -> list[str]:
            return [name for name in names if name == publisher_name(WEB)]

        await ConnectionKeeper(Kicker(bus), ended).review()
        await eventually(lambda: leaving.closed == 1)


async def test_a_kick_finds_connections_that_another_replica_admitted(server: EmbeddedNats, door: Keys) -> None:
    async with AsyncExitStack() as clients:
        for _ in range(3):
            login = connection_to(server.address, inbox_prefix(WEB), token=WEB_KEY, allow_reconnect=False)
            await clients.enter_async_context(login)
        async with auth_bus(server) as bus:
            kicker = Kicker(bus)
            assert await kicker.users() == {publisher_name(WEB): 3}
            assert await kicker.kick(publisher_name(WEB)) == 3
            assert await kicker.kick(publisher_name(WEB)) == 0
            assert await kicker.users() == {}
