"""A key was found in a public repository: where is it in use, who set it, and who asked?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.testing.eventually import eventually
from kit.testing.servers import short_lived_folder
from tests.e2e.onward_program import Onward, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

FAILED, USAGE = 1, 2
SECRET = "sk-live-4f6b8a1c"
CODE = "async function onTrack(event) {\n  return 1\n}\n"
DEFINITIONS = [
    {"name": "apiKey", "encrypted": True},
    {"name": "hosts", "type": "list", "encrypted": True},
    {"name": "region"},
]


@pytest.fixture(scope="module")
def onward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Onward]:
    """Two destinations that had the secret: one has it still."""
    files = tmp_path_factory.mktemp("inputs")
    (files / "code.js").write_text(CODE)
    (files / "definitions.json").write_text(json.dumps(DEFINITIONS))
    with short_lived_folder() as folder, running(folder / "data") as program:
        program.done("workspaces", "create", "acme")
        program.done("sources", "create", "web")
        program.done("functions", "create", "crm")
        named = ("--definitions", str(files / "definitions.json"))
        program.done("functions", "save", "crm", str(files / "code.js"), *named)
        for name in ("crm-eu", "crm-us"):
            values = ("apiKey=@-", 'hosts:=["a", "b"]', "region=plain-one")
            program.done("destinations", "connect", "crm", "web", *values, "--name", name, stdin=f"{SECRET}\n")
        program.done("destinations", "set", "crm-us", "apiKey=@-", stdin="another")
        program.done("members", "add", "ada", "--role", "auditor")
        yield program


def test_the_places_of_a_value_are_told_with_what_to_do(onward: Onward) -> None:
    told = onward.done("audit", "leaked", stdin=f"{SECRET}\n")
    rows = [line.split() for line in told.splitlines() if line.strip().startswith("crm-")]
    found = [(row[0], row[1], row[-1]) for row in rows]
    assert found == [("crm-us", "apiKey", "gone"), ("crm-eu", "apiKey", "current")]
    assert "onward destinations set crm-eu apiKey=@new-value.txt" in told
    hint = "onward audit list --action SettingsChanged --target destinations/crm-us"
    assert hint in told
    (changed, first) = onward.json(*hint.split()[1:])["auditEvents"]
    shown = onward.json("audit", "leaked", stdin=SECRET)
    assert [one["position"] for one in shown["uses"]] == [first["position"], shown["uses"][1]["position"]]
    assert int(changed["position"]) > int(first["position"])
    assert (shown["found"], [one["current"] for one in shown["uses"]]) == (2, [False, True])


def test_a_list_is_found_as_a_whole_and_what_was_never_a_secret_is_not_found(onward: Onward) -> None:
    whole = onward.json("audit", "leaked", "--type", "list", stdin='["a", "b"]')
    assert [one["setting"] for one in whole["uses"]] == ["hosts", "hosts"]
    for value, kind in (("a", "string"), ('["a"]', "list"), ("plain-one", "string"), (SECRET[:-1], "string")):
        told = onward.done("audit", "leaked", "--type", kind, stdin=value)
        assert "was never an encrypted setting of acme" in told


async def test_whoever_asks_is_in_the_trail_and_the_value_is_not(onward: Onward, tmp_path: Path) -> None:
    token = onward.json("tokens", "create", "laptop", "--member", "ada")["secret"]
    ended = onward("audit", "leaked", "--token", token, stdin=SECRET)
    assert (ended.code, "do not allow this" in ended.err) == (FAILED, True)
    asked = onward.json("audit", "list", "--action", "SecretSought", "--principal", "member:owner")["auditEvents"]
    told = onward.json("audit", "leaked", stdin=SECRET)

    def recorded() -> bool:
        wanted = ("--action", "SecretSought", "--principal", "member:owner")
        found = onward.json("audit", "list", *wanted)["auditEvents"]
        denied = onward.json("audit", "list", "--principal", "member:ada")["auditEvents"]
        return len(found) == len(asked) + 1 and any(one["position"] == told["position"] for one in found) and denied

    await eventually(recorded, 30)
    assert SECRET not in onward.done("audit", "list", "--json", "--limit", "1000")


def test_a_value_is_taken_from_stdin_alone(onward: Onward) -> None:
    for words, stdin in (((SECRET,), ""), ((), ""), (("--type", "map"), SECRET)):
        ended = onward("audit", "leaked", *words, stdin=stdin)
        assert ended.code == USAGE
