"""Files of exported records."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import orjson
import pytest

from cli.audit_export import COLUMNS, csv_head, csv_row, last_whole_line, read_lines
from cli.failures import CommandError


def record(**changed: object) -> bytes:
    fields: dict[str, object] = {column: f"some {column}" for column in COLUMNS}
    fields |= {"index": 7, "changes": [], "target": {"type": "functions", "id": "alerts", "displayName": "Alerts"}}
    return orjson.dumps(fields | changed)


def cells(line: bytes) -> dict[str, str]:
    (row,) = csv.reader(io.StringIO(line.decode(), newline=""))
    return dict(zip(COLUMNS, row, strict=True))


def test_a_row_has_a_cell_for_each_column() -> None:
    row = cells(csv_row(record(changes=[{"field": "a", "before": "", "after": '"x,y"\n'}])))
    assert (row["index"], row["targetId"], row["principal"]) == ("7", "alerts", "some principal")
    assert orjson.loads(row["changes"])[0]["after"] == '"x,y"\n'
    assert cells(csv_head()) == {column: column for column in COLUMNS}


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_begins_a_formula(text: str) -> None:
    row = cells(csv_row(record(principal=text, target={"type": text, "id": text, "displayName": text})))
    assert [row[column] for column in ("principal", "targetType", "targetId", "targetName")] == [f"'{text}"] * 4


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
