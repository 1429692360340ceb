"""The tracker with real Postgres and NATS: what is stored, and what is released."""

from __future__ import annotations

import random
import string
from collections.abc import AsyncIterator

import asyncpg
import pytest

from kit.testing.eventually import eventually
from onward.delivery.v1 import delivery_service_pb2 as dpb
from onward.executor.v1 import outcomes_pb2 as pb
from services.delivery.domain.schedule import Schedule
from services.delivery.projections.batches import BatchWriter
from tests.integration.delivery_world import START, START_US, World, attempt, batch, running

pytestmark = pytest.mark.integration

ACME = "workspaces/acme"
RETRYABLE = pb.RESULT_RETRYABLE
DEFERRED = pb.RESULT_DEFERRED


@pytest.fixture
async def world(database: str, nats_url: str) -> AsyncIterator[World]:
    async with running(database, nats_url) as world:
        yield world


async def summary(world: World, parent: str = ACME) -> dpb.DestinationSummary:
    answer: dpb.GetSummaryResponse = await world.viewer.GetSummary(dpb.GetSummaryRequest(parent=parent))
    (one,) = answer.destinations
    return one


async def numbers(world: World) -> list[tuple[int, int, bool]]:
    """(attempt, result, terminal) of all attempts."""
    rows = await world.rows("SELECT attempt, result, terminal FROM attempts ORDER BY stream_sequence, attempt")
    return [tuple(row) for row in rows]


# --- what is stored


async def test_a_batch_applied_twice_counts_once(world: World) -> None:
    one = batch(attempt(1), attempt(2), attempt(3, result=DEFERRED))
    await world.report(one)
    await world.report(one)
    assert (await summary(world)).delivered == 2
    assert await world.value("SELECT count(*) FROM attempts") == 2
    assert await world.value("SELECT deferrals FROM due") == 1


async def test_copies_of_a_batch_in_one_transaction_count_once(world: World) -> None:
    one = batch(attempt(1), attempt(3, result=DEFERRED))
    # What waits when the tracker starts is applied together.
    await world.stop()
    sequence = await world.publish(one, one, one)
    await world.start()
    await world.wait_applied(sequence)
    assert (await summary(world)).delivered == 1
    assert await world.value("SELECT deferrals FROM due") == 1


async def test_the_same_attempt_in_two_batches_counts_once(world: World) -> None:
    """A5, A11: whatever JetStream delivers again, the key decides."""
    await world.report(batch(attempt(1), attempt(2)))
    await world.report(
        batch(attempt(2), attempt(3)), batch(attempt(4), attempt(4), attempt(1, result=pb.RESULT_FAILED))
    )
    assert (await summary(world)).delivered == 4
    assert (await summary(world)).failed == 0
    assert await numbers(world) == [(1, pb.RESULT_DELIVERED, True)] * 4


async def test_two_reports_of_one_failure_make_one_retry(world: World) -> None:
    await world.report(batch(attempt(1, result=RETRYABLE)), batch(attempt(1, result=RETRYABLE)))
    await world.report(batch(attempt(1, result=RETRYABLE)))
    assert await numbers(world) == [(1, RETRYABLE, False)]
    (row,) = await world.rows("SELECT attempt, retries_used, due_at_us FROM due")
    assert tuple(row) == (2, 1, START_US - 499_000 + 10_000_000)


async def test_a_late_outcome_of_an_ended_delivery_makes_no_second_terminal_row(world: World) -> None:
    """A11."""
    lost = attempt(1, 1, pb.RESULT_LOST)
    await world.report(batch(attempt(2, 2)), batch(lost, attempt(1, 2)))
    # The first executor of event 2 wakes up and reports what it had run; so does that of event 1, whose loss is known.
    await world.report(batch(attempt(2, 1), attempt(1, 1), attempt(1, 3, RETRYABLE)))
    terminal = [(1, pb.RESULT_LOST, False), (2, pb.RESULT_DELIVERED, True), (3, RETRYABLE, False)]
    assert await numbers(world) == [*terminal, (1, pb.RESULT_DELIVERED, False), (2, pb.RESULT_DELIVERED, True)]
    assert (await summary(world)).delivered == 2
    assert await world.value("SELECT count(*) FROM due") == 0


