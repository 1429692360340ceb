"""Deliveries in words."""

from __future__ import annotations

import pytest

from cli.delivery_text import delivery_row, print_attempts
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
