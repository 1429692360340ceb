"""What users get wrong: each is answered with one line that says what to do, and an exit code that tells its kind."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.testing.eventually import eventually
from kit.testing.servers import short_lived_folder
from tests.e2e.onward_program import Onward, running

pytestmark = pytest.mark.e2e

FAILED, USAGE, UNREACHABLE, NOT_FOUND = 1, 2, 3, 4
UNKNOWN_KEY = f"onwk_{'k' * 12}_{'s' * 32}"


@pytest.fixture(scope="module")
def onward() -> Iterator[Onward]:
    with short_lived_folder() as folder, running(folder / "data") as program:
        program.done("workspaces", "create", "acme")
        program.done("functions", "create", "alerts", "--template", "survey-trigger")
        program.done("sources", "create", "web")
        program.done("destinations", "connect", "alerts", "web", "endpoint=https://api.example.com")
        yield program


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("functions create alerts", FAILED, "workspaces/acme/functions/alerts exists already; choose another id"),
        ("sources create web", FAILED, "sources/web exists already"),
        ("workspaces create acme", FAILED, "workspaces/acme exists already"),
        ("destinations connect alerts web", FAILED, "destinations/alerts-web exists already"),
        ("functions create other --template nope", FAILED, "must be one of batch, default, enrichment"),
        ("functions show nope", NOT_FOUND, "functions/nope does not exist. `onward functions list`"),
        ("functions show NOPE!", USAGE, "is not an id: use a to z, 0 to 9 and -"),
        ("deliveries breaker reset nope", NOT_FOUND, "destinations/nope does not exist"),
        ("health --destination nope", NOT_FOUND, "destinations/nope does not exist"),
        ("alerts create https://x.example --window 1h", USAGE, "--window says nothing about unhealthy and healthy"),
        ("events publish wbe", NOT_FOUND, "sources/wbe does not exist. `onward sources list`"),
        ("events publish web /does/not/exist", USAGE, "/does/not/exist can't be read"),
        ("events publish web --ratte=5", USAGE, "Unknown option"),
        ("events publish web --rate 0", USAGE, "must be greater than 0"),
        ("destinations set alerts-web endpont=x", FAILED, "'endpont' is not defined. Settings of this version: apiKey"),
        ("destinations set alerts-web events=x", FAILED, "must be an array of strings"),
        ("destinations set alerts-web endpoint", USAGE, "write name=text, name=@file or name:=json"),
        ("destinations enable alerts-web", FAILED, "Required settings have no value (alerts-web: apiKey, survey)"),
        ("deliveries show", USAGE, "name one delivery"),
        ("deliveries show d1-0-00000000", NOT_FOUND, "`onward deliveries list` shows what there is"),
        (
            "deliveries list --destination nope",
            NOT_FOUND,
            "destinations/nope does not exist. `onward destinations list`",
        ),
        ("deliveries summary --destination nope", NOT_FOUND, "destinations/nope does not exist"),
        ("deliveries tail --destination nope", NOT_FOUND, "destinations/nope does not exist"),
        ("deliveries show --message-id m --destination nope", NOT_FOUND, "destinations/nope does not exist"),
        ("deliveries list --state broken", USAGE, 'Choose from: "any", "pending"'),
        ("deliveries summary --since yesterday", USAGE, "write 15m, 7d, 2026-03-01"),
        ("deliveries summary --plot day.gif", USAGE, "--plot writes .svg and .png"),
        ("deliveries series --since 1h --until 2h", USAGE, "--until must be after --since"),
        ("deliveries series --since 7d --interval minute", FAILED, "ask for a longer interval"),
        ("deliveries errors nonsense", FAILED, "error_group"),
        ("functions lst", USAGE, 'Did you mean "list"?'),
        ("functions list --workspace other", USAGE, "no token for the workspace other is known"),
        (
            "functions list --data /does/not/exist",
            USAGE,
            "there is no data folder /does/not/exist: run `onward up`",
        ),
        ("functions list --registry 127.0.0.1:1", UNREACHABLE, "does not answer: start everything with `onward up`"),
        ("functions list --token nonsense", FAILED, "must look like onw_<id>_<secret>"),
        ("events publish web --nats nats://127.0.0.1:1", UNREACHABLE, "NATS at 127.0.0.1:1 does not"),
        ("events publish web --key nonsense", FAILED, "must look like onwk_<id>_<secret>"),
        (f"events publish web --key {UNKNOWN_KEY}", USAGE, "refused the write key"),
        ("members add --service-account --email a@example.com", USAGE, "a service account has no --email"),
        ("members add ada --role boss", USAGE, "'boss' is not a role: use one of owner, functions-admin"),
        ("members add owner", FAILED, "members/owner exists already; choose another id"),
        ("members remove owner --yes", FAILED, "without an owner"),
        ("members remove nobody --yes", NOT_FOUND, "`onward members list`"),
        ("members remove owner", USAGE, "say it with --yes"),
        ("roles grant owner auditor:web", USAGE, "holds for the whole workspace"),
        ("roles grant owner source-admin:nope", NOT_FOUND, "sources/nope does not exist"),
        ("roles revoke nope --yes", NOT_FOUND, "`onward roles list`"),
        ("tokens create --member nobody", NOT_FOUND, "`onward members list`"),
        ("tokens create --member owner --expires 5x", USAGE, "write 30s, 15m, 1h or 7d"),
        ("tokens revoke nope --yes", NOT_FOUND, "`onward tokens list`"),
        ("functions delete alerts --yes", FAILED, "is used by alerts-web"),
        ("functions diff alerts 1 7", NOT_FOUND, "`onward functions versions alerts`"),
        ("functions restore alerts 7", NOT_FOUND, "`onward functions versions alerts`"),
        ("functions update alerts", USAGE, "say what is to change"),
        ("sources delete web --yes", FAILED, "is used by alerts-web"),
        ("sources keys revoke web nope --yes", NOT_FOUND, "`onward sources keys list web`"),
        ("destinations policy alerts-web --batch-events 99999999999", USAGE, "from 1 to 500"),
        ("destinations policy alerts-web --no-batches --batch-wait 1s", USAGE, "exclude"),
        ("destinations disconnect nope --yes", NOT_FOUND, "`onward destinations list`"),
        ("filters create x --source web", USAGE, "say what it does: --drop"),
        ("filters create x --source web --destination alerts-web --drop", USAGE, "exclude each other"),
        ("filters create x --source web --drop-fields type", FAILED, "`type` can't be dropped"),
        ("filters delete nope --source web --yes", NOT_FOUND, "`onward filters list --source web`"),
        ("filters preview --event /does/not/exist", USAGE, "can't be read"),
        ("workspaces set-limits --functions-max -1", FAILED, "must be greater than or equal to 0"),
        ("workspaces update", USAGE, "say what is to change"),
    ],
)
def test_a_mistake_is_answered_with_one_line(onward: Onward, words: str, code: int, told: str) -> None:
    ended = onward(*words.split())
    assert ended.code == code, ended
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1, ended.err
    assert told in ended.err
    assert ended.out == ""


def test_a_mistake_in_a_condition_is_pointed_at(onward: Onward) -> None:
    ended = onward("filters", "create", "x", "--source", "web", "--when", "type = 'track' and )", "--drop")
    assert ended.code == FAILED
    first, condition, caret = ended.err.splitlines()
    assert first.startswith("error: in the condition, line 1, column 20: expected")
    assert condition[caret.index("^")] == ")"
    assert onward.json("filters", "list", "--source", "web")["filters"] == []


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (
            "const a = 1\nfunction onTrack(event) {\n  return event..x\n}\n",
            ".js:3:16: SyntaxError: Unexpected token '.'",
        ),
        ("\nnothing.here()\n", ".js:2:1: ReferenceError: nothing is not defined"),
    ],
)
def test_code_that_does_not_run_is_located_and_not_saved(onward: Onward, tmp_path: Path, code: str, told: str) -> None:
    file = tmp_path / "broken.js"
    file.write_text(code)
    ended = onward("functions", "save", "alerts", str(file), "--deploy", "all")
    assert ended.code == FAILED
    assert told in ended.err
    assert ended.err.count("\n") == 1
    assert len(onward.json("functions", "versions", "alerts")["versions"]) == 1


async def test_a_missing_handler_is_warned_about_at_save_and_told_at_delivery(onward: Onward, tmp_path: Path) -> None:
    onward.done("functions", "create", "quiet")
    file = tmp_path / "quiet.js"
    file.write_text("const nothing = 1\n")
    assert "defines no handler" in onward("functions", "save", "quiet", str(file)).err
    onward.done("destinations", "connect", "quiet", "web", "--enable")
    event = {"type": "page", "userId": "u", "messageId": "unhandled"}
    onward.done("events", "publish", "web", stdin=json.dumps(event))
    await eventually(
        lambda: "onPage is not defined" in onward("deliveries", "list", "--message-id", "unhandled").out, 20.0, 0.3
    )


def test_lines_that_are_no_events_are_told_by_number_and_the_others_are_published(onward: Onward) -> None:
    large = json.dumps({"type": "page", "userId": "u", "properties": {"text": "x" * 33 * 1024}})
    lines = [
        '{"type": "track"',
        '{"type": "page", "userId": "u"}',
        '{"type": "purchase", "userId": "u"}',
        large,
        "",
        '{"type": "track", "userId": "u"}',
        "[1, 2]",
        '{"type": "screen", "anonymousId": "a"}',
    ]
    ended = onward("events", "publish", "web", "-", stdin="\n".join(lines))
    assert ended.code == FAILED
    assert "Published 2 events" in ended.out
    assert "5 invalid events" in ended.out
    warnings = ended.err.splitlines()
    assert [one.partition(": ")[2].split(":")[0] for one in warnings] == [f"line {n}" for n in (1, 3, 4, 6, 7)]
    assert "not valid JSON" in warnings[0]
    assert "must be one of identify, track" in warnings[1]
    assert "an event may have 32768" in warnings[2]


async def test_events_sent_unchecked_are_refused_where_they_are_received_and_listed(onward: Onward) -> None:
    onward.done("events", "publish", "web", "--no-check", stdin='{"type": "purchase", "userId": "u"}\nnot json\n')

    def reasons() -> set[str]:
        return {one["reason"] for one in onward.json("deliveries", "refused")["failures"]}

    await eventually(lambda: reasons() == {"unknown_type", "invalid_json"}, 20.0, 0.3)
    assert "received" in onward.done("deliveries", "refused")
    assert "2 events of web were refused" in onward("deliveries", "summary").err


async def test_a_list_that_stopped_at_its_limit_says_so_and_a_summary_tells_its_window(onward: Onward) -> None:
    onward.done("functions", "create", "listed")
    onward.done("destinations", "connect", "listed", "web", "--enable")
    onward.done("events", "publish", "web", stdin='{"type": "page", "userId": "u"}\n' * 3)
    words = ("deliveries", "list", "--destination", "listed-web", "--limit")
    await eventually(lambda: len(onward.json(*words, "9")["deliveries"]) == 3, 20.0, 0.3)
    assert "There are more: --limit 20" in onward.done(*words, "2")
    assert len(onward.json(*words, "2")["deliveries"]) == 2
    assert "There are more" not in onward.done(*words, "3")
    # Counts are by the minute.
    assert re.search(r"received since [\d-]+ \d\d:\d\d:00,", onward.done("deliveries", "summary", "--since", "20s"))