async def test_a_late_outcome_in_the_same_batch_makes_no_second_terminal_row(world: World) -> None:
    await world.report(batch(attempt(1, 2), attempt(1, 1), attempt(2, 1), attempt(2, 2)))
    assert [one[2] for one in await numbers(world)] == [False, True, True, False]
    assert (await summary(world)).delivered == 2


async def test_an_event_that_repeats_a_message_id_is_marked(world: World) -> None:
    """A2."""
    await world.report(batch(attempt(1, message_id="m")))
    await world.report(
        batch(attempt(2, message_id="m"), attempt(3)), batch(attempt(1, message_id="m"), destination="b")
    )
    rows = await world.rows("SELECT destination, stream_sequence FROM attempts WHERE duplicate")
    assert [tuple(row) for row in rows] == [("crm", 2)]
    assert await world.value("SELECT sum(duplicates)::int FROM rollups") == 1
    request = dpb.ListDeliveriesRequest(parent=ACME, message_id="m")
    found = (await world.viewer.ListDeliveries(request)).deliveries
    assert [(one.destination[-3:], one.duplicate) for one in found] == [("crm", True), ("s/b", False), ("crm", False)]


async def test_a_plain_batch_takes_few_round_trips(world: World) -> None:
    writer = BatchWriter(Schedule(), lambda: 0.5)
    said: list[str] = []
    connection = await asyncpg.connect(world.database)
    try:
        # The first one also stores that the destination is there.
        writer.committed(await writer.write(connection, [batch(attempt(1))], START_US))
        connection.add_query_logger(lambda record: said.append(record.query))
        await writer.write(connection, [batch(attempt(2))], START_US)
    finally:
        await connection.close()
    # Its id, the lock, what is unusual, its messageId and the sums; COPYs are not told of.
    assert len(said) <= 5, said


async def test_a_message_id_may_come_again_after_a_day(world: World) -> None:
    day = 24 * 3600 * 1_000_000
    later = {"received_at_us": START_US + day, "ended_at_us": START_US + day}
    await world.report(batch(attempt(1, message_id="m", received_at_us=START_US), attempt(2, message_id="m", **later)))
    assert await world.value("SELECT count(*) FROM attempts WHERE duplicate") == 0


async def test_text_that_postgres_cannot_store_stops_nobody(world: World) -> None:
    await world.report(batch(attempt(1, message_id="a\0b", event_name="\0"), attempt(2)))
    assert (await summary(world)).delivered == 2


async def test_a_message_that_is_no_batch_stops_nobody(world: World) -> None:
    await world.publisher.publish("outcomes.acme", b"\xff\xff\xff")
    await world.report(batch(attempt(1)))
    assert (await summary(world)).delivered == 1


async def test_a_batch_that_postgres_refuses_holds_up_no_other(world: World) -> None:
    refused = batch(attempt(1))
    refused.batch_id = "not-a-uuid"
    await world.publish(refused, batch(attempt(2)))
    await eventually(lambda: world.value("SELECT count(*) = 1 FROM attempts"))


async def test_what_postgres_refuses_is_set_aside_and_the_rest_of_its_batch_is_stored(world: World) -> None:
    long = "".join(random.choices(string.ascii_letters, k=6000))  # random: Postgres compresses what it can
    beyond = attempt(2**63, received_at_us=START_US, ended_at_us=START_US)
    good = batch(attempt(1), beyond, attempt(2, result=RETRYABLE), attempt(3))
    mixed = pb.OutcomeBatch(batch_id=good.batch_id, workspace="acme", destinations=good.destinations)
    mixed.destinations.append(batch(attempt(1), destination=long).destinations[0])
    mixed.ingest_failures.add(stream_sequence=9, source="web", received_at_us=START_US)
    sequence = await world.publish(mixed, batch(attempt(4)))
    await eventually(lambda: world.value("SELECT count(*) = 2 FROM dead_outcomes"), timeout_s=15)
    await world.wait_applied(sequence)
    rows = await world.rows("SELECT stream_sequence FROM attempts ORDER BY 1")
    assert [row[0] for row in rows] == [1, 2, 3, 4]
    assert await world.value("SELECT sum(count)::int FROM rollups") == 3
    assert await world.value("SELECT count(*) FROM due") == 1
    assert await world.value("SELECT sum(count)::int FROM ingest_rollups") == 1
    # An operator can take it, mend it, and publish it as it is.
    dead = await world.rows("SELECT data, reason FROM dead_outcomes WHERE batch_id = $1", mixed.batch_id)
    pieces = {one.destinations[0].destination: one for one in (pb.OutcomeBatch.FromString(row[0]) for row in dead)}
    assert pieces.keys() == {"crm", long}
    assert pieces["crm"].destinations[0].attempts == [beyond]
    pieces["crm"].destinations[0].attempts[0].stream_sequence = 5
    await world.report(pieces["crm"], mixed)
    assert (await summary(world)).delivered == 4
    assert await world.value("SELECT count(*) FROM dead_outcomes") == 2


