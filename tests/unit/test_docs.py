"""What the documents say about the code is what the code says."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from cli.options import Options
from kit import errors, events
from kit.bus import streams
from kit.settings import ServiceSettings, variable
from onward.common.v1.errors_pb2 import ErrorReason
from onward.executor.v1.outcomes_pb2 import ErrorType
from services.executor.runtime.self_test import DEGRADATION

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "services").glob("*/README.md")],
    key=lambda path: str(path.relative_to(ROOT)),
)
SERVICES = ("registry", "executor", "delivery", "audit")


def section(document: str, heading: str) -> str:
    text = (ROOT / "docs" / document).read_text()
    found = re.search(rf"^#+ {re.escape(heading)}$\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"{document} has no section {heading!r}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """The cells of the tables' rows, without heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [row for row in cells if row[0].startswith("`")]


def settings_of(service: str) -> type[ServiceSettings]:
    found: type[ServiceSettings] = importlib.import_module(f"services.{service}.settings").Settings
    return found


def documented_default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    if value is None or value == "":
        return "none"
    if isinstance(value, Path):
        return f"`{value.relative_to(ROOT)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def test_every_variable_of_all_services_is_documented_with_its_default() -> None:
    documented = {row[0].strip("`"): row[1] for row in rows(section("configuration.md", "Every service"))}
    fields = ServiceSettings.model_fields
    assert documented == {variable(name): documented_default(field) for name, field in fields.items()}


@pytest.mark.parametrize("service", SERVICES)
def test_every_variable_of_a_service_is_documented_with_its_default(service: str) -> None:
    documented = {row[0].strip("`"): row[1] for row in rows(section("configuration.md", service))}
    own = {
        name: field
        for name, field in settings_of(service).model_fields.items()
        if name not in ServiceSettings.model_fields
    }
    assert documented == {variable(name): documented_default(field) for name, field in own.items()}


def test_every_variable_of_the_command_line_is_documented() -> None:
    documented = {row[0].strip("`"): row[1].strip("`") for row in rows(section("configuration.md", "The command line"))}
    annotations = Options.__dataclass_fields__
    source = (ROOT / "cli/options.py").read_text()
    in_code = dict(re.findall(r'_option\("(--\w+)", "[^"]*", "(ONWARD_\w+)"', source))
    assert len(in_code) >= 5, "the pattern no longer fits cli/options.py"
    assert documented == {name: option for option, name in in_code.items()}
    assert all(option.removeprefix("--") in annotations for option in documented.values())


def test_every_error_reason_is_documented_with_the_status_that_the_proto_names() -> None:
    documented = {row[0].strip("`"): row[1] for row in rows(section("errors.md", "Calls"))}
    proto = (ROOT / "protos/onward/common/v1/errors.proto").read_text()
    in_proto = {
        reason: status for status, reason in re.findall(r"// ([A-Z_]+): [^\n]*\n\s*ERROR_REASON_(\w+) =", proto)
    }
    reasons = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.DESCRIPTOR.values_by_name} - {"UNSPECIFIED"}
    assert set(in_proto) == reasons
    assert documented == in_proto


def test_errors_that_are_raised_have_the_status_that_is_documented() -> None:
    documented = {row[0].strip("`"): row[1] for row in rows(section("errors.md", "Calls"))}
    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.OnwardError)]
    raised = {one.reason: one.code for one in classes if one.reason != "UNSPECIFIED"}
    assert raised.items() <= documented.items()


def test_every_error_type_is_documented() -> None:
    documented = {row[0].strip("`") for row in rows(section("errors.md", "Attempts"))}
    assert documented == {name.removeprefix("ERROR_TYPE_") for name in ErrorType.DESCRIPTOR.values_by_name} - {
        "UNSPECIFIED"
    }


def test_every_reason_for_refusing_an_event_is_documented() -> None:
    documented = {row[0].strip("`") for row in rows(section("events.md", "Refused events"))}
    raised: set[str] = set()
    # Not what the runtime refuses to user code.
    for path in (ROOT / "kit/events.py", *(ROOT / "services/executor").glob("[!r]*/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Refused":
                reason = node.args[0]
                if isinstance(reason, ast.Constant):
                    raised.add(str(reason.value))
                else:
                    raised |= {f"missing_{field}" for field in events._REQUIRED_FIELD.values()}
    assert documented == raised


def test_documented_limits_of_events_are_those_of_the_code() -> None:
    table = section("events.md", "Publishing")
    assert f"| {events.EVENT_BYTES_MAX // 1024} KiB |" in table
    assert f"| {streams.EVENT_BYTES_MAX // 1024} KiB |" in table
    assert f"| {events.BATCH_EVENTS_MAX:,} |" in table
    assert f"| {events.MESSAGE_ID_MAX} characters |" in table
    stream = f"| {streams.EVENTS_MAX_BYTES // 2**30} GiB, {streams.EVENTS_MAX_AGE_S // 86400} days |"
    assert stream in table


def test_every_degradation_of_the_sandbox_is_documented() -> None:
    documented = {row[0].strip("`") for row in rows(section("operations.md", "The sandbox's degradations"))}
    source = (ROOT / "services/executor/runtime/lockdown.py").read_text()
    assert documented == {*re.findall(r'_try\(degradations, "([\w-]+)"', source), DEGRADATION}


def test_log_lines_that_are_worth_an_alert_are_written_somewhere() -> None:
    sentence = re.search(r"Worth an alert: (.*?)\n\n", section("operations.md", "Logs, traces, metrics"), re.DOTALL)
    assert sentence
    code = "".join(path.read_text() for folder in ("kit", "services") for path in (ROOT / folder).rglob("*.py"))
    actions = re.findall(r"`(\w+)`", sentence[1])
    assert len(actions) >= 5
    assert [action for action in actions if f'"{action}"' not in code] == []


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs/adr"
    listed = re.findall(r"^\| \[(\d+)\]\(([\w-]+\.md)\) \| (.+) \|$", (folder / "README.md").read_text(), re.MULTILINE)
    written = []
    for path in sorted(folder.glob("0*.md")):
        title = path.read_text().splitlines()[0]
        number, name = re.fullmatch(r"# (\d+)\. (.+)", title).groups()  # type: ignore[union-attr]  # or the test fails
        written.append((number, path.name, name))
    assert listed == written


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_within_the_project_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = (document.parent / name).resolve() if name else document
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}, target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_are_named_exist(document: Path) -> None:
    folders = "bench|cli|deploy|docs|kit|protos|services|tests|tools"
    for name in re.findall(rf"`((?:{folders})/[\w./-]+\.\w+)`", document.read_text()):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_tests_that_are_named_exist(document: Path) -> None:
    for name, test in re.findall(r"`([\w/]+\.py)::(\w+)`", document.read_text()):
        assert re.search(rf"^(async )?def {test}\(", (ROOT / "tests" / name).read_text(), re.MULTILINE), (name, test)


def test_every_attacker_of_the_threat_model_is_held_off_by_a_test() -> None:
    model = re.search(r"^## Threat model$\n(.*?)(?=^### Not defended)", _security(), re.MULTILINE | re.DOTALL)
    assert model
    claims = [line for line in model[1].splitlines() if re.match(r"\| (?!can't|---)", line)]
    assert len(claims) > 40
    assert [line for line in claims if "::test_" not in line.rpartition(" | ")[2]] == []


def _security() -> str:
    return (ROOT / "docs/security.md").read_text()


def test_every_target_of_make_is_documented() -> None:
    targets = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    documented = set(re.findall(r"^\| `make (\w+)`", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE))
    assert documented == targets
