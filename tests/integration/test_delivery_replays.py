"""Events are run again out of their stream, at a rate, as deliveries of their own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest

from kit.errors import LimitReached, NotFound, RequestIdReused, WrongState
from kit.testing.eventually import eventually
from onward.delivery.v1 import delivery_service_pb2 as dpb
from onward.delivery.v1 import internal_service_pb2 as lookup
from onward.delivery.v1 import replay_service_pb2 as pb
from onward.executor.v1 import outcomes_pb2 as opb
from services.delivery.domain.replays import INDEXES
from services.delivery.handlers import replay_runner, replays
from tests.integration.delivery_world import batch
from tests.integration.replay_world import (
    ACME,
    CANCELLED,
    CRM,
    FINISHED,
    ReplayWorld,
    Selection,
    replaying,
    totals_match_rows,
    track,
)

pytestmark = pytest.mark.integration


def references(due: Sequence[opb.DueDelivery]) -> set[tuple[int, int]]:
    return {(one.stream_sequence, one.index) for one in due}


async def test_each_event_of_the_source_makes_a_delivery_of_its_own(database: str, nats_url: str) -> None:
    """A19: no dedup collision with originals."""
    async with replaying(database, nats_url) as ours:
        world = ours.world
        await ours.publish(track(1), track(2))
        await ours.publish(track(3), source="ios")
        await ours.publish({"type": "track", "userId": "u"}, {"batch": [track(4), {"type": "?"}, track(5)]})
        await ours.report(opb.RESULT_DELIVERED, 1, 2)
        made = await ours.create(rate_per_second=1000)
        assert (made.preview.count, made.preview.is_estimate) == (4, False)
        due = await ours.released_in_time(4)
        assert references(due) == {(1, INDEXES), (2, INDEXES), (5, INDEXES), (5, INDEXES + 2)}
        assert {(one.attempt, one.retries_used, one.replay) for one in due} == {(1, 0, "r1")}
        assert sorted(one.message_id for one in due) == ["m1", "m2", "m4", "m5"]
        assert all(b'"receivedAt"' in one.event for one in due)
        await ours.answer_all(due)
        found = await ours.reached(made.replay, FINISHED)
        assert (found.taken_up, found.delivered) == (4, 4)
        await totals_match_rows(world)
        # Neither is a duplicate of the other, and the messageId finds both.
        assert await world.value("SELECT count(*) FROM attempts WHERE duplicate") == 0
        answer = await world.viewer.ListDeliveries(dpb.ListDeliveriesRequest(parent=ACME, message_id="m1"))
        assert [(one.state, one.replay) for one in answer.deliveries] == [
            (dpb.DELIVERY_STATE_DELIVERED, f"{ACME}/replays/r1"),
            (dpb.DELIVERY_STATE_DELIVERED, ""),
        ]
        assert await ours.facts() == ["ReplayCreated", "ReplayFinished"]


async def test_replayed_deliveries_are_not_taken_for_the_original(database: str, nats_url: str) -> None:
    async with replaying(database, nats_url) as ours:
        await ours.publish(track(1))
        await ours.create()
        (due,) = await ours.world.released(1)
        await ours.answer(due)
        for index, expected in ((0, []), (due.index, [due.index])):
            event = lookup.EventReference(stream_sequence=1, index=index)
            found = await ours.world.internal.LookupOutcomes(
                lookup.LookupOutcomesRequest(workspace="acme", events=[event])
            )
            assert [one.event.index for one in found.outcomes] == expected


async def test_a_replay_of_what_is_replayed_has_indexes_of_its_own(database: str, nats_url: str) -> None:
    async with replaying(database, nats_url) as ours:
        await ours.publish(track(1))
        for number in (1, 2):
            made = await ours.create()
            await ours.answer((await ours.world.released(number))[-1])
            await ours.reached(made.replay, FINISHED)
        assert references(ours.world.due) == {(1, INDEXES), (1, 2 * INDEXES)}


async def test_only_events_of_the_selection_are_taken_up(database: str, nats_url: str) -> None:
    async with replaying(database, nats_url) as ours:
        await ours.publish(track(1), track(2, event="Signed Up"), {"type": "page", "userId": "u"}, track(4, userId="v"))
        await ours.report(opb.RESULT_SKIPPED, 1)
        await ours.report(opb.RESULT_DELIVERED, 2, 3, 4)
        times = await ours.world.rows("SELECT received_at_us FROM attempts ORDER BY stream_sequence")
        assert len(times) == 4
        for selection, expected in (
            (Selection(event_names=["Signed Up"]), 1),
            (Selection(types=[opb.EVENT_TYPE_TRACK]), 3),
            (Selection(types=[opb.EVENT_TYPE_PAGE]), 1),
            (Selection(condition='userId = "v"'), 1),
            (Selection(condition='userId = "v"', types=[opb.EVENT_TYPE_PAGE]), 0),
            (Selection(), 4),
        ):
            assert (await ours.create(selection, validate_only=True)).preview.count == expected, selection
        await ours.create(Selection(condition='userId = "v"'))
        (due,) = await ours.world.released(1)
        assert due.message_id == "m4"


async def test_only_events_of_the_time_range_are_taken_up(database: str, nats_url: str) -> None:
    async with replaying(database, nats_url) as ours:
        await ours.publish(track(1))
        await ours.publish(track(2))
        await ours.publish(track(3))
        page = await ours.stored()
        selection = Selection()
        selection.start_time.FromMicroseconds(page[1])
        selection.end_time.FromMicroseconds(page[2])
        await ours.create(selection)
        (due,) = await ours.world.released(1)
        assert due.message_id == "m2"
        await eventually(lambda: ended(ours))
        assert len(ours.world.due) == 1


async def ended(ours: ReplayWorld) -> bool:
    return bool(await ours.world.value("SELECT state FROM replays") > 1)


async def test_events_whose_delivery_was_skipped_are_replayed_and_stay_skipped(database: str, nats_url: str) -> None:
    async with replaying(database, nats_url) as ours:
        await ours.publish(*(track(number) for number in range(1, 5)))
        received = await ours.stored()
        for sequence, result in ((1, opb.RESULT_SKIPPED), (2, opb.RESULT_DELIVERED), (3, opb.RESULT_SKIPPED)):
            await ours.report(result, sequence, received_at_us=received[sequence - 1])
        selection = Selection(states=[dpb.DELIVERY_STATE_SKIPPED])
        made = await ours.create(selection, rate_per_second=1000)
        assert made.preview.count == 2
        due = await ours.released_in_time(2)
        assert {one.stream_sequence for one in due} == {1, 3}
        await ours.answer_all(due)
        await ours.reached(made.replay, FINISHED)
        await totals_match_rows(ours.world)
        states = await ours.world.rows("SELECT state, count(*) FROM attempts GROUP BY 1 ORDER BY 1")
        assert [tuple(row) for row in states] == [
            (dpb.DELIVERY_STATE_DELIVERED, 3), (dpb.DELIVERY_STATE_SKIPPED, 2)
        ]  # fmt: skip


async def test_deliveries_are_made_due_at_the_rate_and_never_far_ahead(database: str, nats_url: str) -> None:
    async with replaying(database, nats_url) as ours:
        await ours.publish(*(track(number) for number in range(60)))
        began_us = ours.now_us
        await ours.create(rate_per_second=10)
        await eventually(lambda: taken(ours, 20))
        times = await ours.world.rows("SELECT due_at_us FROM due ORDER BY stream_sequence")
        assert [row[0] for row in times] == [began_us + 100_000 * number for number in range(20)]
        ours.world.advance(1)
        await eventually(lambda: taken(ours, 30))
        for count in (40, 50, 60):
            ours.world.advance(1)
            await eventually(partial(taken, ours, count))
        times = await ours.world.rows("SELECT due_at_us FROM due ORDER BY stream_sequence")
        assert [row[0] for row in times] == [began_us + 100_000 * number for number in range(60)]


async def taken(ours: ReplayWorld, count: int) -> bool:
    return bool(await ours.world.value("SELECT taken_up FROM replays") == count)


async def test_live_retries_go_before_what_is_replayed(database: str, nats_url: str) -> None:
    """A19"""
    async with replaying(database, nats_url) as ours:
        world = ours.world
        await ours.publish(*(track(number) for number in range(200)))
        await ours.report(opb.RESULT_RETRYABLE, 500)
        # All credit is out, so what comes after waits: 64 at first.
        await ours.create(rate_per_second=10_000)
        await eventually(lambda: taken(ours, 200))
        world.advance(30)
        await eventually(lambda: len(world.due) >= 64)
        assert 500 in {one.stream_sequence for one in world.due[:65]}


async def test_a_cancelled_replay_ends_what_waits_and_what_is_out_is_not_tried_again(
    database: str, nats_url: str
) -> None:
    async with replaying(database, nats_url) as ours:
        await ours.publish(*(track(number) for number in range(100)))
        made = await ours.create(rate_per_second=10)
        await eventually(lambda: taken(ours, 20))
        (due,) = await ours.world.released(1)
        await ours.stub.CancelReplay(pb.CancelReplayRequest(name=made.replay.name))
        with pytest.raises(WrongState):
            await ours.stub.CancelReplay(pb.CancelReplayRequest(name=made.replay.name))
        await ours.answer(due, opb.RESULT_RETRYABLE)
        found = await ours.reached(made.replay, CANCELLED)
        assert (found.taken_up, found.cancelled, found.reason) == (20, 20, "cancelled")
        assert await ours.world.value("SELECT count(*) FROM due") == 0
        await totals_match_rows(ours.world)
        assert await ours.facts() == ["ReplayCreated", "ReplayCancelled"]


async def test_a_restart_in_the_middle_of_a_packed_message_takes_up_each_event_once(
    database: str, nats_url: str
) -> None:
    async with replaying(database, nats_url) as ours:
        world = ours.world
        await ours.publish({"batch": [track(number) for number in range(60)]}, track(60))
        made = await ours.create(rate_per_second=5)
        for _ in range(3):
            await eventually(lambda: some_taken(ours))
            await world.stop()
            world.advance_stopped(2)
            await world.start()
        due = await ours.released_in_time(61)
        assert sorted(one.message_id for one in due) == sorted(f"m{number}" for number in range(61))
        await ours.answer_all(due)
        found = await ours.reached(made.replay, FINISHED)
        assert (found.scanned, found.taken_up, found.delivered) == (61, 61, 61)


async def some_taken(ours: ReplayWorld) -> bool:
    return bool(await ours.world.value("SELECT taken_up FROM replays") > 0)


async def test_whoever_watches_sees_it_come_further_until_it_has_ended(database: str, nats_url: str) -> None:
    async with replaying(database, nats_url) as ours:
        await ours.publish(track(1))
        made = await ours.create()
        seen: list[tuple[int, int]] = []
        async for one in ours.stub.WatchReplay(pb.WatchReplayRequest(name=made.replay.name)):
            seen.append((one.replay.taken_up, one.replay.delivered))
            if seen[-1] == (1, 0):
                await ours.answer((await ours.world.released(1))[0])
        assert seen == sorted(seen)
        assert seen[-1] == (1, 1)


async def test_a_repeated_request_makes_one_replay(database: str, nats_url: str) -> None:
    """A3"""
    async with replaying(database, nats_url) as ours:
        await ours.publish(track(1))
        first = await ours.create(request_id="r1")
        assert (await ours.create(request_id="r1")).replay == first.replay
        with pytest.raises(RequestIdReused):
            await ours.create(Selection(event_names=["x"]), request_id="r1")
        assert await ours.world.value("SELECT count(*) FROM replays") == 1


async def test_there_is_a_bound_to_replays_that_run(
    database: str, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replays, "ACTIVE_MAX", 1)
    async with replaying(database, nats_url) as ours:
        await ours.publish(track(1))
        await ours.create()
        with pytest.raises(LimitReached):
            await ours.create()


async def test_one_that_goes_on_for_long_keeps_no_other_from_being_looked_at(
    database: str, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_runner, "ACTIVE_READ_MAX", 1)
    async with replaying(database, nats_url) as ours:
        await ours.publish(*(track(number) for number in range(60)))
        await ours.create(rate_per_second=1)
        other = await ours.create(Selection(event_names=["Nothing"]))
        await ours.reached(other.replay, FINISHED)


async def test_a_replay_of_nothing_ends_and_one_that_is_not_there_is_not_found(database: str, nats_url: str) -> None:
    async with replaying(database, nats_url) as ours:
        made = await ours.create()
        assert made.preview.count == 0
        await ours.reached(made.replay, FINISHED)
        with pytest.raises(NotFound):
            await ours.stub.GetReplay(pb.GetReplayRequest(name=f"{ACME}/replays/r99"))


async def test_what_a_replay_made_can_be_redriven(database: str, nats_url: str) -> None:
    async with replaying(database, nats_url) as ours:
        await ours.publish(track(1))
        await ours.create()
        (due,) = await ours.world.released(1)
        await ours.answer(due, opb.RESULT_FAILED, detail=opb.AttemptDetail(event=due.event))
        ours.world.advance(1)
        await ours.redrive()
        again = (await ours.world.released(2))[1]
        assert (again.index, again.attempt, again.replay) == (due.index, 2, "r2")
        await ours.world.report(batch(ours.answered(again)))
        shown = await ours.delivery(1, due.index)
        assert [one.replay for one in shown.attempts] == [f"{ACME}/replays/r1", f"{ACME}/replays/r2"]
        listed = await ours.stub.ListReplays(pb.ListReplaysRequest(parent=CRM, page_size=1))
        assert (listed.replays[0].name, bool(listed.next_page_token)) == (f"{ACME}/replays/r2", True)