@pytest.mark.parametrize("batch_id", ["not-a-uuid", "closed\0", "x" * 9000])
async def test_a_batch_without_a_usable_id_is_set_aside_whole(world: World, batch_id: str) -> None:
    await world.publish(batch(attempt(1), batch_id=batch_id))
    await eventually(lambda: world.value("SELECT count(*) = 1 FROM dead_outcomes"), timeout_s=15)
    await world.report(batch(attempt(2)))
    assert await world.value("SELECT min(stream_sequence) FROM attempts") == 2


async def test_a_batch_whose_id_is_written_otherwise_is_applied(world: World) -> None:
    one = batch(attempt(1))
    one.batch_id = one.batch_id.upper()
    await world.report(one)
    assert (await summary(world)).delivered == 1


async def test_texts_that_are_too_long_are_cut(world: World) -> None:
    long = "".join(random.choices(string.ascii_letters, k=6000))
    failure = pb.IngestFailure(
        stream_sequence=9, source=long, reason=long, message=long * 2, sample=b"x" * 9000, received_at_us=START_US
    )
    one = batch(attempt(1, message_id=long, event_name=long), ingest_failures=[failure])
    one.destinations[0].source = long
    await world.report(one)
    query = "SELECT length(source), length(reason), length(message), length(sample) FROM ingest_failures"
    assert tuple((await world.rows(query))[0]) == (63, 256, 8192, 4096)
    query = "SELECT length(source), length(message_id), length(event_name) FROM attempts"
    assert tuple((await world.rows(query))[0]) == (63, 256, 200)


async def test_a_failure_keeps_its_event_and_a_success_its_sample(world: World) -> None:
    sampled = pb.AttemptDetail(logs=b"[]", value=b"1")
    failed = pb.AttemptDetail(event=b"{}", error_name="ValidationError", error_message="no email", http_status=422)
    one = attempt(1, result=pb.RESULT_FAILED, error_type=pb.ERROR_TYPE_MESSAGE_REJECTED, detail=failed)
    await world.report(batch(one, attempt(2, detail=sampled)))
    found = (await world.viewer.ListDeliveries(dpb.ListDeliveriesRequest(parent=ACME))).deliveries
    assert [one.error_message for one in found] == ["", "no email"]
    answers = [await world.viewer.GetDelivery(dpb.GetDeliveryRequest(name=one.name)) for one in found]
    assert [answer.attempts[0].detail for answer in answers] == [sampled, failed]


# --- what is released


async def test_a_retry_is_released_at_its_time(world: World) -> None:
    await world.report(batch(attempt(1, result=RETRYABLE)))
    world.advance(9)
    assert await world.value("SELECT count(*) FROM due WHERE released_at_us IS NULL") == 1
    world.advance(1)
    (due,) = await world.released(1)
    assert (due.workspace, due.source, due.destination, due.message_id) == ("acme", "web", "crm", "m1")
    assert (due.stream_sequence, due.attempt, due.retries_used, due.event) == (1, 2, 1, b'{"type":"track"}')
    await world.report(batch(attempt(1, 2, retries_used=1)))
    assert await world.value("SELECT count(*) FROM due") == 0
    one = await summary(world)
    assert (one.delivered, one.delivered_after_retry, one.pending) == (1, 1, 0)


