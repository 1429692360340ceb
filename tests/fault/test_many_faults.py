"""The harness for a minute: every process is killed at least once under load, some are stopped for a while."""

from __future__ import annotations

import pytest

from tests.fault.harness import run
from tests.fault.schedule import PARTS, faults

pytestmark = [pytest.mark.fault]

# Within a minute.
KILLS = 55
GAP_MEAN_S = 0.6
SEED = 20


@pytest.mark.timeout(400)
async def test_no_sequence_of_kills_and_stops_loses_repeats_or_invents_an_event() -> None:
    """A1, A6, A9, A11, B3, B14: 55 restarts in a minute, each one into the recovery of the one before."""
    figures, wrong = await run(SEED, KILLS, gap_mean_s=GAP_MEAN_S)
    assert not wrong, figures
    assert all(figures[f"kills_{part}"] for part in PARTS)
    assert figures["acknowledged"] > 5_000, figures


def test_a_schedule_is_the_same_for_the_same_seed() -> None:
    assert list(faults(5, 50)) == list(faults(5, 50)) != list(faults(6, 50))
    assert {fault.part for fault in faults(5, len(PARTS)) if not fault.pause_s} == set(PARTS)
