"""What is done to things that exist: keys are replaced, code goes back, events are filtered, things are taken away."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.testing.eventually import eventually
from kit.testing.servers import short_lived_folder
from tests.e2e.onward_program import Onward, running, start

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

USAGE = 2
CODE = "async function onTrack(event) {\n  console.log(JSON.stringify(event))\n  return 1\n}\n"


@pytest.fixture(scope="module")
def onward() -> Iterator[Onward]:
    with short_lived_folder() as folder, running(folder / "data") as program:
        program.done("workspaces", "create", "acme")
        yield program


def event(message_id: str, user: str = "u-1") -> str:
    properties = {"plan": "pro", "card": "4111"}
    made = {"type": "track", "event": "Paid", "userId": user, "messageId": message_id, "properties": properties}
    return json.dumps(made) + "\n"


def test_a_write_key_is_replaced_while_events_are_published(onward: Onward, tmp_path: Path) -> None:
    first = onward.json("sources", "create", "web")["secret"]
    second = onward.json("sources", "keys", "create", "web")["secret"]
    assert first != second
    for key in (first, second):
        assert "Published 1 event" in onward.done("events", "publish", "web", "--key", key, stdin=event(key[:9]))
    onward.done("sources", "keys", "revoke", "web", first.split("_")[1], "--yes")
    refused = onward("events", "publish", "web", "--key", first, stdin=event("refused"))
    assert (refused.code, "refused the write key" in refused.err) == (USAGE, True)
    # The data folder has the newer one.
    assert "Published 1 event" in onward.done("events", "publish", "web", stdin=event("kept"))
    listed = onward.json("sources", "keys", "list", "web")["writeKeys"]
    assert [one["name"].rpartition("/")[2] for one in listed] == [second.split("_")[1]]
    assert second.split("_")[2] not in json.dumps(listed)


@pytest.mark.parametrize("events", [1, 20])
def test_a_write_key_of_another_source_publishes_nothing(onward: Onward, events: int) -> None:
    key = onward.json("sources", "create", f"one-{events}")["secret"]
    onward.done("sources", "create", f"other-{events}")
    lines = "".join(event(f"m-{number}") for number in range(events))
    refused = onward("events", "publish", f"other-{events}", "--key", key, stdin=lines)
    assert (refused.code, "the write key is another source's" in refused.err) == (USAGE, True)


def test_a_write_key_is_all_that_a_publisher_needs(onward: Onward, tmp_path: Path) -> None:
    key = onward.json("sources", "create", "alone")["secret"]
    known = json.loads((onward.data / "client.json").read_text())
    elsewhere = Onward(tmp_path / "nothing")
    words = ("events", "publish", "alone", "--workspace", "acme", "--nats", known["nats_url"], "--key", key)
    assert "Published 1 event" in elsewhere.done(*words, stdin=event("alone"))


async def test_filters_thin_out_and_redact_what_a_function_gets(onward: Onward, tmp_path: Path) -> None:
    code = tmp_path / "code.js"
    code.write_text(CODE)
    onward.done("sources", "create", "shop")
    onward.done("functions", "create", "audience")
    onward.done("functions", "save", "audience", str(code))
    onward.done("destinations", "connect", "audience", "shop", "--name", "audience", "--enable")
    place = ("--destination", "audience")
    onward.done("filters", "create", "No tests", *place, "--when", "match(userId, 'test-*')", "--drop")
    onward.done("filters", "create", "No cards", *place, "--drop-fields", "properties.card", "--disabled")
    onward.done("filters", "enable", "no-cards", *place)
    preview = ("filters", "preview", *place, "--event", "-")
    assert "dropped by No tests" in onward.done(*preview, stdin=event("p", "test-1"))
    assert json.loads(onward.done(*preview, stdin=event("p")))["properties"] == {"plan": "pro"}
    assert json.loads(onward.done(*preview, "--hash-fields", "userId", stdin=event("p")))["userId"] != "u-1"

    onward.done("events", "publish", "shop", stdin=event("tested", "test-1") + event("paid"))
    await eventually(lambda: _states(onward) == {"tested": "FILTERED", "paid": "DELIVERED"}, 20.0, 0.3)

    onward.done("filters", "reorder", "no-cards", "no-tests", *place)
    onward.done("filters", "update", "no-tests", *place, "--when", "all", "--sample", "0.5", "--by", "userId")
    onward.done("filters", "delete", "no-cards", *place, "--yes")
    (left,) = onward.json("filters", "list", *place)["filters"]
    assert left["rule"]["condition"] == "all"
    assert left["rule"]["actions"] == [{"sample": {"rate": 0.5, "path": "userId"}}]
    assert "sample 0.5 by userId" in onward.done("filters", "list", *place)


def _states(onward: Onward) -> dict[str, str]:
    found = onward.json("deliveries", "list", "--destination", "audience")["deliveries"]
    return {one["messageId"]: one["state"].removeprefix("DELIVERY_STATE_") for one in found}


def test_code_goes_back_to_an_older_version_and_its_changes_are_shown(onward: Onward, tmp_path: Path) -> None:
    code = tmp_path / "code.js"
    onward.done("sources", "create", "back")
    onward.done("functions", "create", "history")
    for number in (2, 3):
        code.write_text(CODE.replace("return 1", f"return {number}"))
        onward.done("functions", "save", "history", str(code))
    onward.done("destinations", "connect", "history", "back")
    assert re.search(r"^-  return 2\n\+  return 3$", onward.done("functions", "diff", "history"), re.MULTILINE)
    restored = onward.done("functions", "restore", "history", "2", "--deploy", "all")
    assert "version 2 of history as version 4" in restored
    assert "Runs at: history-back" in restored
    assert "are the same" in onward.done("functions", "diff", "history", "2", "4")
    deployed = onward.json("functions", "deployment", "history")
    assert [(one["version"], one["enabled"]) for one in deployed["destinations"]] == [(4, False)]
    assert deployed["executors"]


def test_a_policy_is_changed_in_part(onward: Onward) -> None:
    onward.done("sources", "create", "strict")
    onward.done("functions", "create", "rules")
    onward.done("destinations", "connect", "rules", "strict")
    onward.done("destinations", "policy", "rules-strict", "--fail-on-http-error")
    onward.done("destinations", "policy", "rules-strict", "--retry-only-explicit")
    plain = {"failOnHttpError": True, "omitIdempotencyKey": False, "orderingKey": ""}
    plain |= {"breakerDisabled": False, "maxInFlight": 0, "maxPerSecond": 0.0}
    assert _policy(onward) == {"retryOnlyExplicit": True, **plain}
    onward.done("destinations", "policy", "rules-strict", "--no-fail-on-http-error")
    assert _policy(onward) == {"retryOnlyExplicit": True, **plain, "failOnHttpError": False}
    onward.done("destinations", "policy", "rules-strict", "--batch-events", "50", "--batch-wait", "2.5s")
    assert _policy(onward)["batching"] == {"maxEvents": 50, "maxWaitMs": 2500}
    before = _policy(onward)
    assert "rules-strict: only a RetryError is retried." in onward.done("destinations", "policy", "rules-strict")
    assert _policy(onward) == before
    shown = onward.done("destinations", "show", "rules-strict")
    assert "only a RetryError is retried" in shown
    assert "since the code that runs has no onBatch" in shown


def test_batches_for_code_that_takes_none_are_warned_of(onward: Onward) -> None:
    onward.done("sources", "create", "gathered")
    onward.done("functions", "create", "one-by-one")
    onward.done("functions", "create", "together", "--template", "batch")
    assert re.search(r"together +1 .*, and batches", onward.done("functions", "list"))
    for function in ("one-by-one", "together"):
        onward.done("destinations", "connect", function, "gathered")
    single = onward("destinations", "policy", "one-by-one-gathered", "--batch-events", "50")
    assert single.code == 0
    assert "each event goes to its single handler" in single.out
    assert "one-by-one, version 1, has no onBatch" in single.err
    both = onward("destinations", "policy", "together-gathered", "--batch-events", "50", "--batch-wait", "2.5s")
    assert "onBatch gets 50 events, or what has come after 2.5 s" in both.out
    assert both.err == ""


def _policy(onward: Onward) -> dict[str, Any]:
    found: dict[str, Any] = onward.json("destinations", "show", "rules-strict")["destination"]["policy"]
    return found


def test_the_commands_of_the_page_about_filters_work(onward: Onward, tmp_path: Path) -> None:
    onward.done("sources", "create", "web-of-filters")
    onward.done("functions", "create", "crm")
    onward.done("destinations", "connect", "crm", "web-of-filters", "--name", "crm-web")
    (tmp_path / "event.json").write_text(event("m", "test-1"))
    page = (Path(__file__).resolve().parents[2] / "docs" / "filters.md").read_text()
    commands = re.findall(r"^\$ onward (.*)$", page, re.MULTILINE)
    assert len(commands) >= 8
    said = []
    for command in commands:
        given = command.replace("event.json", str(tmp_path / "event.json")).replace(
            "source web", "source web-of-filters"
        )
        said.append(onward.done(*shlex.split(given)))
    assert "dropped by" in said[4]
    for words in (("a-tenth-of-the-users", "--source", "web-of-filters"), ("hidden-addresses",)):
        onward.done("filters", "delete", *words, "--yes")


def test_what_is_deleted_is_gone_but_its_history(onward: Onward) -> None:
    onward.done("sources", "create", "brief")
    onward.done("functions", "create", "passing")
    onward.done("destinations", "connect", "passing", "brief")
    onward.done("functions", "delete", "passing", "--disconnect", "--yes")
    onward.done("sources", "delete", "brief", "--yes")
    assert "passing" not in onward.done("functions", "list")
    assert re.search(r"passing +1 ", onward.done("functions", "list", "--deleted"))
    assert re.search(r"^ +1 ", onward.done("functions", "versions", "passing"), re.MULTILINE)
    assert "brief" not in onward.done("sources", "list") + onward.done("destinations", "list")
    assert "acme/brief" not in (onward.data / "client.json").read_text()


def test_a_person_is_removed_and_erased(onward: Onward) -> None:
    onward.done("members", "add", "ada", "--email", "ada@example.com", "--role", "auditor")
    (token,) = re.findall(r"^onw_\w+$", onward.done("tokens", "create", "--member", "ada"), re.MULTILINE)
    told = onward.done("whoami", "--token", token)
    assert "You are the member ada with the token" in told
    assert "audit view" in told
    assert onward.json("roles", "list", "--member", "ada")["roleBindings"][0]["grant"] == {"role": "ROLE_AUDITOR"}
    onward.done("members", "remove", "ada", "--yes")
    assert "not known, or it was revoked" in onward("whoami", "--token", token).err
    onward.done("members", "erase", "ada", "--yes")
    assert "ada@example.com" not in onward.done("members", "list") + onward.done("audit", "list", "--limit", "200")


def test_the_operators_key_is_rotated_and_what_it_sealed_stays_readable() -> None:
    with short_lived_folder() as folder:
        onward, up = Onward(folder / "data"), start(folder / "data")
        try:
            for words in (
                "workspaces create acme",
                "sources create web",
                "functions create sealed",
                "destinations connect sealed web apiKey=secret --enable",
                "keys make",
            ):
                onward.done(*words.split())
        finally:
            assert up.stop() == 0
        up = start(folder / "data")
        try:
            assert "behind: onward keys rotate" in onward.done("keys", "status")
            assert onward.json("keys", "rotate")["behind"] == "0"
            assert "Deleted 1 key" in onward.done("keys", "retire", "--yes")
        finally:
            assert up.stop() == 0
        up = start(folder / "data")
        try:
            assert len(onward.json("keys", "status")["keys"]) == 1
            assert "set, encrypted" in onward.done("destinations", "show", "sealed-web")
        finally:
            assert up.stop() == 0
