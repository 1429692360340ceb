"""Provisioning against a real server: made once, restored when drifted, by many at once."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from kit.bus.connection import Bus, connect
from kit.bus.publish import Publisher
from kit.bus.streams import (
    DUE,
    OUTCOMES,
    Change,
    events_stream,
    facts_consumer,
    facts_stream,
    provision,
)
from kit.errors import OnwardError

pytestmark = pytest.mark.integration

ALL = [facts_stream(facts_consumer("audit")), events_stream("acme"), OUTCOMES, DUE]


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    bus = await connect(nats_url, name="test")
    try:
        yield bus
    finally:
        await bus.close()


async def test_provisioning_makes_everything_once(bus: Bus) -> None:
    created = await provision(bus, ALL)
    assert {change.name for change in created} == {
        "FACTS", "FACTS/audit", "EVENTS_acme", "EVENTS_acme/executor",
        "OUTCOMES", "OUTCOMES/delivery", "DUE", "DUE/executor",
    }  # fmt: skip
    assert {change.action for change in created} == {"created"}
    assert await provision(bus, ALL) == []


async def test_many_services_provision_at_the_same_time(bus: Bus) -> None:
    await asyncio.gather(*(provision(bus, ALL) for _ in range(8)))
    assert await provision(bus, ALL) == []


async def test_services_of_different_versions_provision_at_the_same_time(bus: Bus) -> None:
    versions = [events_stream("acme", max_age_s=3_600 * hours) for hours in (1, 2)]
    await asyncio.gather(*(provision(bus, [version]) for version in versions * 2))
    config = (await bus.api("STREAM.INFO.EVENTS_acme"))["config"]
    assert config["max_age"] in [version.config()["max_age"] for version in versions]


async def test_a_drifted_consumer_is_restored_and_named(bus: Bus) -> None:
    """B7"""
    await provision(bus, ALL)
    info = await bus.api("CONSUMER.INFO.EVENTS_acme.executor")
    drifted = {**info["config"], "ack_wait": 60_000_000_000, "max_ack_pending": 5, "max_deliver": 3}
    await bus.api("CONSUMER.CREATE.EVENTS_acme.executor", {"stream_name": "EVENTS_acme", "config": drifted})
    changes = await provision(bus, ALL)
    assert changes == [Change("EVENTS_acme/executor", "restored", ("ack_wait", "max_ack_pending", "max_deliver"))]
    restored = (await bus.api("CONSUMER.INFO.EVENTS_acme.executor"))["config"]
    assert restored == info["config"]


async def test_a_drifted_stream_is_restored_and_keeps_its_messages(bus: Bus) -> None:
    """B7"""
    await provision(bus, ALL)
    await Publisher(bus).publish("events.acme.web", b"{}")
    config = (await bus.api("STREAM.INFO.EVENTS_acme"))["config"]
    await bus.api("STREAM.UPDATE.EVENTS_acme", {**config, "discard": "old", "allow_atomic": False})
    assert await provision(bus, ALL) == [Change("EVENTS_acme", "restored", ("discard", "allow_atomic"))]
    assert (await bus.api("STREAM.INFO.EVENTS_acme"))["state"]["messages"] == 1


async def test_what_cannot_be_changed_is_an_error_and_changes_nothing(bus: Bus) -> None:
    await provision(bus, [DUE])
    with pytest.raises(OnwardError, match=r"STREAM\.UPDATE\.DUE"):
        await provision(bus, [replace(DUE, retention="limits")])
    assert await provision(bus, [DUE]) == []
