"""Failed deliveries are tried again, in bulk, as the deliveries that they are."""

from __future__ import annotations

from typing import Any

import pytest

from kit.auth.demand import EVERYTHING, Subset
from kit.errors import InvalidArgument, PermissionDenied, Unavailable, WrongState
from kit.testing.eventually import eventually
from onward.delivery.v1 import acts_pb2
from onward.delivery.v1 import delivery_service_pb2 as dpb
from onward.delivery.v1 import replay_service_pb2 as pb
from onward.executor.v1 import outcomes_pb2 as opb
from services.delivery.domain.identity import delivery_id
from services.delivery.handlers import replay_slices
from tests.integration.replay_world import (
    ACME,
    CANCELLED,
    CRM,
    DELIVERING,
    FINISHED,
    ReplayWorld,
    Selection,
    replaying,
    totals_match_rows,
    track,
)

pytestmark = pytest.mark.integration


async def test_what_failed_goes_on_as_the_same_delivery_and_all_numbers_agree(database: str, nats_url: str) -> None:
    async with replaying(database, nats_url) as ours:
        world = ours.world
        await ours.report_failed(1, 2, 3)
        await ours.report(opb.RESULT_DELIVERED, 4)
        made = await ours.redrive(rate_per_second=1000)
        assert (made.preview.count, made.preview.is_estimate, made.replay.total) == (3, False, 3)
        await ours.released_in_time(3)
        due = world.due
        assert {(one.stream_sequence, one.attempt, one.retries_used, one.replay) for one in due} == {
            (1, 2, 0, "r1"), (2, 2, 0, "r1"), (3, 2, 0, "r1"),
        }  # fmt: skip
        pending = (await ours.delivery(1)).delivery
        assert (pending.state, pending.replay) == (dpb.DELIVERY_STATE_PENDING, f"{ACME}/replays/r1")
        await totals_match_rows(world)
        await ours.answer(due[0])
        await ours.answer(due[1], opb.RESULT_FAILED)
        await ours.answer(due[2], opb.RESULT_RETRYABLE)
        await totals_match_rows(world)
        found = await ours.reached(made.replay, DELIVERING)
        assert (found.taken_up, found.delivered, found.failed) == (3, 1, 1)
        # The horizon began anew: it has all of its retries.
        world.advance(12)
        again = (await world.released(4))[3]
        assert (again.attempt, again.retries_used, again.replay) == (3, 1, "r1")
        await ours.answer(again)
        found = await ours.reached(made.replay, FINISHED)
        assert (found.delivered, found.failed) == (2, 1)
        await totals_match_rows(world)
        assert await ours.facts() == ["ReplayCreated", "ReplayFinished"]
        shown = await ours.delivery(due[0].stream_sequence)
        assert [(one.number, one.result, one.replay) for one in shown.attempts] == [
            (1, opb.RESULT_FAILED, ""), (2, opb.RESULT_DELIVERED, f"{ACME}/replays/r1"),
        ]  # fmt: skip


async def test_only_what_is_selected_is_redriven(database: str, nats_url: str) -> None:
    async with replaying(database, nats_url) as ours:
        busy = opb.AttemptDetail(event=b'{"properties":{"plan":"pro"}}', error_message="busy", http_status=503)
        await ours.report_failed(1, error_type=opb.ERROR_TYPE_MESSAGE_REJECTED)
        await ours.report_failed(2, error_type=opb.ERROR_TYPE_TIMEOUT)
        await ours.report_failed(3, detail=busy)
        await ours.report_failed(4, type=opb.EVENT_TYPE_PAGE, event_name="")
        await ours.report_failed(5, event_name="Signed Up")
        group = (await ours.delivery(3)).attempts[0].error_group
        for selection, expected in (
            (Selection(error_types=[opb.ERROR_TYPE_TIMEOUT]), 1),
            (Selection(error_types=[opb.ERROR_TYPE_TIMEOUT, opb.ERROR_TYPE_MESSAGE_REJECTED]), 2),
            (Selection(http_statuses=[503]), 1),
            (Selection(types=[opb.EVENT_TYPE_PAGE]), 1),
            (Selection(event_names=["Signed Up"]), 1),
            (Selection(error_groups=[group]), 1),
            (Selection(condition='properties.plan = "pro"'), 1),
            (Selection(), 5),
        ):
            counted = await ours.redrive(selection, validate_only=True)
            assert (counted.preview.count, counted.HasField("replay")) == (expected, False), selection
        await ours.redrive(Selection(condition='properties.plan = "pro"', error_groups=[group]))
        (due,) = await ours.world.released(1)
        assert due.stream_sequence == 3