async def test_a_kill_between_a_retry_and_its_time_changes_neither(world: World) -> None:
    """A8, A9."""
    await world.report(batch(attempt(1, result=RETRYABLE)))
    due_at_us = await world.value("SELECT due_at_us FROM due")
    for _ in range(3):
        await world.stop()
        await world.start()
    assert await world.value("SELECT due_at_us FROM due") == due_at_us
    world.advance(9.4)
    await eventually(lambda: world.app is not None and world.app.releasing)
    assert world.due == []
    world.advance(0.2)
    (due,) = await world.released(1)
    assert (due.attempt, due.retries_used) == (2, 1)


async def test_a_deferred_delivery_comes_back_with_the_same_number(world: World) -> None:
    await world.report(batch(attempt(1, result=DEFERRED)))
    assert await numbers(world) == []
    for count in range(1, 4):
        world.advance(30)
        due = (await world.released(count))[-1]
        assert (due.attempt, due.retries_used) == (1, 0)
        await world.report(batch(attempt(1, result=DEFERRED if count < 3 else pb.RESULT_DELIVERED)))
    assert await numbers(world) == [(1, pb.RESULT_DELIVERED, True)]
    assert (await summary(world)).delivered_after_retry == 0
    assert await world.value("SELECT count(*) FROM due") == 0


async def test_a_function_that_never_succeeds_is_run_ten_times_and_ends_once(world: World) -> None:
    """A15, with the service's own tables and messages."""
    await world.report(batch(attempt(1, result=RETRYABLE)))
    for count in range(1, 10):
        world.advance(4 * 3600 / 9 if count < 9 else 4 * 3600)
        due = (await world.released(count))[-1]
        now_us = int(world.clock.now().timestamp() * 1_000_000)
        failed = attempt(1, due.attempt, RETRYABLE, retries_used=due.retries_used, ended_at_us=now_us)
        await world.report(batch(failed))
        if await world.value("SELECT count(*) FROM due") == 0:
            break
    assert await world.value("SELECT count(*) FROM attempts WHERE terminal") == 1
    (one,) = (await world.viewer.ListDeliveries(dpb.ListDeliveriesRequest(parent=ACME))).deliveries
    assert (one.state, one.error_type) == (dpb.DELIVERY_STATE_FAILED, pb.ERROR_TYPE_RETRY)
    assert one.error_message == "it broke"


async def test_what_is_lost_while_due_comes_with_the_next_number(world: World) -> None:
    """A6."""
    await world.report(batch(attempt(1, result=RETRYABLE)))
    world.advance(10)
    await world.released(1)
    # Another executor got the message again: the second invocation is lost, the third fails.
    lost = attempt(1, 2, pb.RESULT_LOST, retries_used=1)
    await world.report(batch(lost, attempt(1, 3, RETRYABLE, retries_used=1)))
    world.advance(600)
    due = (await world.released(2))[-1]
    assert (due.attempt, due.retries_used) == (4, 2)


async def test_a_release_whose_message_vanished_is_released_again(database: str, nats_url: str) -> None:
    async with running(database, nats_url, unanswered_after_s=5) as world:
        world.acknowledging = False
        await world.report(batch(attempt(1, result=RETRYABLE)))
        world.advance(10)
        await world.released(1)
        await eventually(lambda: world.value("SELECT release_sequence FROM due"))
        # While its message is there, nothing is released a second time.
        world.advance(20)
        looked = "SELECT released_at_us > $1 FROM due"
        await eventually(lambda: world.value(looked, START_US + 25_000_000))
        assert len(world.due) == 1
        await world.bus.api("STREAM.PURGE.DUE", {})
        world.advance(20)
        due = (await world.released(2))[-1]
        assert (due.attempt, due.retries_used) == (2, 1)
        assert world.due_sequences[0] != world.due_sequences[1]


async def test_a_release_whose_outcome_is_on_its_way_is_not_released_again(database: str, nats_url: str) -> None:
    async with running(database, nats_url, unanswered_after_s=5) as world:
        await world.report(batch(attempt(1, result=RETRYABLE)))
        world.advance(10)
        await world.released(1)
        await eventually(lambda: world.value("SELECT release_sequence FROM due"))
        # Its message is acknowledged, and its outcome is stored and can't be applied.
        lock = await world.hold_workspace("acme")
        sequence = await world.publish(batch(attempt(1, 2, retries_used=1)))
        world.advance(20)
        waiting = "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        await eventually(lambda: world.value(waiting))
        for _ in range(10):
            world.advance(6)
            await world.bus.flush()
            assert await world.value("SELECT released_at_us IS NOT NULL FROM due")
        await lock.close()
        await world.wait_applied(sequence)
        assert await world.value("SELECT count(*) FROM due") == 0
        assert len(world.due) == 1


