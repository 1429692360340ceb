"""Runs by hand from the command line: docs/testing-functions.md as a test, exit codes, no server, --watch."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from kit.testing.servers import short_lived_folder
from tests.e2e.onward_program import ONWARD, STOP_TIMEOUT_S, Api, Onward, environment, running
from tests.e2e.testing_functions import ADA, CODE, PAGE, SHOWN_API, Story
from tests.e2e.transcript import Step

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

OK, FAILED, USAGE, NOT_FOUND, INTERRUPTED = 0, 1, 2, 4, 130
SECRET = "sk-1f3e5a7c9b"


@pytest.fixture(scope="module")
def told() -> Iterator[tuple[Onward, Api, list[Step]]]:
    """The stack after the story, the API, and the story's commands."""
    with short_lived_folder() as folder, running(folder / "data") as onward, Api().listening() as api:
        story = Story(onward, folder, api)
        story.run()
        yield onward, api, story.transcript.steps


@pytest.fixture(scope="module")
def steps(told: tuple[Onward, Api, list[Step]]) -> list[Step]:
    return told[2]


def found(steps: list[Step], command: str, number: int = 0) -> Step:
    return [step for step in steps if step.command.startswith(f"onward {command}")][number]


def test_a_failing_function_is_told_with_its_lines_its_console_and_its_requests(steps: list[Step]) -> None:
    step = found(steps, "functions run-local")
    assert step.code == FAILED
    lines = [re.sub(r"[\d.]+ (ms|MB)", r"N \1", line.rstrip()) for line in step.shown.splitlines()]
    assert lines == [
        "✗ onTrack threw TypeError after N ms",
        "  In production: failed as bad request, not tried again.",
        "",
        "  TypeError: Cannot read properties of undefined (reading 'id')",
        "",
        "    crm.js:8:38",
        "      6 |   })",
        "      7 |   console.log('answered with', response.status)",
        "    > 8 |   return { contact: response.contact.id }",
        "        |                                      ^",
        "      9 | }",
        "",
        "    at onTrack (crm.js:8:38)",
        "",
        "  console",
        *[line for line in lines if "answered with 200" in line],
        "",
        "  requests",
        *[line for line in lines if "/contacts" in line],
        "",
        "  N ms, CPU N ms, heap N MB",
    ]
    assert re.search(r"\+\d+ ms  POST http://127.0.0.1:\d+/contacts → 200 in [\d.]+ ms\n", step.shown)


def test_what_works_returns_and_shows_headers_to_who_asks(steps: list[Step]) -> None:
    step = found(steps, "functions run-local", 1)
    assert step.code == OK
    assert "✓ onTrack ended well" in step.shown
    assert "> authorization: [redacted]" in step.shown
    assert '"sent": "ada@example.com"' in step.shown


def test_a_version_runs_on_the_server_and_with_a_sample_of_the_source(steps: list[Step]) -> None:
    for number in (0, 1):
        step = found(steps, "functions test crm", number)
        assert (step.code, "In production: delivered." in step.shown) == (OK, True), step
        assert re.search(r"  version 2, [\d.]+ ms, CPU", step.shown)
    assert re.search(r"track +Signed Up", found(steps, "sources sample").shown)


def test_a_batch_tells_which_events_failed(steps: list[Step]) -> None:
    step = found(steps, "functions test batch.js")
    assert step.code == FAILED
    assert "1 of 2 events delivered" in step.shown
    assert "event[1]  status 422, failed as bad request, not tried again: no email" in step.shown


def test_an_invocation_is_on_the_trail_with_who_asked(steps: list[Step]) -> None:
    assert found(steps, "destinations invoke").code == OK
    assert re.search(r"DestinationInvoked +destinations/crm-web +member:owner", found(steps, "audit list").shown)


def test_no_secret_is_shown_by_any_of_it(steps: list[Step]) -> None:
    assert not [step.command for step in steps if SECRET in step.shown]


def test_the_page_has_the_commands_of_the_story(told: tuple[Onward, Api, list[Step]]) -> None:
    _, api, steps = told
    written = re.findall(r"^\$ (.*)$", PAGE.read_text(), re.MULTILINE)
    commands = [step.command.replace(api.address, SHOWN_API) for step in steps]
    assert written == commands, "write it anew: python -m tests.e2e.testing_functions"


# --- exit codes, and what is refused ----------------------------------------------------------------------------


