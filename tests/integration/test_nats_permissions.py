"""What the services' own users may do on the NATS server: what they need, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from kit.bus.acks import ack
from kit.bus.connection import Bus, connect
from kit.bus.message import Message
from kit.bus.publish import Outgoing, Publisher
from kit.bus.puller import Puller
from kit.bus.retention import make_room
from kit.bus.stored import newest_first, next_page
from kit.bus.streams import DUE, FACTS, OUTCOMES, events_stream, facts_consumer, facts_stream, provision, require
from kit.embedded.data_folder import DataFolder
from kit.embedded.nats import EmbeddedNats
from kit.embedded.nats_users import USER_NAMES, inbox_prefix
from kit.errors import NotFound, PermissionDenied
from kit.testing.eventually import eventually
from tests.integration.nats_world import connected, embedded, running

pytestmark = pytest.mark.integration

SERVICES = ("registry", "executor", "delivery", "audit")
EVENTS = events_stream("acme")


@pytest.fixture
async def server(data_folder: DataFolder) -> AsyncIterator[EmbeddedNats]:
    """With all streams, each provisioned by the service that owns it."""
    async with running(embedded(data_folder)) as server:
        for user, streams in (("registry", [FACTS, EVENTS]), ("delivery", [OUTCOMES, DUE])):
            bus = await connect(server.url(user), name=user)
            await provision(bus, streams)
            await bus.close()
        yield server


@pytest.fixture
async def buses(server: EmbeddedNats) -> AsyncIterator[dict[str, Bus]]:
    """A bus of each service and of the test, who may do everything."""
    names = [name for name in USER_NAMES if name != "auth"]
    found = {name: await connect(server.url(name), name=name) for name in (*names, "test")}
    yield found
    for bus in found.values():
        await bus.close()


async def pull(bus: Bus, stream: str, durable: str, count: int) -> None:
    """Pull so many messages, and see that the server takes their acknowledgement."""
    found: list[Message] = []

    def on_batch(messages: list[Message]) -> None:
        found.extend(messages)
        ack(bus, messages)

    puller = Puller(bus, stream, durable, batch=10, on_batch=on_batch)
    async with asyncio.TaskGroup() as group:
        group.create_task(puller.run())
        await eventually(lambda: len(found) >= count)
        await bus.flush()
        await puller.stop()
    assert len(found) == count


async def pending(buses: dict[str, Bus], stream: str, durable: str) -> int:
    info = await buses["test"].api(f"CONSUMER.INFO.{stream}.{durable}")
    return int(info["num_ack_pending"]) + int(info["num_pending"])


async def test_the_registry_provisions_and_publishes_facts(buses: dict[str, Bus]) -> None:
    registry = buses["registry"]
    changed = replace(EVENTS, max_bytes=EVENTS.max_bytes // 2)
    assert [change.action for change in await provision(registry, [changed])] == ["restored"]
    facts = [Outgoing("facts.registry.acme.X", b"{}", f"fact-{number}") for number in range(20)]
    assert all(result.error is None for result in await Publisher(registry).publish_many(facts))
    await registry.api("STREAM.PURGE.EVENTS_acme")
    await registry.api("STREAM.DELETE.EVENTS_acme")


async def test_an_executor_pulls_events_and_due_and_reports(buses: dict[str, Bus]) -> None:
    executor, test = buses["executor"], Publisher(buses["test"])
    assert await provision(executor, [facts_stream(), replace(OUTCOMES, consumers=()), DUE]) == []
    await require(executor, EVENTS)
    await test.publish("events.acme.web", b"{}")
    await test.publish("due.acme.1", b"{}")
    await pull(executor, "EVENTS_acme", "executor", 1)
    await pull(executor, "DUE", "executor", 1)
    await Publisher(executor).publish("outcomes.acme", b"{}", "batch-1")
    await executor.api("STREAM.INFO.OUTCOMES")
    assert await eventually(lambda: none_pending(buses, "EVENTS_acme", "executor"))
    assert await eventually(lambda: none_pending(buses, "DUE", "executor"))


async def none_pending(buses: dict[str, Bus], stream: str, durable: str) -> bool:
    return await pending(buses, stream, durable) == 0


async def test_an_executor_follows_facts_with_a_consumer_of_its_own(buses: dict[str, Bus]) -> None:
    executor, consumer = buses["executor"], "executor-host-1"
    config = {"name": consumer, "ack_policy": "none", "deliver_policy": "all", "inactive_threshold": 10**12}
    await executor.api(f"CONSUMER.CREATE.FACTS.{consumer}", {"stream_name": "FACTS", "config": config})
    await Publisher(buses["test"]).publish("facts.registry.acme.X", b"{}")
    found: list[Message] = []
    puller = Puller(executor, "FACTS", consumer, batch=10, on_batch=found.extend)
    async with asyncio.TaskGroup() as group:
        group.create_task(puller.run())
        await eventually(lambda: len(found) == 1)
        await puller.stop()
    await executor.api(f"CONSUMER.DELETE.FACTS.{consumer}")


async def test_an_executor_reads_the_last_events_of_a_source(buses: dict[str, Bus]) -> None:
    await Publisher(buses["test"]).publish_many([Outgoing("events.acme.web", b"1"), Outgoing("events.acme.web", b"2")])
    found = [one.data async for one in newest_first(buses["executor"], "EVENTS_acme", "events.acme.web")]
    assert found == [b"2", b"1"]


async def test_an_executor_makes_room_in_a_workspaces_stream(buses: dict[str, Bus]) -> None:
    await provision(buses["registry"], [replace(EVENTS, max_bytes=20_000)])
    messages = [Outgoing("events.acme.web", b"x" * 900) for _ in range(19)]
    await Publisher(buses["test"]).publish_many(messages)
    await pull(buses["executor"], "EVENTS_acme", "executor", 19)
    await eventually(lambda: none_pending(buses, "EVENTS_acme", "executor"))
    assert await make_room(buses["executor"], "acme") > 0


async def test_the_tracker_stores_outcomes_releases_and_looks_for_what_it_released(buses: dict[str, Bus]) -> None:
    delivery = buses["delivery"]
    assert await provision(delivery, [OUTCOMES, DUE]) == []
    await Publisher(buses["test"]).publish("outcomes.acme", b"{}")
    await pull(delivery, "OUTCOMES", "delivery", 1)
    await eventually(lambda: none_pending(buses, "OUTCOMES", "delivery"))
    await delivery.api("CONSUMER.INFO.OUTCOMES.delivery")
    released = await Publisher(delivery).publish("due.acme.1", b"{}", "release-1")
    found = await delivery.api("STREAM.MSG.GET.DUE", {"seq": released.seq})
    assert found["message"]["subject"] == "due.acme.1"


async def test_the_tracker_reads_events_for_replays_and_no_other_stream(buses: dict[str, Bus]) -> None:
    await Publisher(buses["test"]).publish("events.acme.web", b"1")
    page = await next_page(buses["delivery"], "EVENTS_acme", "events.acme.web", messages_max=1, bytes_max=1000)
    assert [one.data for one in page.messages] == [b"1"]
    for stream in ("FACTS", "OUTCOMES", "DUE"):
        with pytest.raises(PermissionDenied):
            await buses["delivery"].api(f"DIRECT.GET.{stream}", {"seq": 1})


async def test_audit_follows_facts(buses: dict[str, Bus]) -> None:
    audit = buses["audit"]
    await provision(audit, [facts_stream(facts_consumer("audit"))])
    await Publisher(buses["test"]).publish("facts.registry.acme.X", b"{}")
    await pull(audit, "FACTS", "audit", 1)
    await eventually(lambda: none_pending(buses, "FACTS", "audit"))


@pytest.mark.parametrize("name", ["executor", "audit"])
async def test_a_service_that_starts_first_makes_the_streams_it_can_not_do_without(
    buses: dict[str, Bus], name: str
) -> None:
    executors = [FACTS, replace(OUTCOMES, consumers=()), DUE]
    streams = executors if name == "executor" else [facts_stream(facts_consumer("audit"))]
    for stream in streams:
        await buses["test"].api(f"STREAM.DELETE.{stream.name}")
    assert {change.action for change in await provision(buses[name], streams)} == {"created"}


async def test_an_executor_is_told_that_a_workspaces_stream_is_not_whole_yet(buses: dict[str, Bus]) -> None:
    executor, test = buses["executor"], buses["test"]
    await require(executor, EVENTS)
    for call in ("CONSUMER.DELETE.EVENTS_acme.executor", "STREAM.DELETE.EVENTS_acme"):
        await test.api(call)
        with pytest.raises(NotFound):
            await require(executor, EVENTS)


@pytest.mark.parametrize("name", ["executor", "audit"])
async def test_a_stream_that_has_drifted_is_left_to_its_owner(buses: dict[str, Bus], name: str) -> None:
    drifted = replace(FACTS, max_bytes=FACTS.max_bytes // 2)
    assert await provision(buses[name], [drifted]) == []
    assert [change.action for change in await provision(buses["registry"], [drifted])] == ["restored"]


STREAM_CALLS = [
    f"STREAM.{verb}.{stream}"
    for verb in ("CREATE", "UPDATE", "DELETE", "PURGE")
    for stream in ("FACTS", "EVENTS_acme", "OUTCOMES", "DUE", "OTHER")
]
ALLOWED_STREAM_CALLS = {
    "registry": {call for call in STREAM_CALLS if not call.endswith(("OUTCOMES", "DUE"))},
    "executor": {"STREAM.CREATE.FACTS", "STREAM.CREATE.OUTCOMES", "STREAM.CREATE.DUE"}
    # Streams that are nobody's are not told from workspaces'.
    | {"STREAM.PURGE.EVENTS_acme", "STREAM.PURGE.OTHER"},
    "delivery": {f"STREAM.{verb}.{stream}" for verb in ("CREATE", "UPDATE") for stream in ("OUTCOMES", "DUE")}
    | {"STREAM.CREATE.FACTS"},
    "audit": {"STREAM.CREATE.FACTS"},
}
MORE_CALLS = {
    "CONSUMER.CREATE.FACTS.audit": {"audit"},
    "CONSUMER.CREATE.FACTS.registry": {"executor"},
    "CONSUMER.CREATE.FACTS": set(),
    "CONSUMER.CREATE.EVENTS_acme.thief": set(),
    "CONSUMER.CREATE.EVENTS_acme.executor": {"registry", "executor"},
    "CONSUMER.CREATE.OUTCOMES.delivery": {"delivery"},
    "CONSUMER.CREATE.OUTCOMES.executor": set(),
    "CONSUMER.DURABLE.CREATE.FACTS.audit": set(),
    "CONSUMER.DELETE.FACTS.audit": set(),
    "CONSUMER.DELETE.EVENTS_acme.executor": set(),
    "CONSUMER.DELETE.OUTCOMES.delivery": set(),
    "CONSUMER.MSG.NEXT.FACTS.audit": {"audit"},
    "CONSUMER.MSG.NEXT.OUTCOMES.delivery": {"delivery"},
    "CONSUMER.MSG.NEXT.EVENTS_acme.executor": {"executor"},
    "STREAM.MSG.GET.EVENTS_acme": set(),
    "STREAM.MSG.DELETE.FACTS": set(),
    "STREAM.SNAPSHOT.EVENTS_acme": set(),
    "STREAM.RESTORE.FACTS": set(),
    "DIRECT.GET.EVENTS_acme": {"executor", "delivery"},
    **{f"DIRECT.GET.{stream}": set() for stream in ("FACTS", "OUTCOMES", "DUE")},
    "ACCOUNT.PURGE.ONWARD": set(),
}
REFUSED = [
    (name, call)
    for name in SERVICES
    for call in (*STREAM_CALLS, *MORE_CALLS)
    if call not in ALLOWED_STREAM_CALLS[name] and name not in MORE_CALLS.get(call, ())
]


async def test_no_other_call_of_jetstreams_api_is_allowed(buses: dict[str, Bus]) -> None:
    for name, call in REFUSED:
        # It would not even be a valid request; what refuses it must be the permission.
        with pytest.raises(PermissionDenied, match=call):
            await buses[name].api(call)


ACKS = {
    "$JS.ACK.OUTCOMES.delivery.1.1.1.1.0": "delivery",
    "$JS.ACK.EVENTS_acme.executor.1.1.1.1.0": "executor",
    "$JS.ACK.DUE.executor.1.1.1.1.0": "executor",
    "$JS.ACK.FACTS.audit.1.1.1.1.0": "audit",
}
SUBJECTS = {
    "facts.registry.acme.X": "registry",
    "facts.delivery.acme.X": "delivery",
    "facts.executor.acme.X": None,
    "outcomes.acme": "executor",
    "due.acme.1": "delivery",
    "events.acme.web": None,
    "$SYS.REQ.USER.AUTH": None,
    "$SYS.REQ.SERVER.PING": None,
}


@pytest.mark.parametrize("name", SERVICES)
async def test_a_service_can_neither_speak_nor_acknowledge_for_another(server: EmbeddedNats, name: str) -> None:
    async with connected(server, name) as service:
        for subject, owner in (ACKS | SUBJECTS).items():
            if owner != name:
                await service.client.publish(subject, b"forged")
                assert await service.is_refused(subject)


@pytest.mark.parametrize("name", USER_NAMES)
async def test_a_service_hears_nothing_but_its_own_inbox(server: EmbeddedNats, name: str) -> None:
    """H9"""
    others = [f"{inbox_prefix(other)}.>" for other in USER_NAMES if other != name]
    async with connected(server, name) as service:
        for subject in (">", "$SYS.>", "_INBOX.>", "events.>", "facts.>", "outcomes.>", "due.>", *others):
            await service.client.subscribe(subject)
            assert await service.is_refused(subject)


@pytest.mark.parametrize("subject", ["$SYS.REQ.USER.AUTH", "$SYS.REQ.SERVER.PING.VARZ", "$SYS.REQ.SERVER.X.RELOAD"])
async def test_the_user_that_answers_logins_can_not_ask_or_command_otherwise(
    server: EmbeddedNats, subject: str
) -> None:
    async with connected(server, "auth") as auth:
        await auth.client.publish(subject, b"{}")
        assert await auth.is_refused(subject)
