"""Files of exported records: lines as they were signed, and CSV for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson
from google.protobuf.timestamp_pb2 import Timestamp

from cli.failures import CommandError
from cli.output import enum_word
from onward.audit.v1 import audit_service_pb2 as pb

COLUMNS: Final = (
    "index", "occurTime", "recordTime", "principal", "credential", "action", "targetType", "targetId", "targetName",
    "outcome", "changes", "requestId", "traceId", "service", "position", "factId", "clientAddress",
    "userAgent",
)  # fmt: skip
# What spreadsheets take for the beginning of a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_CHUNK_BYTES: Final = 1 << 20
# Records are below 2 MB; a file with longer lines is none of ours.
LINE_BYTES_MAX: Final = 8 << 20


def csv_row(one: pb.AuditEvent) -> bytes:
    """A record as a line of CSV, with COLUMNS; changes as JSON. No cell begins a formula."""
    changes = [{"after": each.after, "before": each.before, "field": each.field} for each in one.changes]
    cells = (
        one.index, _time(one.occur_time), _time(one.record_time), one.principal, one.credential, one.action,
        one.target_type, one.target_id, one.target_display_name, enum_word(pb.Outcome.Name(one.outcome), "OUTCOME_"),
        orjson.dumps(changes).decode(), one.request_id, one.trace_id, one.service, one.position, one.fact_id,
        one.client_address, one.user_agent,
    )  # fmt: skip
    return _csv_line([_harmless(cell) for cell in cells])


def _time(stamp: Timestamp) -> str:
    """In UTC with six digits."""
    return stamp.ToDatetime().isoformat(timespec="microseconds") + "Z"


def beside(file: Path, kind: str) -> Path:
    """Where the checkpoint or the key of an export is."""
    return file.with_name(f"{file.name}.{kind}")


def csv_head() -> bytes:
    """The line of column names."""
    return _csv_line(COLUMNS)


def _csv_line(cells: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().encode()


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file without their breaks; memory does not grow with the file. Raises CommandError."""
    with path.open("rb") as file:
        while line := file.readline(LINE_BYTES_MAX):
            if not line.endswith(b"\n"):
                raise CommandError(f"{path} ends within a line: run the export again with --resume")
            yield line[:-1]


def last_whole_line(path: Path) -> bytes:
    """The last line of a file that was written to the end; what comes after it is cut off. Empty for no line."""
    with path.open("r+b") as file:
        tail = _tail(file)
        whole, separator, rest = tail.rpartition(b"\n")
        file.truncate(file.seek(0, io.SEEK_END) - len(rest))
        return whole.rpartition(b"\n")[2] if separator else b""


def _tail(file: Any) -> bytes:
    """So much of a file's end that a whole line is in it."""
    size, tail = file.seek(0, io.SEEK_END), b""
    while len(tail) < size and tail.count(b"\n") < 2:
        start = max(0, size - len(tail) - _CHUNK_BYTES)
        file.seek(start)
        tail = file.read(size - len(tail) - start) + tail
    return tail