async def test_a_claim_that_was_not_published_is_released_after_a_restart(database: str, nats_url: str) -> None:
    async with running(database, nats_url, unanswered_after_s=5) as world:
        await world.report(batch(attempt(1, result=RETRYABLE)))
        # As a tracker leaves it that is killed between the claim and the publish.
        await world.rows("UPDATE due SET released_at_us = $1, due_at_us = $1", START_US)
        world.advance(10)
        await world.released(1)


async def test_a_message_of_a_killed_tracker_is_found_and_not_released_twice(database: str, nats_url: str) -> None:
    async with running(database, nats_url, unanswered_after_s=5) as world:
        world.acknowledging = False
        await world.report(batch(attempt(1, result=RETRYABLE)))
        world.advance(10)
        await world.released(1)
        await eventually(lambda: world.value("SELECT release_sequence FROM due"))
        # As a tracker leaves it that is killed between the publish and its confirmation.
        await world.rows("UPDATE due SET release_sequence = NULL")
        world.advance(20)
        await eventually(lambda: world.value("SELECT release_sequence FROM due"))
        await world.rows("UPDATE due SET released_at_us = NULL, release_sequence = NULL, doubtful = true")
        world.advance(1)
        await eventually(lambda: world.value("SELECT release_sequence FROM due"))
        assert len(world.due) == 1


async def test_credit_limits_what_is_out_and_one_mountain_hides_no_grain(world: World) -> None:
    mountain = [attempt(one, result=DEFERRED) for one in range(1, 301)]
    await world.report(batch(*mountain), batch(attempt(301, result=DEFERRED), destination="grain"))
    world.advance(1)
    await eventually(lambda: len(world.due) >= 65)
    out = "SELECT count(*) FROM due WHERE released_at_us IS NOT NULL AND destination = $1"
    assert await world.value(out, "crm") == 64
    assert await world.value(out, "grain") == 1
    # Successes let more out.
    await world.report(batch(*[attempt(one.stream_sequence) for one in world.due if one.destination == "crm"]))
    await eventually(lambda: len(world.due) >= 65 + 128)
    assert await world.value(out, "crm") == 128
    # Failures let less out.
    held = [attempt(one.stream_sequence, result=RETRYABLE) for one in world.due[65:]]
    await world.report(batch(*held))
    await eventually(lambda: len(world.due) >= 65 + 128 + 64)
    assert await world.value(out, "crm") == 64


async def test_ten_thousand_pending_deliveries_are_released_in_rounds(world: World) -> None:
    many = [attempt(one, result=DEFERRED) for one in range(1, 2001)]
    await world.report(*[batch(*many[start : start + 500]) for start in range(0, 2000, 500)])
    world.advance(5)
    seen = 0

    async def answer() -> bool:
        nonlocal seen
        new, seen = world.due[seen:], len(world.due)
        if new:
            await world.report(batch(*[attempt(one.stream_sequence) for one in new]))
        return seen == 2000

    await eventually(answer, timeout_s=30)
    assert (await summary(world)).delivered == 2000
    assert await world.value("SELECT count(*) FROM due") == 0


# --- keeping the tables in shape


async def test_old_partitions_are_dropped_and_new_ones_made(database: str, nats_url: str) -> None:
    async with running(database, nats_url, retention_days=1) as world:
        await world.report(batch(attempt(1)))
        partition = f"attempts_{START:%Y%m%d}"
        assert await world.value(f"SELECT count(*) FROM {partition}") == 1
        await world.stop()
        world.advance_stopped(3 * 86400)
        await world.start()
        assert await world.value("SELECT to_regclass($1) IS NULL", partition)
        assert await world.value("SELECT count(*) FROM attempts") == 0
        assert await world.value("SELECT count(*) FROM rollups") == 0
        assert await world.value("SELECT to_regclass($1) IS NOT NULL", "attempts_20260306")
