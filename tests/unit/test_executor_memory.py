"""How an executor divides its memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from services.executor import app
from services.executor.handlers.places import CHECKS_MAX
from services.executor.handlers.trial_places import TRIAL_BYTES, TRIALS_MAX
from services.executor.settings import Settings

GB = 1 << 30
ALL_BY_HAND = TRIALS_MAX * TRIAL_BYTES + CHECKS_MAX * app.CHECK_BYTES


@pytest.mark.parametrize(("total", "by_hand"), [(64 * GB, ALL_BY_HAND), (4 * GB, GB // 2)])
def test_runs_by_hand_and_checks_have_memory_of_their_own(
    monkeypatch: pytest.MonkeyPatch, total: int, by_hand: int
) -> None:
    monkeypatch.setattr(app, "read_memory", lambda: (0, total))
    unset = cast("Settings", SimpleNamespace(workers_memory_mb=None))
    assert app._workers_memory_bytes(unset) == total // 2 - by_hand
    # What the operator says of deliveries holds.
    assert app._workers_memory_bytes(cast("Settings", SimpleNamespace(workers_memory_mb=300))) == 300 << 20
