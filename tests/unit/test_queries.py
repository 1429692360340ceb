"""Named statements."""

from pathlib import Path

import pytest

from kit.postgres.queries import load_queries


def write(folder: Path, text: str) -> Path:
    path = folder / "queries.sql"
    path.write_text(text)
    return path


def test_statements_are_found_by_name(tmp_path: Path) -> None:
    queries = load_queries(write(tmp_path, "-- preface\n-- name: one\nSELECT 1;\n\n--name: two_b\n-- why\nSELECT 2\n"))
    assert queries.one == "SELECT 1"
    assert queries.two_b == "-- why\nSELECT 2"
    assert dir(queries) == ["one", "two_b"]


def test_an_unknown_name_is_an_attribute_error(tmp_path: Path) -> None:
    with pytest.raises(AttributeError, match="no statement named 'three'"):
        load_queries(write(tmp_path, "-- name: one\nSELECT 1")).three  # noqa: B018


def test_a_name_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one is defined twice"):
        load_queries(write(tmp_path, "-- name: one\nSELECT 1;\n-- name: one\nSELECT 2;"))


def test_an_empty_statement_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one is empty"):
        load_queries(write(tmp_path, "-- name: one\n;\n-- name: two\nSELECT 2;"))
