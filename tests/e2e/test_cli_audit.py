"""Who deployed this, and what changed? And is the trail that says so whole?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.testing.eventually import eventually
from kit.testing.servers import short_lived_folder
from tests.e2e.onward_program import Onward, running

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
    """Wait until checkpoints cover it all."""

    def whole() -> bool:
        onward.done("audit", "export", str(file))
        return len(file.read_text().splitlines()) >= records

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
