"""Who deployed this, and what changed? And is the trail that says so whole?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.audit_export import beside
from kit.testing.eventually import eventually
from kit.testing.servers import run_now, short_lived_folder
from tests.e2e.onward_program import Onward, running
from tests.unit.json_schema import faults
from tests.unit.test_audit_ocsf import SCHEMA

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

FAILED = 1
CODE = "async function onTrack(event) {\n  return 1\n}\n"


@pytest.fixture(scope="module")
def onward() -> Iterator[Onward]:
    with short_lived_folder() as folder, running(folder / "data") as program:
        program.done("workspaces", "create", "acme")
        yield program


@pytest.fixture(scope="module")
def records(onward: Onward, tmp_path_factory: pytest.TempPathFactory) -> int:
    """A function that was saved twice and deployed, with all of it in a signed trail; how many records that makes."""
    file = tmp_path_factory.mktemp("code") / "alerts.js"
    onward.done("sources", "create", "web")
    onward.done("functions", "create", "alerts")
    file.write_text(CODE)
    onward.done("functions", "save", "alerts", str(file))
    onward.done("destinations", "connect", "alerts", "web", "--name", "alerts", "--enable")
    file.write_text(CODE.replace("return 1", "return 2 // =cmd"))
    onward.done("functions", "save", "alerts", str(file), "--deploy", "all")
    return int(onward.json("audit", "list")["auditEvents"][0]["index"])


async def exported(onward: Onward, file: Path, records: int) -> None:
    """Wait until there is a checkpoint, and all is in it."""

    def whole() -> bool:
        onward.done("audit", "export", str(file))
        return beside(file, "key").exists() and len(file.read_text().splitlines()) >= records

    await eventually(whole, 30)


def test_who_deployed_and_what_changed_is_two_commands(onward: Onward, records: int) -> None:
    (saved, *_) = onward.json("audit", "list", "--action", "FunctionVersionSaved")["auditEvents"]
    told = onward.done("audit", "show", saved["index"])
    for part in ("FunctionVersionSaved", "functions/alerts", "member:owner", "-  return 1", "+  return 2 // =cmd"):
        assert part in told
    (deployed, *_) = onward.json("audit", "list", "--action", "VersionDeployed")["auditEvents"]
    assert "destinations.alerts.version: 2 → 3" in onward.done("audit", "show", deployed["index"])


async def test_an_export_is_verified_by_itself_and_every_alteration_is_seen(
    onward: Onward, records: int, tmp_path: Path
) -> None:
    file = tmp_path / "trail.jsonl"
    await exported(onward, file, records)
    elsewhere = Onward(tmp_path / "nothing")
    said = elsewhere.done("audit", "verify", str(file))
    assert "of acme: nothing altered, removed or inserted" in said
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines).replace(b"member:owner", b"member:eve", 1))
    ended = elsewhere("audit", "verify", str(file))
    assert (ended.code, "are not those that were signed" in ended.out) == (FAILED, True)
    file.write_bytes(b"".join(lines[:3] + lines[4:]))
    ended = elsewhere("audit", "verify", str(file), "--json")
    assert ended.code == FAILED
    assert "record 4 says that it is record 5" in json.loads(ended.out)["faults"][0]


async def test_an_export_goes_on_and_agrees_with_what_onward_kept(onward: Onward, records: int, tmp_path: Path) -> None:
    file = tmp_path / "trail.jsonl"
    await exported(onward, file, records)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    onward.done("audit", "export", str(file), "--resume")
    assert file.read_bytes().startswith(whole)
    kept = onward.data / "checkpoints"
    assert "nothing altered" in onward.done("audit", "verify", str(file), "--checkpoint", str(kept))


async def test_a_record_is_proven(onward: Onward, records: int, tmp_path: Path) -> None:
    await exported(onward, tmp_path / "trail.jsonl", records)
    assert "record 2 is in the log of" in onward.done("audit", "proof", "2")
    ended = onward("audit", "proof", "2", "--key", "onward+00000000+AAAA")
    assert (ended.code, "is damaged" in ended.err) == (FAILED, True)


async def test_spreadsheets_get_no_formulas(onward: Onward, records: int, tmp_path: Path) -> None:
    await exported(onward, tmp_path / "trail.jsonl", records)
    file = tmp_path / "trail.csv"
    onward.done("audit", "export", str(file), "--format", "csv")
    assert len(file.read_text().splitlines()) >= records
    assert file.read_text().startswith("index,occurTime,")
    assert onward("audit", "export", str(file), "--format", "csv", "--resume").code == 2


async def test_other_tools_get_ocsf_and_it_goes_on_where_it_stopped(
    onward: Onward, records: int, tmp_path: Path
) -> None:
    file = tmp_path / "trail.ocsf"
    onward.done("audit", "export", str(file), "--format", "ocsf")
    whole = file.read_bytes()
    events = [json.loads(line) for line in whole.splitlines()]
    assert [one["metadata"]["sequence"] for one in events] == list(range(1, len(events) + 1))
    assert len(events) >= records
    for one in events:
        assert faults(one, SCHEMA) == []
    made = next(one for one in events if one["api"]["operation"] == "FunctionCreated")
    assert made["src_endpoint"] == {"ip": "127.0.0.1"}
    assert made["http_request"]["user_agent"].startswith("onward-cli/")
    file.write_bytes(whole[: len(whole) // 2])
    onward.done("audit", "export", str(file), "--format", "ocsf", "--resume")
    assert file.read_bytes() == whole


def test_some_records_are_exported_for_other_tools_and_never_for_verification(
    onward: Onward, records: int, tmp_path: Path
) -> None:
    file = tmp_path / "some.ocsf"
    wanted = ("--target", "functions/alerts", "--since", "1h")
    onward.done("audit", "export", str(file), "--format", "ocsf", *wanted)
    kinds = {json.loads(line)["api"]["operation"] for line in file.read_text().splitlines()}
    assert kinds == {"FunctionCreated", "FunctionVersionSaved", "VersionDeployed"}
    onward.done("audit", "export", str(tmp_path / "some.csv"), "--format", "csv", *wanted)
    assert "SourceCreated" not in (tmp_path / "some.csv").read_text()
    ended = onward("audit", "export", str(tmp_path / "trail.jsonl"), *wanted)
    assert (ended.code, "is whole" in ended.err) == (2, True)


def test_records_are_found_by_a_text_and_by_time(onward: Onward, records: int) -> None:
    def found(*arguments: str) -> list[str]:
        return [one["action"] for one in onward.json("audit", "list", *arguments)["auditEvents"]]

    assert set(found("--text", "ALERT", "--oldest-first")) >= {"FunctionCreated", "DestinationConnected"}
    assert found("--text", "ALERT", "--oldest-first") == found("--text", "alert")[::-1]
    assert found("--text", "nobody of that name") == []
    assert found("--until", "1h") == []
    assert found("--since", "2020-01-01T00:00", "--until", "2020-01-02") == []
    assert found("--since", "2020-01-01T00:00") == found()
    ended = onward("audit", "list", "--until", "yesterday")
    assert (ended.code, "neither a duration nor a time" in ended.err) == (2, True)


def test_a_record_shows_where_it_came_from(onward: Onward, records: int) -> None:
    (made,) = onward.json("audit", "list", "--action", "FunctionCreated")["auditEvents"]
    told = onward.done("audit", "show", made["index"])
    assert "127.0.0.1 (not verified)" in told
    assert "onward-cli/" in told


def test_of_who_was_erased_no_address_is_shown_and_the_trail_is_whole(onward: Onward, tmp_path: Path) -> None:
    """D13."""
    person = ("--display-name", "Eve Canarybird", "--email", "eve@canarybird.example")
    onward.done("members", "add", "eve", *person, "--role", "owner")
    token = onward.json("tokens", "create", "laptop", "--member", "eve")["secret"]
    onward.done("sources", "create", "eves", "--token", token)
    before = tmp_path / "before.jsonl"
    (made, *_) = onward.json("audit", "list", "--principal", "member:eve")["auditEvents"]

    def signed() -> bool:
        onward.done("audit", "export", str(before))
        return len(before.read_text().splitlines()) >= int(made["index"])

    run_now(eventually(signed, 30))
    assert "127.0.0.1 (not verified)" in onward.done("audit", "show", made["index"])
    onward.done("members", "remove", "eve", "--yes")
    onward.done("members", "erase", "eve", "--yes")
    told = onward.done("audit", "show", made["index"])
    assert "erased" in told
    assert "127.0.0.1" not in told
    assert "nothing altered" in onward.done("audit", "verify", str(before))
    after = tmp_path / "after.jsonl"
    onward.done("audit", "export", str(after))
    assert after.read_bytes().startswith(before.read_bytes())
    assert "nothing altered" in onward.done("audit", "verify", str(after))
    assert "canarybird" not in after.read_text().lower()


async def test_a_trail_is_verified_where_it_is(onward: Onward, records: int, tmp_path: Path) -> None:
    await exported(onward, tmp_path / "trail.jsonl", records)
    assert "of acme: nothing altered, removed or inserted" in onward.done("audit", "verify")
    kept = str(onward.data / "checkpoints")
    assert "nothing altered" in onward.done("audit", "verify", "--checkpoint", kept)


async def test_a_monitor_remembers_from_one_run_to_the_next(onward: Onward, records: int, tmp_path: Path) -> None:
    await exported(onward, tmp_path / "trail.jsonl", records)
    state = str(tmp_path / "monitor.json")
    assert "remembered from now on" in onward.done("audit", "monitor", "--state", state, "--once")
    told = [
        json.loads(line)
        for line in onward.done("audit", "monitor", "--state", state, "--once", "--json").split("\n")
        if line
    ]
    assert [(one["log"], one["kind"]) for one in told] == [("acme", "ok")]
    operator = onward.done(
        "audit", "monitor", "--state", str(tmp_path / "system.json"), "--once", "--workspace", "system"
    )
    assert "_workspaces: " in operator
    ended = onward("audit", "monitor", "--state", state, "--once", "--audit", "127.0.0.1:1")
    assert (ended.code, "acme" in ended.out) == (3, True)
