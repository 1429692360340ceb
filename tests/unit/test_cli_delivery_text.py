"""Deliveries in words."""

from __future__ import annotations

import pytest

from cli.breaker_text import breaker_lines
from cli.delivery_text import delivery_row, print_attempts, print_delivery
from onward.delivery.v1 import breakers_pb2
from onward.delivery.v1 import delivery_service_pb2 as pb
from onward.executor.v1 import outcomes_pb2 as o


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (o.RESULT_DELIVERED, "of successes, a sample is kept"),
        (o.RESULT_LOST, "its executor ended before it could tell"),
        (o.RESULT_RETRYABLE, "nothing was captured"),
    ],
)
def test_an_attempt_without_detail_says_why(
    capsys: pytest.CaptureFixture[str], result: o.Result.ValueType, told: str
) -> None:
    print_attempts([pb.DeliveryAttempt(number=1, function="functions/alerts", version=2, result=result)])
    out = capsys.readouterr().out
    assert out.rstrip().endswith(told)
    assert ("0.0 ms" in out) == (result != o.RESULT_LOST)


@pytest.mark.parametrize(
    ("error_type", "why"), [(o.ERROR_TYPE_RETRY, "retry; next attempt "), (o.ERROR_TYPE_UNSPECIFIED, "next attempt ")]
)
def test_what_waits_is_listed_with_when_it_goes_on(error_type: o.ErrorType.ValueType, why: str) -> None:
    one = pb.Delivery(name="d", state=pb.DELIVERY_STATE_PENDING, error_type=error_type)
    one.next_attempt_time.FromSeconds(1_700_000_000)
    assert str(delivery_row(one, wide=False)[-1]).startswith(why)
    assert "next attempt " in str(delivery_row(one, wide=True)[-1])


def test_what_used_up_its_retries_is_told_from_what_may_not_be_retried() -> None:
    failed = pb.Delivery(name="d", state=pb.DELIVERY_STATE_FAILED, error_type=o.ERROR_TYPE_RETRY)
    assert delivery_row(failed, wide=False)[-2:] == ("failed", "retry")
    failed.reason = "exhausted"
    assert delivery_row(failed, wide=False)[-2:] == ("exhausted", "retry")


@pytest.mark.parametrize("wide", [False, True])
def test_what_is_held_back_says_by_what_and_promises_no_time(wide: bool) -> None:
    one = pb.Delivery(name="d", state=pb.DELIVERY_STATE_PENDING, reason="breaker_open")
    one.next_attempt_time.FromSeconds(1_700_000_000)
    assert delivery_row(one, wide=wide)[-1] == "held back by its breaker"


def test_an_open_breaker_is_told_with_the_command_that_closes_it() -> None:
    crm = pb.DestinationSummary(destination="workspaces/acme/destinations/crm")
    other = pb.DestinationSummary(destination="workspaces/acme/destinations/other")
    crm.breaker.state = breakers_pb2.BREAKER_STATE_OPEN
    (line,) = breaker_lines(pb.GetSummaryResponse(destinations=[crm, other]))
    assert line.startswith("crm: nearly all deliveries failed, so its circuit breaker is open since ")
    assert "the next probes go out" in line
    assert "onward deliveries breaker reset crm" in line
    crm.breaker.state = breakers_pb2.BREAKER_STATE_HALF_OPEN
    (line,) = breaker_lines(pb.GetSummaryResponse(destinations=[crm]))
    assert "as probes" in line


def test_a_delivery_that_is_held_back_is_shown_with_by_what_and_not_with_a_time_that_has_passed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    one = pb.Delivery(name="d", state=pb.DELIVERY_STATE_PENDING, reason="breaker_open")
    one.next_attempt_time.FromSeconds(1_700_000_000)
    print_delivery(one)
    out = capsys.readouterr().out
    assert "held back by its breaker" in out
    assert "2023-11-14" not in out


@pytest.mark.parametrize("wide", [False, True])
def test_what_was_dropped_says_by_what(capsys: pytest.CaptureFixture[str], wide: bool) -> None:
    one = pb.Delivery(name="d", state=pb.DELIVERY_STATE_FILTERED, reason="duplicate")
    assert delivery_row(one, wide=wide)[-1] == "duplicate"
    print_delivery(one)
    assert "duplicate" in capsys.readouterr().out
