"""What the executor reports of its attempts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from kit.clock import FakeClock
from services.executor.domain.errors import DEFERRED, DELIVERED, GATHERING, Verdict
from services.executor.handlers.settle import OutcomeLog
from services.executor.handlers.work import Run
from tests.integration.telemetry_probe import SAMPLED, item


@pytest.mark.parametrize(
    ("verdict", "given", "fresh"),
    [
        (DEFERRED, {}, True),
        (GATHERING, {}, True),
        (DELIVERED, {}, False),
        # Its message came before, and somebody may have begun it; the tracker had it already.
        (DEFERRED, {"attempt": 2}, False),
        (DEFERRED, {"released": True}, False),
    ],
)
def test_only_what_is_held_back_at_its_first_coming_needs_no_look(
    verdict: Verdict, given: dict[str, Any], fresh: bool
) -> None:
    outcomes = OutcomeLog(cast(Any, None), cast(Any, None), FakeClock())
    outcomes.record(replace(item(SAMPLED), **given), verdict, Run(3, 7))
    (batch,) = outcomes._open.values()
    assert [one.fresh for one in batch.message.destinations[0].attempts] == [fresh]
