"""What a run by hand is given: code, an event, setting values. Files are read anew for each run of --watch."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cli.failures import UsageError
from cli.setting_values import parse_assignments, parse_definitions
from onward.executor.v1 import execution_service_pb2 as pb
from onward.registry.v1.resources_pb2 import SettingDefinition, SettingType, SettingValue

# The executor's own limits, told before anything is sent.
CODE_BYTES_MAX = 256 * 1024
EVENT_BYTES_MAX = 2 * 1024 * 1024
# As a function's may be.
TIMEOUT_MIN_MS = 1000
TIMEOUT_MAX_MS = 60_000
STDIN = "-"

_TYPES = {
    "string_value": SettingType.SETTING_TYPE_STRING,
    "bool_value": SettingType.SETTING_TYPE_BOOLEAN,
    "list_value": SettingType.SETTING_TYPE_STRING_LIST,
    "map_value": SettingType.SETTING_TYPE_STRING_MAP,
}


@dataclass
class TrialInput:
    """The files and values that were named. `code` is None where the server has it, `event` empty for a sample."""

    code: Path | None
    event: str
    definitions: Path | None
    settings: Mapping[str, SettingValue]
    timeout_ms: int
    _stdin: str = field(default="", repr=False)

    @classmethod
    def of(
        cls, code: Path | None, event: str, definitions: Path | None, assignments: Iterable[str], timeout_ms: int
    ) -> TrialInput:
        """Raises UsageError where they can't be meant."""
        if definitions is not None and code is None:
            raise UsageError("--definitions are for code in a file: a version has those that were saved with it")
        if timeout_ms and not TIMEOUT_MIN_MS <= timeout_ms <= TIMEOUT_MAX_MS:
            raise UsageError(f"--timeout-ms is {timeout_ms}: it goes from {TIMEOUT_MIN_MS} to {TIMEOUT_MAX_MS}")
        return cls(code, event, definitions, parse_assignments(assignments), timeout_ms)

    @property
    def files(self) -> list[Path]:
        """Those whose change is worth another run."""
        event = Path(self.event) if self.event and self.event != STDIN else None
        return [path for path in (self.code, event, self.definitions) if path is not None]

    def code_text(self) -> str:
        assert self.code is not None, "only asked for code in a file"
        return _read(self.code, CODE_BYTES_MAX, "code")

    def event_text(self) -> str:
        """The event, or an array of them. Raises UsageError where it is no JSON."""
        if self.event == STDIN:
            text = self._stdin = self._stdin or _read_stdin()
        else:
            text = _read(Path(self.event), EVENT_BYTES_MAX, "an event")
        try:
            json.loads(text)
        except ValueError as error:
            where = "stdin" if self.event == STDIN else self.event
            raise UsageError(f"{where} is not JSON ({error}): it should hold one event, or an array of them") from None
        return text

    def request(self, name: str, event: str = "", known: Iterable[SettingDefinition] = ()) -> pb.TestFunctionRequest:
        """What the executor is asked. `known` are the definitions where no file has them."""
        values = [pb.TestSetting(name=one, value=value) for one, value in self.settings.items()]
        request = pb.TestFunctionRequest(name=name, event=event or self.event_text(), settings=values)
        if self.code is not None:
            request.code, request.timeout_ms = self.code_text(), self.timeout_ms
            request.definitions.extend(self._definitions(known))
        return request

    def _definitions(self, known: Iterable[SettingDefinition]) -> list[SettingDefinition]:
        if self.definitions is not None:
            text = _read(self.definitions, CODE_BYTES_MAX, "setting definitions")
            return parse_definitions(text, str(self.definitions))
        found = list(known)
        names = {one.name for one in found}
        # What is set and defined nowhere is what it looks like.
        return found + [
            SettingDefinition(name=name, label=name, type=_TYPES[value.WhichOneof("value") or "string_value"])
            for name, value in self.settings.items()
            if name not in names
        ]


def _read_stdin() -> str:
    text = sys.stdin.read(EVENT_BYTES_MAX + 1)
    if len(text.encode("utf-8", "surrogateescape")) > EVENT_BYTES_MAX:
        raise UsageError(f"stdin has more than the {EVENT_BYTES_MAX:,} bytes that an event may have")
    return text


def _read(path: Path, bytes_max: int, what: str) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} can't be read ({error.strerror}): it should hold {what}") from None
    if len(data) > bytes_max:
        raise UsageError(f"{path} has {len(data):,} bytes, and {what} may have {bytes_max:,}")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text: it should hold {what}") from None
