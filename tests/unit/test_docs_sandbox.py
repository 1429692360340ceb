"""What docs/security.md says of the sandbox is what was tried, and names the test that shows it."""

from __future__ import annotations

import re
from pathlib import Path

from services.executor.runtime.probes import DEADLY, SURVIVED
from services.executor.runtime.recycling import EVENTS_MAX, FILLED_SHARE
from services.executor.runtime.watchdog import LOOK_S
from services.executor.runtime.worker import _TICK_S
from tests.integration.sandbox_attacks import attacks, table

SECURITY = (Path(__file__).parents[2] / "docs/security.md").read_text()
SECTION = SECURITY.split("\n## The sandbox\n")[1].split("\n## ")[0]


def test_every_layer_names_its_test() -> None:
    rows = [line for line in SECTION.split("### What was tried")[0].splitlines() if re.match(r"\| (?!layer|---)", line)]
    assert len(rows) >= 9
    assert [row for row in rows if "::test_" not in row.rpartition(" | ")[2]] == []


def test_every_probe_is_listed() -> None:
    assert f"- refused: {', '.join(SURVIVED)}\n- the death of the worker: {', '.join(DEADLY)}\n" in SECTION


def test_every_attack_is_listed_in_the_words_of_its_script() -> None:
    """`python -m tests.integration.sandbox_attacks` prints the table."""
    assert len(attacks()) >= 30
    assert f"| --- | --- | --- |\n{table()}\n" in SECTION


def test_figures_are_those_of_the_code() -> None:
    text = " ".join(SECTION.split())
    assert f"every {_TICK_S * 1000:.0f} ms" in text
    assert f"every {LOOK_S * 1000:.0f} ms" in text
    assert (EVENTS_MAX, FILLED_SHARE) == (1_000_000, 0.75)
    assert "after a million events, once three quarters" in text
