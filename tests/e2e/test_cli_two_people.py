"""An owner, a Functions Admin of one function and a Source Admin of one source: docs/two-people.md, as a test."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from kit.testing.eventually import eventually
from kit.testing.servers import short_lived_folder
from tests.e2e.onward_program import Onward, running
from tests.e2e.transcript import Step
from tests.e2e.two_people import PAGE, Story

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

FAILED = 1
_IDS = re.compile(r"\b[a-z0-9]{12}\b")


@pytest.fixture(scope="module")
def told() -> Iterator[tuple[Onward, list[Step]]]:
    """The stack after the story, and its commands."""
    with short_lived_folder() as folder, running(folder / "data") as onward:
        story = Story(onward, folder)
        story.run()
        yield onward, story.transcript.steps


@pytest.fixture(scope="module")
def steps(told: tuple[Onward, list[Step]]) -> list[Step]:
    return told[1]


def found(steps: list[Step], who: str, command: str, number: int = 0) -> Step:
    return [step for step in steps if (step.who, step.command) == (who, f"onward {command}")][number]


def test_a_functions_admin_of_one_function_sees_its_code_alone(steps: list[Step]) -> None:
    listed = found(steps, "ada", "functions list").shown
    assert re.search(r"billing +- +\(you see its name only\)", listed)
    assert re.search(r"crm +2 +track", listed)
    refused = found(steps, "ada", "functions show billing")
    assert refused.code == FAILED
    assert "Your roles do not allow this on workspaces/acme/functions/billing" in refused.shown
    assert re.search(r"functions/crm +function view, function edit", found(steps, "ada", "whoami").shown)


def test_who_may_save_may_not_deploy_to_sources_of_others_which_are_named(steps: list[Step]) -> None:
    assert "as version 3" in found(steps, "ada", "functions save crm crm.js").shown
    assert "+  console.log('a sign-up', event.event)" in found(steps, "ada", "functions diff crm").shown
    refused = found(steps, "ada", "functions deploy crm")
    assert (refused.code, "also needs Source Admin of shop, web" in refused.shown) == (FAILED, True)


def test_a_source_admin_sees_what_is_connected_and_neither_reads_nor_deploys_code(steps: list[Step]) -> None:
    listed = found(steps, "grace", "destinations list").shown
    assert "crm-web" in listed
    assert "crm-shop" not in listed
    for command in ("functions show crm", "functions deploy crm --to crm-web"):
        assert found(steps, "grace", command).code == FAILED


def test_with_both_roles_a_deployment_works_and_only_where_both_hold(
    steps: list[Step], told: tuple[Onward, list[Step]]
) -> None:
    refused = found(steps, "ada", "functions deploy crm", 1)
    assert (refused.code, "also needs Source Admin of shop." in refused.shown) == (FAILED, True)
    assert "Version 3 of crm runs at: crm-web" in found(steps, "ada", "functions deploy crm --to crm-web").shown
    listed = told[0].json("destinations", "list")["destinations"]
    assert {one["name"].rpartition("/")[2]: one["version"] for one in listed} == {"crm-web": 3, "crm-shop": 2}


def test_a_revoked_token_fails_on_its_next_call(steps: list[Step]) -> None:
    refused = found(steps, "ada", "functions list", 1)
    assert (refused.code, "not known, or it was revoked" in refused.shown) == (FAILED, True)


async def test_the_trail_has_who_did_what_and_the_refusals(told: tuple[Onward, list[Step]]) -> None:
    await eventually(lambda: _is_told(told[0].json("audit", "list", "--limit", "200")["auditEvents"]), 20.0, 0.3)


def _is_told(events: list[dict[str, str]]) -> bool:
    done = {(one["principal"].split(" ")[0], one["action"], one["targetId"]) for one in events}
    assert {
        ("member:owner", "MemberAdded", "ada"),
        ("member:owner", "MemberAdded", "grace"),
        ("member:ada", "FunctionVersionSaved", "crm"),
        ("member:ada", "AccessDenied", "crm"),
        ("member:ada", "AccessDenied", "billing"),
        ("member:grace", "AccessDenied", "crm"),
        ("member:ada", "VersionDeployed", "crm"),
    } <= done
    assert not any(one["principal"].startswith("member:grace") for one in events if one["outcome"] != "OUTCOME_DENIED")
    return True


def test_the_page_has_the_commands_of_the_story(steps: list[Step]) -> None:
    written = re.findall(r"^(owner|ada|grace)\$ (.*)$", PAGE.read_text(), re.MULTILINE)
    assert [(who, _IDS.sub("ID", command)) for who, command in written] == [
        (step.who, _IDS.sub("ID", step.command)) for step in steps
    ], "write it anew: python -m tests.e2e.two_people"