def test_json_is_the_whole_report(told: tuple[Onward, Api, list[Step]], tmp_path: Path) -> None:
    onward, _, _ = told
    (tmp_path / "code.js").write_text("function onTrack() { throw new RetryError('later') }")
    ended = onward("functions", "test", str(tmp_path / "code.js"), "--event", "-", "--json", stdin=json.dumps(ADA))
    report = json.loads(ended.out)["report"]
    assert (ended.code, report["result"], report["error"]["message"]) == (FAILED, "RESULT_RETRYABLE", "later")
    assert {"handler", "value", "logs", "requests", "wallUs", "cpuUs", "heapBytes", "warnings", "startTime"} <= {
        *report
    }


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("functions", "test", "none.js", "--event", "-"), USAGE, "none.js can't be read"),
        (("functions", "test", "none", "--event", "-"), NOT_FOUND, "functions/none"),
        (("functions", "test", "crm"), USAGE, "name the event"),
        (("functions", "test", "crm", "--sample", "web:none"), NOT_FOUND, "does not have the event none"),
        (("functions", "test", "crm", "--sample", "none"), NOT_FOUND, "sources/none"),
        (("functions", "test", "crm@7", "--event", "-"), NOT_FOUND, "versions/7"),
        (("functions", "test", "crm", "--event", "-", "--set", "odd=1"), FAILED, "which no definition has"),
        (("destinations", "invoke", "none", "--event", "-"), NOT_FOUND, "destinations/none"),
        (("sources", "sample", "web", "--limit", "101"), USAGE, "1 to 100"),
    ],
)
def test_what_can_not_be_meant_is_told_in_one_line(
    told: tuple[Onward, Api, list[Step]], words: tuple[str, ...], code: int, message: str
) -> None:
    ended = told[0](*words, stdin=json.dumps(ADA))
    assert (ended.code, message in ended.err) == (code, True), ended


def test_an_event_that_would_be_refused_says_why(told: tuple[Onward, Api, list[Step]]) -> None:
    for words in (("functions", "test", "crm"), ("destinations", "invoke", "crm-web")):
        ended = told[0](*words, "--event", "-", stdin='{"type": "track", "event": "x"}')
        assert ended.code == FAILED
        assert "`userId` or `anonymousId` is required" in ended.err


def test_saving_warns_of_on_batch_alone_which_single_events_would_not_reach(
    told: tuple[Onward, Api, list[Step]], tmp_path: Path
) -> None:
    onward, _, _ = told
    (tmp_path / "batch.js").write_text("function onBatch(events) {}")
    onward("functions", "create", "batches")
    saved = onward("functions", "save", "batches", str(tmp_path / "batch.js"))
    assert (saved.code, "events also come singly" in saved.err, "(batch-only)" in saved.err) == (OK, True, True), saved


# --- without any server -----------------------------------------------------------------------------------------


@pytest.fixture
def alone(tmp_path: Path) -> Onward:
    """A folder with code and an event, and nothing that runs."""
    (tmp_path / "crm.js").write_text(CODE)
    (tmp_path / "event.json").write_text(json.dumps(ADA))
    return Onward(tmp_path / "no-data")


def test_without_a_server_private_addresses_are_closed_unless_they_are_opened(alone: Onward, tmp_path: Path) -> None:
    with Api().listening() as api:
        words = ("functions", "run-local", str(tmp_path / "crm.js"), "--event", str(tmp_path / "event.json"))
        settings = ("--set", f"endpoint={api.address}", "--set", f"apiKey={SECRET}")
        closed = alone(*words, *settings)
        assert (closed.code, "--allow-private opens" in closed.out, api.bodies) == (FAILED, True, [])
        opened = alone(*words, *settings, "--allow-private", "--json")
        (request,) = json.loads(opened.out)["report"]["requests"]
        assert (request["status"], api.bodies) == (200, [{"email": "ada@example.com"}])


def test_without_a_server_there_are_the_same_limits(alone: Onward, tmp_path: Path) -> None:
    """E1"""
    (tmp_path / "crm.js").write_text("function onTrack() { for (;;); }")
    ended = alone("functions", "run-local", str(tmp_path / "crm.js"), "--event", str(tmp_path / "event.json"))
    assert ended.code == FAILED
    assert "✗ onTrack was ended after" in ended.out
    assert "In production: timeout, tried again later." in ended.out


def test_code_that_does_not_start_has_a_frame_as_well(alone: Onward, tmp_path: Path) -> None:
    (tmp_path / "crm.js").write_text("async function onTrack() {\n  const x = = 1\n}\n")
    ended = alone("functions", "run-local", str(tmp_path / "crm.js"), "--event", str(tmp_path / "event.json"))
    assert ended.code == FAILED
    assert "crm.js:2:13" in ended.out
    assert "    > 2 |   const x = = 1\n        |             ^\n" in ended.out


def wait_for_value(lines: IO[str], value: str) -> None:
    """Read runs until one returned this; a file may be seen half-written before."""
    while json.loads(lines.readline())["report"]["value"] != value:
        pass


def test_watching_runs_again_at_each_save_and_ends_with_ctrl_c(alone: Onward, tmp_path: Path) -> None:
    code, event = tmp_path / "crm.js", tmp_path / "event.json"
    code.write_text("function onTrack() { return 1 }")
    words = [str(ONWARD), "functions", "run-local", str(code), "--event", str(event), "--watch", "--json"]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(alone.data)
    )
    assert process.stdout is not None
    try:
        wait_for_value(process.stdout, "1")
        code.write_text("function onTrack(event) { return event.event }")
        wait_for_value(process.stdout, '"Signed Up"')
        event.write_text(json.dumps({**ADA, "event": "Signed Out"}))
        wait_for_value(process.stdout, '"Signed Out"')
        # What is wrong ends nothing.
        event.write_text("{")
        code.write_text("function onTrack(event) { return 'again' }")
        event.write_text(json.dumps(ADA))
        wait_for_value(process.stdout, '"again"')
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=STOP_TIMEOUT_S)
    assert process.returncode == INTERRUPTED
    assert "Traceback" not in err
