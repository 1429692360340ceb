"""Deliveries in words."""

from __future__ import annotations

import pytest

from cli.delivery_text import print_attempts
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
