"""Reasons, filters and the end of destinations, as the tracker keeps and shows them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from kit.auth.gate import Gate
from kit.clock import FakeClock
from kit.errors import Unavailable
from kit.eventstore.envelope import to_stored
from kit.eventstore.facts import Meta, NewFact
from kit.eventstore.memory import MemoryEventStore
from kit.rpc.server import RpcServer
from kit.testing.eventually import eventually
from onward.common.v1 import facts_pb2 as common
from onward.delivery.v1 import delivery_service_pb2 as dpb
from onward.executor.v1 import outcomes_pb2 as pb
from onward.registry.v1 import facts_pb2 as facts
from onward.registry.v1 import internal_service_pb2 as registry_pb
from onward.registry.v1 import resources_pb2 as resources
from onward.registry.v1.internal_service_pb2_grpc import (
    InternalServiceServicer,
    add_InternalServiceServicer_to_server,
)
from services.delivery.domain.identity import delivery_id
from services.delivery.projections.standing import queries
from tests.integration.delivery_world import (
    SERVICE_TOKEN,
    START,
    START_US,
    StillAuthorizer,
    World,
    attempt,
    batch,
    running,
)

pytestmark = pytest.mark.integration

ACME = "workspaces/acme"


class Log(InternalServiceServicer):
    """A registry that has nothing but a log."""

    def __init__(self) -> None:
        self.store = MemoryEventStore()
        self.away = False

    async def record(self, *new: NewFact) -> None:
        async with self.store.writing("acme") as unit:
            await unit.append(list(new), Meta(principal="token:test"))

    async def _unasked(self, request: Any, context: Any) -> Any:
        raise AssertionError("the tracker asks for nothing but the log in these tests")

    Authorize = ResolveDestination = RecordDenial = ReportExecutor = _unasked

    async def ReadFacts(self, request: Any, context: Any) -> registry_pb.ReadFactsResponse:  # noqa: N802
        if self.away:
            raise Unavailable("away")
        read = request.read
        if not read.workspace:
            heads = dict(await self.store.workspaces())
            return registry_pb.ReadFactsResponse(read=common.ReadFactsResponse(heads=heads))
        found = await self.store.read(read.workspace, read.after_position, read.limit)
        stored = [to_stored("registry", fact) for fact in found]
        return registry_pb.ReadFactsResponse(read=common.ReadFactsResponse(facts=stored))


@asynccontextmanager
async def a_log() -> AsyncIterator[tuple[Log, str]]:
    log = Log()  # type: ignore[abstract]  # answers what is asked of it here
    gate = Gate(StillAuthorizer(), SERVICE_TOKEN)
    server = RpcServer("127.0.0.1:0", [(add_InternalServiceServicer_to_server, log)], gate)
    await server.start()
    yield log, server.address
    await server.stop(0)


def gone(destination: str) -> NewFact:
    return NewFact(f"destinations/{destination}", facts.DestinationDisconnected(destination=destination))


async def shown(world: World, sequence: int, destination: str = "crm") -> dpb.GetDeliveryResponse:
    name = f"{ACME}/deliveries/{delivery_id(sequence, 0, destination)}"
    answer: dpb.GetDeliveryResponse = await world.viewer.GetDelivery(dpb.GetDeliveryRequest(name=name))
    return answer


async def test_what_waits_for_its_batch_goes_when_the_policy_changes(database: str, nats_url: str) -> None:
    """Nothing waits by a policy that is no more; the executor judges it by the new one."""
    async with a_log() as (log, address), running(database, nats_url, registry_address=address) as world:
        far_us = START_US + 60_000_000
        held = [
            attempt(number, result=pb.RESULT_DEFERRED, batch_events_max=100, batch_until_us=far_us)
            for number in range(1, 4)
        ]
        await world.report(batch(*held), batch(*held, destination="other"))
        policy = resources.DeliveryPolicy(batching=resources.Batching(max_events=1))
        changed = facts.DeliveryPolicyUpdated(destination="crm", policy=policy)
        await log.record(NewFact("destinations/crm", changed))
        released = await world.released(3)
        assert {(one.destination, one.gathered) for one in released} == {("crm", True)}


async def test_a_policy_that_changes_locks_nothing_that_outcomes_wait_for(database: str, nats_url: str) -> None:
    """They lock rows in the order of their keys; whoever locks them in another one has to wait for the workspace."""
    async with a_log() as (log, address), running(database, nats_url, registry_address=address) as world:
        for number, seconds in ((2, 20), (1, 30)):
            until_us = START_US + seconds * 1_000_000
            held = attempt(number, result=pb.RESULT_DEFERRED, batch_events_max=100, batch_until_us=until_us)
            await world.report(batch(held))
        row = "SELECT FROM due WHERE stream_sequence = $1 FOR UPDATE NOWAIT"
        outcomes = await asyncpg.connect(database)
        async with outcomes.transaction():
            await outcomes.execute(queries.lock_workspaces, ["acme"], [False])
            await outcomes.execute(row, 1)
            await log.record(NewFact("destinations/crm", facts.DeliveryPolicyUpdated(destination="crm")))
            waits = "datname = current_database() AND wait_event_type = 'Lock'"
            blocked = f"SELECT count(*) > 0 FROM pg_stat_activity WHERE {waits}"
            await eventually(lambda: world.value(blocked))
            await outcomes.execute(row, 2)
        await outcomes.close()
        await world.released(2)


async def test_an_attempt_shows_the_filters_that_it_met_and_why_it_was_filtered(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        reason = "destinations/crm/filters/no-staff"
        await world.report(batch(attempt(1, result=pb.RESULT_FILTERED, reason=reason)))
        answer = await shown(world, 1)
        assert (answer.delivery.state, answer.delivery.reason) == (dpb.DELIVERY_STATE_FILTERED, reason)
        assert (answer.attempts[0].filter_revision, answer.attempts[0].reason) == (5, reason)
        listed = (await world.viewer.ListDeliveries(dpb.ListDeliveriesRequest(parent=ACME))).deliveries
        assert [one.reason for one in listed] == [reason]


async def test_people_see_what_filters_left_of_an_event_and_retries_get_all_of_it(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        detail = pb.AttemptDetail(event=b'{"email":"ada"}', filtered_event=b'{"email":"5e5d"}')
        hidden = pb.AttemptDetail(event=b'{"email":"ada"}', filtered_event=b"")
        await world.report(
            batch(
                attempt(1, result=pb.RESULT_FAILED, detail=detail),
                attempt(2, result=pb.RESULT_FAILED, detail=hidden),
                attempt(3, result=pb.RESULT_FAILED),
                attempt(4, result=pb.RESULT_RETRYABLE, detail=detail),
            )
        )
        events = [(await shown(world, number)).attempts[0].detail.event for number in (1, 2, 3, 4)]
        assert events == [b'{"email":"5e5d"}', b"", b'{"type":"track"}', b""]
        world.advance(15)
        assert (await world.released(1))[0].event == b'{"email":"ada"}'
        # A failure keeps the event as it came, for whoever has it run again.
        assert await world.value("SELECT event FROM attempt_details WHERE stream_sequence = 1") == b'{"email":"ada"}'


async def test_a_cancelled_delivery_ends_with_its_reason_and_is_counted(database: str, nats_url: str) -> None:
    """Fault A25."""
    async with running(database, nats_url) as world:
        await world.report(batch(attempt(1, result=pb.RESULT_RETRYABLE)))
        ended = attempt(1, 2, result=pb.RESULT_CANCELLED, reason="function_deleted", retries_used=1)
        await world.report(batch(ended))
        answer = await shown(world, 1)
        assert (answer.delivery.state, answer.delivery.reason) == (dpb.DELIVERY_STATE_CANCELLED, "function_deleted")
        assert await world.value("SELECT count(*) FROM due") == 0
        summary = await world.viewer.GetSummary(dpb.GetSummaryRequest(parent=ACME))
        assert [(one.cancelled, one.pending, one.failed) for one in summary.destinations] == [(1, 0, 0)]


async def test_what_waits_for_a_disconnected_destination_is_released_at_once(database: str, nats_url: str) -> None:
    """Fault A25: an executor ends it; nobody waits until it would have been tried again."""
    async with a_log() as (log, address), running(database, nats_url, registry_address=address) as world:
        waiting = [attempt(number, result=pb.RESULT_RETRYABLE) for number in range(1, 4)]
        await world.report(batch(*waiting), batch(attempt(9, result=pb.RESULT_RETRYABLE), destination="erp"))
        await log.record(gone("crm"))
        released = await world.released(3)
        assert {(one.destination, one.attempt) for one in released} == {("crm", 2)}
        # What was running then, and fails only now, waits no more than the others.
        await world.report(batch(attempt(7, result=pb.RESULT_RETRYABLE)))
        assert (await world.released(4))[3].stream_sequence == 7


async def test_a_registry_that_was_away_is_caught_up_with(database: str, nats_url: str) -> None:
    async with a_log() as (log, address):
        log.away = True
        await log.record(gone("crm"))
        async with running(database, nats_url, FakeClock(START), registry_address=address) as world:
            await world.report(batch(attempt(1, result=pb.RESULT_RETRYABLE)))
            log.away = False
            await eventually(lambda: len(world.due) == 1, timeout_s=15)
