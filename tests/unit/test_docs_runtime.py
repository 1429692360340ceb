"""docs/runtime.md says of packages, services and limits what the code says."""

from __future__ import annotations

import json
import re

import pytest

from services.executor.handlers.detail import CAPTURE_BYTES_MAX
from services.executor.runtime import cuts
from services.executor.runtime.egress import EgressLimits
from services.executor.runtime.egress_capture import BODY_BYTES_MAX
from services.executor.runtime.jobs import Limits
from tests.unit.test_docs import ROOT, rows, section

JS = ROOT / "services/executor/runtime/js"


def constant(file: str, name: str) -> int:
    """A constant of the JavaScript side."""
    found = re.search(rf"^(?:export )?const {name} = ([\d_ *]+);", (JS / file).read_text(), re.MULTILINE)
    assert found, f"{file} has no {name}"
    value = 1
    for factor in found[1].split("*"):
        value *= int(factor)
    return value


def documented_limits() -> dict[str, str]:
    lines = [line.split("|") for line in section("runtime.md", "Limits").splitlines() if line.startswith("| ")]
    return {cells[1].strip(): cells[2].strip() for cells in lines[2:]}


def test_every_package_is_documented_with_its_version() -> None:
    manifest = json.loads((JS / "packages.json").read_text())["packages"]
    expected = [
        [f"`{one['global']}`", one["package"], one["version"], "yes" if one["lazy"] else "no"] for one in manifest
    ]
    assert rows(section("runtime.md", "Packages")) == expected


def test_every_service_of_the_sdk_is_documented() -> None:
    listed = re.search(r"AWS_SERVICES = \[(.*?)\]", (JS / "aws_services.mjs").read_text(), re.DOTALL)
    assert listed
    text = re.search(r"^Services: (.*?)\.$", section("runtime.md", "AWS"), re.MULTILINE | re.DOTALL)
    assert text
    documented = re.findall(r"`(\w+)`", text[1])
    assert [name.lower() for name in documented] == re.findall(r"'(\w+)'", listed[1])


def test_ours_are_documented() -> None:
    lazily = re.search(r"^const LAZY = \{(.*?)^\};", (JS / "globals.js").read_text(), re.MULTILINE | re.DOTALL)
    assert lazily
    packaged = {one["global"] for one in json.loads((JS / "packages.json").read_text())["packages"]}
    text = section("runtime.md", "Packages")
    ours = [name for name in re.findall(r"^  (\w+):", lazily[1], re.MULTILINE) if name not in packaged]
    assert [name for name in ours if f"`{name}`" not in text] == []


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("wall time", f"{Limits().wall_ms // 1000} s (a function's own: 1 to 60 s)"),
        ("CPU time", f"{Limits().cpu_ms // 1000} s"),
        ("V8 heap", f"{Limits().heap_bytes >> 20} MiB"),
        ("ArrayBuffers and the rest of the worker", f"{Limits().buffers_bytes >> 20} MiB"),
        ("`fetch` and other requests", f"{constant('requests.js', 'FETCHES_MAX')}"),
        ("requests at once", f"{constant('requests.js', 'FETCHES_AT_ONCE')}"),
        ("body of a request or an answer", f"{EgressLimits().request_body_bytes_max >> 20} MiB"),
        ("body of a request or an answer", f"{EgressLimits().response_body_bytes_max >> 20} MiB"),
        ("timers at once", f"{constant('host.js', 'TIMERS_MAX'):,}"),
        (
            "console",
            f"{constant('host.js', 'LOG_LINES_MAX')} lines, {constant('host.js', 'LOG_CHARS_MAX') >> 10} KiB",
        ),
        ("a line of it", f"{cuts.CONSOLE_LINE_MAX >> 10} KiB"),
        ("what a handler returns, as JSON", f"{cuts.VALUE_MAX >> 10} KiB kept"),
        ("an error's message", f"{cuts.ERROR_MESSAGE_MAX >> 10} KiB kept"),
        ("an error's stack", f"{cuts.ERROR_STACK_MAX >> 10} KiB kept"),
        ("a captured body", f"{BODY_BYTES_MAX >> 10} KiB"),
        ("captures and console together", f"{CAPTURE_BYTES_MAX >> 10} KiB"),
    ],
)
def test_documented_limits_of_an_attempt_are_those_of_the_code(limit: str, expected: str) -> None:
    assert documented_limits()[limit] == expected


def test_the_cache_holds_as_many_keys_as_documented() -> None:
    assert f"at most {constant('cache.js', 'KEYS_MAX'):,} keys" in section("runtime.md", "Packages")
