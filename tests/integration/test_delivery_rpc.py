"""What the tracker answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from kit.errors import InvalidArgument, InvalidToken, LimitReached, NotFound, PermissionDenied
from kit.testing.eventually import eventually
from onward.delivery.v1 import delivery_service_pb2 as dpb
from onward.delivery.v1 import delivery_service_pb2_grpc
from onward.delivery.v1 import internal_service_pb2 as ipb
from onward.executor.v1 import outcomes_pb2 as pb
from tests.integration.delivery_world import START_US, World, attempt, batch, running

pytestmark = pytest.mark.integration

ACME = "workspaces/acme"
CRM = "workspaces/acme/destinations/crm"


@pytest.fixture
async def world(database: str, nats_url: str) -> AsyncIterator[World]:
    async with running(database, nats_url) as world:
        yield world


def time(micros: int) -> Timestamp:
    stamp = Timestamp()
    stamp.FromMicroseconds(micros)
    return stamp


async def listed(world: World, **fields: Any) -> list[dpb.Delivery]:
    """All pages of a list, two deliveries each."""
    found: list[dpb.Delivery] = []
    token = ""
    while True:
        request = dpb.ListDeliveriesRequest(**{"parent": ACME, "page_size": 2, "page_token": token, **fields})
        answer: dpb.ListDeliveriesResponse = await world.viewer.ListDeliveries(request)
        found += answer.deliveries
        token = answer.next_page_token
        if not token:
            return found
        assert len(answer.deliveries) == 2


def sequences(deliveries: list[dpb.Delivery]) -> list[int]:
    return [int(one.name.rpartition("/")[2][1:].split("-")[0]) for one in deliveries]


async def a_mixture(world: World) -> None:
    """Eight events for crm, of which the last two have one time; the first also for another destination."""
    together = {"received_at_us": START_US - 1000}
    rejected = {"result": pb.RESULT_FAILED, "error_type": pb.ERROR_TYPE_MESSAGE_REJECTED}
    await world.report(
        batch(
            attempt(1),
            attempt(2, **rejected),
            attempt(3, result=pb.RESULT_FILTERED),
            attempt(4, result=pb.RESULT_RETRYABLE),
            attempt(5, result=pb.RESULT_DEFERRED),
            attempt(6, result=pb.RESULT_SKIPPED),
            attempt(7, index=1, **together),
            attempt(7, index=0, **together),
        ),
        batch(attempt(1), destination="mail"),
    )


async def test_a_list_is_newest_first_and_its_pages_join(world: World) -> None:
    await a_mixture(world)
    found = await listed(world)
    assert sequences(found) == [7, 7, 6, 5, 4, 3, 2, 1, 1]
    assert [one.name.split("-")[1] for one in found[:2]] == ["1", "0"]
    assert [one.destination.rpartition("/")[2] for one in found[-2:]] == ["crm", "mail"]
    assert sequences(await listed(world, parent=CRM)) == [7, 7, 6, 5, 4, 3, 2, 1]


async def test_lists_are_filtered(world: World) -> None:
    await a_mixture(world)
    states = dpb.DeliveryState
    for state, expected in [
        (states.DELIVERY_STATE_DELIVERED, [7, 7, 1]),
        (states.DELIVERY_STATE_FAILED, [2]),
        (states.DELIVERY_STATE_FILTERED, [3]),
        (states.DELIVERY_STATE_PENDING, [5, 4]),
        (states.DELIVERY_STATE_SKIPPED, [6]),
        (states.DELIVERY_STATE_CANCELLED, []),
    ]:
        assert sequences(await listed(world, parent=CRM, state=state)) == expected
    assert sequences(await listed(world, error_type=pb.ERROR_TYPE_RETRY)) == [4]
    assert sequences(await listed(world, error_type=pb.ERROR_TYPE_MESSAGE_REJECTED)) == [2]
    assert sequences(await listed(world, message_id="m1")) == [1, 1]
    assert sequences(await listed(world, message_id="m1", parent=CRM)) == [1]
    assert sequences(await listed(world, message_id="nobody")) == []
    from_3_to_5 = {"start_time": time(START_US - 997_000), "end_time": time(START_US - 995_000)}
    assert sequences(await listed(world, **from_3_to_5)) == [4, 3]


async def test_a_page_token_of_another_filter_is_refused(world: World) -> None:
    await a_mixture(world)
    answer = await world.viewer.ListDeliveries(dpb.ListDeliveriesRequest(parent=ACME, page_size=2))
    other = dpb.ListDeliveriesRequest(parent=CRM, page_size=2, page_token=answer.next_page_token)
    with pytest.raises(InvalidArgument):
        await world.viewer.ListDeliveries(other)


async def test_a_pending_delivery_shows_why_and_when(world: World) -> None:
    await a_mixture(world)
    held, retried = await listed(world, state=dpb.DELIVERY_STATE_PENDING)
    assert (retried.attempts, retried.error_type, retried.error_message) == (1, pb.ERROR_TYPE_RETRY, "it broke")
    assert retried.next_attempt_time.ToMicroseconds() == START_US - 496_000 + 10_000_000
    assert not retried.HasField("end_time")
    assert held.attempts == 0
    answer = await world.viewer.GetDelivery(dpb.GetDeliveryRequest(name=retried.name))
    assert answer.delivery == retried
    assert [(one.number, one.result) for one in answer.attempts] == [(1, pb.RESULT_RETRYABLE)]
    nothing = await world.viewer.GetDelivery(dpb.GetDeliveryRequest(name=held.name))
    assert not nothing.attempts


async def test_a_delivery_shows_all_its_attempts_and_what_ran(world: World) -> None:
    await world.report(batch(attempt(1, result=pb.RESULT_RETRYABLE)), batch(attempt(1), destination="mail"))
    world.advance(10)
    await world.released(1)
    await world.report(batch(attempt(1, 2, pb.RESULT_LOST), attempt(1, 3, retries_used=1)))
    (one,) = await listed(world, parent=CRM)
    answer = await world.viewer.GetDelivery(dpb.GetDeliveryRequest(name=one.name))
    assert answer.delivery.state == dpb.DELIVERY_STATE_DELIVERED
    assert answer.delivery.attempts == 3
    results = [(pb.RESULT_RETRYABLE, 1), (pb.RESULT_LOST, 2), (pb.RESULT_DELIVERED, 3)]
    assert [(part.result, part.number) for part in answer.attempts] == results
    ran = answer.attempts[0]
    assert (ran.function, ran.version, ran.settings_revision, ran.wall_us, ran.cpu_us) == ("to-crm", 3, 7, 100, 50)
    assert ran.detail.error_message == "it broke"


@pytest.mark.parametrize("name", ["d999-0-01234567", "d1-0-01234567"])
async def test_an_unknown_delivery_is_not_found(world: World, name: str) -> None:
    await world.report(batch(attempt(1)))
    with pytest.raises(NotFound):
        await world.viewer.GetDelivery(dpb.GetDeliveryRequest(name=f"{ACME}/deliveries/{name}"))


async def test_the_summary_counts_and_measures(world: World) -> None:
    await a_mixture(world)
    request = dpb.GetSummaryRequest(parent=ACME)
    crm, mail = (await world.viewer.GetSummary(request)).destinations
    assert (crm.destination, mail.destination) == (CRM, f"{ACME}/destinations/mail")
    counts = (crm.delivered, crm.failed, crm.filtered, crm.pending, crm.skipped, crm.delivered_after_retry)
    assert counts == (3, 1, 1, 2, 1, 0)
    assert crm.success_rate == 0.75
    assert dict(crm.failed_by_error) == {"MESSAGE_REJECTED": 1}
    assert mail.success_rate == 1
    assert mail.latency_ms_p50 == pytest.approx(500, rel=0.05)
    alone = await world.viewer.GetSummary(dpb.GetSummaryRequest(parent=CRM))
    assert list(alone.destinations) == [crm]
    day = 86_400_000_000
    before = dpb.GetSummaryRequest(parent=ACME, start_time=time(START_US - 2 * day), end_time=time(START_US - day))
    assert not (await world.viewer.GetSummary(before)).destinations


async def test_percentiles_are_within_five_percent(world: World) -> None:
    many = [attempt(one, ended_at_us=START_US - 1_000_000 + one * 1000 + one * one * 100) for one in range(1, 401)]
    await world.report(batch(*many))
    (one,) = (await world.viewer.GetSummary(dpb.GetSummaryRequest(parent=ACME))).destinations
    for found, rank in ((one.latency_ms_p50, 200), (one.latency_ms_p95, 380), (one.latency_ms_p99, 396)):
        assert found == pytest.approx(rank * rank / 10, rel=0.05)


async def test_refused_events_are_listed_and_counted_once(world: World) -> None:
    failures = [
        pb.IngestFailure(
            stream_sequence=one, source="web", reason="unknown_type", message="no", sample=b"{}",
            received_at_us=START_US - 5_000_000 + one,
        )
        for one in range(1, 6)
    ]  # fmt: skip
    await world.report(batch(ingest_failures=failures), batch(ingest_failures=failures[:2]))
    answer = await world.viewer.GetSummary(dpb.GetSummaryRequest(parent=ACME))
    assert dict(answer.failed_on_ingest) == {"web": 5}
    first = await world.viewer.ListIngestFailures(dpb.ListIngestFailuresRequest(parent=ACME, page_size=3))
    request = dpb.ListIngestFailuresRequest(parent=ACME, page_size=3, page_token=first.next_page_token)
    second = await world.viewer.ListIngestFailures(request)
    assert [*first.failures, *second.failures] == failures[::-1]
    assert second.next_page_token == ""


# --- what executors ask


def lookup(sequence: int, *events: int) -> ipb.LookupOutcomesRequest:
    references = [ipb.EventReference(stream_sequence=one) for one in events]
    return ipb.LookupOutcomesRequest(workspace="acme", outcomes_sequence=sequence, events=references)


async def test_a_look_up_tells_all_that_is_known(world: World) -> None:
    await a_mixture(world)
    failure = pb.IngestFailure(stream_sequence=9, source="web", received_at_us=START_US)
    await world.report(batch(attempt(6, 2, pb.RESULT_LOST)), batch(ingest_failures=[failure]))
    answer = await world.internal.LookupOutcomes(lookup(0, 1, 4, 5, 6, 8, 9))
    known = sorted((one.event.stream_sequence, one.destination, one.attempt, one.result) for one in answer.outcomes)
    assert known == [
        (1, "crm", 1, pb.RESULT_DELIVERED),
        (1, "mail", 1, pb.RESULT_DELIVERED),
        (4, "crm", 1, pb.RESULT_RETRYABLE),
        (5, "crm", 1, pb.RESULT_DEFERRED),
        (6, "crm", 1, pb.RESULT_SKIPPED),
        (6, "crm", 2, pb.RESULT_LOST),
        (9, "", 1, pb.RESULT_FAILED),
    ]


async def test_a_look_up_of_a_packed_message_tells_of_all_its_events(world: World) -> None:
    ended = [attempt(1, index=one, message_id=f"m{one}") for one in range(5)]
    held = attempt(1, index=5, message_id="held", result=pb.RESULT_DEFERRED)
    refused = pb.IngestFailure(stream_sequence=1, index=6, source="web", received_at_us=START_US)
    await world.report(batch(*ended, held), batch(attempt(2, index=3)), batch(ingest_failures=[refused]))
    answer = await world.internal.LookupOutcomes(lookup(0, 1, 1))
    known = sorted((one.event.index, one.result) for one in answer.outcomes)
    expected = [(one, pb.RESULT_DELIVERED) for one in range(5)]
    assert known == [*expected, (5, pb.RESULT_DEFERRED), (6, pb.RESULT_FAILED)]


async def test_a_look_up_whose_answer_would_not_fit_says_so(world: World) -> None:
    many = """
        INSERT INTO attempts SELECT 'acme', sequence, index, repeat('d', 63), 1, $1, 'web', 'f', 1, 1, 'm', 1, '', 1, 0,
            0, true, 1, $1, 1, 1, false, false
        FROM generate_series(1, 20) AS sequence, generate_series(0, 2499) AS index
    """
    await world.rows(many, START_US)
    with pytest.raises(LimitReached, match="fewer"):
        await world.internal.LookupOutcomes(lookup(0, *range(1, 21)))
    answer = await world.internal.LookupOutcomes(lookup(0, *range(1, 11)))
    assert len(answer.outcomes) == 25_000


async def test_what_is_released_again_is_known_for_its_event_and_not_for_its_message(world: World) -> None:
    await world.report(batch(attempt(1, result=pb.RESULT_DEFERRED)))
    world.advance(1)
    await world.released(1)
    (one,) = (await world.internal.LookupOutcomes(lookup(0, 1))).outcomes
    assert (one.attempt, one.result) == (0, pb.RESULT_DEFERRED)


async def test_a_look_up_waits_until_outcomes_are_applied(world: World) -> None:
    internal = world.internal

    async def ask(sequence: int) -> list[ipb.KnownOutcome]:
        return list((await internal.LookupOutcomes(lookup(sequence, 1))).outcomes)

    lock = await world.hold_workspace("acme")
    sequence = await world.publish(batch(attempt(1)))
    asked = asyncio.create_task(ask(sequence))
    await eventually(
        lambda: world.value("SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    )
    assert not asked.done()
    await lock.close()
    (one,) = await asked
    assert one.result == pb.RESULT_DELIVERED


async def test_a_look_up_of_too_much_is_refused(world: World) -> None:
    with pytest.raises(InvalidArgument):
        await world.internal.LookupOutcomes(lookup(0, *range(1001)))
    with pytest.raises(InvalidArgument):
        await world.internal.LookupOutcomes(ipb.LookupOutcomesRequest(workspace="Not An Id"))


# --- who may ask, and who is told


async def test_strangers_and_neighbours_are_refused(world: World) -> None:
    with pytest.raises(PermissionDenied):
        await world.viewer.GetSummary(dpb.GetSummaryRequest(parent="workspaces/other"))
    stranger = delivery_service_pb2_grpc.DeliveryServiceStub(world.channel("onw_other_0123456789abcdef0123"))
    with pytest.raises(InvalidToken):
        await stranger.GetSummary(dpb.GetSummaryRequest(parent=ACME))
    with pytest.raises(InvalidArgument):
        await world.viewer.GetSummary(dpb.GetSummaryRequest(parent=f"{ACME}/functions/x"))


async def test_a_watcher_sees_what_is_recorded_from_then_on(world: World) -> None:
    await world.report(batch(attempt(1)))
    watch = world.viewer.WatchDeliveries(dpb.WatchDeliveriesRequest(parent=CRM))
    seen: list[dpb.Delivery] = []
    assert not (await anext(aiter(watch))).deliveries
    other = pb.OutcomeBatch.FromString(batch(attempt(3)).SerializeToString())
    other.workspace, other.batch_id = "other", batch().batch_id
    await world.report(
        batch(attempt(2), attempt(4, result=pb.RESULT_RETRYABLE)), batch(attempt(2), destination="b"), other
    )
    async for answer in watch:
        seen += answer.deliveries
        if len(seen) == 2:
            break
    assert sequences(seen) == [2, 4]
    assert [one.state for one in seen] == [dpb.DELIVERY_STATE_DELIVERED, dpb.DELIVERY_STATE_PENDING]
    assert seen == [one for one in reversed(await listed(world, parent=CRM)) if sequences([one]) != [1]]