async def test_a_condition_or_a_selection_that_says_nothing_is_refused(database: str, nats_url: str) -> None:
    async with replaying(database, nats_url) as ours:
        for selection in (
            Selection(condition="properties ="),
            Selection(states=[dpb.DELIVERY_STATE_FAILED]),
            Selection(error_groups=["none"]),
        ):
            with pytest.raises(InvalidArgument):
                await ours.redrive(selection)
        with pytest.raises(InvalidArgument):
            await ours.create(Selection(error_types=[opb.ERROR_TYPE_TIMEOUT]))


async def test_what_a_cancelled_redrive_has_not_attempted_is_failed_as_before(database: str, nats_url: str) -> None:
    async with replaying(database, nats_url) as ours:
        await ours.report_failed(*range(1, 21))
        # Two seconds ahead of the clock are taken up, and what is due goes.
        made = await ours.redrive(rate_per_second=5)
        (due,) = await ours.world.released(1)
        await eventually(lambda: taken_up(ours, 10))
        await ours.stub.CancelReplay(pb.CancelReplayRequest(name=made.replay.name))
        await ours.answer(due, opb.RESULT_RETRYABLE)
        found = await ours.reached(made.replay, CANCELLED)
        assert (found.taken_up, found.given_back, found.cancelled) == (10, 9, 1)
        await totals_match_rows(ours.world)
        again = await ours.redrive(validate_only=True)
        assert again.preview.count == 19
        assert await ours.facts() == ["ReplayCreated", "ReplayCancelled"]
        assert (await ours.delivery(due.stream_sequence)).delivery.state == dpb.DELIVERY_STATE_CANCELLED


