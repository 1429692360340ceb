"""What replays take up, how fast, and what names their deliveries have."""

from __future__ import annotations

import pytest

from kit.errors import InvalidArgument
from kit.events import BATCH_EVENTS_MAX
from onward.delivery.v1 import delivery_service_pb2 as dpb
from onward.delivery.v1 import replays_pb2 as pb
from onward.executor.v1 import outcomes_pb2 as opb
from services.delivery.domain import replays
from services.delivery.domain.identity import delivery_id, parse_delivery_id
from services.delivery.domain.replays import Selection

SECOND = 1_000_000


def test_no_delivery_of_a_replay_has_the_index_of_another_or_of_an_original() -> None:
    """A19"""
    assert replays.INDEXES >= BATCH_EVENTS_MAX
    made = {replays.replayed_index(number, index) for number in range(4) for index in (0, 1, BATCH_EVENTS_MAX - 1)}
    assert len(made) == 12
    for number in (1, 7, replays.NUMBER_MAX):
        index = replays.replayed_index(number, 2499)
        assert (replays.made_by(index), replays.event_index_of(index)) == (number, 2499)
        # It fits into the column, and into the delivery's name.
        assert index < 2**31
        assert parse_delivery_id(delivery_id(2**40, index, "crm"))[0] == (2**40, index)


def test_deliveries_are_spread_evenly_and_go_on_where_the_last_ones_ended() -> None:
    times, after = replays.due_times(4, 0, 10 * SECOND, 3)
    assert (times, after) == ([10 * SECOND, 10_250_000, 10_500_000], 10_750_000)
    assert replays.due_times(4, after, 10 * SECOND, 1) == ([10_750_000], 11 * SECOND)
    # What was not taken up in time is not made up for.
    assert replays.due_times(4, after, 60 * SECOND, 1)[0] == [60 * SECOND]
    # A clock that was turned back is not waited for.
    assert replays.due_times(4, 3600 * SECOND, 60 * SECOND, 1) == ([60 * SECOND], 60_250_000)
    assert replays.due_times(0.01, 150 * SECOND, 60 * SECOND, 1) == ([150 * SECOND], 250 * SECOND)


def test_a_rate_at_which_nothing_would_ever_end_is_refused() -> None:
    for rate in (0, 0.01, 10_000):
        replays.require_rate(rate)
    for rate in (1e-300, 0.009):
        with pytest.raises(InvalidArgument, match="rate_per_second"):
            replays.require_rate(rate)


@pytest.mark.parametrize(
    ("rate", "next_at_us", "waiting", "expected"),
    [
        (10, 0, 0, 20),
        (10, 11 * SECOND, 0, 10),
        (10, 12 * SECOND, 0, 0),
        (10_000, 0, 0, 250),
        (10_000, 0, replays.AHEAD_MAX - 7, 7),
        (10_000, 0, replays.AHEAD_MAX + 7, 0),
        (0.5, 0, 0, 1),
        # Not even one in two seconds.
        (0.01, 0, 0, 1),
        (0.01, 60 * SECOND, 0, 0),
        # The clock was turned back by an hour.
        (10, 3610 * SECOND, 0, 20),
        (0.01, 3610 * SECOND, 0, 1),
    ],
)
def test_no_more_is_taken_up_than_is_due_soon_and_may_wait(
    rate: float, next_at_us: int, waiting: int, expected: int
) -> None:
    assert replays.room(rate, next_at_us, 10 * SECOND, waiting, 250) == expected


def test_an_event_is_wanted_where_all_of_the_selection_is_true_of_it() -> None:
    asked = pb.ReplaySelection(types=[opb.EVENT_TYPE_TRACK], event_names=["A", "B"], condition="userId = 'u'")
    selection = Selection.of(asked)
    assert selection.wants(opb.EVENT_TYPE_TRACK, "B", {"userId": "u"})
    assert not selection.wants(opb.EVENT_TYPE_PAGE, "", {"userId": "u"})
    assert not selection.wants(opb.EVENT_TYPE_TRACK, "C", {"userId": "u"})
    assert not selection.wants(opb.EVENT_TYPE_TRACK, "A", {"userId": "v"})
    assert Selection.of(pb.ReplaySelection()).everything
    assert Selection.of(pb.ReplaySelection(condition="all")).everything


def test_a_selection_that_says_nothing_about_its_kind_is_refused() -> None:
    for selection, kind in (
        (pb.ReplaySelection(error_types=[opb.ERROR_TYPE_RETRY]), pb.REPLAY_KIND_REPLAY),
        (pb.ReplaySelection(http_statuses=[503]), pb.REPLAY_KIND_REPLAY),
        (pb.ReplaySelection(states=[dpb.DELIVERY_STATE_FAILED]), pb.REPLAY_KIND_REDRIVE),
        (pb.ReplaySelection(states=[dpb.DELIVERY_STATE_PENDING]), pb.REPLAY_KIND_REPLAY),
    ):
        with pytest.raises(InvalidArgument):
            replays.require_selection(selection, kind)


@pytest.mark.parametrize("text", ["", "r", "1", "rx", "r-1", "r12345678901"])
def test_what_is_no_replays_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        replays.parse_replay_id(text)
