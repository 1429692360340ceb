"""A destination that was disabled is enabled from an earlier time on: what it was skipped for is replayed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kit.bus.streams import events_stream, provision
from kit.clock import FakeClock
from kit.eventstore.facts import NewFact
from kit.testing.eventually import eventually
from onward.delivery.v1 import delivery_service_pb2 as dpb
from onward.delivery.v1 import replay_service_pb2 as pb
from onward.delivery.v1 import replays_pb2
from onward.executor.v1 import outcomes_pb2 as opb
from onward.registry.v1 import facts_pb2 as facts
from onward.registry.v1 import resources_pb2
from services.delivery.handlers import replays
from tests.integration.delivery_world import running
from tests.integration.replay_world import ACME, CRM, ReplayWorld, track
from tests.integration.test_delivery_ends import Log, a_log

pytestmark = pytest.mark.integration

SINCE_DISABLED = resources_pb2.ENABLE_START_SINCE_DISABLED


def fact(data: facts.DestinationEnabled | facts.DestinationDisabled | facts.DestinationConnected) -> NewFact:
    return NewFact("destinations/crm", data)


async def connect_and_disable(log: Log) -> None:
    connected = facts.DestinationConnected(destination="crm", function="to-crm", source="web", version=1)
    await log.record(fact(connected), fact(facts.DestinationEnabled(destination="crm")))
    await log.record(fact(facts.DestinationDisabled(destination="crm", hold=True)))


async def test_what_was_skipped_since_then_is_replayed_by_whoever_enabled_it(
    database: str, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However many others there are: nobody would be told that it was refused.
    monkeypatch.setattr(replays, "ACTIVE_MAX", 0)
    clock = FakeClock(datetime.now(UTC) + timedelta(seconds=1))
    async with (
        a_log() as (log, address),
        running(database, nats_url, clock, registry_address=address) as world,
    ):
        await provision(world.bus, [events_stream("acme")])
        ours = ReplayWorld(world)
        await ours.publish(*(track(number) for number in range(1, 6)))
        received = await ours.stored()
        # Skipped before it was disabled this time, and attempted.
        early_us = received[0] - 60_000_000
        await ours.report(opb.RESULT_SKIPPED, 1, received_at_us=received[0], ended_at_us=early_us)
        await ours.report(opb.RESULT_DELIVERED, 2, received_at_us=received[1])
        await connect_and_disable(log)
        late_us = int(datetime.now(UTC).timestamp() * 1_000_000) + 3_000_000
        for sequence in (3, 4):
            await ours.report(opb.RESULT_SKIPPED, sequence, received_at_us=received[sequence - 1], ended_at_us=late_us)
        # By an executor whose clock is behind.
        await ours.report(opb.RESULT_SKIPPED, 5, received_at_us=received[4], ended_at_us=late_us - 4_500_000)
        await log.record(fact(facts.DestinationEnabled(destination="crm", start=SINCE_DISABLED)))

        async def listed() -> replays_pb2.Replay:
            found = await ours.stub.ListReplays(pb.ListReplaysRequest(parent=CRM))
            assert len(found.replays) == 1
            return replays_pb2.Replay.FromString(found.replays[0].SerializeToString())

        replay = await eventually(listed)
        assert (replay.principal, list(replay.selection.states)) == ("token:test", [dpb.DELIVERY_STATE_SKIPPED])
        # Outcomes of what was skipped just now may be on their way, so it begins a little later.
        world.advance(6)
        due = await ours.released_in_time(3)
        assert {one.stream_sequence for one in due} == {3, 4, 5}
        await ours.answer_all(due)
        found = await ours.reached(replay, replays_pb2.REPLAY_STATE_FINISHED)
        assert (found.name, found.delivered) == (f"{ACME}/replays/r1", 3)
        told = await world.rows("SELECT type, meta ->> 'principal' AS principal FROM facts ORDER BY position")
        assert [tuple(row) for row in told] == [
            ("ReplayCreated", "token:test"), ("ReplayFinished", "service:delivery")
        ]  # fmt: skip


async def test_enabling_from_now_on_replays_nothing(database: str, nats_url: str) -> None:
    async with a_log() as (log, address), running(database, nats_url, registry_address=address) as world:
        await connect_and_disable(log)
        await log.record(fact(facts.DestinationEnabled(destination="crm")))
        enabled = "SELECT count(*) = 1 FROM connections WHERE enabled"
        await eventually(lambda: world.value(enabled))
        assert await world.value("SELECT count(*) FROM replays") == 0
