"""The harness for a minute: every process is killed at least once under load, some are stopped for a while."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from tests.fault import checker
from tests.fault.harness import run
from tests.fault.ledger import DELIVERED, Attempt
from tests.fault.schedule import PARTS, faults
from tests.fault.system import Route

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


async def test_the_checker_names_what_is_lost_repeated_burnt_or_invented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were it to pass these, the test above would prove nothing."""

    def row(message_id: str, attempt: int = 1, retries_used: int = 0) -> Attempt:
        return Attempt(message_id, attempt, 1, 0, retries_used, True, DELIVERED, 0, False)

    async def attempts(*_: object) -> list[Attempt]:
        return [row("r-1"), row("r-1", 2), row("r-3", retries_used=1), row("r-9"), row("r-9")]

    async def query(_system: object, sql: str, *_: object, **__: object) -> list[dict[str, Any]]:
        return [{"state": DELIVERED, "n": 4}] if "rollups" in sql else []

    monkeypatch.setattr(checker, "attempts", attempts)
    monkeypatch.setattr(checker, "query", query)
    (tmp_path / "attempted").write_text("r-1\nr-2\nr-3\nr-4\ntor")
    (tmp_path / "acknowledged").write_text("r-1\nr-2\nr-3\n")
    verdict = await checker.check(cast(Any, None), Route("r", "r"), tmp_path, None, flaky=True)
    found = {name for name, count in verdict.figures.items() if count and name in str(verdict.wrong)}
    assert found == {"lost", "unexpected", "ended_twice", "attempts_twice", "retries_burnt", "rollups_differ"}
    assert verdict.figures["lost"] == 1
