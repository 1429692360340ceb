"""The demo: everything at once, with numbers that are known beforehand."""

from __future__ import annotations

import json
import subprocess

import pytest

from cli.demo.events import make_events
from cli.demo.expectations import choose_rules, expected_counts
from tests.e2e.onward_program import ONWARD, environment

pytestmark = pytest.mark.e2e

DEMO_TIMEOUT_S = 110.0


def test_the_demo_delivers_retries_and_refuses_as_it_says_and_leaves_nothing_behind() -> None:
    ended = subprocess.run(
        [ONWARD, "demo", "--json"], capture_output=True, text=True, env=environment(), timeout=DEMO_TIMEOUT_S
    )
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert result["ok"]
    events = make_events()
    for name, counts in expected_counts(events, choose_rules(events)).items():
        found = result["destinations"][name]
        assert (found["delivered"], found["after_retry"]) == (counts.delivered, counts.after_retry)
        assert (found["rejected"], found["unsupported"]) == (counts.rejected, counts.unsupported)
        assert 0 < found["latencyMsP50"] <= found["latencyMsP95"]
    for told in (
        "What became of the events",
        "response 400 Bad Request",
        "the warehouse says:",
        "context.traits.email or properties.email is required",
        "DestinationEnabled",
        "Every number is as expected",
    ):
        assert told in ended.stderr
