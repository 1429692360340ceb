"""Files of exported records."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import orjson
import pytest

from cli.audit_export import COLUMNS, csv_head, csv_row, last_whole_line, read_lines
from cli.failures import CommandError
from onward.audit.v1 import audit_service_pb2 as pb


def record(**changed: Any) -> pb.AuditEvent:
    return pb.AuditEvent(
        **{"index": 7, "principal": "member:ada", "target_id": "alerts", "outcome": pb.OUTCOME_DENIED, **changed}
    )


def cells(line: bytes) -> dict[str, str]:
    (row,) = csv.reader(io.StringIO(line.decode(), newline=""))
    return dict(zip(COLUMNS, row, strict=True))


def test_a_row_has_a_cell_for_each_column() -> None:
    one = record(changes=[pb.FieldChange(field="a", after='"x,y"\n')], client_address="192.0.2.7", user_agent="cli")
    one.occur_time.FromJsonString("2026-03-01T12:00:00.5Z")
    row = cells(csv_row(one))
    assert (row["index"], row["targetId"], row["principal"], row["outcome"]) == ("7", "alerts", "member:ada", "denied")
    assert (row["clientAddress"], row["userAgent"]) == ("192.0.2.7", "cli")
    assert row["occurTime"] == "2026-03-01T12:00:00.500000Z"
    assert orjson.loads(row["changes"])[0]["after"] == '"x,y"\n'
    assert cells(csv_head()) == {column: column for column in COLUMNS}


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_begins_a_formula(text: str) -> None:
    odd = dict.fromkeys(("principal", "target_type", "target_id", "target_display_name", "user_agent"), text)
    row = cells(csv_row(record(**odd)))
    columns = ("principal", "targetType", "targetId", "targetName", "userAgent")
    assert [row[column] for column in columns] == [f"'{text}"] * 5


def test_a_line_that_was_cut_is_taken_off_before_an_export_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "trail.jsonl"
    file.write_bytes(b'{"index":1}\n{"index":2}\n{"ind')
    assert last_whole_line(file) == b'{"index":2}'
    assert file.read_bytes() == b'{"index":1}\n{"index":2}\n'
    assert last_whole_line(file) == b'{"index":2}'
    assert list(read_lines(file)) == [b'{"index":1}', b'{"index":2}']


@pytest.mark.parametrize(("content", "kept"), [(b"", b""), (b'{"ind', b""), (b'{"index":1}\n', b'{"index":1}\n')])
def test_a_file_with_hardly_anything_in_it_is_gone_on_with(tmp_path: Path, content: bytes, kept: bytes) -> None:
    file = tmp_path / "trail.jsonl"
    file.write_bytes(content)
    assert last_whole_line(file) == kept.rstrip(b"\n")
    assert file.read_bytes() == kept


def test_the_last_line_is_found_behind_long_ones(tmp_path: Path) -> None:
    file = tmp_path / "trail.jsonl"
    long = b"x" * 3_000_000
    file.write_bytes(b"first\n" + long + b"\n" + long + b"\ncut")
    assert last_whole_line(file) == long


def test_a_file_that_ends_within_a_line_is_not_read_as_whole(tmp_path: Path) -> None:
    file = tmp_path / "trail.jsonl"
    file.write_bytes(b"whole\ncut")
    with pytest.raises(CommandError, match="--resume"):
        list(read_lines(file))
