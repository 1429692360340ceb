"""What is named for a run by hand, before anybody is asked."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest

from cli.commands import trials
from cli.failures import UsageError
from cli.trial_input import CODE_BYTES_MAX, EVENT_BYTES_MAX, TrialInput
from kit.errors import InvalidArgument
from kit.rpc.validation import validate
from onward.executor.v1 import execution_service_pb2 as pb
from onward.registry.v1 import resources_pb2 as r

EVENT = '{"type": "page", "userId": "u1"}'
NAME = "workspaces/acme"


@pytest.fixture
def code(tmp_path: Path) -> Path:
    path = tmp_path / "alerts.js"
    path.write_text("function onPage() {}")
    return path


@pytest.fixture
def event(tmp_path: Path) -> str:
    path = tmp_path / "event.json"
    path.write_text(EVENT)
    return str(path)


def given(code: Path | None, event: str, *assignments: str, definitions: Path | None = None) -> TrialInput:
    return TrialInput.of(code, event, definitions, assignments, 2000)


def test_a_request_has_code_event_values_and_their_definitions(code: Path, event: str) -> None:
    request = given(code, event, "url=https://a.example", "on:=true", 'list:=["a"]', 'map:={"k": "v"}').request(NAME)
    assert (request.name, request.code, request.event) == (NAME, "function onPage() {}", EVENT)
    assert request.timeout_ms == 2000
    # What is defined nowhere is of the type that its value has.
    assert {one.name: one.type for one in request.definitions} == {
        "url": r.SETTING_TYPE_STRING,
        "on": r.SETTING_TYPE_BOOLEAN,
        "list": r.SETTING_TYPE_STRING_LIST,
        "map": r.SETTING_TYPE_STRING_MAP,
    }
    assert {one.name: one.value.WhichOneof("value") for one in request.settings}["on"] == "bool_value"


def test_definitions_of_a_file_are_all_there_are(code: Path, event: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text('[{"name": "apiKey", "encrypted": true}]')
    request = given(code, event, "other=x", definitions=path).request(NAME, known=[r.SettingDefinition(name="old")])
    assert [(one.name, one.encrypted) for one in request.definitions] == [("apiKey", True)]


def test_definitions_of_the_function_are_kept_and_others_added(code: Path, event: str) -> None:
    known = [r.SettingDefinition(name="apiKey", encrypted=True, type=r.SETTING_TYPE_STRING)]
    request = given(code, event, "apiKey=x", "other=y").request(NAME, known=known)
    assert [(one.name, one.encrypted) for one in request.definitions] == [("apiKey", True), ("other", False)]


def test_a_version_is_asked_for_without_code_and_definitions(event: str) -> None:
    request = given(None, event, "url=x").request(NAME)
    assert (request.WhichOneof("source"), list(request.definitions), request.timeout_ms) == (None, [], 0)
    with pytest.raises(UsageError, match="a version has those that were saved with it"):
        given(None, event, definitions=Path("settings.json"))


def test_files_are_read_anew_and_stdin_once(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(EVENT))
    trial = given(code, "-")
    assert [trial.request(NAME).event for _ in range(2)] == [EVENT, EVENT]
    code.write_text("function onPage() { return 2 }")
    assert trial.request(NAME).code.endswith("return 2 }")
    assert trial.files == [code]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b'{"type"', "is not JSON"), (b"\xff", "is not UTF-8 text: it should hold an event"), (None, "can't be read")],
)
def test_an_event_that_is_none_is_told_before_anything_is_sent(
    code: Path, tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "bad.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=f"bad.json.*{message}"):
        given(code, str(path)).request(NAME)


@pytest.mark.parametrize("long", ["x" * (EVENT_BYTES_MAX + 1), "€" * (EVENT_BYTES_MAX // 3 + 1)])
def test_an_event_from_stdin_that_is_too_long_is_told_so(
    code: Path, monkeypatch: pytest.MonkeyPatch, long: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f'{{"type": "page", "x": "{long}"}}'))
    with pytest.raises(UsageError, match="stdin has more than the 2,097,152 bytes that an event may have"):
        given(code, "-").request(NAME)


@pytest.mark.parametrize(("timeout_ms", "allowed"), [(0, True), (1000, True), (60_000, True), (999, False),
                                                     (60_001, False), (-1, False)])  # fmt: skip
def test_the_time_limit_is_one_that_a_function_may_have_for_the_server_as_well(
    code: Path, event: str, timeout_ms: int, allowed: bool
) -> None:
    refused = contextlib.nullcontext() if allowed else pytest.raises(UsageError, match="1000 to 60000")
    with refused:
        TrialInput.of(code, event, None, [], timeout_ms)
    request = pb.TestFunctionRequest(name=NAME, event=EVENT, code="1", timeout_ms=timeout_ms)
    with contextlib.nullcontext() if allowed else pytest.raises(InvalidArgument, match="timeout_ms"):
        validate(request)


def test_code_that_is_too_long_is_told_before_anything_is_sent(code: Path, event: str) -> None:
    code.write_text("x" * (CODE_BYTES_MAX + 1))
    with pytest.raises(UsageError, match="262,145 bytes, and code may have 262,144"):
        given(code, event).request(NAME)


@pytest.mark.parametrize(
    ("target", "is_file"),
    [("alerts.js", True), ("there/alerts", True), ("alerts", False), ("alerts@3", False), ("code.mjs", True)],
)
def test_a_file_is_told_from_a_function(target: str, is_file: bool) -> None:
    assert (trials.file_of(target) is not None) == is_file


@pytest.mark.parametrize(("target", "number"), [("alerts", 0), ("alerts@3", 3), ("alerts@", 0), ("alerts@x", 0)])
def test_a_version_stands_behind_an_at(target: str, number: int) -> None:
    assert trials.version_of(target) == number


@pytest.mark.parametrize(("event", "sample"), [("", ""), ("event.json", "web")])
def test_exactly_one_event_has_to_be_named(event: str, sample: str) -> None:
    with pytest.raises(UsageError, match="--event FILE, or --sample SOURCE"):
        trials.check_event(event, sample)


def test_types_that_are_not_built_say_how_to_build_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cli.main import main

    monkeypatch.setattr(trials, "TYPES_FILE", tmp_path / "onward.d.ts")
    assert main(["functions", "types"]) == 2
    assert "run `make setup`" in capsys.readouterr().err
    (tmp_path / "onward.d.ts").write_text("declare const fetch: unknown\n")
    assert main(["functions", "types"]) == 0
    assert capsys.readouterr().out == "declare const fetch: unknown\n"
    assert main(["functions", "types", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"types": "declare const fetch: unknown\n"}
