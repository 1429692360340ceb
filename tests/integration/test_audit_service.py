"""The trail over real gRPC, Postgres and NATS: complete, in order, once, and shown to those alone who may see it."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import asyncpg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from kit.embedded.postgres import EmbeddedPostgres
from kit.eventstore import envelope
from kit.eventstore.facts import Meta, NewFact
from kit.eventstore.postgres import MIGRATIONS as EVENT_LOG_MIGRATIONS
from kit.postgres.migrate import migrate
from kit.postgres.pool import connect_pool
from kit.testing.eventually import eventually
from onward.audit.v1 import audit_service_pb2 as pb
from onward.registry.v1 import facts_pb2, resources_pb2
from onward.registry.v1 import workspace_service_pb2 as wpb
from services.audit.app import MIGRATIONS
from tests.integration import registry_world
from tests.integration.audit_world import (
    ACME_TOKEN,
    META,
    OTHER_TOKEN,
    SERVICE_TOKEN,
    Owner,
    World,
    owning,
    refusal,
    running,
)

pytestmark = pytest.mark.integration

ACME = "workspaces/acme"
SOON_S = 0.2


def source(name: str = "web", display_name: str = "Web") -> NewFact:
    return NewFact(f"sources/{name}", facts_pb2.SourceCreated(source=name, display_name=display_name))


def sources(count: int) -> list[NewFact]:
    return [source(f"s{number}") for number in range(count)]


def positions(events: list[pb.AuditEvent]) -> list[tuple[int, int]]:
    return [(event.index, event.position) for event in events]


def contiguous(count: int) -> list[tuple[int, int]]:
    return [(number, number) for number in range(1, count + 1)]


async def nothing_waits(owner: Owner) -> bool:
    """Whether the bus holds nothing more for the audit service, and waits for nothing from it."""
    info = await owner.bus.api("CONSUMER.INFO.FACTS.audit")
    return bool(info["num_ack_pending"] == 0 and info["num_pending"] == 0)


@pytest.fixture
async def owner(nats_url: str) -> AsyncIterator[Owner]:
    async with owning(nats_url) as owner:
        yield owner


@pytest.fixture
async def world(database: str, nats_url: str, owner: Owner) -> AsyncIterator[World]:
    async with running(database, nats_url, owner.address) as world:
        yield world


# Nothing missing, nothing twice


async def test_every_fact_is_recorded_once_in_order(world: World, owner: Owner) -> None:
    facts = await owner.happen(*sources(30))
    await owner.happen(source(), workspace="other")
    await world.recorded(30)
    events = await world.events()
    assert positions(events) == contiguous(30)
    assert [event.fact_id for event in events] == [fact.fact_id for fact in facts]
    await world.recorded(1, "other")
    assert positions(await world.events("other")) == [(1, 1)]


async def test_an_event_says_who_did_what_to_what_and_when(world: World, owner: Owner) -> None:
    """D11."""
    long_ago = datetime(2001, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
    meta = Meta("member:ada", "r7", traceparent=META.traceparent, occurred_at=long_ago, credential="token:5f0c")
    (fact,) = await owner.happen(source(display_name="Web shop"), meta=meta)
    await world.recorded(1)
    event = (await world.caller().GetAuditEvent(pb.GetAuditEventRequest(name=f"{ACME}/auditEvents/1"))).audit_event
    recorded = event.record_time.ToDatetime(tzinfo=UTC)
    assert abs(datetime.now(UTC) - recorded) < timedelta(minutes=5)
    assert event == pb.AuditEvent(
        name=f"{ACME}/auditEvents/1",
        index=1,
        fact_id=fact.fact_id,
        occur_time=event.occur_time,
        record_time=event.record_time,
        principal="member:ada",
        credential="token:5f0c",
        action="SourceCreated",
        target_type="sources",
        target_id="web",
        target_display_name="Web shop",
        outcome=pb.OUTCOME_SUCCEEDED,
        changes=[pb.FieldChange(field="displayName", after='"Web shop"')],
        request_id="r7",
        trace_id="a" * 32,
        service="registry",
        position=1,
    )
    assert event.occur_time.ToDatetime(tzinfo=UTC) == long_ago


async def test_facts_that_are_missing_on_the_bus_are_filled_from_the_log(world: World, owner: Owner) -> None:
    facts = await owner.append(*sources(20))
    await owner.publish([facts[3], facts[19]])
    await world.recorded(20)
    assert positions(await world.events()) == contiguous(20)


async def test_facts_that_arrive_again_change_nothing(world: World, owner: Owner) -> None:
    facts = await owner.happen(*sources(10))
    await world.recorded(10)
    before = await world.rows("SELECT * FROM audit_facts ORDER BY index")
    await owner.publish(facts)
    await owner.publish(list(reversed(facts)))
    await owner.happen(source("last"))
    await world.recorded(11)
    assert (await world.rows("SELECT * FROM audit_facts ORDER BY index"))[:10] == before
    assert positions(await world.events()) == contiguous(11)


async def test_what_a_purged_stream_has_lost_is_found_in_the_log(database: str, nats_url: str, owner: Owner) -> None:
    async with running(database, nats_url, owner.address, SOON_S) as world:
        await owner.happen(*sources(3))
        await world.recorded(3)
        await owner.append(source("lost"))
        await owner.bus.api("STREAM.PURGE.FACTS")
        await world.recorded(4)
        assert positions(await world.events()) == contiguous(4)


async def test_what_happened_while_the_service_was_away_is_there_when_it_is_ready(
    database: str, nats_url: str, owner: Owner
) -> None:
    async with running(database, nats_url, owner.address) as world:
        await owner.happen(*sources(3))
        await world.recorded(3)
    await owner.happen(*sources(600), workspace="other")
    await owner.happen(source("while-away"))
    await owner.bus.api("STREAM.PURGE.FACTS")
    async with running(database, nats_url, owner.address) as world:
        assert positions(await world.events()) == contiguous(4)
        assert positions(await world.events("other")) == contiguous(600)


async def test_the_trail_grows_while_the_registry_is_away_and_health_says_that_it_may_be_incomplete(
    database: str, nats_url: str, owner: Owner
) -> None:
    await owner.append(source("missed"), workspace="other")
    await owner.stop()
    async with running(database, nats_url, owner.address, ready=False) as world:
        await owner.happen(*sources(3))
        await world.recorded(3)
        assert not await world.serving()
        await owner.start()
        await eventually(world.serving)
        assert positions(await world.events("other")) == [(1, 1)]


async def test_a_gap_that_cannot_be_filled_holds_up_its_own_workspace_alone(
    database: str, nats_url: str, owner: Owner
) -> None:
    async with running(database, nats_url, owner.address) as world:
        facts = await owner.append(*sources(3))
        await owner.stop()
        await owner.publish(facts[1:])
        await owner.happen(source(), workspace="other")
        await world.recorded(1, "other")
        assert await world.rows("SELECT * FROM audit_events WHERE workspace = 'acme'") == []
        await owner.start()
        await world.recorded(3)


async def test_replicas_record_each_fact_once(database: str, nats_url: str, owner: Owner) -> None:
    async with running(database, nats_url, owner.address, SOON_S) as world, running(database, nats_url, owner.address):
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(owner.happen(source(f"s{number}")))
        await world.recorded(20)
        assert positions(await world.events()) == contiguous(20)


async def test_what_is_no_fact_of_a_known_log_is_given_up(world: World, owner: Owner) -> None:
    (fact,) = await owner.append(source())
    message = envelope.to_message("registry", fact)
    assert message.headers is not None
    await owner.bus.request("facts.registry.acme.Nonsense", b"{}")
    await owner.bus.request("facts.elsewhere.acme.SourceCreated", message.data)
    # Whoever may publish to the facts of one service can't speak for another.
    forged = envelope.to_message("registry", fact).headers
    assert forged is not None
    await owner._publisher.publish("facts.delivery.acme.SourceCreated", b'{"source":"forged"}', None, forged)
    await owner.publish([fact])
    await world.recorded(1)

    await eventually(lambda: nothing_waits(owner))
    assert "forged" not in str(await world.events())


async def test_a_fact_that_breaks_the_projection_keeps_neither_others_nor_itself_out(
    database: str, nats_url: str, owner: Owner
) -> None:
    async with running(database, nats_url, owner.address, SOON_S) as world:
        facts = [replace(fact, fact_id="no uuid") for fact in await owner.append(*sources(2))]
        await owner.publish(facts)
        await owner.happen(source(), workspace="other")
        await world.recorded(1, "other")
        await eventually(lambda: nothing_waits(owner))
        # The log has them in order.
        await world.recorded(2)


async def test_facts_of_no_workspace_are_kept_and_shown_to_nobody(world: World, owner: Owner) -> None:
    await owner.happen(source(), workspace="system")
    await world.recorded(1, "system")
    request = pb.ListAuditEventsRequest(parent="workspaces/system")
    assert await refusal(lambda: world.caller().ListAuditEvents(request)) == ("NOT_FOUND", "NOT_FOUND")


# What is stored


async def test_the_bytes_of_facts_are_kept_whichever_way_they_came(world: World, owner: Owner) -> None:
    facts = await owner.append(*[source(display_name="Größe \u2028 \x00")] * 3)
    await owner.publish([facts[0], facts[2]])
    await world.recorded(3)
    rows = await world.rows("SELECT * FROM audit_facts ORDER BY index")
    assert [row["data"] for row in rows] == [fact.data for fact in facts]
    assert len({row["meta"] for row in rows}) == 1
    assert Meta.from_json(json.loads(rows[1]["meta"])) == facts[1].meta
    assert [(row["stream"], row["version"], row["type"]) for row in rows] == [
        ("sources/web", version, "SourceCreated") for version in (1, 2, 3)
    ]
    assert [row["recorded_at"] for row in rows] == [fact.recorded_at for fact in facts]


async def test_neither_code_nor_secrets_are_in_what_people_see(world: World, owner: Owner) -> None:
    code, secret_hash = "async function onTrack() { return 'recipe' }", "ab" * 32
    version = facts_pb2.FunctionVersionSaved(function="crm", number=1, code=code, code_sha256="12" * 32)
    key = facts_pb2.SettingChange(name="apiKey", keyed_hash=secret_hash)
    region = facts_pb2.SettingChange(name="region", value=resources_pb2.SettingValue(string_value="europe"))
    changed = facts_pb2.SettingsChanged(destination="eu", changes=[key, region])
    await owner.happen(NewFact("functions/crm", version), NewFact("destinations/eu", changed))
    await world.recorded(2)
    rows = [*await world.rows("SELECT * FROM audit_events"), *await world.rows("SELECT * FROM audit_targets")]
    visible = str([dict(row) for row in rows])
    assert "12" * 32 in visible
    assert "europe" in visible
    assert "recipe" not in visible
    assert secret_hash not in visible
    facts = await world.rows("SELECT data FROM audit_facts")
    assert b"recipe" in facts[0]["data"]


async def test_names_that_are_too_long_or_odd_do_not_stop_the_trail(world: World, owner: Owner) -> None:
    meta = Meta("token:" + "p" * 5000, "r\x00" * 200)
    await owner.happen(source("s" * 500), source("é" * 500, "\x00" * 5000), meta=meta)
    await world.recorded(2)
    assert (await world.events())[0].principal == ("token:" + "p" * 5000)[:256]


async def test_times_of_record_never_fall(world: World, owner: Owner) -> None:
    """D11."""
    await owner.happen(source("a"))
    await world.recorded(1)
    connection = await asyncpg.connect(world.database)
    await connection.execute("UPDATE audit_heads SET record_time = now() + interval '1 hour'")
    await connection.close()
    await owner.happen(source("b"), source("c"))
    await world.recorded(3)
    times = [event.record_time.ToDatetime() for event in await world.events()]
    assert times == sorted(times)
    assert times[2] - times[0] > timedelta(minutes=50)


@pytest.mark.parametrize("table", ["audit_events", "audit_facts"])
@pytest.mark.parametrize("change", ["UPDATE {} SET index = 7", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
async def test_the_trail_cannot_be_changed(world: World, owner: Owner, table: str, change: str) -> None:
    await owner.happen(source())
    await world.recorded(1)
    pool = await connect_pool(world.database, application_name="test")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
        await pool.execute(change.format(table))
    await pool.close()
    owner_of_tables = await asyncpg.connect(world.database)
    await owner_of_tables.execute("SET session_replication_role = replica")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await owner_of_tables.execute(change.format(table))
    await owner_of_tables.close()


# Lists


async def listed(world: World, **wanted: Any) -> list[int]:
    answer = await world.caller().ListAuditEvents(pb.ListAuditEventsRequest(parent=ACME, **wanted))
    assert answer.next_page_token == ""
    return [event.index for event in answer.audit_events]


def stamp(moment: datetime) -> Timestamp:
    time = Timestamp()
    time.FromDatetime(moment)
    return time


async def test_a_list_is_narrowed_by_each_filter_and_by_all_together(world: World, owner: Owner) -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    for hour, (principal, fact) in enumerate(
        (
            ("token:a", source("web")),
            ("token:b", source("app")),
            ("token:a", NewFact("functions/crm", facts_pb2.FunctionCreated(function="crm", display_name="CRM"))),
            ("token:b", NewFact("functions/crm", facts_pb2.FunctionVersionSaved(function="crm", number=1))),
        )
    ):
        await owner.happen(fact, meta=Meta(principal, occurred_at=noon + timedelta(hours=hour)))
    await world.recorded(4)
    assert await listed(world) == [4, 3, 2, 1]
    assert await listed(world, principal="token:a") == [3, 1]
    assert await listed(world, action="SourceCreated") == [2, 1]
    assert await listed(world, target="functions") == [4, 3]
    assert await listed(world, target="sources/app") == [2]
    assert await listed(world, outcome=pb.OUTCOME_SUCCEEDED) == [4, 3, 2, 1]
    assert await listed(world, outcome=pb.OUTCOME_DENIED) == []
    assert await listed(world, start_time=stamp(noon + timedelta(hours=1))) == [4, 3, 2]
    assert await listed(world, end_time=stamp(noon + timedelta(hours=1))) == [1]
    one = {"principal": "token:b", "action": "FunctionVersionSaved", "target": "functions/crm"}
    assert await listed(world, **one, start_time=stamp(noon), end_time=stamp(noon + timedelta(hours=4))) == [4]


async def test_a_principal_is_searched_for_among_credentials_too(world: World, owner: Owner) -> None:
    await owner.happen(source("a"), meta=Meta("member:ada", credential="token:5f0c"))
    await owner.happen(source("b"), meta=Meta("member:ada", credential="token:77aa"))
    await owner.happen(source("c"), meta=Meta("token:5f0c"))
    await world.recorded(3)
    assert await listed(world, principal="token:5f0c") == [3, 1]
    assert await listed(world, principal="member:ada") == [2, 1]


async def test_pages_go_back_in_time_and_stay_while_the_trail_grows(world: World, owner: Owner) -> None:
    await owner.happen(*sources(5))
    await world.recorded(5)
    request = pb.ListAuditEventsRequest(parent=ACME, page_size=2, action="SourceCreated")
    pages = []
    while True:
        answer = await world.caller().ListAuditEvents(request)
        pages.append([event.index for event in answer.audit_events])
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
        (last,) = await owner.happen(source("more"))
        await world.recorded(last.position)
    assert pages == [[5, 4], [3, 2], [1]]
    request.action = "FunctionCreated"
    call = world.caller().ListAuditEvents
    assert await refusal(lambda: call(request)) == ("INVALID_ARGUMENT", "INVALID_PAGE_TOKEN")


async def test_a_page_of_large_events_is_shorter_and_none_is_left_out(world: World, owner: Owner) -> None:
    labels = {f"label-{number}": "x" * 4000 for number in range(190)}
    await owner.happen(*[NewFact(f"sources/s{number}", facts_pb2.SourceCreated(labels=labels)) for number in range(6)])
    await world.recorded(6)
    request = pb.ListAuditEventsRequest(parent=ACME, page_size=5)
    found = []
    while True:
        answer = await world.caller().ListAuditEvents(request)
        assert answer.ByteSize() < 3 * 1024 * 1024
        found += [event.index for event in answer.audit_events]
        request.page_token = answer.next_page_token
        if not answer.next_page_token:
            break
    assert found == [6, 5, 4, 3, 2, 1]
    watch = world.caller().WatchAuditEvents(pb.WatchAuditEventsRequest(parent=ACME, after_index=1))
    assert await taken(watch, 5) == [2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    "wrong", [{"target": "functions/"}, {"target": "/x"}, {"page_size": -1}, {"start_time": Timestamp(seconds=2**60)}]
)
async def test_a_filter_that_makes_no_sense_is_refused(world: World, wrong: dict[str, Any]) -> None:
    request = pb.ListAuditEventsRequest(parent=ACME, **wrong)
    assert await refusal(lambda: world.caller().ListAuditEvents(request)) == ("INVALID_ARGUMENT", "INVALID_FIELD")


async def test_an_event_that_does_not_exist_is_not_found(world: World) -> None:
    caller = world.caller()

    async def get(index: int) -> None:
        await caller.GetAuditEvent(pb.GetAuditEventRequest(name=f"{ACME}/auditEvents/{index}"))

    for index in (0, 1, 10**17):
        assert await refusal(partial(get, index)) == ("NOT_FOUND", "NOT_FOUND")


# Watches


async def taken(watch: Any, count: int) -> list[int]:
    """The indexes of the first events that a watch brings."""
    indexes: list[int] = []
    async with asyncio.timeout(10):
        async for answer in watch:
            indexes += [event.index for event in answer.audit_events]
            if len(indexes) >= count:
                break
    return indexes


async def test_a_watch_brings_what_was_missed_and_then_what_happens(world: World, owner: Owner) -> None:
    await owner.happen(*sources(250))
    await world.recorded(250)
    watch = world.caller().WatchAuditEvents(pb.WatchAuditEventsRequest(parent=ACME, after_index=10))
    assert await taken(watch, 240) == list(range(11, 251))
    await owner.happen(source("new"), workspace="other")
    await owner.happen(source("new"))
    assert await taken(watch, 1) == [251]


async def test_a_watch_from_now_on_brings_nothing_of_before(world: World, owner: Owner) -> None:
    await owner.happen(*sources(3))
    await world.recorded(3)
    watch = world.caller().WatchAuditEvents(pb.WatchAuditEventsRequest(parent=ACME))
    async with asyncio.TaskGroup() as group:
        first = group.create_task(taken(watch, 1))
        # Nobody can see from outside when the watch stands, so things happen until it has seen one.
        for number in range(100):
            if first.done():
                break
            await owner.happen(source(f"n{number}"))
            await asyncio.wait([first], timeout=0.05)
    assert first.result()[0] > 3


async def test_a_watch_sees_what_another_replica_records(database: str, nats_url: str, owner: Owner) -> None:
    async with running(database, nats_url, owner.address) as world:
        await owner.happen(source("a"))
        await world.recorded(1)
        watch = world.caller().WatchAuditEvents(pb.WatchAuditEventsRequest(parent=ACME, after_index=1))
        # Never published, and this one compares no more: the other one alone records it.
        await owner.append(source("b"))
        async with running(database, nats_url, owner.address, SOON_S):
            assert await taken(watch, 1) == [2]


# Who may


async def test_strangers_and_outsiders_see_nothing(world: World, owner: Owner) -> None:
    await owner.happen(source())
    await world.recorded(1)
    calls = {
        "ListAuditEvents": pb.ListAuditEventsRequest(parent=ACME),
        "GetAuditEvent": pb.GetAuditEventRequest(name=f"{ACME}/auditEvents/1"),
        "WatchAuditEvents": pb.WatchAuditEventsRequest(parent=ACME),
    }
    for name, request in calls.items():
        for token, code in ((OTHER_TOKEN, "NOT_FOUND"), ("", "UNAUTHENTICATED"), (SERVICE_TOKEN, "UNAUTHENTICATED")):
            method = getattr(world.caller(token), name)

            async def call(method: Any = method, request: Any = request, name: str = name) -> None:
                await (taken(method(request), 1) if name == "WatchAuditEvents" else method(request))

            assert (await refusal(call))[0] == code, (name, token)


async def test_without_a_registry_to_ask_nobody_is_let_in(world: World, owner: Owner) -> None:
    await owner.stop()
    request = pb.ListAuditEventsRequest(parent=ACME)
    assert (await refusal(lambda: world.caller(ACME_TOKEN).ListAuditEvents(request)))[0] == "UNAVAILABLE"


# With the real registry


@pytest.fixture
async def registry_database(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    await postgres_server.create_database(name, template="template0")
    try:
        yield postgres_server.dsn(name)
    finally:
        await postgres_server.drop_database(name)


async def test_each_change_of_a_real_registry_is_in_the_trail(
    database: str, registry_database: str, nats_url: str
) -> None:
    """D1."""
    async with (
        registry_world.running(registry_database, nats_url) as registry,
        running(database, nats_url, registry.app.address) as world,
    ):
        made = await registry.operator.workspaces.CreateWorkspace(wpb.CreateWorkspaceRequest(display_name="Acme"))
        owner = registry.caller(made.owner_token)
        await registry_world.a_function(owner, [registry_world.definition("region")])
        await registry_world.a_source(owner)
        connected = await registry_world.connect(owner)
        await world.recorded(connected.position)
        request = pb.ListAuditEventsRequest(parent=ACME)
        answer = await world.caller(made.owner_token).ListAuditEvents(request)
        assert [event.action for event in reversed(answer.audit_events)] == [
            "WorkspaceCreated", "MemberAdded", "RoleGranted", "TokenCreated", "FunctionCreated", "FunctionVersionSaved",
            "FunctionVersionSaved", "SourceCreated", "DestinationConnected",
        ]  # fmt: skip
        credential = f"token:{made.owner_token.split('_')[1]}"
        assert {(event.principal, event.credential) for event in answer.audit_events} == {
            ("operator", ""), ("member:owner", credential)
        }  # fmt: skip


async def test_migrations_are_applied_once(database: str) -> None:
    assert "audit/0001_create_trail.sql" in await migrate(database, [EVENT_LOG_MIGRATIONS, MIGRATIONS])
    assert await migrate(database, [EVENT_LOG_MIGRATIONS, MIGRATIONS]) == []
