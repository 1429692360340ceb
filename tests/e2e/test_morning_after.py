"""A partner's API is down, deliveries fail, and one command puts it right: docs/morning-after.md, as a test."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from kit.testing.servers import short_lived_folder
from tests.e2e.morning_after import Partner, Story
from tests.e2e.onward_program import running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

EVENTS = 300


@pytest.fixture(scope="module")
def told() -> Iterator[tuple[Story, Partner]]:
    """The story after its end, and the partner."""
    partner = Partner()
    with short_lived_folder() as folder, running(folder / "data") as onward, partner.listening():
        story = Story(onward, partner, folder, EVENTS)
        story.run()
        yield story, partner


def shown(story: Story, command: str) -> str:
    return next(step.shown for step in story.transcript.steps if step.command == f"onward {command}")


def test_nothing_is_missing(told: tuple[Story, Partner]) -> None:
    story, partner = told
    # At least once: an answer that comes too late for its handler makes an event come again.
    assert partner.taken.keys() == {f"m{number}" for number in range(EVENTS)}
    assert story.counts() == {"delivered": EVENTS, "failed": 0, "pending": 0}


def test_each_command_says_what_it_did(told: tuple[Story, Partner]) -> None:
    story, _ = told
    assert [step.command for step in story.transcript.steps if step.code] == []
    assert "the CRM" in shown(story, "deliveries errors")
    counted = shown(story, "deliveries redrive crm-web --dry-run")
    found = re.search(r"It would run (\d+) failed events? received since", counted)
    assert found is not None, counted
    watched = shown(story, "deliveries redrive crm-web --rate 1000 --watch --yes")
    assert f"r1 finished: {found[1]} delivered, 0 failed." in watched
    record = shown(story, "replays show r1")
    assert re.search(rf"delivered +{found[1]}\b", record)
    assert re.search(r"kind +redrive", record)
