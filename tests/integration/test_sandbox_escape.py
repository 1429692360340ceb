"""Scripts that try to leave the isolate, to read what is not theirs, or to decide how other events end."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.executor.runtime.pool import Limits
from tests.integration.sandbox_attacks import Attack, attacks, script_of
from tests.integration.sandbox_world import Run, Sandbox, sandbox_of

pytestmark = pytest.mark.integration

PATIENT = Limits(wall_ms=10_000, cpu_ms=5_000)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with sandbox_of() as sandbox:
        yield sandbox


def _of_victims(run: Run, *jobs: int) -> list[object]:
    found: list[object] = []
    for job in jobs:
        outcome = run.outcomes[job]
        found.append(
            (outcome.error.kind, outcome.error.name, outcome.error.message) if outcome.error else outcome.value
        )
        assert outcome.logs == [], "lines of the attacker's in another attempt"
    return found


@pytest.mark.parametrize("attack", attacks(), ids=lambda attack: attack.name)
async def test_an_attack_gets_nothing_and_changes_no_other_event(sandbox: Sandbox, attack: Attack) -> None:
    """E16, E19"""
    run = await sandbox.load(script_of(attack), limits=PATIENT)
    await run.events({"n": 0, "__proto__": {"polluted": 1}}, {"n": 1}, {"n": 2})
    await run.events({"n": 1}, {"n": 2})
    assert run.exit is None
    assert run.outcomes[0].value == b'"nothing"', (run.outcomes[0].value, run.outcomes[0].error)
    real = [("RetryError", "RetryError", "real"), b'"real"']
    assert _of_victims(run, 1, 2, 3, 4) == real * 2