async def test_a_slice_that_fails_before_its_place_is_stored_is_taken_up_once(
    database: str, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([True, True, False, True])
    advance = replay_slices._advance

    async def dying(*args: Any, **kwargs: Any) -> None:
        if next(failures, False):
            raise Unavailable("the tracker died here")
        await advance(*args, **kwargs)

    monkeypatch.setattr(replay_slices, "_advance", dying)
    async with replaying(database, nats_url) as ours:
        await ours.report_failed(*range(1, 31))
        made = await ours.redrive(rate_per_second=5)
        await ours.released_in_time(30)
        assert len({one.stream_sequence for one in ours.world.due}) == 30
        assert (await ours.get(made.replay)).taken_up == 30
        await totals_match_rows(ours.world)


async def taken_up(ours: ReplayWorld, count: int) -> bool:
    return bool(await ours.world.value("SELECT taken_up FROM replays") == count)


async def test_a_tracker_that_dies_in_the_middle_takes_up_nothing_twice_and_misses_nothing(
    database: str, nats_url: str
) -> None:
    async with replaying(database, nats_url) as ours:
        world = ours.world
        await ours.report_failed(*range(1, 41))
        made = await ours.redrive(rate_per_second=5)
        for _ in range(4):
            await world.stop()
            world.advance_stopped(1)
            await world.start()
        await ours.released_in_time(40)
        assert len({one.stream_sequence for one in world.due}) == 40
        await ours.answer_all(world.due)
        found = await ours.reached(made.replay, FINISHED)
        assert (found.taken_up, found.delivered) == (40, 40)
        await totals_match_rows(world)


async def test_a_failed_delivery_is_tried_again_by_hand_with_a_schedule_that_begins_anew(
    database: str, nats_url: str
) -> None:
    async with replaying(database, nats_url) as ours:
        await ours.report_failed(1)
        name = f"{ACME}/deliveries/{delivery_id(1, 0, 'crm')}"
        await ours.world.viewer.RetryDelivery(acts_pb2.RetryDeliveryRequest(name=name))
        (due,) = await ours.world.released(1)
        assert (due.attempt, due.retries_used, due.replay) == (2, 0, "")
        await totals_match_rows(ours.world)
        await ours.answer(due)
        assert (await ours.delivery(1)).delivery.state == dpb.DELIVERY_STATE_DELIVERED
        with pytest.raises(WrongState, match="not failed"):
            await ours.world.viewer.RetryDelivery(acts_pb2.RetryDeliveryRequest(name=name))


async def test_a_replays_delivery_that_is_tried_again_by_hand_counts_by_how_it_ends_then(
    database: str, nats_url: str
) -> None:
    async with replaying(database, nats_url) as ours:
        await ours.publish(track(1))
        made = await ours.create()
        (due,) = await ours.world.released(1)
        detail = opb.AttemptDetail(event=due.event, error_message="no")
        await ours.answer(due, opb.RESULT_FAILED, error_type=opb.ERROR_TYPE_BAD_REQUEST, detail=detail)
        found = await ours.reached(made.replay, FINISHED)
        assert (found.taken_up, found.delivered, found.failed) == (1, 0, 1)
        name = f"{ACME}/deliveries/{delivery_id(1, due.index, 'crm')}"
        await ours.world.viewer.RetryDelivery(acts_pb2.RetryDeliveryRequest(name=name))
        _, again = await ours.world.released(2)
        assert (again.attempt, again.replay) == (2, "r1")
        await ours.answer(again)
        found = await ours.get(made.replay)
        assert (found.taken_up, found.delivered, found.failed) == (1, 1, 0)
        await totals_match_rows(ours.world)


async def test_a_disabled_or_disconnected_destination_is_refused_and_counted_nevertheless(
    database: str, nats_url: str
) -> None:
    async with replaying(database, nats_url) as ours:
        await ours.report_failed(1)
        await ours.connect(enabled=False)
        with pytest.raises(WrongState, match="is disabled"):
            await ours.redrive()
        assert (await ours.redrive(validate_only=True)).preview.count == 1
        await ours.execute("DELETE FROM connections")
        with pytest.raises(WrongState, match="not connected"):
            await ours.redrive()


async def test_a_redrive_waits_while_its_destination_is_disabled_and_ends_when_it_goes(
    database: str, nats_url: str
) -> None:
    async with replaying(database, nats_url) as ours:
        await ours.report_failed(*range(1, 21))
        made = await ours.redrive(rate_per_second=5)
        await eventually(lambda: taken_up(ours, 10))
        await ours.connect(enabled=False)
        ours.world.advance(1)

        async def waits() -> bool:
            return (await ours.get(made.replay)).reason == "destination_disabled"

        await eventually(waits)
        assert await taken_up(ours, 10)
        await ours.execute("DELETE FROM connections")
        await eventually(lambda: is_cancelling(ours))
        await ours.answer_all(ours.world.due)
        found = await ours.reached(made.replay, CANCELLED)
        assert found.reason == "destination_disconnected"


async def is_cancelling(ours: ReplayWorld) -> bool:
    return bool(await ours.world.value("SELECT count(*) FROM due WHERE released_at_us IS NULL") == 0)


@pytest.mark.parametrize(
    ("functions", "sources"), [(Subset.of(["other"]), EVERYTHING), (EVERYTHING, Subset.of(["other"]))]
)
async def test_whoever_has_not_both_roles_neither_sees_nor_ends_it(
    database: str, nats_url: str, functions: Subset, sources: Subset
) -> None:
    """H1"""
    async with replaying(database, nats_url) as ours:
        await ours.report_failed(1)
        made = await ours.redrive()
        somebody = ours.partial(functions, sources)
        with pytest.raises(PermissionDenied):
            await somebody.CancelReplay(pb.CancelReplayRequest(name=made.replay.name))
        listed = await somebody.ListReplays(pb.ListReplaysRequest(parent=ACME))
        assert len(listed.replays) == (1 if sources.all else 0)
        listed = await ours.stub.ListReplays(pb.ListReplaysRequest(parent=CRM))
        assert [one.name for one in listed.replays] == [made.replay.name]


async def test_what_was_exhausted_and_goes_on_counts_as_exhausted_no_more(database: str, nats_url: str) -> None:
    async with replaying(database, nats_url) as ours:
        # It ended by the schedule, each of its retries used up.
        await ours.report(
            opb.RESULT_RETRYABLE, 1, 2, number=10, retries_used=9, error_type=opb.ERROR_TYPE_BAD_REQUEST,
            detail=opb.AttemptDetail(event=b'{"type":"track"}', error_message="busy"),
        )  # fmt: skip
        await totals_match_rows(ours.world)
        assert await ours.world.value("SELECT sum(count)::int FROM reason_rollups WHERE reason = 'exhausted'") == 2
        made = await ours.redrive(rate_per_second=1)
        (due,) = await ours.world.released(1)
        await eventually(lambda: taken_up(ours, 2))
        await totals_match_rows(ours.world)
        await ours.answer(due)
        await ours.stub.CancelReplay(pb.CancelReplayRequest(name=made.replay.name))
        # The other one is given back, as it was.
        await ours.reached(made.replay, CANCELLED)
        await totals_match_rows(ours.world)
        assert await ours.world.value("SELECT sum(count)::int FROM hour_reason_rollups") == 1
